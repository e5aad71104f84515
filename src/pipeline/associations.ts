/** Writes the association log in batches, behind the peers' backs: a refused caller waits for no commit, and a flood of them makes few. */
import { saveAssociations, type AssociationRow } from '../db/associations.ts';
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
