/**
 * One image without what tells whose it is: the Basic Application Level Confidentiality Profile (PS3.15 annex E), for images that leave to others than
 * the hospital's own systems. In: a DICOM file. Out: another one with UIDs of its own, and what was taken out of it, by which it can be put back.
 *
 *   header -> every element, nested ones too: D, Z, X, U by table E.1-1, private and unknown ones removed -> marked as de-identified -> + Pixel Data
 *
 * Pixels are not looked at. What says that people can be read in them, or is known for it, is refused.
 */
import { inflateRawSync } from 'node:zlib';
import { vrOf } from '../dictionary.ts';
import { elementOf, encodeElements } from '../dataset-copy.ts';
import { readElements, type DataElement, type Dataset } from '../elements.ts';
import { buildPart10Header, detectEncoding, parsePart10Head, type FileMeta } from '../part10.ts';
import { formatTag, tags } from '../tag.ts';
import { explicitVrLittleEndian, transferSyntaxOf } from '../transfer-syntaxes.ts';
import { shiftedDate } from './dates.ts';
import { dummyOf } from './dummy-values.ts';
import { methodElements } from './method.ts';
import { pixelTail } from './pixel-tail.ts';
import { actionOf, isKeptBy, type Action } from './profile.ts';

export interface DeIdentifyOptions {
  /** removed: emptied or dummies. shifted: all of a patient by the same number of days, times kept. kept: as they are. */
  readonly dates: 'removed' | 'shifted' | 'kept';
  readonly keepsPatientCharacteristics: boolean;
  readonly keepsDeviceIdentity: boolean;
  /** An image of unknown kind may have text burned in: US, secondary captures and the like are refused unless they say (0028,0301) NO. */
  readonly allowsUnknownBurnedIn: boolean;
}

/** Secret functions of an organization: the same for the same input, and nobody else's. */
export interface Pseudonyms {
  uid(original: string): string;
  /** A name for the patient, and by how many days dates are moved. */
  patient(patientId: string): { readonly name: string; readonly shiftDays: number };
}

/** One element as it was: where (tag, or tag/item/tag), and the element itself in Explicit VR Little Endian, as base64; '' when there was none. */
export interface RemovedElement { readonly path: string; readonly vr: string; readonly value: string }
export interface DeIdentified {
  readonly file: Buffer;
  readonly sopInstanceUid: string; readonly seriesInstanceUid: string; readonly studyInstanceUid: string;
  readonly patientName: string;
  /** New UID -> the one it stands for. */
  readonly uids: ReadonlyMap<string, string>;
  readonly removed: readonly RemovedElement[];
  /** What a person should look at, in words without values. */
  readonly warnings: readonly string[];
}

/** Text names tags and kinds, never values. */
export class DeIdentifyError extends Error {
  constructor(text: string) {
    super(text);
    this.name = 'DeIdentifyError';
  }
}

const mostInflatedBytes = 1024 ** 3;
/** Larger originals are not remembered: they are in the stored object. */
const mostRememberedBytes = 16 * 1024;

export function deIdentify(file: Buffer, options: DeIdentifyOptions, pseudonyms: Pseudonyms): DeIdentified {
  const { dataset, pixels, transferSyntaxUid } = takeApart(file);
  const warnings = checkPixels(dataset, options);
  const text = (tag: number): string => dataset.get(tag)?.bytes.toString('latin1').replace(/[\0 ]+$/, '').trim() ?? '';
  const patient = pseudonyms.patient(`${text(0x00100020)}\0${text(0x00100021)}`);
  const work: Work = { options, pseudonyms, shiftDays: patient.shiftDays, uids: new Map(), removed: [] };
  const elements = new Map(cleaned(dataset, work, '').map((element) => [element.tag, element]));
  for (const element of [elementOf(0x00100010, 'PN', patient.name), elementOf(0x00100020, 'LO', patient.name), ...methodElements(options)]) {
    const path = hex(element.tag), original = dataset.get(element.tag);
    if (!work.removed.some((one) => one.path === path)) {
      if (original === undefined) work.removed.push({ path, vr: element.vr, value: '' });
      else remember(original, work, path);
    }
    elements.set(element.tag, element);
  }
  for (const required of [0x0020000d, 0x0020000e, 0x00080018, 0x00080016]) if (text(required) === '') throw new DeIdentifyError(`${formatTag(required)} is missing: the image could not be told apart when it comes back.`);
  const meta = { sopClassUid: text(0x00080016), sopInstanceUid: pseudonyms.uid(text(0x00080018)), transferSyntaxUid };
  return {
    file: fileOf(meta, elements, pixels), warnings, patientName: patient.name, uids: work.uids, removed: work.removed,
    sopInstanceUid: meta.sopInstanceUid, seriesInstanceUid: pseudonyms.uid(text(0x0020000e)), studyInstanceUid: pseudonyms.uid(text(0x0020000d)),
  };
}

