/** The answer to STOW-RS: Store Instances Response (PS3.18 table 10.5.3-1 and annex I.2), as DICOM JSON. */
import type { Receipt, RejectReason } from '#gateway/adapter.ts';
import { dicomJsonAnswer, tryAgain, warning, type Refusal } from './answer.ts';
import type { JsonDataset } from './dicom-json.ts';
import type { StoredPart } from './store-part.ts';

/** A part of which no SOP instance is known. */
export interface FailedPart { readonly text: string }

/** FailureReason (0008,1197): table I.2-2, and PS3.7 annex C. */
export const failureReason: Readonly<Record<RejectReason | 'failed', number>> = {
  malformed: 0xc000, invalid: 0xc000, conflict: 0xa900, unsupported: 0x0122, 'not-allowed': 0x0124, failed: 0xa700,
};

const isStored = ({ receipt }: StoredPart): boolean => receipt.kind === 'accepted' || receipt.kind === 'duplicate';
const reasonOf = (receipt: Receipt): number => (receipt.kind === 'failed' ? failureReason.failed : receipt.kind === 'rejected' ? failureReason[receipt.reason] : 0x0110);

/** @param endedBy why the request was not read to its end */
export function storeAnswer(parts: readonly StoredPart[], failed: readonly FailedPart[], endedBy: Refusal | undefined, base: string): Response {
  const stored = parts.filter(isStored), refused = parts.filter((part) => !isStored(part));
  const status = statusOf(stored, refused, failed, endedBy);
  const words = refused.map(({ receipt }) => ('text' in receipt ? receipt.text : '')).concat(failed.map(({ text }) => text)).filter((text) => text !== '');
  return dicomJsonAnswer(status, bodyOf(stored, refused, failed, base), {
    ...(words.length === 0 ? {} : warning([...new Set(words)].slice(0, 3).join('; '))),
    ...(refused.some(({ receipt }) => receipt.kind === 'failed') ? tryAgain : {}),
  });
}

function statusOf(stored: readonly StoredPart[], refused: readonly StoredPart[], failed: readonly FailedPart[], endedBy: Refusal | undefined): number {
  if (stored.length > 0) return refused.length + failed.length > 0 ? 202 : 200;
  if (endedBy !== undefined) return endedBy.status;
  return refused.length > 0 && refused.every(({ receipt }) => receipt.kind === 'failed') ? 503 : 409;
}

function bodyOf(stored: readonly StoredPart[], refused: readonly StoredPart[], failed: readonly FailedPart[], base: string): JsonDataset {
  const [study, ...otherStudies] = new Set(stored.map(({ studyInstanceUid }) => studyInstanceUid));
  const known = refused.filter((part) => part.sopInstanceUid !== undefined && part.sopClassUid !== undefined);
  const others = [...refused.filter((part) => !known.includes(part)).map(({ receipt }) => reasonOf(receipt)), ...failed.map(() => failureReason.malformed)];
  return {
    ...(study !== undefined && otherStudies.length === 0 ? { '00081190': { vr: 'UR', Value: [`${base}/studies/${encodeURIComponent(study)}`] } } : {}),
    ...(known.length === 0 ? {} : { '00081198': { vr: 'SQ', Value: known.map((part) => ({ ...referenceOf(part), '00081197': { vr: 'US', Value: [reasonOf(part.receipt)] } })) } }),
    ...(stored.length === 0 ? {} : { '00081199': { vr: 'SQ', Value: stored.map(referenceOf) } }),
    ...(others.length === 0 ? {} : { '0008119A': { vr: 'SQ', Value: others.map((reason) => ({ '00081197': { vr: 'US', Value: [reason] } })) } }),
  };
}

const referenceOf = ({ sopClassUid = '', sopInstanceUid = '' }: StoredPart): JsonDataset => ({ '00081150': { vr: 'UI', Value: [sopClassUid] }, '00081155': { vr: 'UI', Value: [sopInstanceUid] } });
