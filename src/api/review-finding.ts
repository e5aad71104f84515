import { auditEvents } from '../audit/event.ts';
import { resolveReviewedCriticalFindings } from '../db/alerts.ts';
import type { Transaction } from '../db/transaction.ts';
import type { Caller } from '../db/user-sessions.ts';
import { notFound, Problem } from './problem.ts';
import { readFinding, reviewFinding } from './queries/findings.ts';
import type { RequestAudit } from './router.ts';

/** A person confirms or rejects a finding, by the API or on a page; the alert about critical ones ends with the last of them. Throws Problem: 403 for a program, 404. */
export async function reviewByPerson(tx: Transaction, audit: RequestAudit, caller: Caller, findingId: string, isConfirmed: boolean) {
  if (caller.via === 'token') throw new Problem(403, 'A finding is confirmed or rejected by a person who is signed in, not by an API token.');
  const before = await readFinding(tx, findingId);
  if (!before) throw notFound('finding');
  await reviewFinding(tx, findingId, isConfirmed, caller.userId);
  await resolveReviewedCriticalFindings(tx, findingId);
  await audit({
    ...auditEvents.procedureRecord, action: 'U', object: { type: 'finding', id: before.finding_id }, patientId: before.patient_id,
    detail: { is_confirmed: isConfirmed, was_confirmed: before.is_confirmed },
  });
  const after = await readFinding(tx, findingId);
  if (!after) throw notFound('finding');
  return after;
}
