/** Bulk data (PS3.18 10.4.1.1.5): the values that metadata name by address. Pixel Data as their frames, other values as application/octet-stream. */
import type { Holdings, StoredInstance } from '#gateway/holdings.ts';
import type { DataElement, Dataset } from '#standards/dicom/elements.ts';
import { tags } from '#standards/dicom/tag.ts';
import { Refusal } from './answer.ts';
import { streamAnswer } from './stream-answer.ts';
import { jsonTag, littleEndianBytes } from './dicom-json.ts';
import { accepts, parseAccept, rootType } from './media-type.ts';
import { multipartWriter } from './multipart-writer.ts';
import type { ReadRequest } from './read-request.ts';
import { readStoredHeader } from './stored-header.ts';
import { answerFrames } from './wado-frames.ts';

/** @param steps tag, or tag/item/tag ... inside sequences, items from 1. Throws Refusal: 404, 406. */
export async function answerBulkData(holdings: Holdings, instance: StoredInstance, steps: readonly string[], read: ReadRequest): Promise<Response> {
  if (steps.length === 1 && steps[0]?.toUpperCase() === jsonTag(tags.pixelData)) return answerFrames(holdings, instance, 'all', read);
  const isMultipart = wantsMultipart(read.request);
  const { header } = await readStoredHeader(holdings, instance);
  const element = elementAt(header.dataset, steps);
  if (element === undefined || element.items !== undefined || element.bytes.length === 0) throw new Refusal(404, 'The instance has no value under this address.');
  const bytes = littleEndianBytes(element), type = 'application/octet-stream';
  const writer = multipartWriter(type);
  return streamAnswer(200, { 'content-type': isMultipart ? writer.contentType : type }, async function* (sent) {
    if (isMultipart) yield writer.head({ 'Content-Type': type });
    yield bytes;
    if (isMultipart) yield writer.end();
    sent.count = 1;
  }, holdings, read);
}

function wantsMultipart(request: Request): boolean {
  for (const range of parseAccept(request.headers.get('accept'))) {
    if (range.type === 'multipart/related' && ['', '*/*', 'application/octet-stream'].includes(rootType(range))) return true;
    if (accepts(range, 'application/octet-stream')) return range.type === '*/*';
  }
  throw new Refusal(406, 'Bulk data are application/octet-stream, alone or as multipart/related; Accept excludes it.');
}

function elementAt(dataset: Dataset, [tag = '', item, ...rest]: readonly string[]): DataElement | undefined {
  const element = /^[0-9a-f]{8}$/i.test(tag) ? dataset.get(Number.parseInt(tag, 16)) : undefined;
  if (item === undefined || element === undefined) return element;
  const inner = /^[1-9]\d{0,5}$/.test(item) ? element.items?.[Number(item) - 1] : undefined;
  return inner === undefined || rest.length === 0 ? undefined : elementAt(inner, rest);
}
