/** Rows of patient_merges and patient_links: the journal by which a merge is recognised when it comes again, and undone. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { PatientIdentifier } from '#gateway/normalized.ts';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
const Id = z.object({ id: z.string() });

/** What a merge moved or changed, by id. `current`: identifiers that were in use before. `added`: the earlier number was new here. */
const Moved = z.object({ scans: z.array(z.string()).default([]), identifiers: z.array(z.string()).default([]), history: z.array(z.string()).default([]), current: z.array(z.string()).optional(), added: z.array(z.string()).default([]) });
export type Moved = z.infer<typeof Moved>;
type Names = Pick<PatientIdentifier, 'value' | 'assigning_authority'>;
export interface MergeSaid { readonly survivor: readonly Names[]; readonly prior: readonly Names[]; readonly syncId: string | undefined }

/** Holds these patients until the transaction ends, in one order for all. */
export async function holdPatients(tx: CommonQueryMethods, patientIds: readonly string[]): Promise<void> {
  await tx.query(sql.type(Nothing)`SELECT FROM patients WHERE organization_id = ${ORGANIZATION} AND patient_id = ANY(${sql.array([...patientIds], 'uuid')}) ORDER BY patient_id FOR NO KEY UPDATE`);
}

/** Holds these scans until the transaction ends. A report that is being made of one is on record when this returns. */
export async function holdScans(tx: CommonQueryMethods, scanIds: readonly string[]): Promise<void> {
  await tx.query(sql.type(Nothing)`SELECT FROM scans WHERE organization_id = ${ORGANIZATION} AND scan_id = ANY(${sql.array([...scanIds], 'uuid')}) ORDER BY scan_id FOR UPDATE`);
}

/** Moves everything of `prior` to `survivor` and retires `prior`. */
export async function mergePatients(tx: CommonQueryMethods, survivorId: string, priorId: string, said: MergeSaid): Promise<void> {
  const moved = await tx.one(sql.type(Moved)`
    WITH before AS (SELECT patient_identifier_id FROM patient_identifiers WHERE organization_id = ${ORGANIZATION} AND patient_id = ${priorId} AND is_current),
    scans AS (UPDATE scans SET patient_id = ${survivorId} WHERE organization_id = ${ORGANIZATION} AND patient_id = ${priorId} RETURNING scan_id),
    identifiers AS (UPDATE patient_identifiers SET patient_id = ${survivorId}, is_current = false WHERE organization_id = ${ORGANIZATION} AND patient_id = ${priorId} RETURNING patient_identifier_id),
    history AS (UPDATE patient_medical_history h SET patient_id = ${survivorId} WHERE organization_id = ${ORGANIZATION} AND patient_id = ${priorId}
      AND NOT EXISTS (SELECT 1 FROM patient_medical_history o WHERE o.organization_id = h.organization_id AND o.patient_id = ${survivorId} AND o.statement_key = h.statement_key)
      RETURNING history_id),
    retired AS (UPDATE patients SET is_active = false, merged_into_patient_id = ${survivorId} WHERE organization_id = ${ORGANIZATION} AND patient_id = ${priorId}),
    -- who was merged into the prior before is the survivor's too
    forwarded AS (UPDATE patients SET merged_into_patient_id = ${survivorId} WHERE organization_id = ${ORGANIZATION} AND merged_into_patient_id = ${priorId})
    SELECT coalesce((SELECT jsonb_agg(scan_id) FROM scans), '[]') AS scans, coalesce((SELECT jsonb_agg(patient_identifier_id) FROM identifiers), '[]') AS identifiers,
      coalesce((SELECT jsonb_agg(history_id) FROM history), '[]') AS history, coalesce((SELECT jsonb_agg(patient_identifier_id) FROM before), '[]') AS current, '[]'::jsonb AS added`);
  await writeJournal(tx, 'merge', survivorId, priorId, said, moved);
}

