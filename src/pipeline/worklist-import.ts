/**
 * Scheduled scans from a RIS that sends no HL7: its modality worklist is read every few minutes. In: an import-worklist job. Out: each item that is new or
 * changed goes the ordinary way in, as an order would: exchange, mapping, identity, scan. What is as it was is not taken in again.
 *
 * An item that is gone from the worklist says nothing: it may be done, begun or cancelled. A cancelled step says so by its status.
 */
import { raiseAlert, resolveAlert } from '../db/alerts.ts';
import { knownMessages, savePoll } from '../db/source-questions.ts';
import { inOrganization } from '../db/transaction.ts';
import type { ImportWorklistJob } from '../queue/queues.ts';
import type { InboundMessage, Receipt } from '#gateway/adapter.ts';
import { askOnRecord, textOf, type AskDependencies, type Sources } from './sources.ts';

const AT_ONCE = 16;

/** Handles one import-worklist job. */
export async function importWorklist(dependencies: AskDependencies & { readonly sources: Sources }, job: ImportWorklistJob): Promise<{ seen: number; changed: number; refused: number } | undefined> {
  const { organizationId, integrationId } = job;
  const { database } = dependencies;
  const source = dependencies.sources.find(organizationId, integrationId);
  if (!source?.wanted.worklist) return undefined;
  const { name } = source.integration;
  const { outcome, askedAt: at } = await askOnRecord(dependencies, source, { controlId: `worklist ${integrationId}`, interaction: 'C-FIND worklist', attempt: 1 }, () => source.queries.findScheduled(source.integration, source.context));
  if (outcome.kind !== 'answered') {
    await inOrganization(database, organizationId, async (tx) => {
      await savePoll(tx, integrationId, { text: textOf(outcome), isOk: false, at });
      await raiseAlert(tx, { kind: 'integration_down', severity: 'warning', subject: `${name} worklist`, message: `${name} does not answer the question for its worklist: ${textOf(outcome)}. Scans are not scheduled from it meanwhile.` });
    });
    return undefined;
  }
  const items = outcome.value as readonly InboundMessage[];
  const known = await inOrganization(database, organizationId, (tx) => knownMessages(tx, integrationId, items[0]?.peer.application ?? '', items));
  const changed = items.filter(({ controlId, sha256 }) => !known.has(`${controlId} ${sha256}`));
  const refused = await takeIn(changed, source.receive);
  const text = refused > 0 ? `${refused} items were refused; the exchanges say why` : textOf(outcome);
  await inOrganization(database, organizationId, async (tx) => {
    await savePoll(tx, integrationId, { seen: items.length, changed: changed.length, text, isOk: true, at });
    await resolveAlert(tx, 'integration_down', `${name} worklist`);
  });
  return { seen: items.length, changed: changed.length, refused };
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
