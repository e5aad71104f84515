/**
 * The opening of a DICOM file as it was sent (PS3.10 7): what its group 0002 and the first elements of its data set say, so that the file
 * can be written behind a preamble and a group 0002 of our own. The sender's preamble is never kept: it may be a program.
 */
import type { Refusal } from '#gateway/adapter.ts';
import { readHeader } from '#standards/dicom/header.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { storageClassOf } from '#standards/dicom/sop-classes.ts';
import { trimUid } from '#standards/dicom/uids.ts';
import type { Config } from './config.ts';

/** So many bytes are looked at; a file meta group that is longer is refused. */
export const openingBytes = 64 * 1024;

export interface FileOpening {
  readonly sopClassUid: string; readonly sopInstanceUid: string; readonly transferSyntaxUid: string;
  readonly implementationVersionName?: string;
  /** Where the first openingBytes name it. */
  readonly studyInstanceUid?: string;
  /** Where the data set begins in what was sent. */
  readonly sentDatasetOffset: number;
  /** Our preamble and group 0002. */
  readonly prefix: Buffer;
}

/** As far as they could be read. */
export interface NamedUids { readonly sopClassUid?: string; readonly sopInstanceUid?: string; readonly studyInstanceUid?: string }

/** @param opening the first openingBytes of the file, or all of it */
export function readOpening(opening: Buffer, settings: Pick<Config, 'accept_unknown_sop_classes' | 'sop_classes'>): { readonly file: FileOpening } | { readonly refusal: Refusal; readonly uids: NamedUids } {
  if (opening.length === 0) return { refusal: { reason: 'malformed', text: 'the part is empty' }, uids: {} };
  const { part10, dataset } = readHeader(opening);
  const uidOf = (tag: number, otherwise: string | undefined): string => trimUid(dataset.get(tag)?.bytes.toString('latin1') ?? '') || (otherwise ?? '');
  const sopClassUid = uidOf(0x00080016, part10.sopClassUid), sopInstanceUid = uidOf(0x00080018, part10.sopInstanceUid);
  const uids = { ...(sopClassUid === '' ? {} : { sopClassUid }), ...(sopInstanceUid === '' ? {} : { sopInstanceUid }) };
  const refuse = (reason: Refusal['reason'], text: string, location: string) => ({ refusal: { reason, text, location }, uids });
  if (part10.transferSyntaxSource !== 'file meta') return refuse('malformed', 'the part is no DICOM file: Transfer Syntax UID of its File Meta Information is missing (PS3.10 7.1)', '(0002,0010)');
  if (!isStandingUid(sopInstanceUid)) return refuse('invalid', 'SOP Instance UID is missing or not a UID', '(0008,0018)');
  if (!isStandingUid(sopClassUid)) return refuse('invalid', 'SOP Class UID is missing or not a UID', '(0008,0016)');
  const storage = storageClassOf(sopClassUid);
  if (settings.sop_classes.length > 0 && !settings.sop_classes.includes(sopClassUid)) return refuse('unsupported', 'the SOP class is not one that this system may send (setting sop_classes)', '(0008,0016)');
  if (storage === 'not-storage' || (storage === 'private' && !settings.accept_unknown_sop_classes)) return refuse('unsupported', 'the SOP class is not one for storage, or a private one (setting accept_unknown_sop_classes)', '(0008,0016)');
  const { transferSyntaxUid, datasetOffset: sentDatasetOffset, implementationVersionName } = part10;
  const file = { sopClassUid, sopInstanceUid, transferSyntaxUid, sentDatasetOffset, prefix: buildPart10Header({ sopClassUid, sopInstanceUid, transferSyntaxUid }) };
  const studyInstanceUid = uidOf(0x0020000d, undefined);
  return { file: { ...file, ...(implementationVersionName === undefined ? {} : { implementationVersionName }), ...(studyInstanceUid === '' ? {} : { studyInstanceUid }) } };
}

/** What can stand in a group 0002 at all; how a UID has to be formed is judged by normalize. */
const isStandingUid = (uid: string): boolean => /^[\x21-\x5b\x5d-\x7e]{1,64}$/.test(uid);
