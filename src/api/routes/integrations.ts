import { z } from '@hono/zod-openapi';
import { auditEvents, eventTypes, type AuditActor } from '../../audit/event.ts';
import type { SavedIntegration } from '../../gateway/save-integration.ts';
import type { ApiDependencies } from '../context.ts';
import { pathId } from '../fields.ts';
import { listOf, pageQuery, toPage } from '../pagination.ts';
import { decided, notFound, Problem } from '../problem.ts';
import { Adapter, ConnectionTest, Integration, IntegrationInput, IntegrationPause, IntegrationSwitch, listIntegrations, readIntegration, switchIntegration } from '../queries/integrations.ts';
import type { ApiRequest, ApiRouter } from '../router.ts';

const one = { tag: 'integrations', params: pathId('integration_id') } as const;

export function integrationRoutes(router: ApiRouter, { commands }: ApiDependencies): void {
  router.route('GET /adapters', { summary: 'Installed adapters and the form of their settings', tag: 'integrations', returns: listOf(Adapter), unaudited: 'what the product consists of' }, async () => ({
    items: commands.adapterCatalog().map((adapter) => ({
      name: adapter.name, title: adapter.title, summary: adapter.summary, inbound: [...adapter.inbound], outbound: [...adapter.outbound],
      settings_schema: { ...adapter.settingsSchema }, secret_fields: [...adapter.secretFields],
    })),
    next_cursor: null,
  }));

  router.route('GET /adapters/{adapter}/conformance', {
    summary: 'Conformance statement with the integrations that are configured', tag: 'integrations', params: z.object({ adapter: z.string().max(64) }), produces: 'text/markdown',
    query: z.object({ integration: z.string().max(100).optional().openapi({ description: 'Name of the one integration to state' }) }),
    unaudited: 'what the product speaks, and to whom it is configured to; no patient is in it',
  }, async ({ params, query, caller, c }) => {
    const statement = await commands.conformanceStatement(caller.organizationId, params.adapter, query.integration);
    if (statement === undefined) throw notFound('conformance statement');
    return c.body(statement, 200, { 'content-type': 'text/markdown; charset=utf-8' });
  });

  router.route('GET /integrations', { summary: 'Connected systems', tag: 'integrations', query: pageQuery, returns: listOf(Integration) }, ({ transact, query }) => transact(async (tx, audit) => {
    const page = toPage(await listIntegrations(tx, query), query, (integration) => integration.integration_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'integration', id: '*' }, detail: { results: page.items.length } });
    return { ...page, items: page.items.map(withoutSecrets) };
  }));

  router.route('GET /integrations/{integration_id}', { ...one, summary: 'One connected system', returns: Integration }, ({ transact, params }) => transact(async (tx, audit) => {
    const integration = await readIntegration(tx, params.integration_id);
    if (!integration) throw notFound('integration');
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'integration', id: integration.integration_id } });
    return withoutSecrets(integration);
  }));

  router.route('POST /integrations', { summary: 'Connect a system', tag: 'integrations', body: IntegrationInput, returns: Integration, status: 201 }, (request) =>
    save(request, undefined, request.body));

  router.route('PUT /integrations/{integration_id}', { ...one, summary: 'Change a connected system', body: IntegrationInput, returns: Integration }, (request) =>
    save(request, request.params.integration_id, request.body));

  router.route('PATCH /integrations/{integration_id}', { ...one, summary: 'Switch on or off', body: IntegrationSwitch, returns: Integration }, async ({ transact, params, body, caller }) => {
    const integration = await transact(async (tx, audit) => {
      const changed = await switchIntegration(tx, params.integration_id, body.is_enabled, caller.userId);
      if (!changed) throw notFound('integration');
      await audit({
        ...auditEvents.securityAlert, action: 'U', object: { type: 'integration', id: changed.integration_id },
        detail: { event_type: eventTypes.softwareConfiguration, is_enabled: body.is_enabled, version: changed.version },
      });
      return changed;
    });
    await commands.reloadIntegrations();
    return withoutSecrets(integration);
  });

  router.route('PUT /integrations/{integration_id}/pause', {
    ...one, summary: 'Pause or resume', body: IntegrationPause, returns: Integration,
    description: 'Receiving and delivering are paused apart; a part that is left out stays as it is. Nothing is lost: senders keep what is answered "not now", and reports wait in order. Resuming looks at the waiting ones at once. Queries of the system are answered all the same.',
  }, async ({ params, body, caller, actor, transact, auditedElsewhere }) => {
    decided(await commands.pauseIntegration(caller.organizationId, params.integration_id, body, actor), 'integration');
    auditedElsewhere();
    await commands.reloadIntegrations();
    const integration = await transact((tx) => readIntegration(tx, params.integration_id));
    if (!integration) throw notFound('integration');
    return withoutSecrets(integration);
  });

  router.route('POST /integrations/{integration_id}/test', {
    ...one, summary: 'Try the connection', query: z.object({ store: z.enum(['true', 'false']).optional() }), returns: ConnectionTest,
    description: 'Changes nothing on either side, unless `store=true` sends a synthetic object to a DICOM system. `ok` false is an answer, not an error.',
  }, async ({ transact, params, query, caller }) => {
    const test = await commands.testIntegration(caller.organizationId, params.integration_id, { stores: query.store === 'true' });
    if (!test) throw notFound('integration');
    await transact((_tx, audit) => audit({
      ...auditEvents.applicationActivity, action: 'E', outcome: test.ok ? 'success' : 'minor_failure', object: { type: 'integration', id: params.integration_id }, detail: { connection_test: test.ok, ...(query.store === 'true' ? { stored: true } : {}) },
    }));
    return { ok: test.ok, steps: test.steps.map((step) => ({ ...step })) };
  });

  async function save(request: Saving, integrationId: string | undefined, input: z.output<typeof IntegrationInput>): Promise<Integration> {
    const { caller, transact, actor, auditedElsewhere } = request;
    const saved = await commands.saveIntegration(caller.organizationId, integrationId, {
      name: input.name, kind: input.kind, adapter: input.adapter, direction: input.direction, settings: input.settings, isEnabled: input.is_enabled,
      ownerContact: input.owner_contact, purpose: input.purpose, expectedVersion: input.expected_version,
    }, actor);
    const { integrationId: savedId } = accepted(saved);
    auditedElsewhere();
    await commands.reloadIntegrations();
    const integration = await transact((tx) => readIntegration(tx, savedId));
    if (!integration) throw notFound('integration');
    return withoutSecrets(integration);
  }

  /** Secrets live sealed in another column; should one stand among the settings (an old row), it still does not leave. */
  function withoutSecrets(integration: Integration): Integration {
    const secret = new Set(commands.adapterCatalog().find((adapter) => adapter.name === integration.adapter)?.secretFields);
    return { ...integration, settings: Object.fromEntries(Object.entries(integration.settings).filter(([name]) => !secret.has(name))) };
  }
}

type Saving = Pick<ApiRequest<unknown, unknown, unknown>, 'caller' | 'transact' | 'auditedElsewhere'> & { readonly actor: AuditActor };

function accepted(saved: SavedIntegration): Extract<SavedIntegration, { kind: 'saved' }> {
  switch (saved.kind) {
    case 'saved': return saved;
    case 'not-found': throw notFound('integration');
    case 'stale': throw new Problem(409, `Somebody changed the integration meanwhile: it has version ${saved.version} now.`);
    case 'invalid': throw new Problem(422, 'The settings are not what the adapter needs; see errors.', { errors: saved.errors.map((error) => ({ ...error, pointer: `#${error.pointer}` })) });
  }
}
