/**
 * The DICOM File Format (PS3.10 chapter 7): preamble, 'DICM', File Meta Information (group 0002), dataset.
 * Written byte for byte the same for the same object; read with or without each of its parts, for files come without them.
 */
import { explicitLittleEndian, implicitLittleEndian, isVr, readElements, tagAt } from './elements.ts';
import type { Dataset, Encoding } from './elements.ts';
import { explicitVrBigEndian, explicitVrLittleEndian, implicitVrLittleEndian, transferSyntaxOf } from './transfer-syntaxes.ts';
import { isValidUid, trimUid } from './uids.ts';

/** Ours for ever: a random UUID under 2.25 (PS3.5 B.2). Says which software wrote a file or an association, not which object. */
export const implementationClassUid = '2.25.288297177773425564447354879414062152187';
export const implementationVersionName = 'MEDSCAN_GW_0_1';

export interface FileMeta { readonly sopClassUid: string; readonly sopInstanceUid: string; readonly transferSyntaxUid: string }

/** Preamble of zeros, 'DICM' and group 0002: what stands before the dataset in a file. Throws RangeError for a UID that is none. */
export function buildPart10Header({ sopClassUid, sopInstanceUid, transferSyntaxUid }: FileMeta): Buffer {
  const group = Buffer.concat([
    metaElement(0x0001, 'OB', Buffer.from([0, 1])),
    metaElement(0x0002, 'UI', uidValue('SOP Class UID', sopClassUid)),
    metaElement(0x0003, 'UI', uidValue('SOP Instance UID', sopInstanceUid)),
    metaElement(0x0010, 'UI', uidValue('Transfer Syntax UID', transferSyntaxUid)),
    metaElement(0x0012, 'UI', uidValue('Implementation Class UID', implementationClassUid)),
    metaElement(0x0013, 'SH', padded(implementationVersionName, 0x20)),
  ]);
  const groupLength = Buffer.alloc(4);
  groupLength.writeUInt32LE(group.length);
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM', 'latin1'), metaElement(0x0000, 'UL', groupLength), group]);
}

/** Senders' UIDs are kept even when malformed, as far as they can stand in a UI value at all. */
function uidValue(name: string, uid: string): Buffer {
  if (!/^[\x21-\x5b\x5d-\x7e]{1,64}$/.test(uid)) throw new RangeError(`${name} is empty, too long or holds characters that no UID has`);
  return padded(uid, 0);
}
function padded(text: string, pad: number): Buffer {
  return Buffer.from(text.length % 2 === 0 ? text : text + String.fromCharCode(pad), 'latin1');
}
function metaElement(element: number, vr: 'OB' | 'UI' | 'SH' | 'UL', value: Buffer): Buffer {
  const head = Buffer.alloc(vr === 'OB' ? 12 : 8);
  head.writeUInt16LE(0x0002, 0);
  head.writeUInt16LE(element, 2);
  head.write(vr, 4, 'latin1');
  if (vr === 'OB') head.writeUInt32LE(value.length, 8);
  else head.writeUInt16LE(value.length, 6);
  return Buffer.concat([head, value]);
}

export interface Part10Head {
  /** Declared in group 0002, else as `hint` says, else guessed from the dataset's first bytes. */
  readonly transferSyntaxUid: string;
  readonly transferSyntaxSource: 'file meta' | 'hint' | 'guess';
  /** How the dataset's bytes are in fact written; differs from the transfer syntax in some broken files. Not meaningful when deflated. */
  readonly encoding: Encoding;
  readonly datasetOffset: number;
  readonly sopClassUid?: string; readonly sopInstanceUid?: string;
  readonly implementationClassUid?: string; readonly implementationVersionName?: string;
  readonly warnings: readonly string[];
}

/**
 * Finds the dataset in the first bytes of a file, or of a bare dataset. Never throws.
 * @param hint transfer syntax known otherwise (the presentation context), used when the file does not name one
 */
