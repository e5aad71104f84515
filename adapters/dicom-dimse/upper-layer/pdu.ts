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
  /** SCP/SCU role selection (PS3.7 D.3.3.4) by SOP class, as proposed. */
  readonly roles: ReadonlyMap<string, Role>;
  /** The whole PDU as it came, header included. */
  readonly bytes: Buffer;
}
/** What the requestor may be on contexts of a SOP class. Without a negotiation: SCU and not SCP. */
export interface Role { readonly scu: boolean; readonly scp: boolean }
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
  let user: UserInformation = { maximumLength: 0, implementationClassUid: '', implementationVersionName: '', roles: new Map() };
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

type UserInformation = Pick<AssociateRequest, 'maximumLength' | 'implementationClassUid' | 'implementationVersionName' | 'roles'>;

function decodeUserInformation(body: Buffer): UserInformation {
  let maximumLength = 0, implementationClassUid = '', implementationVersionName = '';
  const roles = new Map<string, Role>();
  for (const item of items(body, 'user information')) {
    if (item.type === 0x51) {
      if (item.body.length !== 4) throw new InvalidPdu('maximum length sub-item is not 4 bytes');
      maximumLength = item.body.readUInt32BE(0);
    } else if (item.type === 0x52) implementationClassUid = plainText(item.body);
    else if (item.type === 0x55) implementationVersionName = plainText(item.body);
    else if (item.type === 0x54) decodeRole(item.body, roles);
  }
  return { maximumLength, implementationClassUid, implementationVersionName, roles };
}
function decodeRole(body: Buffer, roles: Map<string, Role>): void {
  const length = body.length < 4 ? 0 : body.readUInt16BE(0);
  if (length === 0 || body.length < length + 4) throw new InvalidPdu('role selection sub-item is shorter than it says');
  roles.set(plainText(body.subarray(2, 2 + length)), { scu: body[2 + length] === 1, scp: body[3 + length] === 1 });
}
const encodeRole = ([uid, { scu, scp }]: readonly [string, Role]): Buffer => {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(uid.length);
  return encodeItem(0x54, Buffer.concat([length, text(uid), Buffer.from([Number(scu), Number(scp)])]));
};

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
    ...acceptedRoles(request, contexts).map(encodeRole),
  ]));
  const fixedPart = Buffer.from(request.bytes.subarray(6, 6 + fixedPartLength));
  fixedPart.writeUInt16BE(1, 0);
  return encodePdu(PduType.associateAc, Buffer.concat([fixedPart, encodeItem(0x10, text(applicationContextName)), ...contextItems, userInformation]));
}
/** Roles are taken as proposed, on accepted contexts only. */
function acceptedRoles(request: AssociateRequest, contexts: readonly NegotiatedContext[]): (readonly [string, Role])[] {
  return [...request.roles].filter(([uid]) => contexts.some(({ abstractSyntax, result }) => abstractSyntax === uid && result === ContextResult.acceptance));
}
export const encodeAssociateReject = ({ result, source, reason }: Rejection): Buffer => encodePdu(PduType.associateRj, Buffer.from([0, result, source, reason]));
export const encodeReleaseResponse = (): Buffer => encodePdu(PduType.releaseRp, Buffer.alloc(4));
export const encodeAbort = (source: number, reason: number): Buffer => encodePdu(PduType.abort, Buffer.from([0, 0, source, reason]));

/** One P-DATA-TF with one PDV that holds a whole command set (PS3.8 9.3.5.1, message control header: command, last fragment). */
export const encodeCommandPdu = (contextId: number, command: Buffer): Buffer => encodePdv(contextId, command, 0b11);

/** One P-DATA-TF with a fragment of a data set. */
export const encodeDataPdu = (contextId: number, fragment: Buffer, isLast: boolean): Buffer => encodePdv(contextId, fragment, isLast ? 0b10 : 0b00);

function encodePdv(contextId: number, fragment: Buffer, controlHeader: number): Buffer {
  const head = Buffer.alloc(6);
  head.writeUInt32BE(fragment.length + 2);
  head[4] = contextId;
  head[5] = controlHeader;
  return encodePdu(PduType.pDataTf, Buffer.concat([head, fragment]));
}

export interface AssociateProposal {
  readonly calledAeTitle: string; readonly callingAeTitle: string; readonly contexts: readonly ProposedContext[]; readonly roles?: ReadonlyMap<string, Role>; readonly maximumLength: number; readonly implementation: Implementation;
}

export function encodeAssociateRequest(proposal: AssociateProposal): Buffer {
  const fixedPart = Buffer.alloc(fixedPartLength);
  fixedPart.writeUInt16BE(1, 0);
  fixedPart.write(proposal.calledAeTitle.padEnd(16), 4, 'latin1');
  fixedPart.write(proposal.callingAeTitle.padEnd(16), 20, 'latin1');
  const contexts = proposal.contexts.map(({ id, abstractSyntax, transferSyntaxes }) =>
    encodeItem(0x20, Buffer.concat([Buffer.from([id, 0, 0, 0]), encodeItem(0x30, text(abstractSyntax)), ...transferSyntaxes.map((uid) => encodeItem(0x40, text(uid)))])));
  const userInformation = encodeItem(0x50, Buffer.concat([
    encodeItem(0x51, uint32(proposal.maximumLength)), encodeItem(0x52, text(proposal.implementation.classUid)), encodeItem(0x55, text(proposal.implementation.versionName)), ...[...(proposal.roles ?? [])].map(encodeRole),
  ]));
  return encodePdu(PduType.associateRq, Buffer.concat([fixedPart, encodeItem(0x10, text(applicationContextName)), ...contexts, userInformation]));
}

export interface AssociateAccept { readonly maximumLength: number; readonly contexts: readonly { readonly id: number; readonly result: number; readonly transferSyntax: string }[]; readonly roles: ReadonlyMap<string, Role> }

/** @param bytes the whole PDU. Throws InvalidPdu. */
export function decodeAssociateAccept(bytes: Buffer): AssociateAccept {
  const body = bytes.subarray(6);
  if (body.length < fixedPartLength) throw new InvalidPdu(`A-ASSOCIATE-AC of ${body.length} bytes is shorter than its fixed part`);
  const contexts: { id: number; result: number; transferSyntax: string }[] = [];
  let user: UserInformation | undefined;
  for (const item of items(body.subarray(fixedPartLength), 'A-ASSOCIATE-AC')) {
    if (item.type === 0x50) user = decodeUserInformation(item.body);
    if (item.type !== 0x21 || item.body.length < 4) continue;
    const [syntax] = [...items(item.body.subarray(4), 'presentation context')].filter(({ type }) => type === 0x40);
    contexts.push({ id: item.body[0] ?? 0, result: item.body[2] ?? 0, transferSyntax: syntax ? plainText(syntax.body) : '' });
  }
  return { contexts, maximumLength: user?.maximumLength ?? 0, roles: user?.roles ?? new Map() };
}
export const encodeReleaseRequest = (): Buffer => encodePdu(PduType.releaseRq, Buffer.alloc(4));
