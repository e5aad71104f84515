/** Metadata (PS3.18 10.4.1.1.2): the header of every instance as DICOM JSON, read from its file; Pixel Data and large values by address. */
import type { Holdings, InstanceSelection, StoredInstance } from '#gateway/holdings.ts';
import { tags } from '#standards/dicom/tag.ts';
import { Refusal } from './answer.ts';
import { streamAnswer } from './stream-answer.ts';
import { dicomJsonText, jsonDatasetOf, jsonTag, type JsonDataset } from './dicom-json.ts';
import { accepts, parseAccept } from './media-type.ts';
import { retrieveUrl } from './qido-results.ts';
import type { ReadRequest } from './read-request.ts';
import { readStoredHeader } from './stored-header.ts';

/** Throws Refusal 406. */
export function checkMetadataAccept(request: Request): void {
  const isWanted = parseAccept(request.headers.get('accept')).some((range) => accepts(range, 'application/dicom+json') || accepts(range, 'application/json'));
  if (!isWanted) throw new Refusal(406, 'Metadata are application/dicom+json; Accept excludes it. XML is not written.');
}

export function answerMetadata(holdings: Holdings, selection: InstanceSelection, read: ReadRequest): Response {
  return streamAnswer(200, { 'content-type': 'application/dicom+json' }, async function* (sent) {
    for await (const instance of holdings.instancesOf(selection)) {
      const text = dicomJsonText(await metadataOf(holdings, instance, read.base));
      yield Buffer.from(`${sent.count === 0 ? '[' : ','}${text}`);
      sent.count += 1;
    }
    yield Buffer.from(']');
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
