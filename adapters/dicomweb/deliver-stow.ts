/**
 * A report leaves here by STOW-RS (PS3.18 10.5): as a structured report (TID 1500) and, where the integration wants them, as PDF and as pictures of the findings, one
 * request each. SOP Instance UIDs come from the delivery's control id, so every attempt sends the same objects: a server that has one already keeps one, and one
 * that says so has it.
 *
 * An answer that does not say what was stored (PS3.18 10.5.3 wants it) proves nothing: then the server is asked whether it has the object.
 *
 *     objects one by one -> [unreachable, unconfirmed: stop, all of them again] [refused: the others still go] -> the worst of the outcomes
 */
import type { AdapterContext, Delivery, DeliveryOutcome } from '#gateway/adapter.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { resultObjects, type MadeResult } from '#standards/dicom/result-objects.ts';
import { namesOf, presenceOf } from './client/stored-there.ts';
import type { Config } from './config.ts';
import { failureByStatus, type Failure } from './failure.ts';
import { multipartWriter } from './multipart-writer.ts';
import { baseUrl, clientFor, type DicomwebClient, type HttpAnswer } from './web-client.ts';
import { statusOfStore } from './store-response.ts';

export const interaction = 'STOW-RS';
/** The first object is kept with the exchange, unless it is that large: it can be made again from the report. */
const mostBytesKept = 4 * 1024 * 1024;

export async function deliver(delivery: Delivery, config: Config, context: AdapterContext): Promise<DeliveryOutcome> {
  if (config.base_url === undefined) return { kind: 'refused', interaction, peer: '', answerCode: '', text: 'the integration has no base_url; add one or stop sending reports to it' };
  const peer = `${baseUrl(config)}/studies`;
  const options = { controlId: delivery.controlId, now: context.now(), ...(config.time_zone ? { timeZone: config.time_zone } : {}) };
  let client: DicomwebClient;
  try {
    client = clientFor(config);
  } catch (error) {
    return { kind: 'unreachable', interaction, peer, text: `the settings cannot be used (${error instanceof Error ? error.message : 'unknown'}); check certificates and keys` };
  }
  const steps: Step[] = [];
  let kept: Pick<DeliveryOutcome, 'sent' | 'sentType'> = {};
  try {
    for await (const made of resultObjects(delivery.document, config.results, options, { image: delivery.image?.bind(delivery), images: context.images, signal: context.signal })) {
      const file = Buffer.concat([buildPart10Header(made), made.dataset]);
      if (steps.length === 0 && file.length <= mostBytesKept) kept = { sent: file, sentType: 'application/dicom' };
      const step = await store(made, file, { client, config, context });
      steps.push(step);
      if (!isSettled(step)) break;
    }
  } catch (error) {
    if ((error as { kind?: unknown }).kind === 'unavailable') return { kind: 'unreachable', text: 'a picture of the findings could not be made now', interaction, peer, ...kept };
    return { kind: 'refused', interaction, peer, ...kept, answerCode: 'report', text: `the report cannot be written as DICOM (${error instanceof Error ? error.message : 'unknown'})` };
  }
  return { ...outcomeOf(steps), interaction, peer, ...kept, facts: { objects: steps.map(({ kind, sopInstanceUid, judged, seenBy }) => ({ kind, sop_instance_uid: sopInstanceUid, outcome: judged.kind, ...(seenBy === undefined ? {} : { seen_by: seenBy }) })) } };
}

interface Step { readonly kind: MadeResult['kind']; readonly sopInstanceUid: string; readonly judged: Judgement; readonly answer?: Buffer; /** What says that it is there, where the answer does not. */ readonly seenBy?: 'QIDO-RS' | 'WADO-RS' | 'status' }

interface Storing { readonly client: DicomwebClient; readonly config: Config; readonly context: AdapterContext }

/** The part says application/dicom and no more: Orthanc passes a part over whose type has parameters, and answers 200. */
async function store({ kind, sopInstanceUid }: MadeResult, file: Buffer, { client, config, context }: Storing): Promise<Step> {
  const writer = multipartWriter('application/dicom');
  const body = Buffer.concat([writer.head({ 'Content-Type': 'application/dicom' }), file, writer.end()]);
  const exchanged = await client.send({ method: 'POST', path: '/studies', headers: { 'content-type': writer.contentType, accept: 'application/dicom+json' }, body }, context.signal);
  if ('failure' in exchanged) return { kind, sopInstanceUid, judged: outcomeOfFailure(exchanged.failure) };
  const judged = judge(exchanged.answer, sopInstanceUid, context.now());
  return { kind, sopInstanceUid, answer: exchanged.answer.body, ...(judged.kind === 'unsaid' ? await lookFor(judged, file, sopInstanceUid, { client, config, context }) : { judged }) };
}

