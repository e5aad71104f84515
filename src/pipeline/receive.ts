/**
 * The only door. In: a message whose bytes are whole on disk (DICOM) or in memory (HL7 v2, FHIR). Out: a receipt that may be told to
 * the sender, because the bytes are durable and what it says is committed.
 *
 *   message -> [normalize] -> [persist: T2] -> accepted | duplicate
 *         \-> refused by the adapter, or not mappable -> on record with its reason (and its bytes) -> rejected
 *         \-> our trouble (database, disk)                                                        -> failed: try again
 */
import { DataIntegrityError, isTransientError } from '../db/errors.ts';
import { insertExchanges, insertPayloads } from '../db/exchanges.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import type { Log } from '../log.ts';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';
import { exchangeBytesTotal, exchangesTotal, exchangeSeconds } from '../metrics.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { NormalizeError, type Adapter, type InboundMessage, type Integration, type Receipt, type ReceiptBody, type Receive, type Refusal } from '#gateway/adapter.ts';
import type { Mapper } from '#gateway/normalized.ts';
import type { AnswerRecorder } from './answers.ts';
import type { Persisted, PersistItem } from './persist.ts';
import type { Unreferenced } from './unreferenced.ts';

export interface ReceiveDependencies {
  readonly database: Database;
  readonly log: Log;
  readonly map: Mapper;
  readonly persist: (item: PersistItem) => Promise<Persisted>;
  readonly answers: AnswerRecorder;
  /** Told of objects whose transaction failed. */
  readonly unreferenced: Pick<Unreferenced, 'add'>;
  /** Told of senders that are alive. */
  readonly alive: (integration: Integration) => void;
  now(): Date;
}

export function createReceive(dependencies: ReceiveDependencies, adapter: Adapter): Receive {
  return async (message, refusal) => {
    const exchangeId = uuidV7();
    const received = message as InboundMessage;
    const body = refusal || received.integration === undefined
      ? await reject(dependencies, adapter, received, exchangeId, refusal ?? { reason: 'not-allowed', text: 'no integration is configured for this sender' })
      : await accept(dependencies, adapter, received, exchangeId);
    count(adapter, received, body, dependencies.now());
    return withAnswer(dependencies, received, exchangeId, body);
  };
}

async function accept(dependencies: ReceiveDependencies, adapter: Adapter, message: InboundMessage, exchangeId: string): Promise<ReceiptBody> {
  const integration = message.integration!;
  let normalized;
  try {
    normalized = await adapter.inbound!.normalize({ ...message, integration }, dependencies.map);
  } catch (error) {
    if (!(error instanceof NormalizeError)) dependencies.log.error({ err: error, adapter: adapter.name, exchangeId }, 'a message could not be normalized');
    const refusal: Refusal = error instanceof NormalizeError
      ? { reason: error.reason, text: error.message, ...(error.location ? { location: error.location } : {}) }
      : { reason: 'malformed', text: 'the message could not be read; it is kept and can be replayed' };
    return reject(dependencies, adapter, message, exchangeId, refusal);
  }
  try {
    const persisted = await dependencies.persist({ exchangeId, adapter: adapter.name, integration, message, normalized });
    dependencies.alive(integration);
    return persisted;
  } catch (error) {
    if (error instanceof NormalizeError) return reject(dependencies, adapter, message, exchangeId, { reason: error.reason, text: error.message, ...(error.location ? { location: error.location } : {}) });
    if (error instanceof DataIntegrityError) return reject(dependencies, adapter, message, exchangeId, { reason: 'invalid', text: error.message });
    return failed(dependencies, adapter, message, error, exchangeId);
  }
}

/** A refused message is an exchange too, with its reason and its bytes. */
async function reject(dependencies: ReceiveDependencies, adapter: Adapter, message: InboundMessage, exchangeId: string, refusal: Refusal): Promise<ReceiptBody> {
  const organizationId = message.integration?.organizationId ?? UNASSIGNED_ORGANIZATION_ID;
  const now = dependencies.now();
  const keepsBytes = !message.object && message.head.length > 0;
  try {
    await message.object?.durable;
    await inOrganization(dependencies.database, organizationId, async (tx) => {
      await insertExchanges(tx, [{
        sync_id: exchangeId, integration_id: message.integration?.integrationId, adapter: adapter.name, direction: 'inbound', interaction: message.interaction,
        control_id: message.controlId, message_status: 'rejected', started_at: message.receivedAt.toISOString(), finished_at: now.toISOString(),
        duration_ms: now.getTime() - message.receivedAt.getTime(), byte_size: message.byteSize, sha256: message.sha256,
        payload_location: message.object ? `store:${message.object.location}` : keepsBytes ? 'database' : undefined,
        peer_address: message.peer.address, peer_application: message.peer.application,
        error_class: 'permanent', error_text: refusal.text, error_location: refusal.location, facts: message.facts,
      }]);
      if (keepsBytes) await insertPayloads(tx, [{ sync_id: exchangeId, part: 'message', media_type: 'application/octet-stream', content: message.head }]);
      await recordAudit(tx, {
        ...(refusal.reason === 'not-allowed' ? auditEvents.securityAlert : auditEvents.dataImport), action: 'E', outcome: refusal.reason === 'not-allowed' ? 'serious_failure' : 'minor_failure',
        actor: { kind: 'application', id: message.peer.application ?? 'unknown', address: message.peer.address }, object: { type: 'sync_log', id: exchangeId },
        syncId: exchangeId, detail: { interaction: message.interaction, reason: refusal.reason },
      });
    });
  } catch (error) {
    return failed(dependencies, adapter, message, error, exchangeId);
  }
  return { kind: 'rejected', reason: refusal.reason, text: refusal.text, ...(refusal.location ? { location: refusal.location } : {}) };
}

function failed(dependencies: ReceiveDependencies, adapter: Adapter, message: InboundMessage, error: unknown, exchangeId: string): ReceiptBody {
  if (message.object) dependencies.unreferenced.add(message.integration?.organizationId ?? UNASSIGNED_ORGANIZATION_ID, exchangeId, message.object.location);
  dependencies.log.error({ err: error, adapter: adapter.name, exchangeId, transient: isTransientError(error) }, 'a message could not be stored; the sender is told to try again');
  return { kind: 'failed', text: 'the gateway could not store this now; try again', retryable: true };
}

/** A sender chooses its message types: those the adapter does not know share one label. */
function count(adapter: Adapter, message: InboundMessage, body: ReceiptBody, now: Date): void {
  const interaction = adapter.inbound!.interactions.includes(message.interaction) ? message.interaction : 'other';
  const labels = { adapter: adapter.name, direction: 'inbound' };
  exchangesTotal.inc({ ...labels, interaction, status: body.kind });
  exchangeBytesTotal.inc(labels, message.byteSize);
  exchangeSeconds.observe(labels, (now.getTime() - message.receivedAt.getTime()) / 1000);
}

function withAnswer(dependencies: ReceiveDependencies, message: InboundMessage, exchangeId: string, body: ReceiptBody): Receipt {
  const isOnRecord = body.kind !== 'failed';
  return {
    ...body,
    exchangeId: isOnRecord ? exchangeId : undefined,
    answered(code, heard) {
      if (!isOnRecord) return;
      dependencies.answers.record(message.integration?.organizationId ?? UNASSIGNED_ORGANIZATION_ID, {
        sync_id: exchangeId, started_at: message.receivedAt.toISOString(), answer_status: heard ? 'answered' : 'unanswered', answer_code: code,
      });
    },
  };
}
