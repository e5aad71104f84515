/**
 * Scheduled scans from a RIS that sends no HL7: its modality worklist is read every few minutes. In: an import-worklist job. Out: each item that is new or
 * changed goes the ordinary way in, as an order would: exchange, mapping, identity, scan. What is as it was is not taken in again.
 *
 * What is as it was has the bytes that were last received of this item. Each change comes under a name of its own ('... #2'): an item that is changed back
 * would else be a repeat of what it was before.
 *
 * An item that is gone from the worklist says nothing: it may be done, begun or cancelled. A cancelled step says so by its status.
 */
import { raiseAlert, resolveAlert } from '../db/alerts.ts';
import { latestMessages, savePoll, type LatestMessage } from '../db/source-questions.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import type { ImportWorklistJob } from '../queue/queues.ts';
import type { InboundMessage, Receipt } from '#gateway/adapter.ts';
import { askOnRecord, textOf, type AskDependencies, type Sources } from './sources.ts';

const AT_ONCE = 16;

/** Handles one import-worklist job. */
export async function importWorklist(dependencies: AskDependencies & { readonly sources: Sources }, job: ImportWorklistJob): Promise<{ seen: number; changed: number; refused: number } | undefined> {
  const { organizationId, integrationId } = job;
  const { database } = dependencies;
  const source = dependencies.sources.find(organizationId, integrationId);
  if (!source?.wanted.worklist || !source.queries.findScheduled) return undefined;
  const { name } = source.integration;
  const { outcome, askedAt: at } = await askOnRecord(dependencies, source, { controlId: `worklist ${integrationId}`, interaction: 'C-FIND worklist', attempt: 1 }, () => source.queries.findScheduled!(source.integration, source.context));
  if (outcome.kind !== 'answered') {
    await inOrganization(database, organizationId, async (tx) => {
      await savePoll(tx, integrationId, { text: textOf(outcome), isOk: false, at });
      await raiseAlert(tx, { kind: 'integration_down', severity: 'warning', subject: `${name} worklist`, message: `${name} does not answer the question for its worklist: ${textOf(outcome)}. Scans are not scheduled from it meanwhile.` });
    });
    return undefined;
  }
  const items = outcome.value as readonly InboundMessage[];
  const { changed, restless } = await inOrganization(database, organizationId, (tx) => changedItems(tx, integrationId, items));
  const refused = await takeIn(changed, source.receive);
  const notes = [...(refused > 0 ? [`${refused} items were refused; the exchanges say why`] : []), ...(restless > 0 ? [`${restless} items have changed ${MOST_NAMES} times and are not followed any more`] : [])];
  const text = notes.length > 0 ? notes.join('; ') : textOf(outcome);
  await inOrganization(database, organizationId, async (tx) => {
    await savePoll(tx, integrationId, { seen: items.length, changed: changed.length, text, isOk: true, at });
    await resolveAlert(tx, 'integration_down', `${name} worklist`);
    if (restless === 0) await resolveAlert(tx, 'integration_down', `${name} worklist items`);
    else await raiseAlert(tx, { kind: 'integration_down', severity: 'warning', subject: `${name} worklist items`, message: `${restless === 1 ? 'An item' : `${restless} items`} of the worklist of ${name} changed ${MOST_NAMES} times: what changes since is not taken in. The exchanges (C-FIND worklist item) show what differs each time; have the RIS leave it alone, or schedule the scan by another way.` });
  });
  return { seen: items.length, changed: changed.length, refused };
}

/** An item with more changes than this is not followed: something in it differs whenever it is read. A person is told. */
const MOST_NAMES = 100;
const nameOf = (controlId: string, version: number): string => (version === 1 ? controlId : `${controlId} #${version}`);

async function changedItems(tx: Transaction, integrationId: string, items: readonly InboundMessage[]): Promise<{ readonly changed: readonly InboundMessage[]; readonly restless: number }> {
  const look = async (names: readonly string[]): Promise<ReadonlyMap<string, LatestMessage>> =>
    new Map((await latestMessages(tx, integrationId, items[0]?.interaction ?? '', names)).map((message) => [message.controlId, message]));
  const early = await look(items.flatMap(({ controlId }) => [nameOf(controlId, 1), nameOf(controlId, 2)]));
  const changed: InboundMessage[] = [];
  let restless = 0;
  for (const item of items) {
    const has = (version: number, among: ReadonlyMap<string, LatestMessage>): LatestMessage[] => [among.get(nameOf(item.controlId, version))].filter((message) => message !== undefined);
    const late = has(2, early).length > 0 ? await look(Array.from({ length: MOST_NAMES - 2 }, (_, index) => nameOf(item.controlId, index + 3))) : new Map<string, LatestMessage>();
    const versions = [...has(1, early), ...has(2, early), ...late.values()];
    const newest = versions.toSorted((one, other) => other.startedAt.getTime() - one.startedAt.getTime())[0];
    if (newest?.sha256 === item.sha256) continue;
    if (versions.length < MOST_NAMES) changed.push({ ...item, controlId: nameOf(item.controlId, versions.length + 1) });
    else restless += 1;
  }
  return { changed, restless };
}

async function takeIn(items: readonly InboundMessage[], receive: (message: InboundMessage) => Promise<Receipt>): Promise<number> {
  let refused = 0;
  for (let at = 0; at < items.length; at += AT_ONCE) {
    for (const receipt of await Promise.all(items.slice(at, at + AT_ONCE).map((item) => receive(item)))) {
      // Nobody waits for an answer: the item was read, and its row says what became of it.
      receipt.answered(receipt.kind === 'failed' ? 'read again' : 'read', true);
      if (receipt.kind === 'rejected' || receipt.kind === 'failed') refused += 1;
    }
  }
  return refused;
}