async function lookFor({ answerCode }: Unsaid, file: Buffer, sopInstanceUid: string, { client, config, context }: Storing): Promise<Pick<Step, 'judged' | 'seenBy'>> {
  const presence = await presenceOf(client, namesOf(file, sopInstanceUid), context), unsaid = `HTTP ${answerCode} without saying what was stored (PS3.18 10.5.3)`;
  if (presence.kind === 'there') return { judged: { kind: 'delivered', answerCode }, seenBy: presence.by };
  if (presence.kind === 'not there') return { judged: { kind: 'unconfirmed', text: `${unsaid}, and a search does not find the object; it is sent again` } };
  if (presence.failure.kind !== 'refused') return { judged: { kind: 'unconfirmed', text: `${unsaid}, and the server cannot be asked now: ${presence.failure.text}` } };
  if (config.trust_store_status) return { judged: { kind: 'delivered', answerCode }, seenBy: 'status' };
  return { judged: { kind: 'refused', answerCode, text: `${unsaid}, and the server cannot be asked: ${presence.failure.text}. Let the login search there, or, where the status alone is to count, set trust_store_status` } };
}

const isSettled = ({ judged }: Step): boolean => judged.kind === 'delivered' || judged.kind === 'refused';

/** Of several objects the worst counts: one that may still arrive before one that never will. */
function outcomeOf(steps: readonly Step[]): Judgement & Pick<DeliveryOutcome, 'answer'> {
  const worst = steps.find((step) => !isSettled(step)) ?? steps.find(({ judged }) => judged.kind === 'refused') ?? steps[0];
  if (worst === undefined) return { kind: 'refused', answerCode: '', text: 'the report has nothing to show in the forms that the integration wants (results)' };
  const { judged, kind, answer } = worst;
  return { ...(steps.length > 1 && 'text' in judged ? { ...judged, text: `${kind}: ${judged.text}` } : judged), ...(answer === undefined ? {} : { answer }) };
}

/** The status says yes, and nothing says what of. */
export interface Unsaid { readonly kind: 'unsaid'; readonly answerCode: string }
type Judgement =
  | { readonly kind: 'delivered'; readonly answerCode: string }
  | { readonly kind: 'refused'; readonly answerCode: string; readonly text: string }
  | { readonly kind: 'unreachable'; readonly text: string; readonly retryAfterMilliseconds?: number }
  | { readonly kind: 'unconfirmed'; readonly text: string };

/** By the status, and where the server says it by what the answer says of our instance: a 200 may hold a failure, a 409 a duplicate. */
export function judge({ status, retryAfter, contentType, body }: HttpAnswer, sopInstanceUid: string, now: Date): Judgement | Unsaid {
  const told = statusOfStore(body, contentType, sopInstanceUid);
  const answerCode = told?.kind === 'failed' ? `${status} ${told.code}` : String(status);
  if (told?.kind === 'failed' && told.isDuplicate) return { kind: 'delivered', answerCode };
  if (told?.kind === 'failed' && told.isLater) return { kind: 'unreachable', text: `HTTP ${status}: ${told.text}` };
  if (told?.kind === 'failed') return { kind: 'refused', answerCode, text: `HTTP ${status}: ${told.text}` };
  if (told?.kind === 'unnamed' && status >= 200 && status < 300) return { kind: 'refused', answerCode, text: `HTTP ${status}, but the object is not among those that the server says it stored; look whether it is there` };
  if (status >= 200 && status < 300) return told?.kind === 'stored' ? { kind: 'delivered', answerCode } : { kind: 'unsaid', answerCode };
  return outcomeOfFailure(failureByStatus(status, retryAfter, now));
}

function outcomeOfFailure({ kind, answerCode, text, retryAfterMilliseconds }: Failure): Judgement {
  if (kind === 'refused') return { kind, answerCode, text };
  return kind === 'unconfirmed' ? { kind, text } : { kind, text, ...(retryAfterMilliseconds === undefined ? {} : { retryAfterMilliseconds }) };
}
