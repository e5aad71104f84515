/** A DICOM peer that is made of bytes: sends whatever it is told to, in any pieces, and reads the PDUs that come back. */
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { once } from 'node:events';

export interface ContextProposal { readonly id: number; readonly abstractSyntax: string; readonly transferSyntaxes: readonly string[] }
export const ctImageStorage = '1.2.840.10008.5.1.4.1.1.2';
export const implicitLittleEndian = '1.2.840.10008.1.2';
export const explicitLittleEndian = '1.2.840.10008.1.2.1';
export const verificationContext: ContextProposal = { id: 1, abstractSyntax: '1.2.840.10008.1.1', transferSyntaxes: [implicitLittleEndian] };
export const ctContext: ContextProposal = { id: 3, abstractSyntax: ctImageStorage, transferSyntaxes: [explicitLittleEndian, implicitLittleEndian] };

const item = (type: number, body: Buffer): Buffer => {
  const head = Buffer.from([type, 0, 0, 0]);
  head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
};
export const pdu = (type: number, body: Buffer): Buffer => {
  const head = Buffer.from([type, 0, 0, 0, 0, 0]);
  head.writeUInt32BE(body.length, 2);
  return Buffer.concat([head, body]);
};

export interface AssociateOptions { called?: string; calling?: string; contexts?: readonly ContextProposal[]; maximumLength?: number; applicationContext?: string; protocolVersion?: number; /** SOP classes that the peer wants to be SCP of. */ scpOf?: readonly string[] }
export function associateRequest({ called = 'MEDSCAN', calling = 'CT1', contexts = [verificationContext, ctContext], maximumLength = 16384, applicationContext = '1.2.840.10008.3.1.1.1', protocolVersion = 1, scpOf = [] }: AssociateOptions = {}): Buffer {
  const fixed = Buffer.alloc(68);
  fixed.writeUInt16BE(protocolVersion);
  fixed.write(called.padEnd(16), 4, 'latin1');
  fixed.write(calling.padEnd(16), 20, 'latin1');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(maximumLength);
  return pdu(1, Buffer.concat([
    fixed, item(0x10, Buffer.from(applicationContext)),
    ...contexts.map(({ id, abstractSyntax, transferSyntaxes }) =>
      item(0x20, Buffer.concat([Buffer.from([id, 0, 0, 0]), item(0x30, Buffer.from(abstractSyntax)), ...transferSyntaxes.map((uid) => item(0x40, Buffer.from(uid)))]))),
    item(0x50, Buffer.concat([item(0x51, length), item(0x52, Buffer.from('1.2.3.4')), item(0x55, Buffer.from('BYTES_1')),
      ...scpOf.map((uid) => item(0x54, Buffer.concat([Buffer.from([0, uid.length]), Buffer.from(uid), Buffer.from([0, 1])])))])),
  ]));
}

export const pdv = (contextId: number, flags: number, data: Buffer): Buffer => {
  const head = Buffer.alloc(6);
  head.writeUInt32BE(data.length + 2);
  head[4] = contextId;
  head[5] = flags;
  return Buffer.concat([head, data]);
};
export const pData = (...pdvs: Buffer[]): Buffer => pdu(4, Buffer.concat(pdvs));
export const releaseRequest = pdu(5, Buffer.alloc(4));

const element = (number: number, value: Buffer): Buffer => {
  const head = Buffer.alloc(8);
  head.writeUInt16LE(number, 2);
  head.writeUInt32LE(value.length, 4);
  return Buffer.concat([head, value]);
};
const us = (value: number): Buffer => { const bytes = Buffer.alloc(2); bytes.writeUInt16LE(value); return bytes; };
const ui = (value: string): Buffer => Buffer.from(value.length % 2 ? `${value}\0` : value, 'latin1');

