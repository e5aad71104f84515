/**
 * Who is whom after all. In: a merge, link or unlink of a message (ADT^A40, A24, A37 and kin), the transaction of the message. Out: the survivor.
 *
 *   earlier number unknown here              an old number of the survivor, so that its late images still arrive at the right patient
 *   earlier number of another patient        everything of that patient becomes the survivor's, with a journal row by which it can be undone
 *   both of one patient already:
 *     the earlier one is retired             said before       repeated: accept | reject
 *     the survivor's is retired, it gave
 *       way to the earlier one               said in reverse   inverse: accept (they change places) | ignore | reject
 *     ... by a way of several merges         said in a circle  circular: as inverse
 *     both in use                            the earlier one retires
 *
 * Results that are on their way under a number that is retired now leave under the one that remains (correct-identity.ts).
 * There is no loop to run into: numbers belong to one patient, and patients are merged into one that is not merged itself.
 */
import { addRetiredNumbers, exchangeNumbers, holdPatients, isInverseOfMerge, linkPatients, mergePatients, numbersOf, unlinkPatients, type MergeSaid, type StoredNumber } from '../db/merges.ts';
import type { Transaction } from '../db/transaction.ts';
import { NormalizeError } from '#gateway/adapter.ts';
import type { PatientIdentifier, PatientMerge } from '#gateway/normalized.ts';
import { renameOpenReports } from './correct-identity.ts';
import { findPatient, identifyPatient, type Said } from './identify.ts';

const DEFAULT_POLICY = { repeated: 'accept', inverse: 'accept', circular: 'accept' } as const;

/** Throws NormalizeError (conflict) when the sender's policy rejects it: nothing of the message is kept then. */
export async function applyMerge(tx: Transaction, merge: PatientMerge, said: Said): Promise<string> {
  const { patientId: survivorId } = await identifyPatient(tx, { identifiers: merge.survivor }, said, 'UNKNOWN');
  if (merge.kind === 'link' || merge.kind === 'unlink') return applyLink(tx, merge, survivorId, said);
  const prior = await findPatient(tx, { identifiers: merge.prior }, said.warnings);
  const words: MergeSaid & { prior: readonly PatientIdentifier[] } = { survivor: merge.survivor, prior: merge.prior, syncId: said.syncId };
  if (!prior) {
    await addRetiredNumbers(tx, survivorId, words);
  } else if (prior.patientId === survivorId) {
    await ofOnePatient(tx, merge, survivorId, words, said);
  } else {
    await holdPatients(tx, [survivorId, prior.patientId]);
    await mergePatients(tx, survivorId, prior.patientId, words);
  }
  await renameOpenReports(tx, survivorId, said.syncId);
  return survivorId;
}

async function ofOnePatient(tx: Transaction, merge: PatientMerge, patientId: string, words: MergeSaid, said: Said): Promise<void> {
  const policy = { ...DEFAULT_POLICY, ...merge.policy };
  const numbers = await numbersOf(tx, patientId);
  const named = (identifiers: readonly PatientIdentifier[]): StoredNumber[] => numbers.filter((number) => identifiers.some((identifier) => identifier.value === number.value && identifier.assigning_authority === number.assigning_authority));
  const survivors = named(merge.survivor);
  const priors = named(merge.prior).filter((number) => !survivors.includes(number));
  const inUse = priors.filter((number) => number.is_current);
  if (inUse.length === 0) return judge(policy.repeated, 'this merge was said before', merge, said);
  if (survivors.some((number) => number.is_current)) return exchangeNumbers(tx, 'renumber', patientId, { retired: inUse, current: [] }, words);
  const isInverse = await isInverseOfMerge(tx, patientId, survivors, inUse);
  const text = isInverse ? 'this is an earlier merge the other way round: the number that remains was retired for the one that is to go' : 'this merge closes a circle: the number that remains was retired, by way of others, for the one that is to go';
  const choice = isInverse ? policy.inverse : policy.circular;
  judge(choice, text, merge, said);
  if (choice === 'accept') await exchangeNumbers(tx, 'inverse', patientId, { retired: inUse, current: survivors }, words);
}

function judge(choice: 'accept' | 'ignore' | 'reject', text: string, { location }: PatientMerge, said: Said): void {
  if (choice === 'reject') throw new NormalizeError('conflict', `The merge is rejected: ${text}`, location);
  said.warnings.push({ location: location ?? 'patient_merges', text: `${text}; ${choice === 'ignore' ? 'it has no effect' : 'taken'}` });
}

/** Two records of one person that stay two. Said twice it changes nothing the second time. */
async function applyLink(tx: Transaction, merge: PatientMerge, oneId: string, said: Said): Promise<string> {
  const other = merge.kind === 'link' ? await identifyPatient(tx, { identifiers: merge.prior }, said, 'UNKNOWN') : await findPatient(tx, { identifiers: merge.prior }, said.warnings);
  const warn = (text: string): void => { said.warnings.push({ location: merge.location ?? 'patient_links', text }); };
  if (!other) warn('the second patient is not known here; there is no link to undo');
  else if (other.patientId === oneId) warn('both identifiers are those of one patient already; there is nothing to link');
  else if (merge.kind === 'link') { if (!await linkPatients(tx, oneId, other.patientId, said.syncId)) warn('the patients are linked already'); }
  else if (!await unlinkPatients(tx, oneId, other.patientId, said.syncId)) warn('the patients are not linked');
  return oneId;
}
