/**
 * A C-STORE enters here (PS3.4 annex B, PS3.7 9.1.1) and leaves as a file, rows and an answer:
 *
 *     C-STORE-RQ, fragments -> temporary file, SHA-256, head -> finish(): file whole -> receive(): file, rows and job durable -> C-STORE-RSP
 *
 * The data set is kept as it came, behind a preamble and a group 0002 of our own. Success is said in one place, after `receive`.
 * A rejected object stays in the store, so that it can be replayed once the cause is mended; one that never ended leaves nothing.
 */
import { createHash, type Hash } from 'node:crypto';
import { failpoint } from '#src/failpoint.ts';
import type { AdapterContext, InboundMessage, Integration, ObjectWriter, Peer, Receipt, Receive, Refusal, RejectReason, StoredObject } from '#gateway/adapter.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { isStorage } from './association.ts';
import type { Config } from './config.ts';
import { DatasetHead } from '#standards/dicom/dataset-head.ts';
import { Status, statusCode, statusPhrase } from './status.ts';
import type { AssociationAcceptor } from './upper-layer/acceptor.ts';
import type { MessageReceiver } from './upper-layer/message-assembler.ts';
import type { CommandSet, ResponseFields } from './upper-layer/command-set.ts';
import { encodeResponse } from './upper-layer/command-set.ts';
import type { AssociateRequest, NegotiatedContext } from './upper-layer/pdu.ts';
import { encodeCommandPdu } from './upper-layer/pdu.ts';

/** What a message needs to know of the association it came on, whoever asked for it: an object of our C-GET comes on one that we requested. */
export interface StoreAssociation {
  readonly acceptor: Pick<AssociationAcceptor, 'send'>;
  readonly request: Pick<AssociateRequest, 'callingAeTitle' | 'calledAeTitle' | 'implementationVersionName'>;
  readonly integration: Integration<Config>;
  readonly peer: Peer;
}

/** Bytes that may wait for the file to be opened before the sender is asked to wait. */
const mostBytesBeforeOpen = 1024 * 1024;

export class CStoreReceiver implements MessageReceiver {
  readonly #association: StoreAssociation;
  readonly #command: CommandSet;
  readonly #context: NegotiatedContext;
  readonly #receive: Receive;
  readonly #adapter: AdapterContext;
  readonly #receivedAt: Date;
  /** Of what is not stored; the store hashes what is. */
  #sha256: Hash | undefined;
  readonly #datasetOffset: number;
  readonly #head: DatasetHead;
  readonly #refusal: Refusal | undefined;
  /** Absent: the writer is there, or will not be. */
  readonly #opening: Promise<ObjectWriter> | undefined;
  #writer: ObjectWriter | undefined;
  #waiting: Buffer[] = [];
  #writeFailure: Error | undefined;
  #byteSize = 0;
  #isAborted = false;

