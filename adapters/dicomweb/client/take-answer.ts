/** The objects of one WADO-RS answer, each by the ordinary way in while the next ones are read; as many uncommitted at a time as of a STOW-RS request. */
import type { AdapterContext, Integration, Receipt, Receive } from '#gateway/adapter.ts';
import type { Config } from '../config.ts';
import { failureByError, type Failure } from '../failure.ts';
import type { NamedUids } from '../file-opening.ts';
import { parseMediaType, rootType } from '../media-type.ts';
import { MultipartError, isBoundary } from '../multipart.ts';
import { buffersOf, objectParts } from '../object-parts.ts';
import { mostUncommitted } from '../receive-stow.ts';
import { storePart, TooLargeError, type StoredPart, type StoreRequest } from '../store-part.ts';
import type { OpenAnswer } from '../web-client.ts';

export interface Taking {
  readonly integration: Integration<Config>; readonly receive: Receive; readonly context: AdapterContext;
  readonly study: string;
  /** The only one that was asked for. */
  readonly sopInstanceUid?: string;
}
/** `failure`: the answer did not come to its end. `refusal`: why the first of those that were refused was. */
export interface Taken { readonly stored: number; readonly refused: number; readonly failure?: Failure; readonly refusal?: string }

/** Never rejects. */
export async function takeAnswer(answer: OpenAnswer, taking: Taking, mostParts: number): Promise<Taken> {
  const parts: Promise<StoredPart>[] = [];
  let failure: Failure | undefined;
  try {
    const request = storeRequest(taking);
    for await (const bytes of objectsOf(answer, mostParts)) {
      if (parts.length >= mostUncommitted) await parts.at(-mostUncommitted);
      parts.push((await storePart(bytes, request)).stored);
    }
  } catch (error) {
    if (error instanceof TooLargeError) parts.push(error.part);
    failure = failureOf(error);
  } finally {
    answer.end();
  }
  return tally((await Promise.all(parts)).map(({ receipt }) => receipt), failure);
}

/** Another object than was asked for is refused, whatever it is: what a server sends is not what decides where it belongs. */
function storeRequest({ integration, receive, context, study, sopInstanceUid }: Taking): StoreRequest {
  const { hostname, port, protocol } = new URL(integration.config.base_url ?? '');
  const admit = ({ studyInstanceUid, sopInstanceUid: sent }: NamedUids): ReturnType<NonNullable<StoreRequest['admit']>> => {
    if (sopInstanceUid !== undefined && sent !== sopInstanceUid) return { reason: 'conflict', text: 'the server sent another instance than was asked for', location: '(0008,0018)' };
    return studyInstanceUid !== undefined && studyInstanceUid !== study ? { reason: 'conflict', text: 'the server sent an instance of another study than was asked for', location: '(0020,000d)' } : undefined;
  };
  const peer = { address: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (protocol === 'https:' ? 443 : 80), application: hostname };
  return { interaction: 'WADO-RS instance', integration, receive, context, study, peer, admit };
}

async function* objectsOf({ contentType, bytes }: OpenAnswer, mostParts: number): AsyncGenerator<AsyncIterable<Buffer>> {
  const content = parseMediaType(contentType);
  if (content?.type === 'application/dicom') {
    yield buffersOf(bytes);
    return;
  }
  const type = content && rootType(content);
  if (content?.type !== 'multipart/related' || (type !== 'application/dicom' && type !== '')) throw new UnfitAnswer(`the answer is ${contentType.split(';')[0]?.slice(0, 80) || 'of no content type'}, not objects as application/dicom`);
  const { boundary } = content.parameters;
  if (!isBoundary(boundary)) throw new UnfitAnswer('the boundary parameter of the answer is missing or not one');
  yield* objectParts(bytes, boundary, mostParts, (text) => { throw new UnfitAnswer(text); });
}

/** Asking again would bring the same. */
class UnfitAnswer extends Error {}

function failureOf(error: unknown): Failure {
  if (error instanceof UnfitAnswer) return { kind: 'refused', answerCode: '200', text: error.message };
  if (error instanceof TooLargeError) return { kind: 'refused', answerCode: '200', text: `${error.message}; the rest of the answer was not read` };
  if (error instanceof MultipartError && error.name === 'MultipartError') return { kind: 'unconfirmed', answerCode: '200', text: `the answer did not come whole: ${error.message}` };
  return failureByError(error, 'retrieve');
}

function tally(receipts: readonly Receipt[], failure: Failure | undefined): Taken {
  let stored = 0, refused = 0, trouble: Failure | undefined, refusal: string | undefined;
  for (const receipt of receipts) {
    // Nobody waits for an answer: the object was read, and its row says what became of it.
    receipt.answered(receipt.kind === 'failed' ? 'read again' : 'read', true);
    if (receipt.kind === 'accepted' || receipt.kind === 'duplicate') stored += 1;
    else refused += 1;
    if (receipt.kind === 'failed') trouble ??= { kind: 'unreachable', answerCode: 'storing', text: 'the gateway could not store what came' };
    if (receipt.kind === 'rejected') refusal ??= receipt.text;
  }
  const ended = trouble ?? failure;
  return { stored, refused, ...(ended ? { failure: ended } : {}), ...(refusal === undefined ? {} : { refusal }) };
}
