/**
 * One object of a STOW-RS request, or of an answer to our WADO-RS request: its bytes -> temporary file, SHA-256, head -> finish(): file durable -> receive(): rows and job durable.
 *
 * Reading and committing are two promises, so that the next part is read while this one is synced and committed: many of them then share
 * one commit. A rejected object stays in the store, so that it can be replayed; one that never ended leaves nothing.
 */
import { createHash, type Hash } from 'node:crypto';
import type { AdapterContext, InboundMessage, Integration, ObjectWriter, Peer, Receipt, Receive, Refusal, StoredObject } from '#gateway/adapter.ts';
import { DatasetHead } from '#standards/dicom/dataset-head.ts';
import { failpoint } from '#src/failpoint.ts';
import type { Config } from './config.ts';
import { openingBytes, readOpening, type FileOpening, type NamedUids } from './file-opening.ts';

export interface StoreRequest {
  readonly interaction: 'STOW-RS' | 'WADO-RS instance';
  readonly integration: Integration<Config>; readonly peer: Peer; readonly receive: Receive; readonly context: AdapterContext;
  /** Of the target resource, or the one that was asked for: every object must belong to it. */
  readonly study: string | undefined;
  /** Says why an object is none of those that are wanted, by what its opening tells. */
  admit?(uids: NamedUids): Refusal | undefined;
}
/** What could be read of the object, and what became of it. */
export interface StoredPart extends NamedUids { readonly receipt: Receipt }

/** The object is larger than the integration takes; nothing more of the request is read. */
export class TooLargeError extends Error {
  readonly part: Promise<StoredPart>;
  constructor(text: string, part: Promise<StoredPart>) {
    super(text);
    this.name = 'TooLargeError';
    this.part = part;
  }
}

/** Resolves when the part has been read. `stored` settles later and never rejects. Rejects, leaving nothing, when the bytes end early. */
export async function storePart(bytes: AsyncIterable<Buffer>, request: StoreRequest): Promise<{ readonly stored: Promise<StoredPart> }> {
  const receivedAt = request.context.now();
  const part = new IncomingPart(request, receivedAt);
  try {
    for await (const chunk of bytes) await part.write(chunk);
    await part.open();
  } catch (error) {
    await part.abort();
    if (!(error instanceof ObjectTooLarge)) throw error;
    throw new TooLargeError(error.message, part.refuse({ reason: 'unsupported', text: error.message }));
  }
  return { stored: part.commit() };
}

class ObjectTooLarge extends Error {}

class IncomingPart {
  readonly #request: StoreRequest;
  readonly #receivedAt: Date;
  readonly #sha256: Hash = createHash('sha256');
  #opening: Buffer[] | undefined = [];
  #sentBytes = 0;
  #byteSize = 0;
  #file: FileOpening | undefined;
  #refusal: Refusal | undefined;
  #uids: NamedUids = {};
  #head: DatasetHead | undefined;
  #kept: Buffer = Buffer.alloc(0);
  #writer: ObjectWriter | undefined;
  #writeFailure: unknown;

  constructor(request: StoreRequest, receivedAt: Date) {
    this.#request = request;
    this.#receivedAt = receivedAt;
  }

