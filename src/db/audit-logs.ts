import type { AuditEvent } from '../audit/event.ts';
import { ORGANIZATION } from './current-organization.ts';
import { sql, type Transaction } from './pool.ts';

/** Inserts in the given order. `organization_id` is the transaction's own, so that no caller can write into another's log. */
export async function insertAuditRows(tx: Transaction, events: readonly AuditEvent[]): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    INSERT INTO audit_logs (organization_id, event_code, event_name, action, outcome, actor_kind, actor_id, actor_role, network_address,
      object_type, object_id, patient_id, sync_id, request_id, detail)
    SELECT ${ORGANIZATION}, e.event_code, e.event_name, e.action, e.outcome, e.actor_kind, e.actor_id,
      e.actor_role, e.network_address, e.object_type, e.object_id, e.patient_id, e.sync_id, e.request_id, coalesce(e.detail, '{}')
    FROM ROWS FROM (jsonb_to_recordset(${JSON.stringify(events.map(toRow))}::jsonb) AS (event_code text, event_name text, action text, outcome text,
      actor_kind text, actor_id text, actor_role text, network_address text, object_type text, object_id text, patient_id uuid, sync_id uuid,
      request_id text, detail jsonb)) WITH ORDINALITY AS e(event_code, event_name, action, outcome, actor_kind, actor_id, actor_role,
      network_address, object_type, object_id, patient_id, sync_id, request_id, detail, position)
    ORDER BY e.position`);
}

function toRow(event: AuditEvent): Record<string, unknown> {
  return {
    event_code: event.eventCode, event_name: event.eventName, action: event.action, outcome: event.outcome,
    actor_kind: event.actor.kind, actor_id: event.actor.id, actor_role: event.actor.role, network_address: event.actor.address,
    object_type: event.object?.type, object_id: event.object?.id,
    patient_id: event.patientId, sync_id: event.syncId, request_id: event.requestId, detail: event.detail,
  };
}
