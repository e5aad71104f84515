/** Logging in of other systems: the implementation of ClientTokens in src/gateway/records.ts. Assertion, token and audit row in one transaction. */
import { auditEvents, eventTypes } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { insertToken, serviceAccount, takeAssertion } from '../db/client-tokens.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';
import type { ClientTokens } from '#gateway/records.ts';

export function createClientTokens({ database }: { readonly database: Database }): ClientTokens {
  return {
    issue: (grant) => inOrganization(database, grant.organizationId, async (tx) => {
      if (!await takeAssertion(tx, grant.integrationId, grant.assertionId)) return 'replayed';
      const userId = await serviceAccount(tx, grant.integrationId, grant.name);
      if (userId === undefined) return 'disabled';
      // The scope names the integration, so that the token's holder is served in that system's terms.
      const { token, sessionId } = await insertToken(tx, userId, { ...grant, scopes: [...grant.scopes, `integration:${grant.integrationId}`] });
      await recordAudit(tx, {
        ...auditEvents.userAuthentication, action: 'E', outcome: 'success', actor: { kind: 'application', id: userId, role: 'service', address: grant.address },
        object: { type: 'api_token', id: sessionId }, detail: { event_type: eventTypes.login, integration_id: grant.integrationId, scopes: grant.scopes },
      });
      return { token };
    }),
    refused: ({ organizationId, integrationId, address, reason }) => inOrganization(database, organizationId ?? UNASSIGNED_ORGANIZATION_ID, (tx) => recordAudit(tx, {
      ...auditEvents.userAuthentication, action: 'E', outcome: 'serious_failure', actor: { kind: 'application', id: integrationId ?? 'unknown', address },
      detail: { event_type: eventTypes.login, reason, ...(integrationId === undefined ? {} : { integration_id: integrationId }) },
    })),
  };
}
