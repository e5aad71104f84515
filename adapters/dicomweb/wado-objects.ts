/**
 * Studies, series and instances as DICOM files (PS3.18 10.4.3.3.1): multipart/related; type="application/dicom", or one instance alone as
 * application/dicom. Each in the transfer syntax it was received in: what the client asked for otherwise is left out (206) or refused (406).
 */
import type { Holdings, InstanceSelection, StoredInstance } from '#gateway/holdings.ts';
import { Refusal, warning } from './answer.ts';
import { streamAnswer } from './stream-answer.ts';
import { parseAccept, rootType, type MediaType } from './media-type.ts';
import { multipartWriter } from './multipart-writer.ts';
import { retrieveUrl } from './qido-results.ts';
import type { ReadRequest } from './read-request.ts';
import type { Level } from './resource.ts';

/** `syntax` undefined: any. */
export interface ObjectFormat { readonly isMultipart: boolean; readonly syntax: string | undefined }

/** What the client takes of what can be given, the preferred first. Throws Refusal 406. */
export function objectFormats(request: Request, level: Level): readonly ObjectFormat[] {
  const formats = parseAccept(request.headers.get('accept')).flatMap((range) => formatOf(range, level) ?? []);
  if (formats.length === 0) throw new Refusal(406, `Objects are handed out as multipart/related; type="application/dicom"${level === 'instance' ? ' or application/dicom' : ''}; Accept excludes it.`);
  return formats;
}

function formatOf(range: MediaType, level: Level): ObjectFormat | undefined {
  const named = range.parameters['transfer-syntax']?.trim();
  const syntax = named === undefined || named === '' || named === '*' ? undefined : named;
  if (range.type === 'application/dicom') return level === 'instance' ? { isMultipart: false, syntax } : undefined;
  const isMultipart = range.type === '*/*' || range.type === 'multipart/*' || range.type === 'multipart/related';
  const type = rootType(range);
  return isMultipart && ['', '*/*', 'application/*', 'application/dicom'].includes(type) ? { isMultipart: true, syntax } : undefined;
}

/** Throws Refusal 406. */
export async function answerObjects(holdings: Holdings, selection: InstanceSelection, first: StoredInstance, formats: readonly ObjectFormat[], read: ReadRequest): Promise<Response> {
  const format = formats.find(({ syntax }) => syntax === undefined) ?? formats[0]!;
  const isMultipart = formats[0]!.isMultipart || selection.sopInstanceUid === undefined;
  const syntaxes = new Set(formats.map(({ syntax }) => syntax));
  const isTaken = ({ transferSyntaxUid }: StoredInstance): boolean => format.syntax === undefined || syntaxes.has(transferSyntaxUid);
  const left = format.syntax === undefined ? 0 : await countLeft(holdings, selection, isTaken);
  const status = left > 0 ? 206 : 200;
  const partial = left > 0 ? warning(`${left} instances are stored in another transfer syntax than asked for and were left out; ask with transfer-syntax=*.`) : {};
  if (!isMultipart) return streamAnswer(200, { 'content-type': `application/dicom; transfer-syntax=${first.transferSyntaxUid}` }, (sent) => counted(sent, holdings.openFile(first)), holdings, read);
  const writer = multipartWriter('application/dicom');
  return streamAnswer(status, { 'content-type': writer.contentType, ...partial }, async function* (sent) {
    for await (const instance of holdings.instancesOf(selection)) {
      if (!isTaken(instance)) continue;
      yield writer.head({ 'Content-Type': `application/dicom; transfer-syntax=${instance.transferSyntaxUid}`, 'Content-Location': retrieveUrl(instance, read.base) });
      yield* counted(sent, holdings.openFile(instance));
    }
    yield writer.end();
  }, holdings, read);
}

/** How many instances the client does not take as they are. Throws Refusal 406 when it takes none. */
async function countLeft(holdings: Holdings, selection: InstanceSelection, isTaken: (instance: StoredInstance) => boolean): Promise<number> {
  let taken = 0, left = 0, example = '';
  for await (const instance of holdings.instancesOf(selection)) {
    if (isTaken(instance)) taken += 1;
    else { left += 1; example = instance.transferSyntaxUid; }
  }
  if (taken === 0) throw new Refusal(406, `Objects are handed out as they were received, here in transfer syntax ${example}; nothing is transcoded. Ask with transfer-syntax=*.`);
  return left;
}

async function* counted(sent: { count: number }, stream: AsyncIterable<Buffer> & { destroy(): void }): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of stream) yield chunk;
    sent.count += 1;
  } finally {
    stream.destroy();
  }
}
