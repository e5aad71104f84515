import { insertAuditRows } from '../db/audit-logs.ts';
import type { Transaction } from '../db/pool.ts';
import type { AuditEvent } from './event.ts';

/**
 * Writes one audit row in the caller's transaction, which must have been opened by inOrganization: the row belongs to that
 * organization, and it is there if and only if what it tells of was committed.
 */
export async function recordAudit(tx: Transaction, event: AuditEvent): Promise<void> {
  await insertAuditRows(tx, [event]);
}

/** As recordAudit, many rows in one statement; their sequence follows the order of `events`. */
export async function recordAudits(tx: Transaction, events: readonly AuditEvent[]): Promise<void> {
  if (events.length > 0) await insertAuditRows(tx, events);
}
