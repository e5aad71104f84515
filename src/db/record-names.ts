/** record_names: what senders call records of ours; and the statements of a patient's history, which are found by what they state. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { HistoryRow } from '#gateway/normalized.ts';
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
export async function findStatement(tx: CommonQueryMethods, patientId: string, { kind, code, code_system, display, onset }: HistoryRow): Promise<string | undefined> {
  const key = [kind, code_system ?? '', code ?? display, onset ?? ''].join('|');
  return (await tx.maybeOne(sql.type(z.object({ history_id: z.string() }))`
    SELECT history_id FROM patient_medical_history WHERE organization_id = ${ORGANIZATION} AND patient_id = ${patientId} AND statement_key = ${key}`))?.history_id;
}

/** The sender says something else now: what it said before no longer holds. */
export async function withdrawStatement(tx: CommonQueryMethods, historyId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`UPDATE patient_medical_history SET status = 'entered-in-error' WHERE organization_id = ${ORGANIZATION} AND history_id = ${historyId}`);
}