/** Throws DeIdentifyError for UIDs that no file can be written with. */
export function fileOf(meta: FileMeta, elements: Dataset, pixels: Buffer): Buffer {
  try {
    return Buffer.concat([buildPart10Header(meta), encodeElements(elements), pixels]);
  } catch (error) {
    if (error instanceof RangeError) throw new DeIdentifyError(`No file can be written: ${error.message}.`);
    throw error;
  }
}

/** The dataset up to Pixel Data, and those in the form they leave in: compressed ones as they are, others in Explicit VR Little Endian. */
function takeApart(file: Buffer): { dataset: Dataset; pixels: Buffer; transferSyntaxUid: string } {
  const part10 = parsePart10Head(file);
  const syntax = transferSyntaxOf(part10.transferSyntaxUid);
  const bytes = syntax.deflated ? inflated(file.subarray(part10.datasetOffset)) : file;
  const offset = syntax.deflated ? 0 : part10.datasetOffset;
  const encoding = syntax.deflated ? detectEncoding(bytes, 0, part10.transferSyntaxUid, []) : part10.encoding;
  const read = readElements(bytes, offset, encoding, (tag) => tag >= tags.pixelData);
  if (read.stoppedAt !== tags.pixelData) throw new DeIdentifyError(read.complete ? 'The object has no Pixel Data: documents and measurements are text about a person, and are not sent.' : 'The header cannot be read to its end, so nobody can say what is in it.');
  const isWords = (read.dataset.get(0x00280100)?.bytes[encoding.littleEndian ? 0 : 1] ?? 16) > 8;
  const pixels = pixelTail(bytes, read.end, encoding, isWords);
  if (pixels === undefined) throw new DeIdentifyError('Pixel Data cannot be read to their end.');
  return { dataset: read.dataset, pixels, transferSyntaxUid: syntax.encapsulated ? part10.transferSyntaxUid : explicitVrLittleEndian };
}

function inflated(bytes: Buffer): Buffer {
  try {
    return inflateRawSync(bytes, { maxOutputLength: mostInflatedBytes });
  } catch {
    throw new DeIdentifyError('The deflated dataset cannot be inflated.');
  }
}

/** Modalities whose images carry names and dates in their pixels as a rule: ultrasound, endoscopy, captures of screens and paper. */
const burningModalities = new Set(['US', 'IVUS', 'ES', 'XC', 'GM', 'SM', 'OT', 'DOC', 'HC', 'SC', 'ECG', 'OP']);

/** Throws DeIdentifyError when the image says, or is of a kind that says nothing and often has, that people can be read in its pixels. Else what a person should look at. */
export function checkPixels(dataset: Dataset, { allowsUnknownBurnedIn }: Pick<DeIdentifyOptions, 'allowsUnknownBurnedIn'>): string[] {
  const code = (tag: number): string => dataset.get(tag)?.bytes.toString('latin1').replace(/[\0 ]+$/, '').trim() ?? '';
  const burnedIn = code(0x00280301), modality = code(0x00080060).slice(0, 16), sopClass = code(0x00080016);
  if (burnedIn === 'YES') throw new DeIdentifyError('(0028,0301) Burned In Annotation is YES: somebody can be read in the pixels.');
  const isSuspect = burningModalities.has(modality) || modality === '' || sopClass === '1.2.840.10008.5.1.4.1.1.7' || sopClass.startsWith('1.2.840.10008.5.1.4.1.1.7.') || code(0x00080064) !== '';
  if (burnedIn !== 'NO' && isSuspect && !allowsUnknownBurnedIn) throw new DeIdentifyError('(0028,0301) Burned In Annotation is not NO, and images of this kind often carry names in their pixels.');
  return [
    ...(burnedIn === 'NO' ? [] : ['(0028,0301) Burned In Annotation does not say that nothing is burned in.']),
    ...(code(0x00280302) === 'YES' ? ['(0028,0302) Recognizable Visual Features is YES: a face may be seen.'] : []),
  ];
}

