/**
 * The one transaction (T2). In: normalized messages. Out: their rows, their exchange, their audit and their job, committed; or nothing.
 *
 *   items of one organization -> [GroupCommit] -> BEGIN, tenant, rows, sync_logs, audit_logs, pg-boss job, COMMIT -> each sender answered
 *
 * DICOM instances and other messages go in separate batches: instances are set-based (persist-instances.ts), messages keep their order
 * (persist-messages.ts) and go two batches at a time (message-lanes.ts).
 */
import type { PgBoss } from 'pg-boss';
import type { Database } from '../db/pool.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import type { InboundMessage, Integration } from '#gateway/adapter.ts';
import type { MappingWarning, Normalized } from '#gateway/normalized.ts';
import type { ExchangeRow } from '../db/exchanges.ts';
import { DataIntegrityError, isRefusedValue, sqlState } from '../db/errors.ts';
import { GroupCommit } from './group-commit.ts';
import { KnownPatients } from './known-patients.ts';
import { KnownStudies, type KnownPlace } from './known-studies.ts';
import { openingOf } from './opening.ts';
import { keepOneCopy, persistInstances, persistQuickly, type InstanceDependencies, type QuickItem } from './persist-instances.ts';
import { MessageLanes } from './message-lanes.ts';
import { orderKeys, persistMessages } from './persist-messages.ts';

export interface PersistItem {
  readonly exchangeId: string;
  readonly adapter: string;
  readonly integration: Integration;
  readonly message: InboundMessage;
  readonly normalized: Normalized;
}
export type Persisted =
  | { readonly kind: 'accepted'; readonly links: Readonly<Record<string, string>> }
  | { readonly kind: 'duplicate'; readonly answerCode: string | undefined; readonly links: Readonly<Record<string, string>> };

export interface PersistDependencies {
  readonly database: Database;
  readonly boss: PgBoss;
  readonly store: ObjectStore;
  readonly quietSeconds: number;
  now(): Date;
}

export function createPersist(dependencies: PersistDependencies): (item: PersistItem) => Promise<Persisted> {
  const groups = new Map<string, Groups>();
  const known = new KnownStudies();
  return async (item) => {
    const { organizationId } = item.integration;
    let group = groups.get(organizationId);
    if (!group) groups.set(organizationId, group = organizationGroups({ ...dependencies, known }, organizationId));
    if (!item.normalized.instance) return submit(group.messages, item);
    const persisted = await persistInstance(group, known, item, dependencies.now());
    if (persisted.kind === 'duplicate') await keepOneCopy(dependencies, item, persisted.links['scan_files']!);
    return persisted;
  };
}

async function persistInstance(group: Groups, known: KnownStudies, item: PersistItem, now: Date): Promise<Persisted> {
  const quick = quickItem(known.place(item), item, now);
  return quick && await submitQuickly(group, quick) || await submitToKnown(group, known, item) || known.opening(item, async () => {
    await item.message.object?.durable;
    return submit(group.instances, item);
  });
}

function quickItem(place: KnownPlace | undefined, item: PersistItem, now: Date): QuickItem | undefined {
  if (place) return { ...item, place };
  const opening = openingOf(item, now);
  return opening && { ...item, opening };
}

/** Others of the study may be on the long way: when one of them has opened it, this one follows shortly. */
async function submitToKnown(group: Groups, known: KnownStudies, item: PersistItem): Promise<Persisted | undefined> {
  const place = await known.placeAfterOpening(item);
  return place && submitQuickly(group, { ...item, place });
}

/**
 * The sync of the file runs beside this transaction, which waits for it before it commits. A repeat that races with its first copy, a study
 * or patient that another process makes at the same moment, a refused value and a deadlock fail there: the one-lane group recognises, words or repeats them.
 */
async function submitQuickly(group: Groups, item: QuickItem): Promise<Persisted | undefined> {
  return group.quick.submit(item).catch((error: unknown) => {
    if (sqlState(error) !== '23505' && sqlState(error)?.startsWith('40') !== true && !isRefusedValue(error)) throw error;
    return undefined;
  });
}

interface Groups {
  readonly messages: MessageLanes<PersistItem, Persisted>;
  readonly instances: GroupCommit<PersistItem, Persisted>;
  readonly quick: GroupCommit<QuickItem, Persisted | undefined>;
}

const organizationGroups = (dependencies: InstanceDependencies, organizationId: string, patients = new KnownPatients()): Groups => ({
  messages: new MessageLanes((items) => persistMessages(dependencies, organizationId, items, patients), (item) => orderKeys(item, patients), { lanes: 2, maximumItems: 64 }),
  instances: new GroupCommit((items) => persistInstances(dependencies, organizationId, items), 256),
  quick: new GroupCommit((items) => persistQuickly(dependencies, organizationId, items), 256),
});

/** Another process may have made the same patient or study first: seen again, it is found. A refused value is the sender's to change. */
async function submit(group: Pick<GroupCommit<PersistItem, Persisted>, 'submit'>, item: PersistItem): Promise<Persisted> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await group.submit(item);
    } catch (error) {
      if (isRefusedValue(error)) throw new DataIntegrityError('a value in this message cannot be stored (a NUL character, an impossible date or number)', { cause: error });
      if (sqlState(error) !== '23505' || attempt === 3) throw error;
    }
  }
}

/** The exchange row of an accepted or repeated inbound message. */
export function inboundExchange(item: PersistItem, outcome: 'accepted' | 'duplicate', links: Readonly<Record<string, string>>, warnings: readonly MappingWarning[], now: Date): ExchangeRow {
  const { message } = item;
  return {
    sync_id: item.exchangeId, integration_id: item.integration.integrationId, adapter: item.adapter, direction: 'inbound',
    interaction: message.interaction, control_id: message.controlId, message_status: outcome,
    started_at: message.receivedAt.toISOString(), finished_at: now.toISOString(), duration_ms: now.getTime() - message.receivedAt.getTime(),
    byte_size: message.byteSize, sha256: message.sha256, payload_location: payloadLocation(item, outcome),
    peer_address: message.peer.address, peer_application: message.peer.application,
    patient_id: links['patients'], scan_id: links['scans'], mapping_version: item.normalized.mapping,
    warnings: warnings.length > 0 ? warnings : undefined, facts: message.facts,
  };
}

/** The bytes of a repeated instance are those of the first, and go. */
function payloadLocation({ message }: PersistItem, outcome: 'accepted' | 'duplicate'): string | undefined {
  if (!message.object) return 'database';
  return outcome === 'accepted' ? `store:${message.object.location}` : undefined;
}
