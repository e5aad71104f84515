/**
 * The command set of a DIMSE message (PS3.7 section 6.3, annex E): group 0000 in Implicit VR Little Endian, sorted, each element once.
 * Only what the services of this folder need is named; other elements are skipped.
 */
import { plainText } from './pdu.ts';

export const CommandField = {
  cStoreRq: 0x0001, cStoreRsp: 0x8001, cGetRq: 0x0010, cFindRq: 0x0020, cMoveRq: 0x0021, cEchoRq: 0x0030, cEchoRsp: 0x8030, cCancelRq: 0x0fff,
  nEventReportRq: 0x0100, nEventReportRsp: 0x8100, nSetRq: 0x0120, nActionRq: 0x0130, nCreateRq: 0x0140,
} as const;
const requestNames: ReadonlyMap<number, string> = new Map([
  [CommandField.cStoreRq, 'C-STORE'], [CommandField.cGetRq, 'C-GET'], [CommandField.cFindRq, 'C-FIND'], [CommandField.cMoveRq, 'C-MOVE'], [CommandField.cEchoRq, 'C-ECHO'], [CommandField.cCancelRq, 'C-CANCEL'],
  [CommandField.nEventReportRq, 'N-EVENT-REPORT'], [CommandField.nSetRq, 'N-SET'], [CommandField.nActionRq, 'N-ACTION'], [CommandField.nCreateRq, 'N-CREATE'],
]);
/** 'C-STORE'; 'other' for a command that is none of ours. */
export const requestName = (commandField: number): string => requestNames.get(commandField) ?? 'other';

/** Set in the Command Field of every response. */
export const responseBit = 0x8000;
const noDataSet = 0x0101, dataSetFollows = 0x0001, mediumPriority = 0x0000;

export class InvalidCommandSet extends Error { override readonly name = 'InvalidCommandSet' }

export interface CommandSet {
  readonly commandField: number;
  readonly messageId: number;
  /** Of a response or a C-CANCEL-RQ; 0 in other requests. */
  readonly messageIdBeingRespondedTo: number;
  /** Of a response. */
  readonly status: number | undefined;
  readonly hasDataSet: boolean;
  readonly affectedSopClassUid: string;
  readonly affectedSopInstanceUid: string;
  readonly moveOriginatorAeTitle: string;
  readonly moveOriginatorMessageId: number | undefined;
  /** N-SET and N-ACTION name their object so. */
  readonly requestedSopClassUid: string;
  readonly requestedSopInstanceUid: string;
  readonly moveDestination: string;
  /** Action Type ID (0000,1008) of N-ACTION. */
  readonly actionTypeId: number | undefined;
  /** Event Type ID (0000,1002) of N-EVENT-REPORT. */
  readonly eventTypeId: number | undefined;
  /** Error Comment (0000,0902) of a response; '' when there is none. The peer's words: they may name a patient. */
  readonly errorComment: string;
  /** Sub-operations (0000,1020-1023) that a response to C-MOVE or C-GET counts; undefined where it counts none. */
  readonly subOperations: SubOperations | undefined;
}
export interface SubOperations { readonly remaining?: number; readonly completed: number; readonly failed: number; readonly warning: number }

/** Throws InvalidCommandSet. */
export function decodeCommandSet(bytes: Buffer): CommandSet {
  const elements = decodeElements(bytes);
  const commandField = uint16(elements, 0x0100, 'Command Field (0000,0100)');
  const isRequest = (commandField & responseBit) === 0 && commandField !== CommandField.cCancelRq;
  return {
    commandField,
    messageId: isRequest ? uint16(elements, 0x0110, 'Message ID (0000,0110)') : 0,
    hasDataSet: uint16(elements, 0x0800, 'Command Data Set Type (0000,0800)') !== noDataSet,
    affectedSopClassUid: text(elements, 0x0002),
    affectedSopInstanceUid: text(elements, 0x1000),
    moveOriginatorAeTitle: text(elements, 0x1030),
    moveOriginatorMessageId: optionalUint16(elements, 0x1031),
    messageIdBeingRespondedTo: isRequest ? 0 : optionalUint16(elements, 0x0120) ?? 0,
    status: optionalUint16(elements, 0x0900),
    requestedSopClassUid: text(elements, 0x0003),
    requestedSopInstanceUid: text(elements, 0x1001),
    moveDestination: text(elements, 0x0600),
    actionTypeId: optionalUint16(elements, 0x1008),
    eventTypeId: optionalUint16(elements, 0x1002),
    errorComment: text(elements, 0x0902),
    subOperations: subOperationsOf(elements),
  };
}