export function command(field: number, messageId: number, options: { sopClass?: string; sopInstance?: string; dataSet?: boolean } = {}): Buffer {
  const body = Buffer.concat([
    ...(options.sopClass === undefined ? [] : [element(0x0002, ui(options.sopClass))]),
    element(0x0100, us(field)), element(0x0110, us(messageId)), element(0x0700, us(0)), element(0x0800, us(options.dataSet ? 0 : 0x0101)),
    ...(options.sopInstance === undefined ? [] : [element(0x1000, ui(options.sopInstance))]),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  return Buffer.concat([element(0, length), body]);
}
export const storeCommand = (sopInstance: string, messageId = 1, sopClass = ctImageStorage): Buffer => command(0x0001, messageId, { sopClass, sopInstance, dataSet: true });
export const echoCommand = (messageId = 1): Buffer => command(0x0030, messageId, { sopClass: '1.2.840.10008.1.1' });

/** The PDUs of a C-STORE: the command, then the data set in fragments of `fragmentLength`. */
export function storePdus(sopInstance: string, dataset: Buffer, { contextId = 3, messageId = 1, fragmentLength = 16000, sopClass = ctImageStorage } = {}): Buffer {
  const pdus = [pData(pdv(contextId, 3, storeCommand(sopInstance, messageId, sopClass)))];
  for (let at = 0; at < dataset.length; at += fragmentLength) {
    pdus.push(pData(pdv(contextId, at + fragmentLength >= dataset.length ? 2 : 0, dataset.subarray(at, at + fragmentLength))));
  }
  return Buffer.concat(pdus);
}

/** A small CT in Explicit VR Little Endian with `pixelByteLength` bytes of Pixel Data. */
export function ctDataset(sopInstance: string, pixelByteLength = 2048): Buffer {
  const explicit = (group: number, number: number, vr: string, value: string | Buffer): Buffer => {
    const raw = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
    const padded = raw.length % 2 ? Buffer.concat([raw, Buffer.from(vr === 'UI' ? '\0' : ' ')]) : raw;
    const isLong = vr === 'OW' || vr === 'SQ';
    const head = Buffer.alloc(isLong ? 12 : 8);
    head.writeUInt16LE(group);
    head.writeUInt16LE(number, 2);
    head.write(vr, 4, 'latin1');
    if (isLong) head.writeUInt32LE(padded.length, 8); else head.writeUInt16LE(padded.length, 6);
    return Buffer.concat([head, padded]);
  };
  return Buffer.concat([
    explicit(0x0008, 0x0016, 'UI', ctImageStorage), explicit(0x0008, 0x0018, 'UI', sopInstance), explicit(0x0008, 0x0060, 'CS', 'CT'),
    explicit(0x0010, 0x0010, 'PN', 'Test^Patient'), explicit(0x0010, 0x0020, 'LO', 'P1'),
    explicit(0x0020, 0x000d, 'UI', '1.2.3.1'), explicit(0x0020, 0x000e, 'UI', '1.2.3.1.1'),
    explicit(0x0028, 0x0010, 'US', us(32)), explicit(0x0028, 0x0011, 'US', us(32)),
    explicit(0x7fe0, 0x0010, 'OW', Buffer.alloc(pixelByteLength, 0xa5)),
  ]);
}

export interface ReceivedPdu { readonly type: number; readonly body: Buffer }

export class BytePeer {
  readonly socket: Socket;
  #bytes = Buffer.alloc(0);
  #isClosed = false;
  readonly #changed = new Set<() => void>();
  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => { this.#bytes = Buffer.concat([this.#bytes, chunk]); this.#notify(); });
    socket.on('error', () => { /* 'close' follows */ });
    socket.on('close', () => { this.#isClosed = true; this.#notify(); });
    socket.on('end', () => { this.#isClosed = true; this.#notify(); });
  }
  static async connect(port: number, options: { allowHalfOpen?: boolean } = {}): Promise<BytePeer> {
    const socket = connect({ port, host: '127.0.0.1', ...options });
    await once(socket, 'connect');
    socket.setNoDelay(true);
    return new BytePeer(socket);
  }
  static async associate(port: number, options: AssociateOptions = {}): Promise<BytePeer> {
    const peer = await BytePeer.connect(port);
    peer.send(associateRequest(options));
    const answer = await peer.read();
    if (answer?.type !== 2) throw new Error(`expected A-ASSOCIATE-AC, got ${answer ? `PDU ${answer.type} ${answer.body.toString('hex')}` : 'the end'}`);
    return peer;
  }
  #notify(): void { this.#changed.forEach((listener) => { listener(); }); }
  send(bytes: Buffer): void { this.socket.write(bytes); }
  /** The next PDU, or undefined when the connection ended without one. */
  async read(): Promise<ReceivedPdu | undefined> {
    for (;;) {
      const length = this.#bytes.length >= 6 ? 6 + this.#bytes.readUInt32BE(2) : Infinity;
      if (this.#bytes.length >= length) {
        const next = { type: this.#bytes[0] ?? 0, body: this.#bytes.subarray(6, length) };
        this.#bytes = this.#bytes.subarray(length);
        return next;
      }
      if (this.#isClosed) return undefined;
      await new Promise<void>((resolve) => { const listener = (): void => { this.#changed.delete(listener); resolve(); }; this.#changed.add(listener); });
    }
  }
  /** The next PDU, which must be a response. */
  async readResponse(): Promise<{ field: number; messageId: number; status: number; comment: string }> {
    const next = await this.read();
    if (next?.type !== 4) throw new Error(`expected a response, got ${next ? `PDU ${next.type} ${next.body.toString('hex')}` : 'the end'}`);
    const elements = new Map<number, Buffer>();
    const bytes = next.body.subarray(6);
    for (let at = 0; at < bytes.length;) { const end = at + 8 + bytes.readUInt32LE(at + 4); elements.set(bytes.readUInt16LE(at + 2), bytes.subarray(at + 8, end)); at = end; }
    const number = (key: number): number => elements.get(key)?.readUInt16LE() ?? -1;
    return { field: number(0x0100), messageId: number(0x0120), status: number(0x0900), comment: (elements.get(0x0902)?.toString('latin1') ?? '').trim() };
  }
  async ended(): Promise<void> { while (await this.read() !== undefined) { /* what is still said does not matter */ } }
  reset(): void { this.socket.resetAndDestroy(); }
  close(): void { this.socket.destroy(); }
}