  async write(chunk: Buffer): Promise<void> {
    this.#sentBytes += chunk.length;
    const { maximum_object_megabytes: most } = this.#request.integration.config;
    if (this.#sentBytes > most * 1024 * 1024) throw new ObjectTooLarge(`the object is larger than ${most} MiB (setting maximum_object_megabytes)`);
    if (this.#opening === undefined) return this.#dataset(chunk);
    this.#opening.push(chunk);
    if (this.#sentBytes >= openingBytes) await this.open();
  }

  /** Reads the opening and begins the file; once, when enough has come or the part has ended. */
  async open(): Promise<void> {
    if (this.#opening === undefined) return;
    const sent = Buffer.concat(this.#opening);
    this.#opening = undefined;
    const read = readOpening(sent, this.#request.integration.config);
    const refusal = 'refusal' in read ? read.refusal : this.#request.admit?.(read.file);
    if ('refusal' in read || refusal) {
      this.#refusal = refusal;
      this.#uids = 'refusal' in read ? read.uids : read.file;
      this.#kept = sent.subarray(0, openingBytes);
      this.#sha256.update(sent);
      this.#byteSize = sent.length;
      return;
    }
    this.#file = read.file;
    this.#uids = read.file;
    this.#head = new DatasetHead(read.file.prefix, read.file.transferSyntaxUid);
    failpoint('stow.accepted');
    try {
      this.#writer = await this.#request.context.store({ extension: '.dcm' });
      await this.#writer.write(read.file.prefix);
    } catch (error) {
      this.#writeFailure = error ?? new Error('the store could not be opened');
    }
    await this.#dataset(sent.subarray(read.file.sentDatasetOffset));
  }

  async #dataset(bytes: Buffer): Promise<void> {
    this.#byteSize += bytes.length;
    this.#sha256.update(bytes);
    this.#head?.add(bytes);
    if (this.#refusal !== undefined || this.#writeFailure !== undefined) return; // read to its end all the same: the parts behind it may be fine
    try {
      const wait = this.#writer?.write(bytes);
      if (wait) await wait;
    } catch (error) {
      this.#writeFailure = error ?? new Error('the object could not be written');
    }
  }

  async abort(): Promise<void> {
    await this.#writer?.abort().catch(() => undefined);
  }

  /** Never rejects. */
  async commit(): Promise<StoredPart> {
    if (this.#refusal !== undefined) return this.refuse(this.#refusal);
    try {
      if (this.#writer === undefined || this.#writeFailure !== undefined) throw this.#writeFailure ?? new Error('no writer');
      const object = await this.#writer.finish();
      return this.#part(await this.#ask(object));
    } catch (error) {
      this.#request.context.log.error({ error: error instanceof Error ? error.message : String(error), sopInstanceUid: this.#uids.sopInstanceUid }, 'a received object could not be written');
      await this.abort();
      return this.#part(ourTrouble);
    }
  }

  async refuse(refusal: Refusal): Promise<StoredPart> {
    return this.#part(await this.#ask(undefined, refusal));
  }

  #part(receipt: Receipt): StoredPart {
    const { sopClassUid, sopInstanceUid, studyInstanceUid } = this.#uids;
    return { ...(sopClassUid ? { sopClassUid } : {}), ...(sopInstanceUid ? { sopInstanceUid } : {}), ...(studyInstanceUid ? { studyInstanceUid } : {}), receipt };
  }

  async #ask(object: StoredObject | undefined, refusal?: Refusal): Promise<Receipt> {
    try {
      return await this.#request.receive(this.#message(object), refusal);
    } catch (error) {
      this.#request.context.log.error({ error: error instanceof Error ? error.message : String(error) }, 'a received object could not be recorded');
      return ourTrouble;
    }
  }

  #message(object: StoredObject | undefined): InboundMessage {
    const { integration, interaction, peer, study } = this.#request;
    const sha256 = this.#sha256.copy().digest('hex');
    const facts = this.#file === undefined ? this.#uids : {
      sopClassUid: this.#file.sopClassUid, sopInstanceUid: this.#file.sopInstanceUid, transferSyntaxUid: this.#file.transferSyntaxUid,
      datasetOffset: this.#file.prefix.length, implementationVersionName: this.#file.implementationVersionName,
    };
    return {
      integration, interaction, controlId: this.#uids.sopInstanceUid?.slice(0, 64) || sha256.slice(0, 32), receivedAt: this.#receivedAt,
      peer, head: this.#head?.bytes() ?? this.#kept, sha256, byteSize: this.#byteSize,
      facts: { ...(study === undefined ? {} : { targetStudyInstanceUid: study }), ...facts, ...(interaction === 'WADO-RS instance' ? { retrieved: 'WADO-RS' } : {}) }, ...(object ? { object } : {}),
    };
  }
}

const ourTrouble: Receipt = { kind: 'failed', text: 'the gateway could not store this now; try again', retryable: true, exchangeId: undefined, answered() { /* there is no exchange */ } };
