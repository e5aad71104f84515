/**
 * PS3.8 section 9.3: the PDUs of an association, as bytes and back. P-DATA-TF is not here: its PDVs are handed on as they pass (pdu-reader.ts).
 * Everything that a peer claims about lengths is checked against the bytes that are there; what it may claim is checked here too,
 * because a wrong claim (257 contexts, a maximum length of 6) is how an upper layer is brought down.
 */
export const PduType = { associateRq: 1, associateAc: 2, associateRj: 3, pDataTf: 4, releaseRq: 5, releaseRp: 6, abort: 7 } as const;
export const applicationContextName = '1.2.840.10008.3.1.1.1';

/** A PDU that the standard does not allow. `abortReason` is the reason/diag. of the A-ABORT that answers it (PS3.8 table 9-26). */
export class InvalidPdu extends Error {
  readonly abortReason: number;
  constructor(text: string, abortReason: number = AbortReason.invalidPduParameter) {
    super(text);
    this.name = 'InvalidPdu';
    this.abortReason = abortReason;
  }
}
export const AbortReason = { notSpecified: 0, unrecognizedPdu: 1, unexpectedPdu: 2, unexpectedPduParameter: 5, invalidPduParameter: 6 } as const;
export const AbortSource = { serviceUser: 0, serviceProvider: 2 } as const;

export interface ProposedContext { readonly id: number; readonly abstractSyntax: string; readonly transferSyntaxes: readonly string[] }
export interface AssociateRequest {
  readonly protocolVersion: number;
  readonly calledAeTitle: string; readonly callingAeTitle: string;
  readonly applicationContextName: string;
  readonly presentationContexts: readonly ProposedContext[];
  /** Largest P-DATA-TF the requestor takes (PS3.8 D.1); 0 is "no limit". */
  readonly maximumLength: number;
  readonly implementationClassUid: string; readonly implementationVersionName: string;
  /** The whole PDU as it came, header included. */
  readonly bytes: Buffer;
}
/** PS3.8 table 9-18. */
export const ContextResult = { acceptance: 0, userRejection: 1, noReason: 2, abstractSyntaxNotSupported: 3, transferSyntaxesNotSupported: 4 } as const;
export interface NegotiatedContext { readonly id: number; readonly result: number; readonly abstractSyntax: string; readonly transferSyntax: string }
/** PS3.8 table 9-21: result 1 permanent, 2 transient; source 1 user, 2 provider (ACSE), 3 provider (presentation). */
export interface Rejection { readonly result: 1 | 2; readonly source: 1 | 2 | 3; readonly reason: number }

interface Item { readonly type: number; readonly body: Buffer }

function* items(bytes: Buffer, where: string): Generator<Item> {
  for (let at = 0; at < bytes.length;) {
    if (at + 4 > bytes.length) throw new InvalidPdu(`${where}: ${bytes.length - at} bytes left over after the last item`);
    const end = at + 4 + bytes.readUInt16BE(at + 2);
    if (end > bytes.length) throw new InvalidPdu(`${where}: item ${hex(bytes[at] ?? 0)} is longer than the PDU`);
    yield { type: bytes[at] ?? 0, body: bytes.subarray(at + 4, end) };
    at = end;
  }
}
const hex = (type: number): string => `${type.toString(16).padStart(2, '0').toUpperCase()}H`;
/** Without padding; what no UID or AE title may hold is made visible and harmless, and nothing is longer than a record of it needs to be. */
export const plainText = (bytes: Buffer): string => bytes.toString('latin1').replace(/[\0 ]+$/, '').trimStart().slice(0, 80).replace(/[^\x20-\x7e]/g, '?');

const fixedPartLength = 68;
const maximumContexts = 128;

/** @param bytes the whole PDU. Throws InvalidPdu. */
export function decodeAssociateRequest(bytes: Buffer): AssociateRequest {
  const body = bytes.subarray(6);
  if (body.length < fixedPartLength) throw new InvalidPdu(`A-ASSOCIATE-RQ of ${body.length} bytes is shorter than its fixed part`);
  const presentationContexts: ProposedContext[] = [];
  let applicationContext = '';
  let user = { maximumLength: 0, implementationClassUid: '', implementationVersionName: '' };
  for (const item of items(body.subarray(fixedPartLength), 'A-ASSOCIATE-RQ')) {
    if (item.type === 0x10) applicationContext = plainText(item.body);
    else if (item.type === 0x20) presentationContexts.push(decodeProposedContext(item.body));
    else if (item.type === 0x50) user = decodeUserInformation(item.body);
    // PS3.8 9.3.1: items of other types are ignored.
  }
  checkContexts(presentationContexts);
  return {
    protocolVersion: body.readUInt16BE(0), calledAeTitle: plainText(body.subarray(4, 20)), callingAeTitle: plainText(body.subarray(20, 36)),
    applicationContextName: applicationContext, presentationContexts, ...user, bytes,
  };
}

