/**
 * A merge is undone: the two were two after all. In: the journal row. Out: the earlier patient is a patient again, with the numbers, scans (and so
 * findings and reports) and history that the merge took; the survivor keeps its own and what was said of it since.
 *
 * Refused, in words, when facts that came later forbid it: the survivor was merged on, or what was moved is no longer the survivor's. Scans that
 * came after the merge may be either's, and no row says whose: a person names those that go back. Reports that named the survivor meanwhile are corrected
 * at every system that was told (correct-identity.ts).
 */
import { auditEvents, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { raiseAlert } from '../db/alerts.ts';
import { giveBack, holdPatients, holdScans, lockMerge, markUndone, reportsSince, setInUse, showBy, sinceMerge, type Journal } from '../db/merges.ts';
import { insertPatient } from '../db/patients.ts';
import type { Transaction } from '../db/transaction.ts';
import { correctReports, type CorrectedReport } from './correct-identity.ts';

export type Unmerged =
  | { readonly kind: 'undone'; readonly patientId: string; readonly survivorPatientId: string; readonly scanIds: readonly string[];
      /** Reports of those scans that were made since and name the survivor. */
      readonly reportIds: readonly string[];
      /** Of them those that the gateway made: withdrawn of the survivor, and told anew of the earlier patient. */
      readonly corrected: readonly CorrectedReport[] }
  | { readonly kind: 'not-found' }
  | { readonly kind: 'refused'; readonly reason: string }
  /** These came after the merge: say which of them go back. */
  | { readonly kind: 'undecided'; readonly scans: readonly { readonly scanId: string; readonly scanNumber: string }[] };

/** `laterScanIds`: those of the scans that came after the merge which belong to the earlier patient; undefined: nobody has decided. */
export async function undoMerge(tx: Transaction, mergeId: string, laterScanIds: readonly string[] | undefined, actor: AuditActor): Promise<Unmerged> {
  const merge = await lockMerge(tx, mergeId);
  if (!merge) return { kind: 'not-found' };
  await holdPatients(tx, [merge.survivor_patient_id, ...(merge.prior_patient_id === null ? [] : [merge.prior_patient_id])]);
  const since = await sinceMerge(tx, merge);
  const reason = whyNot(merge, since);
  if (reason !== undefined) return { kind: 'refused', reason };
  if (merge.kind === 'renumber' && merge.moved.added.length === 0) return useAgain(tx, merge, actor);
  const later = since.scans;
  if (later.length > 0 && laterScanIds === undefined) return { kind: 'undecided', scans: later.map(({ scan_id, scan_number }) => ({ scanId: scan_id, scanNumber: scan_number })) };
  const strange = (laterScanIds ?? []).find((scanId) => !later.some((scan) => scan.scan_id === scanId));
  if (strange !== undefined) return { kind: 'refused', reason: `The scan ${strange} did not come to this patient after the merge.` };
  return split(tx, merge, laterScanIds ?? [], actor);
}

function whyNot({ kind, unmerged_at: undone, survivor_patient_id: survivor }: Journal, since: Awaited<ReturnType<typeof sinceMerge>>): string | undefined {
  if (undone) return `This merge was undone at ${undone.toISOString()}.`;
  if (kind === 'inverse') return 'Here two numbers of one patient changed places; send the merge the other way round to change them back, or undo the merge that made them one.';
  if (since.survivor_merged_into !== null) return `The patient that remained was itself merged into ${since.survivor_merged_into} later; undo that merge first.`;
  if (kind === 'merge' && since.prior_merged_into !== survivor) return 'The earlier patient is not merged into this one any more.';
  if (since.gone_identifiers > 0) return `${since.gone_identifiers} of the numbers that were moved are no longer those of this patient; undo first what moved them.`;
  if (since.gone_scans > 0) return `${since.gone_scans} of the scans that were moved are no longer those of this patient; undo first what moved them.`;
  return undefined;
}

/** Both numbers were in use by one patient before: the one that was retired is in use again. */
async function useAgain(tx: Transaction, merge: Journal, actor: AuditActor): Promise<Unmerged> {
  await setInUse(tx, merge.moved.identifiers, true);
  await showBy(tx, merge.survivor_patient_id);
  await markUndone(tx, merge.merge_id);
  await audit(tx, merge, merge.survivor_patient_id, [], [], actor);
  return { kind: 'undone', patientId: merge.survivor_patient_id, survivorPatientId: merge.survivor_patient_id, scanIds: [], reportIds: [], corrected: [] };
}

async function split(tx: Transaction, merge: Journal, laterScanIds: readonly string[], actor: AuditActor): Promise<Unmerged> {
  const patientId = merge.prior_patient_id ?? await insertPatient(tx, { patientNumber: merge.prior_identifiers?.[0]?.value ?? 'UNKNOWN', identityStatus: 'established' });
  const scanIds = [...merge.moved.scans, ...laterScanIds];
  await holdScans(tx, scanIds);
  const told = await reportsSince(tx, scanIds, merge.merged_at);
  const waiting = told.reduce((sum, report) => sum + report.open_deliveries, 0);
  if (waiting > 0) return { kind: 'refused', reason: `${waiting} deliveries of reports that name the patient who remained have not ended; wait for them, or discard them, so that none leaves afterwards.` };
  await giveBack(tx, merge, patientId, scanIds);
  await markUndone(tx, merge.merge_id);
  const corrected = await correctReports(tx, scanIds, merge.survivor_patient_id, actor);
  if (told.length > 0) {
    await raiseAlert(tx, {
      kind: 'identity_conflict', severity: 'critical', subject: `patient ${patientId}`,
      message: `A merge was undone. ${told.length} report${told.length === 1 ? '' : 's'} made since named the other patient; ${corrected.length} that the gateway made ${corrected.length === 1 ? 'is' : 'are'} withdrawn there and told anew of this patient. Tell who may have acted on ${told.length === 1 ? 'it' : 'them'}, and see that every system took both.`,
    });
  }
  await audit(tx, merge, patientId, scanIds, told.map((report) => report.report_id), actor);
  return { kind: 'undone', patientId, survivorPatientId: merge.survivor_patient_id, scanIds, reportIds: told.map((report) => report.report_id), corrected };
}

async function audit(tx: Transaction, merge: Journal, patientId: string, scanIds: readonly string[], reportIds: readonly string[], actor: AuditActor): Promise<void> {
  await recordAudit(tx, {
    ...auditEvents.patientRecord, action: 'U', outcome: 'success', actor, object: { type: 'patient_merge', id: merge.merge_id }, patientId,
    detail: { unmerged_from: merge.survivor_patient_id, scan_ids: scanIds, report_ids: reportIds },
  });
}