/** The earlier number, which nobody has here, becomes an old one of the survivor. */
export async function addRetiredNumbers(tx: CommonQueryMethods, survivorId: string, said: MergeSaid & { readonly prior: readonly PatientIdentifier[] }): Promise<void> {
  const added = await tx.any(sql.type(Id)`
    INSERT INTO patient_identifiers (organization_id, patient_id, assigning_authority, value, value_index, type_code, is_current)
    SELECT ${ORGANIZATION}, ${survivorId}, assigning_authority, value, value, type_code, false
    FROM jsonb_to_recordset(${JSON.stringify(said.prior)}::jsonb) AS r(assigning_authority text, value text, type_code text)
    ON CONFLICT (organization_id, value_index, assigning_authority) DO NOTHING RETURNING patient_identifier_id AS id`);
  await writeJournal(tx, 'renumber', survivorId, undefined, said, { scans: [], identifiers: [], history: [], current: [], added: added.map(({ id }) => id) });
}

/** Whether one of these patients was merged, given other numbers, or parted from another after `since`. */
export async function isMergedSince(tx: CommonQueryMethods, patientIds: readonly string[], since: Date): Promise<boolean> {
  return tx.exists(sql.type(Nothing)`
    SELECT FROM patient_merges WHERE organization_id = ${ORGANIZATION} AND (survivor_patient_id = ANY(${sql.array([...patientIds], 'uuid')}) OR prior_patient_id = ANY(${sql.array([...patientIds], 'uuid')}))
      AND greatest(merged_at, unmerged_at) > ${since.toISOString()}::timestamptz`);
}

const NumberRow = z.object({ patient_identifier_id: z.string(), value: z.string(), assigning_authority: z.string(), is_current: z.boolean() });
export type StoredNumber = z.infer<typeof NumberRow>;

export async function numbersOf(tx: CommonQueryMethods, patientId: string): Promise<readonly StoredNumber[]> {
  return tx.any(sql.type(NumberRow)`SELECT patient_identifier_id, value, assigning_authority, is_current FROM patient_identifiers WHERE organization_id = ${ORGANIZATION} AND patient_id = ${patientId} ORDER BY created_at, patient_identifier_id`);
}

/** Of one patient: these numbers retire, those are in use again. The number it is shown by follows. */
export async function exchangeNumbers(tx: CommonQueryMethods, kind: 'renumber' | 'inverse', patientId: string, change: { retired: readonly StoredNumber[]; current: readonly StoredNumber[] }, said: MergeSaid): Promise<void> {
  await setInUse(tx, change.retired.map((number) => number.patient_identifier_id), false);
  await setInUse(tx, change.current.map((number) => number.patient_identifier_id), true);
  await showBy(tx, patientId, said.survivor);
  await writeJournal(tx, kind, patientId, undefined, said, { scans: [], identifiers: change.retired.map((number) => number.patient_identifier_id), history: [], current: change.current.map((number) => number.patient_identifier_id), added: [] });
}

export async function setInUse(tx: CommonQueryMethods, identifierIds: readonly string[], isCurrent: boolean): Promise<void> {
  await tx.query(sql.type(Nothing)`UPDATE patient_identifiers SET is_current = ${isCurrent} WHERE organization_id = ${ORGANIZATION} AND patient_identifier_id = ANY(${sql.array([...identifierIds], 'uuid')})`);
}

