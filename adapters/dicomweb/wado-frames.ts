/**
 * Frames (PS3.18 10.4.1.1.6) as multipart/related, in the order asked for: native ones as application/octet-stream, encapsulated ones in the
 * media type of their transfer syntax (table 8.7.3-2 and following), which are the bytes that the object holds.
 */
import type { Holdings, StoredInstance } from '#gateway/holdings.ts';
import { transferSyntaxOf } from '#standards/dicom/transfer-syntaxes.ts';
import { Refusal } from './answer.ts';
import { streamAnswer } from './stream-answer.ts';
import { ByteSource, RangeReader } from './byte-ranges.ts';
import { framesOf, type FrameRanges } from './frames.ts';
import { parseAccept, rootType, type MediaType } from './media-type.ts';
import { multipartWriter } from './multipart-writer.ts';
import { retrieveUrl } from './qido-results.ts';
import type { ReadRequest } from './read-request.ts';
import { readStoredHeader } from './stored-header.ts';

const byEnd: readonly (readonly [RegExp, string])[] = [
  [/^1\.2\.840\.10008\.1\.2\.4\.(5\d|6[0-6]|70)$/, 'image/jpeg'], [/^1\.2\.840\.10008\.1\.2\.4\.8[01]$/, 'image/jls'], [/^1\.2\.840\.10008\.1\.2\.4\.9[01]$/, 'image/jp2'],
  [/^1\.2\.840\.10008\.1\.2\.4\.9[23]$/, 'image/jpx'], [/^1\.2\.840\.10008\.1\.2\.4\.10[01](\.1)?$/, 'video/mpeg'], [/^1\.2\.840\.10008\.1\.2\.4\.10[2-6](\.1)?$/, 'video/mp4'],
  [/^1\.2\.840\.10008\.1\.2\.4\.10[78]$/, 'video/H265'], [/^1\.2\.840\.10008\.1\.2\.4\.11[0-2]$/, 'image/jxl'], [/^1\.2\.840\.10008\.1\.2\.4\.20[1-3]$/, 'image/jphc'], [/^1\.2\.840\.10008\.1\.2\.5$/, 'image/dicom-rle'],
];

/** What the frames of a transfer syntax are handed out as. */
export function frameMediaType(transferSyntaxUid: string): string {
  return byEnd.find(([pattern]) => pattern.test(transferSyntaxUid))?.[1] ?? 'application/octet-stream';
}

/** @param frames numbers from 1, or all. Throws Refusal: 404, 406. */
export async function answerFrames(holdings: Holdings, instance: StoredInstance, frames: readonly number[] | 'all', read: ReadRequest): Promise<Response> {
  const { transferSyntaxUid } = instance;
  const type = frameMediaType(transferSyntaxUid);
  if (!parseAccept(read.request.headers.get('accept')).some((range) => takes(range, type, transferSyntaxUid))) {
    throw new Refusal(406, `The frames are stored as ${type} in transfer syntax ${transferSyntaxUid}, and are handed out so: ask for multipart/related; type="${type}"; transfer-syntax=*. Nothing is decoded.`);
  }
  const ranges = await locate(holdings, instance, frames);
  const writer = multipartWriter(type);
  return streamAnswer(200, { 'content-type': writer.contentType }, async function* (sent) {
    const reader = new RangeReader(() => holdings.openDataset(instance));
    try {
      for (const [frame, parts] of ranges) {
        yield writer.head({ 'Content-Type': `${type}; transfer-syntax=${transferSyntaxUid}`, 'Content-Location': `${retrieveUrl(instance, read.base)}/frames/${frame}` });
        yield* reader.bytes(parts);
      }
      yield writer.end();
      sent.count = 1;
    } finally {
      reader.close();
    }
  }, holdings, read);
}

async function locate(holdings: Holdings, instance: StoredInstance, frames: readonly number[] | 'all'): Promise<FrameRanges> {
  const header = await readStoredHeader(holdings, instance);
  const source = new ByteSource(holdings.openDataset(instance));
  try {
    return await framesOf(header, transferSyntaxOf(instance.transferSyntaxUid), source, frames);
  } finally {
    source.close();
  }
}

function takes(range: MediaType, type: string, transferSyntaxUid: string): boolean {
  if (range.type === '*/*') return true;
  if (range.type !== 'multipart/related' && range.type !== 'multipart/*') return false;
  const syntax = range.parameters['transfer-syntax'] ?? '*';
  const wanted = rootType(range);
  const isType = wanted === '' || wanted === '*/*' || wanted === type.toLowerCase() || wanted === `${type.split('/')[0]}/*`;
  return isType && (syntax === '*' || syntax === transferSyntaxUid);
}
