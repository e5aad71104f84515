/**
 * What a person does with messages: try one without sending it, and send one again that was refused, after the mapping or the settings were put right.
 *
 *   dry run   bytes -> read -> normalize -> rows, warnings, trace; nothing is written
 *   view      bytes on record -> text, pieces with their names; what the mapping makes of them today
 *   replay    bytes on record -> read -> receive, as if the sender had sent them now -> new exchanges whose correlation_id is the old one
 *
 * A replay is an accept like any other: done twice it is a duplicate, and the sender's own resend afterwards is one too.
 */
import { createHash } from 'node:crypto';
import { auditEvents, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { correlateExchanges, findRecordedExchange, type RecordedExchange } from '../db/replays.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import { NormalizeError, type Adapter, type Inbound, type ReadMessage, type Receipt, type Receive, type StoredObject } from './adapter.ts';
import type { ActiveIntegration, Integrations } from './integrations.ts';
import { readableMessage, type ReadableMessage } from './message-tree.ts';
import type { Mapper, MappingWarning, Normalized, TraceEntry } from './normalized.ts';

/** Rows by their key in Normalized: patient, merges, history, order, reports, schedule. */
export interface DryRunMessage {
  readonly interaction: string; readonly controlId: string; readonly refusal: { readonly reason: string; readonly text: string; readonly location: string | null } | null;
  readonly rows: Readonly<Record<string, unknown>>; readonly mapping: string | null; readonly warnings: readonly MappingWarning[]; readonly trace: readonly TraceEntry[];
}
export type DryRun = { readonly kind: 'read'; readonly messages: readonly DryRunMessage[] } | { readonly kind: 'not-found' } | { readonly kind: 'refused'; readonly reason: string };
export interface ReplayedMessage { readonly syncId: string | null; readonly outcome: 'accepted' | 'duplicate' | 'rejected' | 'failed'; readonly text: string | null; readonly location: string | null }
export type Replay = { readonly kind: 'replayed'; readonly messages: readonly ReplayedMessage[] } | { readonly kind: 'not-found' } | { readonly kind: 'refused'; readonly reason: string };

/** `mapping` is what today's mapping and settings make of a received message; null for an answer, for what was sent, and where nobody can read it. */
export interface MessageView extends ReadableMessage { readonly mediaType: string; readonly byteSize: number; readonly mapping: readonly DryRunMessage[] | null }

export interface MessageCommands {
  /** The message or its answer as a person reads it. Undefined: no such exchange, or nothing of it is kept. */
  view(organizationId: string, syncId: string, part: 'message' | 'answer'): Promise<MessageView | undefined>;
  /** Reads, maps and judges messages as the integration's adapter would; nothing is received or written. */
  dryRun(organizationId: string, integrationId: string, bytes: Buffer): Promise<DryRun>;
  /** Receives the bytes of a rejected or failed inbound exchange again. Writes its own audit row. */
  replay(organizationId: string, syncId: string, actor: AuditActor): Promise<Replay>;
}

export interface StoredHead { readonly head: Buffer; readonly byteSize: number }

export interface MessageCommandDependencies {
  readonly database: Database; readonly adapters: ReadonlyMap<string, Adapter>; readonly integrations: Pick<Integrations, 'find'>; readonly map: Mapper;
  /** Receives what is on record already: when it cannot be stored now, its object stays. */
  receiveAgainFor(adapter: Adapter): Receive;
  /** The first bytes of a stored object and how many there are in all; throws when it is gone. */
  readHead(location: string): Promise<StoredHead>;
  now(): Date;
}

export function messageCommands(dependencies: MessageCommandDependencies): MessageCommands {
  const { database, adapters, integrations, map, now } = dependencies;
  return {
    async view(organizationId, syncId, part) {
      const recorded = await inOrganization(database, organizationId, (tx) => findRecordedExchange(tx, syncId, part));
      const location = part === 'message' ? recorded && locationOf(recorded) : undefined;
      const content = recorded?.content ?? (location === undefined ? undefined : (await dependencies.readHead(location).catch(() => undefined))?.head);
      if (!recorded || !content) return undefined;
      const mediaType = recorded.media_type ?? (location === undefined ? 'application/octet-stream' : 'application/dicom');
      const integration = part === 'answer' || recorded.direction !== 'inbound' || recorded.integration_id === null ? undefined : integrations.find(organizationId, recorded.integration_id);
      const inbound = integration && adapters.get(integration.adapter)?.inbound;
      const mapping = integration && inbound && isMapped(recorded, inbound)
        ? await Promise.all(messagesOf({ ...recorded, content }, integration, inbound).map((message) => judge(inbound, integration, message, map, recorded.started_at))).catch(() => null) : null;
      return { ...readableMessage(content, mediaType, recorded.facts ?? {}), mediaType, byteSize: part === 'message' ? recorded.byte_size ?? content.length : content.length, mapping };
    },

    async dryRun(organizationId, integrationId, bytes) {
      const integration = integrations.find(organizationId, integrationId);
      if (!integration) return { kind: 'not-found' };
      const inbound = adapters.get(integration.adapter)?.inbound;
      if (!inbound?.read) return { kind: 'refused', reason: `The adapter ${integration.adapter} has no dry run.` };
      const messages = await Promise.all(inbound.read(bytes, integration).map((message) => judge(inbound, integration, message, map, now())));
      return messages.length > 0 ? { kind: 'read', messages } : { kind: 'refused', reason: 'There is no message in these bytes.' };
    },

    async replay(organizationId, syncId, actor) {
      const recorded = await inOrganization(database, organizationId, (tx) => findRecordedExchange(tx, syncId));
      if (!recorded) return { kind: 'not-found' };
      const integration = recorded.integration_id === null ? undefined : integrations.find(organizationId, recorded.integration_id);
      const adapter = integration && adapters.get(integration.adapter);
      const location = locationOf(recorded), stored = recorded.content || location === undefined ? undefined : await dependencies.readHead(location).catch(() => undefined);
      const reason = whyNot({ ...recorded, content: recorded.content ?? stored?.head ?? null }, integration, adapter?.inbound);
      if (reason !== undefined || !integration || !adapter) return { kind: 'refused', reason: reason ?? '' };
      const messages: ReplayedMessage[] = [];
      const again = { ...recorded, content: recorded.content ?? stored!.head }, object = stored && location !== undefined ? { location, byteSize: stored.byteSize } : undefined;
      for (const message of messagesOf(again, integration, adapter.inbound)) messages.push(outcomeOf(await receiveAgain(dependencies.receiveAgainFor(adapter), message, again, integration, syncId, now(), object)));
      await inOrganization(database, organizationId, async (tx) => {
        await correlateExchanges(tx, messages.flatMap((message) => message.syncId ?? []), syncId);
        await recordAudit(tx, {
          ...auditEvents.dataImport, action: 'E', outcome: messages.every(({ outcome }) => outcome === 'accepted' || outcome === 'duplicate') ? 'success' : 'minor_failure', actor,
          object: { type: 'sync_log', id: syncId }, syncId, detail: { replayed_as: messages.map((message) => message.syncId), outcomes: messages.map(({ outcome }) => outcome) },
        });
      });
      return { kind: 'replayed', messages };
    },
  };
}

async function judge(inbound: Inbound, integration: ActiveIntegration, { refusal, ...message }: ReadMessage, map: Mapper, receivedAt: Date): Promise<DryRunMessage> {
  const { interaction, controlId } = message;
  const refused = (reason: string, text: string, location?: string): DryRunMessage => ({ interaction, controlId, refusal: { reason, text, location: location ?? null }, rows: {}, mapping: null, warnings: [], trace: [] });
  if (refusal) return refused(refusal.reason, refusal.text, refusal.location);
  let normalized: Normalized;
  try {
    normalized = await inbound.normalize({ ...message, receivedAt, integration }, map);
  } catch (error) {
    if (error instanceof NormalizeError) return refused(error.reason, error.message, error.location);
    throw error;
  }
  const { warnings, trace, mapping, ...rows } = normalized;
  return { interaction, controlId, refusal: null, rows: { ...rows }, mapping, warnings, trace: trace() };
}

/** The stored object that an exchange was, relative to the store. */
const locationOf = ({ payload_location: location }: RecordedExchange): string | undefined => (location?.startsWith('store:') ? location.slice('store:'.length) : undefined);

/** Queries, refused connections and the like carry nothing that a mapping reads. */
function isMapped(recorded: RecordedExchange, inbound: Inbound): boolean {
  return inbound.read !== undefined || inbound.interactions.includes(recorded.interaction);
}

function whyNot(recorded: RecordedExchange, integration: ActiveIntegration | undefined, inbound: Inbound | undefined): string | undefined {
  if (recorded.direction !== 'inbound') return 'Only a received message can be replayed; what is sent is in the outbox.';
  if (recorded.message_status !== 'rejected' && recorded.message_status !== 'failed') return `The message was ${recorded.message_status}: there is nothing to replay.`;
  if (!integration || !inbound) return 'No integration claims the message; set one up for its sender and let it send again.';
  if (!integration.isEnabled) return `The integration ${integration.name} is switched off.`;
  if (!recorded.content) return 'The bytes of the message are not on record any more: let the sender send it again.';
  return undefined;
}

/** What the adapter reads in the bytes today; where it cannot, as it was read then. Of an order group on record only that group. */
function messagesOf(recorded: RecordedExchange, integration: ActiveIntegration, inbound: Inbound | undefined): readonly ReadMessage[] {
  const head = recorded.content!;
  const read = inbound?.read?.(head, integration);
  if (!read || read.length === 0) return [{ interaction: recorded.interaction, controlId: recorded.control_id, facts: recorded.facts ?? {}, head }];
  const same = read.filter((message) => message.controlId === recorded.control_id);
  return recorded.facts?.['orderGroup'] !== undefined && same.length > 0 ? same : read;
}

function receiveAgain(receive: Receive, { refusal, ...message }: ReadMessage, recorded: RecordedExchange, integration: ActiveIntegration, syncId: string, receivedAt: Date, object: StoredObject | undefined): Promise<Receipt> {
  // Of an object the digest is that of the data set as it came, which stands in the record; of a message it is that of its own bytes.
  const isObject = object !== undefined && recorded.sha256 !== null;
  return receive({
    ...message, facts: { ...message.facts, replayOf: syncId, firstReceivedAt: recorded.facts?.['firstReceivedAt'] ?? recorded.started_at.toISOString() }, integration, receivedAt, sha256: isObject ? recorded.sha256! : createHash('sha256').update(message.head).digest('hex'), byteSize: isObject ? recorded.byte_size ?? object.byteSize : message.head.length,
    ...(object ? { object } : {}),
    peer: { address: recorded.peer_address ?? '', port: 0, ...(recorded.peer_application === null ? {} : { application: recorded.peer_application }) },
  }, refusal);
}

function outcomeOf(receipt: Receipt): ReplayedMessage {
  const problem = receipt.kind === 'rejected' || receipt.kind === 'failed' ? receipt : undefined;
  return { syncId: receipt.exchangeId ?? null, outcome: receipt.kind, text: problem?.text ?? null, location: problem && 'location' in problem ? problem.location ?? null : null };
}