function checkContexts(contexts: readonly ProposedContext[]): void {
  if (contexts.length === 0) throw new InvalidPdu('A-ASSOCIATE-RQ proposes no presentation context');
  if (contexts.length > maximumContexts) throw new InvalidPdu(`A-ASSOCIATE-RQ proposes ${contexts.length} presentation contexts; ${maximumContexts} are possible`);
  const seen = new Set<number>();
  for (const { id } of contexts) {
    if (id % 2 === 0) throw new InvalidPdu(`presentation context ID ${id} is not odd`); // PS3.8 9.3.2.2
    if (seen.has(id)) throw new InvalidPdu(`presentation context ID ${id} is proposed twice`);
    seen.add(id);
  }
}

function decodeProposedContext(body: Buffer): ProposedContext {
  if (body.length < 4) throw new InvalidPdu('presentation context item is shorter than its fixed part');
  let abstractSyntax = '';
  const transferSyntaxes: string[] = [];
  for (const item of items(body.subarray(4), 'presentation context')) {
    if (item.type === 0x30) abstractSyntax = plainText(item.body);
    else if (item.type === 0x40) transferSyntaxes.push(plainText(item.body));
  }
  return { id: body[0] ?? 0, abstractSyntax, transferSyntaxes };
}

function decodeUserInformation(body: Buffer): { maximumLength: number; implementationClassUid: string; implementationVersionName: string } {
  let maximumLength = 0, implementationClassUid = '', implementationVersionName = '';
  for (const item of items(body, 'user information')) {
    if (item.type === 0x51) {
      if (item.body.length !== 4) throw new InvalidPdu('maximum length sub-item is not 4 bytes');
      maximumLength = item.body.readUInt32BE(0);
    } else if (item.type === 0x52) implementationClassUid = plainText(item.body);
    else if (item.type === 0x55) implementationVersionName = plainText(item.body);
  }
  return { maximumLength, implementationClassUid, implementationVersionName };
}

const encodeItem = (type: number, body: Buffer): Buffer => {
  const head = Buffer.alloc(4);
  head[0] = type;
  head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
};
const encodePdu = (type: number, body: Buffer): Buffer => {
  const head = Buffer.alloc(6);
  head[0] = type;
  head.writeUInt32BE(body.length, 2);
  return Buffer.concat([head, body]);
};
const text = (value: string): Buffer => Buffer.from(value, 'latin1');
const uint32 = (value: number): Buffer => { const bytes = Buffer.alloc(4); bytes.writeUInt32BE(value); return bytes; };

export interface Implementation { readonly classUid: string; readonly versionName: string }

/** A-ASSOCIATE-AC for a request: its AE titles come back as they were sent (PS3.8 table 9-17). */
export function encodeAssociateAccept(request: AssociateRequest, contexts: readonly NegotiatedContext[], maximumLength: number, implementation: Implementation): Buffer {
  const contextItems = contexts.map(({ id, result, transferSyntax }) =>
    encodeItem(0x21, Buffer.concat([Buffer.from([id, 0, result, 0]), encodeItem(0x40, text(transferSyntax))])));
  const userInformation = encodeItem(0x50, Buffer.concat([
    encodeItem(0x51, uint32(maximumLength)), encodeItem(0x52, text(implementation.classUid)), encodeItem(0x55, text(implementation.versionName)),
  ]));
  const fixedPart = Buffer.from(request.bytes.subarray(6, 6 + fixedPartLength));
  fixedPart.writeUInt16BE(1, 0);
  return encodePdu(PduType.associateAc, Buffer.concat([fixedPart, encodeItem(0x10, text(applicationContextName)), ...contextItems, userInformation]));
}
export const encodeAssociateReject = ({ result, source, reason }: Rejection): Buffer => encodePdu(PduType.associateRj, Buffer.from([0, result, source, reason]));
export const encodeReleaseResponse = (): Buffer => encodePdu(PduType.releaseRp, Buffer.alloc(4));
export const encodeAbort = (source: number, reason: number): Buffer => encodePdu(PduType.abort, Buffer.from([0, 0, source, reason]));

/** One P-DATA-TF with one PDV that holds a whole command set (PS3.8 9.3.5.1, message control header: command, last fragment). */
export function encodeCommandPdu(contextId: number, command: Buffer): Buffer {
  const head = Buffer.alloc(6);
  head.writeUInt32BE(command.length + 2);
  head[4] = contextId;
  head[5] = 0b11;
  return encodePdu(PduType.pDataTf, Buffer.concat([head, command]));
}
