/**
 * The association log. It is written in batches, behind the peers' backs: a refused caller waits for no commit, and a flood of them makes few. It is kept
 * for as many days as the setting association_log_days says; what goes leaves an audit row.
 */
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { deleteOldAssociations, saveAssociations, type AssociationRow } from '../db/associations.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';
import type { AssociationLog, AssociationRecord } from '#gateway/associations.ts';

const DELAY_MILLISECONDS = 200;
const MAXIMUM_WAITING = 5_000;

export interface AssociationRecorder extends AssociationLog {
  /** Resolves when everything recorded so far is written or given up. */
  flush(): Promise<void>;
}

export function createAssociationLog(database: Database, log: Log): AssociationRecorder {
  /** Organization -> association -> its newest record. */
  let waiting = new Map<string, Map<string, AssociationRow>>();
  let count = 0;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();

  const write = async (): Promise<void> => {
    timer = undefined;
    const taken = waiting;
    [waiting, count] = [new Map(), 0];
    for (const [organizationId, rows] of taken) {
      await inOrganization(database, organizationId, (tx) => saveAssociations(tx, [...rows.values()]))
        .catch((error: unknown) => log.warn({ err: error, associations: rows.size }, 'associations could not be put on record'));
    }
  };
  return {
    record(association) {
      if (count >= MAXIMUM_WAITING) return;
      const organizationId = association.organizationId ?? UNASSIGNED_ORGANIZATION_ID;
      const rows = waiting.get(organizationId) ?? new Map<string, AssociationRow>();
      waiting.set(organizationId, rows.set(association.associationId, rowOf(association)));
      count += 1;
      timer ??= setTimeout(() => { running = running.then(write); }, DELAY_MILLISECONDS);
    },
    async flush() {
      clearTimeout(timer);
      running = running.then(write);
      await running;
    },
  };
}

const MOST_AT_ONCE = 10_000;

/** Ends what is older than the organization's setting; a large backlog goes in pieces, so that none locks the table for long. */
export async function tidyAssociations(database: Database, organizationId: string): Promise<number> {
  for (let total = 0; ;) {
    const deleted = await inOrganization(database, organizationId, async (tx) => {
      const gone = await deleteOldAssociations(tx, MOST_AT_ONCE);
      if (gone.deleted === 0) return 0;
      await recordAudit(tx, {
        ...auditEvents.applicationActivity, action: 'D', outcome: 'success', actor: { kind: 'system', id: 'maintenance' }, object: { type: 'association_log', id: gone.until!.toISOString() },
        detail: { deleted: gone.deleted, until: gone.until!.toISOString(), association_log_days: gone.keptDays },
      });
      return gone.deleted;
    });
    total += deleted;
    if (deleted < MOST_AT_ONCE) return total;
  }
}

function rowOf(association: AssociationRecord): AssociationRow {
  const { startedAt, finishedAt, contexts } = association;
  return {
    association_id: association.associationId, integration_id: association.integrationId, started_at: startedAt.toISOString(), finished_at: finishedAt.toISOString(),
    duration_ms: finishedAt.getTime() - startedAt.getTime(), calling_ae_title: association.callingAeTitle, called_ae_title: association.calledAeTitle, peer_address: association.peerAddress,
    peer_port: association.peerPort, tls_protocol: association.tlsProtocol, tls_subject: association.tlsSubject, implementation_class_uid: association.implementationClassUid,
    implementation_version: association.implementationVersionName, peer_maximum_length: association.peerMaximumLength, contexts, contexts_accepted: contexts.filter(({ result }) => result === 0).length,
    outcome: association.outcome, rejection: association.rejection, reason: association.reason, advice: association.advice, bytes_received: association.bytesReceived, bytes_sent: association.bytesSent,
    requests: association.requests, objects: association.objects, repeats: association.repeats,
  };
}
