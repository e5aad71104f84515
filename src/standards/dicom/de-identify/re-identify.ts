/**
 * What came back from outside gets its identity again: UIDs wherever they stand, and the attributes that were taken out. Of an image that was sent, all of
 * them return to their places, nested ones too; an object that was made from it (a report, a segmentation) gets the patient and the study.
 */
import { elementOf } from '../dataset-copy.ts';
import { explicitLittleEndian, readElements, type DataElement, type Dataset } from '../elements.ts';
import { parsePart10Head } from '../part10.ts';
import { tags } from '../tag.ts';
import { explicitVrLittleEndian, transferSyntaxOf } from '../transfer-syntaxes.ts';
import { DeIdentifyError, fileOf, type RemovedElement } from './de-identify.ts';
import { pixelTail } from './pixel-tail.ts';

export interface Identity {
  /** UID that was sent -> the one it stands for. */
  originalUid(uid: string): string | undefined;
  /** What was taken out of the image that was sent under this SOP Instance UID, or at least out of its study. */
  readonly removed: readonly RemovedElement[];
}
export interface ReIdentified { readonly file: Buffer; readonly sopInstanceUid: string; readonly studyInstanceUid: string; readonly restoredUids: number; readonly restoredElements: number }

/** Top-level attributes of the patient and the study: what every object of a study says alike (PS3.3 C.7.1, C.7.2). */
const ofPatientOrStudy = new Set([
  0x00080005, 0x00080020, 0x00080030, 0x00080050, 0x00080090, 0x00081030, 0x00081048, 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100032, 0x00100040, 0x00101000, 0x00101010, 0x00101020, 0x00101030, 0x00200010, 0x0020000d, 0x00080201,
]);
const marks = [0x00120062, 0x00120064, 0x00280303];

/** Throws DeIdentifyError for a file that cannot be read to its end. */
export function reIdentify(file: Buffer, identity: Identity): ReIdentified {
  const part10 = parsePart10Head(file);
  const read = readElements(file, part10.datasetOffset, part10.encoding, (tag) => tag >= tags.pixelData);
  const pixels = read.stoppedAt === undefined ? Buffer.alloc(0) : pixelTail(file, read.end, part10.encoding, true);
  if (!read.complete || pixels === undefined || transferSyntaxOf(part10.transferSyntaxUid).deflated) throw new DeIdentifyError('The object that came back cannot be read to its end.');
  const sent = uidOf(read.dataset, 0x00080018), original = identity.originalUid(sent);
  const count = { uids: 0, elements: 0 };
  const elements = withOriginalUids(read.dataset, identity, count);
  for (const tag of marks) elements.delete(tag);
  for (const removed of identity.removed) if (original !== undefined || (!removed.path.includes('/') && ofPatientOrStudy.has(Number.parseInt(removed.path, 16)))) count.elements += restore(elements, removed);
  const sopInstanceUid = uidOf(elements, 0x00080018);
  const meta = { sopClassUid: uidOf(elements, 0x00080016), sopInstanceUid, transferSyntaxUid: transferSyntaxOf(part10.transferSyntaxUid).encapsulated ? part10.transferSyntaxUid : explicitVrLittleEndian };
  return { file: fileOf(meta, elements, pixels), sopInstanceUid, studyInstanceUid: uidOf(elements, 0x0020000d), restoredUids: count.uids, restoredElements: count.elements };
}

/** Every UID of an object, wherever it stands: what is to be looked up before reIdentify. Throws DeIdentifyError as it does. */
export function uidsIn(file: Buffer): { readonly all: readonly string[]; readonly sopInstanceUid: string; readonly studyInstanceUid: string } {
  const part10 = parsePart10Head(file);
  const read = readElements(file, part10.datasetOffset, part10.encoding, (tag) => tag >= tags.pixelData);
  if (!read.complete) throw new DeIdentifyError('The object that came back cannot be read to its end.');
  return { all: [...new Set(uidValues(read.dataset))], sopInstanceUid: uidOf(read.dataset, 0x00080018), studyInstanceUid: uidOf(read.dataset, 0x0020000d) };
}
function uidValues(dataset: Dataset): string[] {
  return [...dataset.values()].flatMap((element) => element.items?.flatMap(uidValues) ?? (element.vr === 'UI' ? textOf(element).split('\\').map((value) => value.trim()).filter((value) => value !== '') : []));
}

type Elements = Map<number, DataElement>;

function withOriginalUids(dataset: Dataset, identity: Identity, count: { uids: number }): Elements {
  return new Map([...dataset.values()].map((element): [number, DataElement] => {
    if (element.items !== undefined) return [element.tag, { ...element, items: element.items.map((item) => withOriginalUids(item, identity, count)) }];
    if (element.vr !== 'UI') return [element.tag, element];
    const values = textOf(element).split('\\');
    const originals = values.map((value) => identity.originalUid(value.trim()));
    if (originals.every((value) => value === undefined)) return [element.tag, element];
    count.uids += originals.filter((value) => value !== undefined).length;
    return [element.tag, elementOf(element.tag, 'UI', values.map((value, index) => originals[index] ?? value).join('\\'))];
  }));
}

/** 1 when the place is there, or can be made: the item of a sequence that came back without it is not invented. */
function restore(elements: Elements, { path, value }: RemovedElement): number {
  const [first = '', index, ...rest] = path.split('/');
  const tag = Number.parseInt(first, 16);
  if (index === undefined && value === '') return elements.delete(tag) ? 1 : 0;
  if (index === undefined) {
    const original = readElements(Buffer.from(value, 'base64'), 0, explicitLittleEndian, () => false).dataset.get(tag);
    if (original !== undefined) elements.set(tag, original);
    return original === undefined ? 0 : 1;
  }
  const item = elements.get(tag)?.items?.[Number(index)];
  return item === undefined ? 0 : restore(item as Elements, { path: rest.join('/'), vr: '', value });
}

const textOf = (element: DataElement | undefined): string => element?.bytes.toString('latin1').replace(/[\0 ]+$/, '') ?? '';
const uidOf = (dataset: Dataset, tag: number): string => textOf(dataset.get(tag)).trim();