function subOperationsOf(elements: Map<number, Buffer>): SubOperations | undefined {
  const [remaining, completed, failed, warning] = [0x1020, 0x1021, 0x1022, 0x1023].map((element) => optionalUint16(elements, element));
  if (completed === undefined && failed === undefined && warning === undefined && remaining === undefined) return undefined;
  return { ...(remaining === undefined ? {} : { remaining }), completed: completed ?? 0, failed: failed ?? 0, warning: warning ?? 0 };
}

function decodeElements(bytes: Buffer): Map<number, Buffer> {
  const elements = new Map<number, Buffer>();
  for (let at = 0; at < bytes.length;) {
    if (at + 8 > bytes.length) throw new InvalidCommandSet('the command set ends inside an element');
    if (bytes.readUInt16LE(at) !== 0) throw new InvalidCommandSet('the command set holds an element that is not of group 0000');
    const end = at + 8 + bytes.readUInt32LE(at + 4);
    if (end > bytes.length) throw new InvalidCommandSet('an element of the command set is longer than the command set');
    elements.set(bytes.readUInt16LE(at + 2), bytes.subarray(at + 8, end));
    at = end;
  }
  return elements;
}
function uint16(elements: Map<number, Buffer>, element: number, name: string): number {
  const value = elements.get(element);
  if (value?.length !== 2) throw new InvalidCommandSet(`${name} is missing or not two bytes`);
  return value.readUInt16LE(0);
}
function optionalUint16(elements: Map<number, Buffer>, element: number): number | undefined {
  const value = elements.get(element);
  return value?.length === 2 ? value.readUInt16LE(0) : undefined;
}
const text = (elements: Map<number, Buffer>, element: number): string => plainText(elements.get(element) ?? Buffer.alloc(0));

export interface ResponseFields {
  readonly status: number;
  /** Error Comment (0000,0902): LO, at most 64 characters of the default repertoire. */
  readonly errorComment?: string;
  /** Offending Element (0000,0901), e.g. '(0020,000D)'; anything else is left out. */
  readonly offendingElement?: string;
  /** A data set follows. */
  readonly hasDataSet?: boolean;
  /** The instance that an N-CREATE made, when the request left its name to us. */
  readonly affectedSopInstanceUid?: string;
  /** Sub-operations of C-MOVE and C-GET (0000,1020-1023). */
  readonly subOperations?: SubOperations;
}

/** The response to a request: UIDs are sent back as they came (PS3.7 9.3.1.2); Requested UIDs come back as Affected ones (10.3.4.2). */
export function encodeResponse(request: CommandSet, fields: ResponseFields): Buffer {
  const offending = /^\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)$/.exec(fields.offendingElement ?? '');
  const elements: Elements = [
    [0x0002, paddedUid(request.affectedSopClassUid || request.requestedSopClassUid)],
    [0x0100, us(request.commandField | responseBit)],
    [0x0120, us(request.messageId)],
    [0x0800, us(fields.hasDataSet ? dataSetFollows : noDataSet)],
    [0x0900, us(fields.status)],
  ];
  if (offending) elements.push([0x0901, us(parseInt(offending[1] ?? '', 16), parseInt(offending[2] ?? '', 16))]);
  if (fields.errorComment) elements.push([0x0902, paddedComment(fields.errorComment)]);
  elements.push([0x1000, paddedUid(fields.affectedSopInstanceUid ?? (request.affectedSopInstanceUid || request.requestedSopInstanceUid))]);
  if (request.eventTypeId !== undefined) elements.push([0x1002, us(request.eventTypeId)]);
  if (request.actionTypeId !== undefined) elements.push([0x1008, us(request.actionTypeId)]);
  if (fields.subOperations) elements.push(...countsOf(fields.subOperations));
  return encodeCommand(elements);
}

function countsOf({ remaining, completed, failed, warning }: SubOperations): Elements {
  const most = 0xffff;
  return [...(remaining === undefined ? [] : [[0x1020, us(Math.min(remaining, most))] as const]), [0x1021, us(Math.min(completed, most))], [0x1022, us(Math.min(failed, most))], [0x1023, us(Math.min(warning, most))]];
}

export interface StoreRequest { readonly sopClassUid: string; readonly sopInstanceUid: string; readonly messageId: number; readonly moveOriginator?: { readonly aeTitle: string; readonly messageId: number } }

