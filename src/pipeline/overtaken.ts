/**
 * An older message must not undo a newer one. What comes later than it was said (received again by a person, or read from a system that was asked) has in
 * `facts.firstReceivedAt` when it first was here. It is refused when another message of its system, about the same, was taken since:
 *
 *   an order, a report, an appointment          about the same scan
 *   a condition, an allergy that has a name     under the same name
 *   everything else                             about the same patient
 *
 * What another system changed since stays too, value by value (identify.ts).
 *
 * A merge is no value that a later update replaces: who had two numbers then has them still. So one that is received again and was done before is a repeat, and
 * one that was not is done now, both without the older values beside it; unless the sender has used the earlier number since, or merges since say otherwise.
 */
import { findLaterExchange, topicOf } from '../db/later-exchanges.ts';
import type { ExchangeRow } from '../db/exchanges.ts';
import { isMergedSince, numbersOf } from '../db/merges.ts';
import type { Transaction } from '../db/transaction.ts';
import { NormalizeError } from '#gateway/adapter.ts';
import type { PatientMerge } from '#gateway/normalized.ts';
import { tellsOfScan } from './apply-report.ts';
import { findPatient } from './identify.ts';
import type { PersistItem } from './persist.ts';

/** Undefined: it is received as it comes. */
export function firstReceivedAt({ message: { facts } }: Pick<PersistItem, 'message'>): Date | undefined {
  const at = facts['firstReceivedAt'];
  return typeof at === 'string' ? new Date(at) : undefined;
}

/** Throws NormalizeError. `beside`: of the same transaction, taken before it. */
export async function refuseOvertaken(tx: Transaction, item: PersistItem, links: Readonly<Record<string, string>>, beside: readonly ExchangeRow[]): Promise<void> {
  const since = firstReceivedAt(item);
  if (since === undefined) return;
  const { normalized, message: { controlId } } = item;
  const isOfScan = normalized.order !== undefined || tellsOfScan(normalized), id = isOfScan ? links['scans'] : links['patients'];
  if (id === undefined) return;
  const name = !isOfScan && normalized.authority !== 'registration' && normalized.history !== undefined ? nameOf(controlId) : undefined;
  const later = await laterAbout(tx, item, since, beside, { name, ...(isOfScan ? { scanId: id } : { patientId: id }) });
  if (later === undefined) return;
  throw new NormalizeError('conflict', `a later message about the same was taken since (exchange ${later}); this one would put older values in its place. If it is to count, its sender must send it again`);
}

async function laterAbout(tx: Transaction, { message: { interaction }, integration: { integrationId } }: PersistItem, since: Date, beside: readonly ExchangeRow[], subject: { name?: string | undefined; patientId?: string; scanId?: string }): Promise<string | undefined> {
  const topic = topicOf(interaction), { name, patientId, scanId } = subject;
  const about = (row: ExchangeRow): boolean => (scanId === undefined ? row.patient_id === patientId : row.scan_id === scanId) && row.integration_id === integrationId && row.message_status === 'accepted' && topicOf(row.interaction) === topic
    && (name === undefined || nameOf(row.control_id) === name) && Date.parse((row.facts as { firstReceivedAt?: string } | undefined)?.firstReceivedAt ?? row.started_at) > since.getTime();
  return beside.find(about)?.sync_id ?? findLaterExchange(tx, { integrationId, since, topic, name, ...(scanId === undefined ? { patientId: patientId ?? '' } : { scanId }) });
}

/**
 * True: of this message only the merges are to be taken, its other values are older than what is stored. False: it is received as it comes.
 * Throws NormalizeError when a merge is no longer what its sender means.
 */
export async function isLateMerge(tx: Transaction, item: PersistItem, beside: readonly ExchangeRow[]): Promise<boolean> {
  const since = firstReceivedAt(item), { merges = [] } = item.normalized;
  if (since === undefined || merges.length === 0 || merges.some(({ kind = 'merge' }) => kind !== 'merge')) return false;
  let isLate = false;
  for (const merge of merges) {
    const survivor = await findPatient(tx, { identifiers: merge.survivor }, []), prior = await findPatient(tx, { identifiers: merge.prior }, []);
    isLate ||= survivor !== undefined && await laterAbout(tx, item, since, beside, { patientId: survivor.patientId }) !== undefined;
    if (!survivor || !prior || (survivor.patientId === prior.patientId && await isDone(tx, merge, prior.patientId))) continue;
    const later = survivor.patientId === prior.patientId ? undefined : await laterAbout(tx, item, since, beside, { patientId: prior.patientId });
    if (later !== undefined) throw new NormalizeError('conflict', `a later message about the patient of the earlier number was taken since (exchange ${later}): the number is in use. If the merge is to count, its sender must send it again`, merge.location);
    if (await isMergedSince(tx, [survivor.patientId, prior.patientId], since)) throw new NormalizeError('conflict', 'these patients were merged with others, or parted, since. If the merge is to count, its sender must send it again', merge.location);
  }
  return isLate;
}

/** None of the earlier numbers is in use. */
async function isDone(tx: Transaction, { prior, survivor }: PatientMerge, patientId: string): Promise<boolean> {
  const names = (all: PatientMerge['prior'], { value, assigning_authority: authority }: { value: string; assigning_authority: string }): boolean => all.some((one) => one.value === value && one.assigning_authority === authority);
  return (await numbersOf(tx, patientId)).every((number) => !number.is_current || !names(prior, number) || names(survivor, number));
}

/** Without its version. */
const nameOf = (controlId: string): string => controlId.split('#')[0]!;