export function parsePart10Head(head: Buffer, hint?: string): Part10Head {
  const warnings: string[] = [];
  const metaOffset = offsetOfMeta(head);
  const meta = hasMeta(head, metaOffset) ? readElements(head, metaOffset, metaEncoding(head, metaOffset), (tag) => tag >>> 16 !== 0x0002) : undefined;
  const datasetOffset = meta?.end ?? metaOffset;
  if (meta === undefined) warnings.push('no File Meta Information (group 0002)');
  else if (!meta.complete) warnings.push('File Meta Information (group 0002) is cut');
  const declared = uidOf(meta?.dataset, 0x00020010);
  if (meta !== undefined && declared === undefined) warnings.push('File Meta Information names no transfer syntax');
  const named = declared ?? hint;
  const encoding = detectEncoding(head, datasetOffset, named, warnings);
  const optional = {
    sopClassUid: uidOf(meta?.dataset, 0x00020002), sopInstanceUid: uidOf(meta?.dataset, 0x00020003),
    implementationClassUid: uidOf(meta?.dataset, 0x00020012), implementationVersionName: textOf(meta?.dataset, 0x00020013),
  };
  return {
    transferSyntaxUid: named ?? transferSyntaxUidOf(encoding), transferSyntaxSource: declared !== undefined ? 'file meta' : hint !== undefined ? 'hint' : 'guess',
    encoding, datasetOffset, warnings, ...present(optional),
  };
}

function present<T extends Record<string, string | undefined>>(values: T): { [K in keyof T]?: string } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: string };
}

function offsetOfMeta(head: Buffer): number {
  if (head.length >= 132 && head.toString('latin1', 128, 132) === 'DICM') return 132;
  return head.toString('latin1', 0, 4) === 'DICM' ? 4 : 0;
}
function hasMeta(head: Buffer, offset: number): boolean {
  return head.length >= offset + 8 && head.readUInt16LE(offset) === 0x0002 && head.readUInt16LE(offset + 2) <= 0x0102;
}
/** Always Explicit VR Little Endian (PS3.10 7.1); a few old writers used Implicit VR. */
function metaEncoding(head: Buffer, offset: number): Encoding {
  return isVr(head.toString('latin1', offset + 4, offset + 6)) ? explicitLittleEndian : implicitLittleEndian;
}
function textOf(meta: Dataset | undefined, tag: number): string | undefined {
  const text = trimUid(meta?.get(tag)?.bytes.toString('latin1') ?? '');
  return text === '' ? undefined : text;
}
function uidOf(meta: Dataset | undefined, tag: number): string | undefined {
  const text = textOf(meta, tag);
  return text !== undefined && isValidUid(text) ? text : undefined;
}
function transferSyntaxUidOf({ explicitVr, littleEndian }: Encoding): string {
  if (!explicitVr) return implicitVrLittleEndian;
  return littleEndian ? explicitVrLittleEndian : explicitVrBigEndian;
}

/** The first element shows whether a VR is there and which byte order gives a group that can be a first one; it overrules the name. */
export function detectEncoding(buffer: Buffer, offset: number, namedUid: string | undefined, warnings: string[]): Encoding {
  const named = transferSyntaxOf(namedUid ?? explicitVrLittleEndian);
  if (named.deflated || buffer.length < offset + 8) return { explicitVr: named.explicitVr, littleEndian: named.littleEndian };
  const vr = buffer.toString('latin1', offset + 4, offset + 6);
  const explicitVr = isVr(vr) || (named.explicitVr && namedUid !== undefined && /^[A-Z]{2}$/.test(vr));
  const littleEndian = isFirstGroup(buffer, offset, named.littleEndian) || !isFirstGroup(buffer, offset, !named.littleEndian) ? named.littleEndian : !named.littleEndian;
  const isImplicitBigEndian = !explicitVr && !littleEndian;
  if (namedUid !== undefined && (explicitVr !== named.explicitVr || littleEndian !== named.littleEndian))
    warnings.push(`the dataset is not written as its transfer syntax ${namedUid} says; read as ${explicitVr ? 'Explicit' : 'Implicit'} VR ${littleEndian ? 'Little' : 'Big'} Endian`);
  return isImplicitBigEndian && namedUid === undefined ? implicitLittleEndian : { explicitVr, littleEndian };
}

/** Datasets begin in group 0008 nearly always, and always in a low one when not private. */
function isFirstGroup(buffer: Buffer, offset: number, littleEndian: boolean): boolean {
  const group = tagAt(buffer, offset, littleEndian) >>> 16;
  return group > 0 && group <= 0x00ff;
}