/** C-STORE-RQ of a sub-operation or of our own (PS3.7 9.3.1.1). */
export function encodeStoreRequest({ sopClassUid, sopInstanceUid, messageId, moveOriginator }: StoreRequest): Buffer {
  return encodeCommand([
    [0x0002, paddedUid(sopClassUid)], [0x0100, us(CommandField.cStoreRq)], [0x0110, us(messageId)], [0x0700, us(mediumPriority)], [0x0800, us(dataSetFollows)], [0x1000, paddedUid(sopInstanceUid)],
    ...(moveOriginator ? [[0x1030, padded(moveOriginator.aeTitle, ' ')] as const, [0x1031, us(moveOriginator.messageId)] as const] : []),
  ]);
}

/** C-ECHO-RQ (PS3.7 9.3.5.1). */
export const encodeEchoRequest = (messageId: number): Buffer =>
  encodeCommand([[0x0002, paddedUid('1.2.840.10008.1.1')], [0x0100, us(CommandField.cEchoRq)], [0x0110, us(messageId)], [0x0800, us(noDataSet)]]);

/** N-EVENT-REPORT-RQ (PS3.7 10.3.1.1). */
export function encodeEventReport(sopClassUid: string, sopInstanceUid: string, messageId: number, eventTypeId: number): Buffer {
  return encodeCommand([
    [0x0002, paddedUid(sopClassUid)], [0x0100, us(CommandField.nEventReportRq)], [0x0110, us(messageId)], [0x0800, us(dataSetFollows)], [0x1000, paddedUid(sopInstanceUid)], [0x1002, us(eventTypeId)],
  ]);
}

export interface QueryRequest { readonly sopClassUid: string; readonly messageId: number }

/** C-FIND-RQ, C-GET-RQ (PS3.7 9.3.2.1, 9.3.3.1); C-MOVE-RQ names where to (9.3.4.1). An identifier follows. */
export const encodeFindRequest = (request: QueryRequest): Buffer => encodeQuery(CommandField.cFindRq, request);
export const encodeGetRequest = (request: QueryRequest): Buffer => encodeQuery(CommandField.cGetRq, request);
export const encodeMoveRequest = (request: QueryRequest & { readonly destinationAeTitle: string }): Buffer => encodeQuery(CommandField.cMoveRq, request, [[0x0600, padded(request.destinationAeTitle, ' ')]]);

const encodeQuery = (commandField: number, { sopClassUid, messageId }: QueryRequest, more: Elements = []): Buffer => encodeCommand([
  [0x0002, paddedUid(sopClassUid)], [0x0100, us(commandField)], [0x0110, us(messageId)], ...more, [0x0700, us(mediumPriority)], [0x0800, us(dataSetFollows)],
]);

/** C-CANCEL-RQ (PS3.7 9.3.2.3): has no answer of its own. */
export const encodeCancel = (messageIdBeingCancelled: number): Buffer => encodeCommand([[0x0100, us(CommandField.cCancelRq)], [0x0120, us(messageIdBeingCancelled)], [0x0800, us(noDataSet)]]);

/** N-ACTION-RQ (PS3.7 10.3.4.1). Action information follows. */
export function encodeAction(sopClassUid: string, sopInstanceUid: string, messageId: number, actionTypeId: number): Buffer {
  return encodeCommand([
    [0x0003, paddedUid(sopClassUid)], [0x0100, us(CommandField.nActionRq)], [0x0110, us(messageId)], [0x0800, us(dataSetFollows)], [0x1001, paddedUid(sopInstanceUid)], [0x1008, us(actionTypeId)],
  ]);
}

type Elements = (readonly [number, Buffer])[];

/** With its Command Group Length; empty elements are left out. */
function encodeCommand(elements: Elements): Buffer {
  const written = elements.filter(([, value]) => value.length > 0);
  const byteLength = written.reduce((sum, [, value]) => sum + 8 + value.length, 0);
  const bytes = Buffer.alloc(12 + byteLength);
  bytes.writeUInt32LE(4, 4);
  bytes.writeUInt32LE(byteLength, 8);
  let at = 12;
  for (const [element, value] of written) {
    bytes.writeUInt16LE(element, at + 2);
    bytes.writeUInt32LE(value.length, at + 4);
    at += 8 + value.copy(bytes, at + 8);
  }
  return bytes;
}
const us = (...values: number[]): Buffer => {
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, index) => bytes.writeUInt16LE(value, 2 * index));
  return bytes;
};
const padded = (value: string, pad: string): Buffer => Buffer.from(value.length % 2 === 0 ? value : value + pad, 'latin1');
const paddedUid = (value: string): Buffer => padded(value, '\0');
// Command elements know no Specific Character Set: what is outside ISO-IR 6 cannot be said here (PS3.7 6.3.1).
const paddedComment = (value: string): Buffer => padded(value.replace(/[^\x20-\x5b\x5d-\x7e]/g, '?').slice(0, 64), ' ');
