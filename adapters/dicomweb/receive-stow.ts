/**
 * STOW-RS ENTERS HERE (PS3.18 10.5): POST /dicom-web/studies[/{study}], objects as multipart/related; type="application/dicom" or a
 * single one as application/dicom. An object is in ReferencedSOPSequence only after its file, rows and job are durable.
 *
 *   content type -> part -> part -> ...        read one after the other, committed up to mostUncommitted at a time
 *        \-> 415      \-> its own success or failure in the answer: 200 all | 202 some | 409 none | 503 none, our trouble | 400 not multipart
 */
import type { Receive } from '#gateway/adapter.ts';
import type { Caller } from './caller.ts';
import { SilentSenderError, withIdleLimit } from './idle-limit.ts';
import { MultipartError, isBoundary } from './multipart.ts';
import { buffersOf, objectParts } from './object-parts.ts';
import { Refusal } from './answer.ts';
import { recordRefusal, type Recorder } from './record-refusal.ts';
import { accepts, parseAccept, parseMediaType, rootType } from './media-type.ts';
import { storePart, TooLargeError, type StoredPart, type StoreRequest } from './store-part.ts';
import { storeAnswer, type FailedPart } from './store-answer.ts';

export const mostUncommitted = 8;

export interface StowRequest extends Recorder {
  readonly caller: Caller;
  /** Of the target resource. */
  readonly study: string | undefined;
}

/** Throws Refusal: 406, 415, 400. Rejects with what the body's stream throws when the sender goes away. */
export async function receiveStow(request: Request, { caller, study, peer, receive, context }: StowRequest, base: string): Promise<Response> {
  checkAccept(request);
  const arrival = context.arrivals?.begin(caller.integration, caller.integration.name);
  const receiveOne: Receive = async (message, refusal) => {
    const receipt = await receive(message, refusal);
    arrival?.brought(receipt);
    return receipt;
  };
  const store: StoreRequest = { interaction: 'STOW-RS', integration: caller.integration, study, receive: receiveOne, context, peer: { ...peer, application: caller.principal.userId } };
  const parts: Promise<StoredPart>[] = [];
  const failed: FailedPart[] = [];
  let endedBy: Refusal | undefined;
  try {
    for await (const bytes of partsOf(request, caller, failed)) {
      if (parts.length >= mostUncommitted) await parts.at(-mostUncommitted);
      parts.push((await storePart(bytes, store)).stored);
    }
  } catch (error) {
    if (error instanceof TooLargeError) parts.push(error.part);
    else if (!(error instanceof MultipartError)) {
      for (const { receipt } of await Promise.all(parts)) receipt.answered('connection lost', false);
      arrival?.ended('broken');
      throw error;
    }
    endedBy = new Refusal(error instanceof TooLargeError ? 413 : error instanceof SilentSenderError ? 408 : 400, `The request was not read to its end: ${error.message}.`);
    if (error instanceof MultipartError) failed.push({ text: error.message });
  }
  const stored = await Promise.all(parts);
  arrival?.ended(endedBy === undefined ? 'released' : 'broken');
  if (stored.length === 0 && endedBy !== undefined) throw endedBy;
  if (stored.length === 0 && failed.length === 0) throw new Refusal(400, 'The request holds no object.');
  if (failed.length > 0) await recordRefusal(request, 'store', caller, { peer, receive, context }, { reason: 'malformed', text: failed[0]!.text });
  const response = storeAnswer(stored, failed, endedBy, base);
  for (const { receipt } of stored) receipt.answered(String(response.status), !request.signal.aborted);
  return response;
}

function checkAccept(request: Request): void {
  const isWanted = parseAccept(request.headers.get('accept')).some((range) => accepts(range, 'application/dicom+json') || accepts(range, 'application/json'));
  if (!isWanted) throw new Refusal(406, 'Answers are application/dicom+json; Accept excludes it.');
}

/** The bytes of each object; parts that are none go to `failed`. */
async function* partsOf(request: Request, { integration }: Caller, failed: FailedPart[]): AsyncGenerator<AsyncIterable<Buffer>> {
  const encoding = request.headers.get('content-encoding')?.trim().toLowerCase() ?? '';
  if (encoding !== '' && encoding !== 'identity') throw new Refusal(415, 'Content-Encoding is not taken; send the body as it is.');
  const content = parseMediaType(request.headers.get('content-type'));
  const body = request.body === null ? null : withIdleLimit(request.body as AsyncIterable<Uint8Array>);
  if (content?.type === 'application/dicom') {
    if (body === null) throw new Refusal(400, 'The request has no body.');
    yield buffersOf(body);
    return;
  }
  if (content?.type !== 'multipart/related' || rootType(content) !== 'application/dicom') throw new Refusal(415, 'The content type must be multipart/related; type="application/dicom"; boundary=..., or application/dicom. Metadata with bulk data apart is not taken.');
  const { boundary } = content.parameters;
  if (!isBoundary(boundary)) throw new Refusal(400, 'The boundary parameter of the content type is missing or not one (RFC 2046 5.1.1).');
  if (body === null) throw new Refusal(400, 'The request has no body.');
  yield* objectParts(body, boundary, integration.config.maximum_parts, (text) => { failed.push({ text }); });
}
