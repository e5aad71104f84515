import { auditEvents } from '../../audit/event.ts';
import { undoMerge, type Unmerged } from '../../pipeline/index.ts';
import { pathId } from '../fields.ts';
import { listOf, pageQuery, toPage } from '../pagination.ts';
import { notFound, Problem } from '../problem.ts';
import { listLinks, listMerges, PatientLink, PatientMerge, UndoMerge, UndoneMerge } from '../queries/merges.ts';
import { readPatient } from '../queries/patients.ts';
import type { ApiRouter, RequestAudit } from '../router.ts';
import type { Transaction } from '../../db/transaction.ts';

const ofPatient = { tag: 'patients', params: pathId('patient_id'), query: pageQuery } as const;

export function mergeRoutes(router: ApiRouter): void {
  router.route('GET /patients/{patient_id}/merges', { ...ofPatient, summary: 'Merges in which a patient remained or went', returns: listOf(PatientMerge) }, ({ transact, params, query }) =>
    transact(async (tx, audit) => {
      await openPatient(tx, audit, params.patient_id, 'merges');
      return toPage(await listMerges(tx, params.patient_id, query), query, (merge) => merge.merge_id);
    }));

  router.route('GET /patients/{patient_id}/links', { ...ofPatient, summary: 'Other records of the same person (ADT^A24)', returns: listOf(PatientLink) }, ({ transact, params, query }) =>
    transact(async (tx, audit) => {
      await openPatient(tx, audit, params.patient_id, 'links');
      return toPage(await listLinks(tx, params.patient_id, query), query, (link) => link.link_id);
    }));

  router.route('POST /patient-merges/{merge_id}/undo', {
    summary: 'Undo a merge', tag: 'patients', params: pathId('merge_id'), body: UndoMerge, returns: UndoneMerge,
    description: 'The earlier patient is a patient again, with the numbers, scans and history that the merge took. Reports that named the other meanwhile are withdrawn there and told anew. 409 when later facts forbid it, or when scans came after the merge and `later_scan_ids` does not say whose they are.',
  }, ({ transact, params, body, actor, auditedElsewhere }) => transact(async (tx) => {
    const undone = accepted(await undoMerge(tx, params.merge_id, body.later_scan_ids, actor));
    auditedElsewhere();
    return { patient_id: undone.patientId, survivor_patient_id: undone.survivorPatientId, scan_ids: [...undone.scanIds], report_ids: [...undone.reportIds],
      corrected_reports: undone.corrected.map(({ reportId, withdrawnBy, toldAnewAs }) => ({ report_id: reportId, withdrawn_by: withdrawnBy, told_anew_as: toldAnewAs })) };
  }));
}

function accepted(unmerged: Unmerged): Extract<Unmerged, { kind: 'undone' }> {
  switch (unmerged.kind) {
    case 'undone': return unmerged;
    case 'not-found': throw notFound('merge');
    case 'refused': throw new Problem(409, unmerged.reason);
    case 'undecided': throw new Problem(409, 'Scans came after the merge: name in later_scan_ids those that belong to the earlier patient ([] for none); see errors.',
      { errors: unmerged.scans.map((scan) => ({ pointer: '#/later_scan_ids', message: `${scan.scanId} (${scan.scanNumber})` })) });
  }
}

async function openPatient(tx: Transaction, audit: RequestAudit, patientId: string, part: string): Promise<void> {
  if (!await readPatient(tx, patientId)) throw notFound('patient');
  await audit({ ...auditEvents.patientRecord, action: 'R', object: { type: 'patient', id: patientId }, patientId, detail: { part } });
}
