/**
 * Metadata (PS3.18 10.4.1.1.2): the header of every instance as DICOM JSON, or as one part of XML each, read from its file; Pixel Data and large
 * values by address.
 */
import type { Holdings, InstanceSelection, StoredInstance } from '#gateway/holdings.ts';
import { tags } from '#standards/dicom/tag.ts';
import { Refusal } from './answer.ts';
import { dicomJsonText, jsonDatasetOf, jsonTag, type JsonDataset } from './dicom-json.ts';
import { nativeDicomModel, xmlMediaType } from './dicom-xml.ts';
import { accepts, parseAccept, rootType, type MediaType } from './media-type.ts';
import { multipartWriter } from './multipart-writer.ts';
import { retrieveUrl } from './qido-results.ts';
import type { ReadRequest } from './read-request.ts';
import { readStoredHeader } from './stored-header.ts';
import { streamAnswer } from './stream-answer.ts';

export type TextForm = 'json' | 'xml';

/** What the client prefers of the two forms of data sets as text; undefined when it takes neither. */
export function textFormOf(request: Request): TextForm | undefined {
  for (const range of parseAccept(request.headers.get('accept'))) {
    if (accepts(range, 'application/dicom+json') || accepts(range, 'application/json')) return 'json';
    if (asksForXml(range)) return 'xml';
  }
  return undefined;
}

function asksForXml(range: MediaType): boolean {
  return range.type === xmlMediaType || ((range.type === 'multipart/related' || range.type === 'multipart/*') && [xmlMediaType, ''].includes(rootType(range)));
}

/** Throws Refusal 406. */
export function metadataForm(request: Request): TextForm {
  const form = textFormOf(request);
  if (form === undefined) throw new Refusal(406, 'Metadata are application/dicom+json or multipart/related; type="application/dicom+xml"; Accept excludes both.');
  return form;
}

export function answerMetadata(holdings: Holdings, selection: InstanceSelection, form: TextForm, read: ReadRequest): Response {
  return form === 'xml' ? answerXml(holdings, selection, read) : answerJson(holdings, selection, read);
}

function answerJson(holdings: Holdings, selection: InstanceSelection, read: ReadRequest): Response {
  return streamAnswer(200, { 'content-type': 'application/dicom+json' }, async function* (sent) {
    for await (const instance of holdings.instancesOf(selection)) {
      const text = dicomJsonText(await metadataOf(holdings, instance, read.base));
      yield Buffer.from(`${sent.count === 0 ? '[' : ','}${text}`);
      sent.count += 1;
    }
    yield Buffer.from(']');
  }, holdings, read);
}

function answerXml(holdings: Holdings, selection: InstanceSelection, read: ReadRequest): Response {
  const writer = multipartWriter(xmlMediaType);
  return streamAnswer(200, { 'content-type': writer.contentType }, async function* (sent) {
    for await (const instance of holdings.instancesOf(selection)) {
      yield writer.head({ 'Content-Type': xmlMediaType, 'Content-Location': `${retrieveUrl(instance, read.base)}/metadata` });
      yield Buffer.from(nativeDicomModel(await metadataOf(holdings, instance, read.base)));
      sent.count += 1;
    }
    yield writer.end();
  }, holdings, read);
}

async function metadataOf(holdings: Holdings, instance: StoredInstance, base: string): Promise<JsonDataset> {
  const { header, hasPixelData } = await readStoredHeader(holdings, instance);
  const bulkDataUri = (path: string): string => `${retrieveUrl(instance, base)}/bulkdata/${path}`;
  const pixelData = jsonTag(tags.pixelData);
  return {
    ...jsonDatasetOf(header.dataset, { bulkDataUri, isImplicitVr: !header.part10.encoding.explicitVr }),
    '00083002': { vr: 'UI', Value: [instance.transferSyntaxUid] },
    ...(hasPixelData ? { [pixelData]: { vr: 'OW', BulkDataURI: bulkDataUri(pixelData.toLowerCase()) } } : {}),
  };
}
