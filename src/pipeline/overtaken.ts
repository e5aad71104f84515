/**
 * An older message must not undo a newer one. What comes later than it was said (received again by a person, or read from a system that was asked) has in
 * `facts.firstReceivedAt` when it first was here. It is refused when another message of its system, about the same, was taken since:
 *
 *   an order, a report, an appointment          about the same scan
 *   a condition, an allergy that has a name     under the same name
 *   everything else                             about the same patient
 *
 * What another system changed since stays too, value by value (identify.ts).
 */
import { findLaterExchange, topicOf } from '../db/later-exchanges.ts';
import type { ExchangeRow } from '../db/exchanges.ts';
import type { Transaction } from '../db/transaction.ts';
import { NormalizeError } from '#gateway/adapter.ts';
import { tellsOfScan } from './apply-report.ts';
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
  const { normalized, integration: { integrationId }, message: { interaction, controlId } } = item, topic = topicOf(interaction);
  const isOfScan = normalized.order !== undefined || tellsOfScan(normalized), id = isOfScan ? links['scans'] : links['patients'];
  if (id === undefined) return;
  const name = !isOfScan && normalized.authority !== 'registration' && normalized.history !== undefined ? nameOf(controlId) : undefined;
  const about = (row: ExchangeRow): boolean => (isOfScan ? row.scan_id : row.patient_id) === id && row.integration_id === integrationId && row.message_status === 'accepted' && topicOf(row.interaction) === topic
    && (name === undefined || nameOf(row.control_id) === name) && Date.parse((row.facts as { firstReceivedAt?: string } | undefined)?.firstReceivedAt ?? row.started_at) > since.getTime();
  const later = beside.find(about)?.sync_id ?? await findLaterExchange(tx, { integrationId, since, topic, name, ...(isOfScan ? { scanId: id } : { patientId: id }) });
  if (later === undefined) return;
  throw new NormalizeError('conflict', `a later message about the same was taken since (exchange ${later}); this one would put older values in its place. If it is to count, its sender must send it again`);
}

/** Without its version. */
const nameOf = (controlId: string): string => controlId.split('#')[0]!;
