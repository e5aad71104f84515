/** record_names: what senders call records of ours; and the statements of a patient's history, which are found by what they state. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { HistoryRow, OrderRow } from '#gateway/normalized.ts';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});

/** `previous` is the record that had this name until now. */
export async function nameRecord(tx: CommonQueryMethods, row: { integrationId: string; kind: string; name: string; recordId: string }): Promise<{ previous: string | undefined }> {
  const before = await tx.maybeOne(sql.type(z.object({ record_id: z.string() }))`
    SELECT record_id FROM record_names WHERE organization_id = ${ORGANIZATION} AND integration_id = ${row.integrationId} AND kind = ${row.kind} AND name = ${row.name} FOR UPDATE`);
  if (before?.record_id === row.recordId) return { previous: undefined };
  await tx.query(sql.type(Nothing)`
    INSERT INTO record_names (organization_id, integration_id, kind, name, record_id) VALUES (${ORGANIZATION}, ${row.integrationId}, ${row.kind}, ${row.name}, ${row.recordId})
    ON CONFLICT (organization_id, integration_id, kind, name) DO UPDATE SET record_id = excluded.record_id`);
  return { previous: before?.record_id };
}

/** The row that a statement of this patient became. */
export async function findStatement(tx: CommonQueryMethods, patientId: string, statement: HistoryRow): Promise<string | undefined> {
  return (await tx.maybeOne(sql.type(z.object({ history_id: z.string() }))`
    SELECT history_id FROM patient_medical_history WHERE organization_id = ${ORGANIZATION} AND patient_id = ${patientId} AND statement_key = ${keyOf(statement)}`))?.history_id;
}

/** Makes a statement say something else, in place. False: the patient has a row that says just that already. */
export async function restateStatement(tx: CommonQueryMethods, historyId: string, statement: HistoryRow): Promise<boolean> {
  const { code, code_system, display, onset } = statement;
  const updated = await tx.any(sql.type(z.object({ history_id: z.string() }))`
    UPDATE patient_medical_history h SET code = ${code ?? null}, code_system = ${code_system ?? null}, display = ${display}, onset = ${onset ?? null}, statement_key = ${keyOf(statement)}
    WHERE h.organization_id = ${ORGANIZATION} AND h.history_id = ${historyId} AND NOT EXISTS (
      SELECT FROM patient_medical_history o WHERE o.organization_id = ${ORGANIZATION} AND o.patient_id = h.patient_id AND o.history_id <> h.history_id AND o.statement_key = ${keyOf(statement)})
    RETURNING h.history_id`);
  return updated.length > 0;
}

/** Gives an order its new numbers before it is looked up by them. */
export async function renumberOrder(tx: CommonQueryMethods, scanId: string, { accession_number, placer_order_number, filler_order_number }: Pick<OrderRow, 'accession_number' | 'placer_order_number' | 'filler_order_number'>): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE scans SET accession_number = coalesce(${accession_number ?? null}, accession_number), placer_order_number = coalesce(${placer_order_number ?? null}, placer_order_number),
      filler_order_number = coalesce(${filler_order_number ?? null}, filler_order_number)
    WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId}
      AND (accession_number, placer_order_number, filler_order_number) IS DISTINCT FROM (coalesce(${accession_number ?? null}, accession_number), coalesce(${placer_order_number ?? null}, placer_order_number), coalesce(${filler_order_number ?? null}, filler_order_number))`);
}

const keyOf = ({ kind, code, code_system, display, onset }: HistoryRow): string => [kind, code_system ?? '', code ?? display, onset ?? ''].join('|');

/** The sender says something else now: what it said before no longer holds. */
export async function withdrawStatement(tx: CommonQueryMethods, historyId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`UPDATE patient_medical_history SET status = 'entered-in-error' WHERE organization_id = ${ORGANIZATION} AND history_id = ${historyId}`);
}
