/** Deliveries that a person decides about: refused ones are parked, waiting ones can be sent now, either can be given up with a reason. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
const Held = z.object({
  delivery_id: z.string(), integration_id: z.string(), report_id: z.string(), lineage_id: z.string(), version: z.number(), status: z.enum(['queued', 'sending', 'delivered', 'refused', 'skipped']),
  patient_id: z.string(),
});
export type HeldDelivery = z.infer<typeof Held>;

/** The row, locked until the transaction ends. */
export async function holdDelivery(tx: CommonQueryMethods, deliveryId: string): Promise<HeldDelivery | undefined> {
  return await tx.maybeOne(sql.type(Held)`
    SELECT d.delivery_id, d.integration_id, d.report_id, r.lineage_id, r.version, d.status, s.patient_id
    FROM deliveries d JOIN reports r ON r.organization_id = d.organization_id AND r.report_id = d.report_id
      JOIN scans s ON s.organization_id = r.organization_id AND s.scan_id = r.scan_id
    WHERE d.organization_id = ${ORGANIZATION} AND d.delivery_id = ${deliveryId} FOR UPDATE OF d`) ?? undefined;
}

/** The newest version of the same report that the destination has, when it is newer than this one: an older one sent now would replace it there. */
export async function newerVersionThere(tx: CommonQueryMethods, { integration_id: integrationId, lineage_id: lineageId, version }: HeldDelivery): Promise<number | undefined> {
  const newest = await tx.oneFirst(sql.type(z.object({ version: z.number().nullable() }))`
    SELECT max(r.version) AS version FROM reports r JOIN deliveries d ON d.organization_id = r.organization_id AND d.report_id = r.report_id
    WHERE r.organization_id = ${ORGANIZATION} AND r.lineage_id = ${lineageId} AND r.version > ${version} AND d.integration_id = ${integrationId} AND d.status = 'delivered'`);
  return newest ?? undefined;
}

/** The version by which this report was withdrawn, when that is newer than this one: what was withdrawn is not sent any more. */
export async function withdrawnBy(tx: CommonQueryMethods, { lineage_id: lineageId, version }: HeldDelivery): Promise<number | undefined> {
  const newest = await tx.maybeOneFirst(sql.type(z.object({ version: z.number() }))`
    SELECT n.version FROM (SELECT r.version, r.status FROM reports r WHERE r.organization_id = ${ORGANIZATION} AND r.lineage_id = ${lineageId} ORDER BY r.version DESC LIMIT 1) n
    WHERE n.version > ${version} AND n.status IN ('entered-in-error', 'cancelled')`);
  return newest ?? undefined;
}

/** Due now, at its old place in the order. */
export async function requeueDelivery(tx: CommonQueryMethods, deliveryId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`UPDATE deliveries SET status = 'queued', next_attempt_at = now() WHERE organization_id = ${ORGANIZATION} AND delivery_id = ${deliveryId}`);
}

export async function skipDelivery(tx: CommonQueryMethods, deliveryId: string, reason: string): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE deliveries SET status = 'skipped', last_outcome = 'discarded', last_text = ${reason} WHERE organization_id = ${ORGANIZATION} AND delivery_id = ${deliveryId}`);
}

/** Refused deliveries in the order in which they were made, of one destination or of all. */
export async function parkedDeliveries(tx: CommonQueryMethods, integrationId: string | undefined, limit: number): Promise<readonly string[]> {
  const ofDestination = integrationId === undefined ? sql.fragment`true` : sql.fragment`integration_id = ${integrationId}`;
  const rows = await tx.any(sql.type(z.object({ delivery_id: z.string() }))`
    SELECT delivery_id FROM deliveries WHERE organization_id = ${ORGANIZATION} AND status = 'refused' AND ${ofDestination} ORDER BY position LIMIT ${limit}`);
  return rows.map((row) => row.delivery_id);
}