/** A patient whose shown number is no longer in use, or no longer its own, is shown by the first of `preferred` that is, else by the oldest. */
export async function showBy(tx: CommonQueryMethods, patientId: string, preferred: readonly Names[] = []): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE patients p SET patient_number = coalesce((SELECT i.value FROM patient_identifiers i
      LEFT JOIN jsonb_array_elements(${jsonText(preferred.map(({ value, assigning_authority }) => ({ value, assigning_authority })))}::jsonb) WITH ORDINALITY AS w(name, place) ON w.name->>'value' = i.value AND w.name->>'assigning_authority' = i.assigning_authority
      WHERE i.organization_id = p.organization_id AND i.patient_id = p.patient_id AND i.is_current
      ORDER BY i.value = p.patient_number DESC, w.place NULLS LAST, i.created_at, i.value, i.assigning_authority LIMIT 1), p.patient_number)
    WHERE p.organization_id = ${ORGANIZATION} AND p.patient_id = ${patientId}`);
}

/** Whether the journal says that one of `retired` gave way to one of `inUse`: what comes now is that merge the other way round. */
export async function isInverseOfMerge(tx: CommonQueryMethods, patientId: string, retired: readonly StoredNumber[], inUse: readonly StoredNumber[]): Promise<boolean> {
  const names = (numbers: readonly StoredNumber[]): string => JSON.stringify(numbers.map(({ value, assigning_authority }) => ({ value, assigning_authority })));
  return tx.exists(sql.type(Nothing)`
    SELECT FROM patient_merges m WHERE m.organization_id = ${ORGANIZATION} AND m.survivor_patient_id = ${patientId} AND m.unmerged_at IS NULL AND (
      (m.survivor_identifiers IS NULL AND EXISTS (SELECT 1 FROM jsonb_array_elements_text(m.moved->'identifiers') i WHERE i = ANY(${sql.array(retired.map((number) => number.patient_identifier_id), 'text')})))
      OR (EXISTS (SELECT 1 FROM jsonb_to_recordset(m.prior_identifiers) AS p(value text, assigning_authority text) JOIN jsonb_to_recordset(${names(retired)}::jsonb) AS r(value text, assigning_authority text) USING (value, assigning_authority))
        AND EXISTS (SELECT 1 FROM jsonb_to_recordset(m.survivor_identifiers) AS s(value text, assigning_authority text) JOIN jsonb_to_recordset(${names(inUse)}::jsonb) AS r(value text, assigning_authority text) USING (value, assigning_authority))))`);
}

async function writeJournal(tx: CommonQueryMethods, kind: string, survivorId: string, priorId: string | undefined, said: MergeSaid, moved: Moved): Promise<void> {
  const names = (all: readonly Names[]): string => jsonText(all.map(({ value, assigning_authority }) => ({ value, assigning_authority })));
  await tx.query(sql.type(Nothing)`
    INSERT INTO patient_merges (organization_id, kind, survivor_patient_id, prior_patient_id, source_sync_id, survivor_identifiers, prior_identifiers, moved)
    VALUES (${ORGANIZATION}, ${kind}, ${survivorId}, ${priorId ?? null}, ${said.syncId ?? null}, ${names(said.survivor)}::jsonb, ${names(said.prior)}::jsonb, ${JSON.stringify(moved)}::jsonb)`);
}

const Journal = z.object({ merge_id: z.string(), kind: z.enum(['merge', 'renumber', 'inverse']), survivor_patient_id: z.string(), prior_patient_id: z.string().nullable(), prior_identifiers: z.array(z.object({ value: z.string() })).nullable(), merged_at: z.date(), unmerged_at: z.date().nullable(), moved: Moved });
export type Journal = z.infer<typeof Journal>;

export async function lockMerge(tx: CommonQueryMethods, mergeId: string): Promise<Journal | undefined> {
  return await tx.maybeOne(sql.type(Journal)`
    SELECT merge_id, kind, survivor_patient_id, prior_patient_id, prior_identifiers, merged_at, unmerged_at, moved FROM patient_merges WHERE organization_id = ${ORGANIZATION} AND merge_id = ${mergeId} FOR UPDATE`) ?? undefined;
}

const Later = z.object({ survivor_merged_into: z.string().nullable(), prior_merged_into: z.string().nullable(), later_of_prior: z.array(z.string()), scans: z.array(z.object({ scan_id: z.string(), scan_number: z.string() })), gone_scans: z.number(), gone_identifiers: z.number() });

/** What happened since that bears on undoing a merge. `scans`: those that came to the survivor since, under whichever number. */
export async function sinceMerge(tx: CommonQueryMethods, merge: Journal): Promise<z.infer<typeof Later>> {
  const { survivor_patient_id: survivor, prior_patient_id: prior, moved } = merge;
  return tx.one(sql.type(Later)`
    SELECT (SELECT merged_into_patient_id FROM patients WHERE organization_id = ${ORGANIZATION} AND patient_id = ${survivor}) AS survivor_merged_into,
      (SELECT merged_into_patient_id FROM patients WHERE organization_id = ${ORGANIZATION} AND patient_id = ${prior}) AS prior_merged_into,
      coalesce((SELECT jsonb_agg(m.merge_id) FROM patient_merges m WHERE m.organization_id = ${ORGANIZATION} AND m.survivor_patient_id = ${prior} AND m.unmerged_at IS NULL AND m.merged_at > ${merge.merged_at.toISOString()}::timestamptz), '[]') AS later_of_prior,
      coalesce((SELECT jsonb_agg(jsonb_build_object('scan_id', s.scan_id, 'scan_number', s.scan_number) ORDER BY s.created_at) FROM scans s
        WHERE s.organization_id = ${ORGANIZATION} AND s.patient_id = ${survivor} AND s.created_at >= ${merge.merged_at.toISOString()}::timestamptz
          AND NOT EXISTS (SELECT 1 FROM patient_merges o WHERE o.organization_id = ${ORGANIZATION} AND o.survivor_patient_id = ${survivor} AND o.unmerged_at IS NULL AND o.moved->'scans' ? s.scan_id::text)), '[]') AS scans,
      (SELECT count(*) FROM unnest(${sql.array(moved.scans, 'uuid')}) w(scan_id) WHERE NOT EXISTS (SELECT 1 FROM scans s WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = w.scan_id AND s.patient_id = ${survivor})) AS gone_scans,
      (SELECT count(*) FROM unnest(${sql.array([...moved.identifiers, ...moved.added], 'uuid')}) w(id) WHERE NOT EXISTS (SELECT 1 FROM patient_identifiers i WHERE i.organization_id = ${ORGANIZATION} AND i.patient_identifier_id = w.id AND i.patient_id = ${survivor})) AS gone_identifiers`);
}

/** Gives back to `patientId` what a merge took, and these scans; numbers that were in use are so again. */
export async function giveBack(tx: CommonQueryMethods, merge: Journal, patientId: string, scanIds: readonly string[]): Promise<void> {
  const { moved, survivor_patient_id: survivor } = merge;
  const numbers = [...moved.identifiers, ...moved.added];
  await tx.query(sql.type(Nothing)`UPDATE scans SET patient_id = ${patientId} WHERE organization_id = ${ORGANIZATION} AND scan_id = ANY(${sql.array([...scanIds], 'uuid')})`);
  await tx.query(sql.type(Nothing)`UPDATE patient_identifiers SET patient_id = ${patientId} WHERE organization_id = ${ORGANIZATION} AND patient_identifier_id = ANY(${sql.array(numbers, 'uuid')})`);
  await setInUse(tx, moved.added.length > 0 ? moved.added : moved.current ?? moved.identifiers, true);
  // What the prior has said itself since stays; a statement that both have is the survivor's.
  await tx.query(sql.type(Nothing)`
    UPDATE patient_medical_history h SET patient_id = ${patientId} WHERE organization_id = ${ORGANIZATION} AND history_id = ANY(${sql.array(moved.history, 'uuid')})
      AND NOT EXISTS (SELECT 1 FROM patient_medical_history o WHERE o.organization_id = h.organization_id AND o.patient_id = ${patientId} AND o.statement_key = h.statement_key)`);
  await tx.query(sql.type(Nothing)`UPDATE patients SET is_active = true, merged_into_patient_id = NULL WHERE organization_id = ${ORGANIZATION} AND patient_id = ${patientId}`);
  // Those that had been merged into it before are its own again.
  await tx.query(sql.type(Nothing)`
    WITH RECURSIVE below AS (
      SELECT m.prior_patient_id FROM patient_merges m WHERE m.organization_id = ${ORGANIZATION} AND m.survivor_patient_id = ${patientId} AND m.unmerged_at IS NULL AND m.kind = 'merge'
      UNION SELECT m.prior_patient_id FROM below b JOIN patient_merges m ON m.organization_id = ${ORGANIZATION} AND m.survivor_patient_id = b.prior_patient_id AND m.unmerged_at IS NULL AND m.kind = 'merge')
    UPDATE patients p SET merged_into_patient_id = ${patientId} FROM below b WHERE p.organization_id = ${ORGANIZATION} AND p.patient_id = b.prior_patient_id AND p.merged_into_patient_id = ${survivor}`);
  // The survivor keeps at least one number in use: an inverse merge may have retired its own for one that now goes.
  await tx.query(sql.type(Nothing)`
    UPDATE patient_identifiers i SET is_current = true WHERE i.organization_id = ${ORGANIZATION} AND i.patient_id = ${survivor}
      AND NOT EXISTS (SELECT 1 FROM patient_identifiers o WHERE o.organization_id = i.organization_id AND o.patient_id = i.patient_id AND o.is_current)
      AND NOT EXISTS (SELECT 1 FROM patient_merges m WHERE m.organization_id = i.organization_id AND m.survivor_patient_id = i.patient_id AND m.unmerged_at IS NULL AND m.merge_id <> ${merge.merge_id}
        AND m.kind = 'merge' AND m.moved->'identifiers' ? i.patient_identifier_id::text)`);
  await showBy(tx, survivor);
  await showBy(tx, patientId);
}

export async function markUndone(tx: CommonQueryMethods, mergeId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`UPDATE patient_merges SET unmerged_at = now() WHERE organization_id = ${ORGANIZATION} AND merge_id = ${mergeId}`);
}

const Told = z.object({ report_id: z.string(), open_deliveries: z.number() });

/** Reports of these scans that were made since, and so name the survivor; with how many deliveries of each have not ended. */
export async function reportsSince(tx: CommonQueryMethods, scanIds: readonly string[], since: Date): Promise<readonly z.infer<typeof Told>[]> {
  return tx.any(sql.type(Told)`
    SELECT r.report_id, (SELECT count(*) FROM deliveries d WHERE d.organization_id = r.organization_id AND d.report_id = r.report_id AND d.status IN ('queued', 'sending')) AS open_deliveries
    FROM reports r WHERE r.organization_id = ${ORGANIZATION} AND r.scan_id = ANY(${sql.array([...scanIds], 'uuid')}) AND r.created_at >= ${since.toISOString()}::timestamptz ORDER BY r.report_id`);
}

/** False: they are linked already. */
export async function linkPatients(tx: CommonQueryMethods, one: string, other: string, syncId: string): Promise<boolean> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    INSERT INTO patient_links (organization_id, patient_id, other_patient_id, source_sync_id) VALUES (${ORGANIZATION}, least(${one}::uuid, ${other}::uuid), greatest(${one}::uuid, ${other}::uuid), ${syncId})
    ON CONFLICT (organization_id, patient_id, other_patient_id) WHERE unlinked_at IS NULL DO NOTHING`);
  return rowCount === 1;
}

/** False: they were not linked. */
export async function unlinkPatients(tx: CommonQueryMethods, one: string, other: string, syncId: string): Promise<boolean> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    UPDATE patient_links SET unlinked_at = now(), unlinked_sync_id = ${syncId}
    WHERE organization_id = ${ORGANIZATION} AND patient_id = least(${one}::uuid, ${other}::uuid) AND other_patient_id = greatest(${one}::uuid, ${other}::uuid) AND unlinked_at IS NULL`);
  return rowCount === 1;
}