  constructor(association: StoreAssociation, command: CommandSet, context: NegotiatedContext, receive: Receive, adapter: AdapterContext) {
    this.#association = association;
    this.#command = command;
    this.#context = context;
    this.#receive = receive;
    this.#adapter = adapter;
    this.#receivedAt = adapter.now();
    this.#refusal = refusalOf(command, context);
    const prefix = this.#refusal ? Buffer.alloc(0) : part10Header(command, context);
    this.#datasetOffset = prefix.length;
    this.#head = new DatasetHead(prefix, context.transferSyntax);
    failpoint('cstore.accepted');
    if (this.#refusal) return;
    this.#waiting.push(prefix);
    this.#opening = this.#open(prefix.length);
  }

  /** Mostly at once. What comes before the store is ready is copied once more. */
  #open(digestFrom: number): Promise<ObjectWriter> | undefined {
    try {
      const writer = this.#adapter.store({ extension: '.dcm', digestFrom });
      if (!(writer instanceof Promise)) {
        this.#opened(writer);
        return undefined;
      }
      writer.then((opened) => { this.#opened(opened); }, (error: unknown) => { this.#failed(error); });
      return writer;
    } catch (error) {
      this.#failed(error);
      return undefined;
    }
  }

  #opened(writer: ObjectWriter): void {
    if (this.#isAborted) return;
    this.#writer = writer;
    for (const bytes of this.#waiting) void this.#writeTo(writer, bytes);
    this.#waiting = [];
  }

  write(bytes: Buffer): void | Promise<void> {
    const isFirst = this.#byteSize === 0;
    this.#byteSize += bytes.length;
    if (this.#byteSize > this.#association.integration.config.maximum_object_megabytes * 1024 * 1024) throw this.#tooLarge();
    if (this.#refusal) (this.#sha256 ??= createHash('sha256')).update(bytes);
    this.#head.add(bytes);
    if (isFirst) failpoint('cstore.midPdv');
    if (this.#refusal || this.#writeFailure) return; // read to the end and answered then: PS3.7 knows no earlier answer
    if (this.#writer) return this.#writeTo(this.#writer, bytes);
    this.#waiting.push(Buffer.from(bytes));
    if (this.#byteSize > mostBytesBeforeOpen) return this.#opening?.then(() => undefined);
  }

  #writeTo(writer: ObjectWriter, bytes: Buffer): void | Promise<void> {
    try {
      return writer.write(bytes)?.catch((error: unknown) => { this.#failed(error); });
    } catch (error) { this.#failed(error); }
  }
  #failed(error: unknown): void {
    this.#waiting = [];
    this.#writeFailure ??= error instanceof Error ? error : new Error(String(error));
  }

  /** Thrown to the acceptor, which aborts the association; put on record by ourselves, because no answer will be. */
  #tooLarge(): Error {
    const text = `the object is larger than ${this.#association.integration.config.maximum_object_megabytes} MiB (setting maximum_object_megabytes)`;
    void this.#ask(undefined, { reason: 'unsupported', text }).then((receipt) => { receipt.answered('A-ABORT', true); });
    return new Error(text);
  }

  async end(): Promise<void> {
    const object = this.#refusal ? undefined : await this.#finish();
    if (object === 'failed') {
      await this.#answer({ status: Status.outOfResources, errorComment: 'the object could not be written, please send again' });
      return;
    }
    const receipt = await this.#ask(object, this.#refusal);
    failpoint('cstore.beforeAnswer');
    const fields = responseFields(receipt);
    const heard = await this.#answer(fields);
    receipt.answered(statusCode(fields.status), heard);
  }

  async #finish(): Promise<StoredObject | 'failed'> {
    try {
      const writer = this.#writer ?? await this.#opening;
      if (!writer || this.#writeFailure) throw this.#writeFailure ?? new Error('no writer');
      return await writer.finish();
    } catch (error) {
      this.#adapter.log.error({ error: error instanceof Error ? error.message : String(error), sopInstanceUid: this.#command.affectedSopInstanceUid }, 'a received object could not be written');
      await this.#writer?.abort().catch(() => { /* the store removes what is left at start */ });
      return 'failed';
    }
  }

  async #ask(object: StoredObject | undefined, refusal: Refusal | undefined): Promise<Receipt> {
    try {
      return await this.#receive(this.#message(object), refusal);
    } catch (error) {
      this.#adapter.log.error({ error: error instanceof Error ? error.message : String(error) }, 'a received object could not be recorded');
      return { kind: 'failed', text: 'internal failure', retryable: true, exchangeId: undefined, answered() { /* there is no exchange */ } };
    }
  }

  #message(object: StoredObject | undefined): InboundMessage<Config> {
    const { integration, peer, request } = this.#association;
    return {
      integration, peer, interaction: 'C-STORE', controlId: this.#command.affectedSopInstanceUid, receivedAt: this.#receivedAt,
      head: this.#head.bytes(), sha256: object?.sha256 ?? (this.#sha256?.copy() ?? createHash('sha256')).digest('hex'), byteSize: this.#byteSize, ...(object ? { object } : {}),
      facts: {
        sopClassUid: this.#command.affectedSopClassUid, sopInstanceUid: this.#command.affectedSopInstanceUid,
        transferSyntaxUid: this.#context.transferSyntax, datasetOffset: this.#datasetOffset,
        callingAeTitle: request.callingAeTitle, calledAeTitle: request.calledAeTitle, messageId: this.#command.messageId,
        implementationVersionName: request.implementationVersionName, ...this.#moveOriginator(),
      },
    };
  }

  /** Who asked for it by C-MOVE (PS3.7 9.1.1.1): `retrieved`, when it was the gateway. */
  #moveOriginator(): Readonly<Record<string, unknown>> | undefined {
    const { moveOriginatorAeTitle, moveOriginatorMessageId } = this.#command;
    if (moveOriginatorAeTitle === '') return undefined;
    const { config } = this.#association.integration;
    const isOurs = [config.destination?.calling_ae_title, config.called_ae_title].includes(moveOriginatorAeTitle);
    return { moveOriginatorAeTitle, ...(moveOriginatorMessageId === undefined ? {} : { moveOriginatorMessageId }), ...(isOurs ? { retrieved: 'C-MOVE' } : {}) };
  }

  #answer(fields: ResponseFields): Promise<boolean> {
    return this.#association.acceptor.send(encodeCommandPdu(this.#context.id, encodeResponse(this.#command, fields)));
  }

  async abort(): Promise<void> {
    this.#isAborted = true;
    this.#waiting = [];
    const writer = this.#writer ?? await this.#opening?.catch(() => undefined);
    await writer?.abort();
  }
}

/** Group 0002 for the file. A UID that cannot stand in it was refused before. */
const part10Header = (command: CommandSet, context: NegotiatedContext): Buffer =>
  buildPart10Header({ sopClassUid: command.affectedSopClassUid, sopInstanceUid: command.affectedSopInstanceUid, transferSyntaxUid: context.transferSyntax });

/** What the command alone tells to be wrong; what the data set tells is judged by normalize. */
function refusalOf(command: CommandSet, context: NegotiatedContext): Refusal | undefined {
  if (!isStorage(context.abstractSyntax, true)) return { reason: 'unsupported', text: 'C-STORE on a presentation context that is not for storage' };
  if (command.affectedSopClassUid !== context.abstractSyntax) return { reason: 'unsupported', text: 'Affected SOP Class UID is not that of the presentation context', location: '(0000,0002)' };
  if (!/^[\x21-\x5b\x5d-\x7e]{1,64}$/.test(command.affectedSopInstanceUid)) return { reason: 'malformed', text: 'Affected SOP Instance UID is missing or not a UID', location: '(0000,1000)' };
  if (!command.hasDataSet) return { reason: 'malformed', text: 'C-STORE without a data set', location: '(0000,0800)' };
  return undefined;
}

const statusOfReason: Readonly<Record<RejectReason, number>> = {
  malformed: Status.cannotUnderstand, invalid: Status.cannotUnderstand, conflict: Status.dataSetDoesNotMatchSopClass,
  unsupported: Status.sopClassNotSupported, 'not-allowed': Status.notAuthorized,
};

/** The one place where Success is said. */
function responseFields(receipt: Receipt): ResponseFields {
  if (receipt.kind === 'accepted' || receipt.kind === 'duplicate') return { status: Status.success };
  if (receipt.kind === 'failed') return { status: Status.outOfResources, errorComment: 'not stored, please send again' };
  const status = statusOfReason[receipt.reason];
  return { status, errorComment: receipt.text || statusPhrase(status), ...(receipt.location ? { offendingElement: receipt.location } : {}) };
}