const hex = (tag: number): string => tag.toString(16).padStart(8, '0');

interface Work { readonly options: DeIdentifyOptions; readonly pseudonyms: Pseudonyms; readonly shiftDays: number; readonly uids: Map<string, string>; readonly removed: RemovedElement[] }

function cleaned(dataset: Dataset, work: Work, path: string): DataElement[] {
  return [...dataset.values()].flatMap((element) => {
    const here = `${path}${hex(element.tag)}`;
    const result = cleanedElement(element, work, here);
    // A UID that was replaced is found by its replacement.
    const isReplacedUid = element.vr === 'UI' && result !== undefined && result.bytes.length > 0;
    if (result !== element && element.items === undefined && !isReplacedUid) remember(element, work, here);
    return result === undefined ? [] : [result];
  });
}

/** Undefined: removed. The element itself: kept as it is. */
function cleanedElement(element: DataElement, work: Work, path: string): DataElement | undefined {
  const action = actionFor(element, work.options);
  const mapUid = (one: DataElement): DataElement => mapped(one, work);
  if (action === 'shift') return shifted(element, work);
  if (action === 'X') return forgotten(element, work, path, undefined);
  if (action === 'Z') return forgotten(element, work, path, { ...element, bytes: Buffer.alloc(0), littleEndian: true, ...(element.items === undefined ? {} : { items: [] }) });
  if (action === 'D') return forgotten(element, work, path, dummyOf(element, mapUid));
  if (element.items !== undefined) return { ...element, items: element.items.map((item, index) => new Map(cleaned(item, work, `${path}/${index}/`).map((one) => [one.tag, one]))) };
  return element.vr === 'UI' ? mapUid(element) : element;
}

/** A sequence that goes as a whole is remembered as a whole. */
function forgotten(element: DataElement, work: Work, path: string, instead: DataElement | undefined): DataElement | undefined {
  if (element.items !== undefined) remember(element, work, path);
  return instead;
}

function actionFor({ tag, vr }: DataElement, { dates, keepsPatientCharacteristics, keepsDeviceIdentity }: DeIdentifyOptions): Action | 'shift' | undefined {
  if (vrOf(tag) === undefined) return 'X';
  if (keepsPatientCharacteristics && isKeptBy('patient-characteristics', tag)) return undefined;
  if (keepsDeviceIdentity && isKeptBy('device-identity', tag)) return undefined;
  if (dates !== 'removed' && isKeptBy('dates', tag)) return dates === 'kept' || (vr !== 'DA' && vr !== 'DT') ? undefined : 'shift';
  return actionOf(tag);
}

/** UIDs that name what something is, not which one it is: classes, coding schemes, context groups. */
const kindUids = new Set([0x00080016, 0x0008001a, 0x0008001b, 0x0008010c, 0x00080062, 0x00081150, 0x00083002, 0x00080117, 0x00080118, 0x00020002, 0x00020010, 0x0040e010, 0x00081115]);

/** Every other UID that is not the standard's own. */
function mapped(element: DataElement, { pseudonyms, uids }: Work): DataElement {
  if (kindUids.has(element.tag)) return element;
  const values = element.bytes.toString('latin1').replace(/[\0 ]+$/, '').split('\\').map((value) => value.trim());
  if (values.every((value) => value === '' || value.startsWith('1.2.840.10008.'))) return element;
  return elementOf(element.tag, 'UI', values.map((value) => {
    if (value === '' || value.startsWith('1.2.840.10008.')) return value;
    const replacement = pseudonyms.uid(value);
    uids.set(replacement, value);
    return replacement;
  }).join('\\'));
}

function shifted(element: DataElement, { shiftDays }: Work): DataElement {
  const values = element.bytes.toString('latin1').replace(/[\0 ]+$/, '').split('\\').map((value) => shiftedDate(value.trim(), shiftDays));
  return elementOf(element.tag, element.vr, values.join('\\'));
}

function remember({ tag, vr, bytes, items, littleEndian }: DataElement, { removed }: Work, path: string): void {
  const whole = encodeElements(new Map([[tag, { tag, vr, bytes, littleEndian, ...(items === undefined ? {} : { items }) }]]));
  if (whole.length <= mostRememberedBytes) removed.push({ path, vr: items === undefined ? vr : 'SQ', value: whole.toString('base64') });
}
