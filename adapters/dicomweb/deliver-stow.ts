/**
 * A report leaves here as a DICOM Structured Report (TID 1500) by STOW-RS (PS3.18 10.5). Its SOP Instance UID comes from the delivery's
 * control id, so every attempt sends the same object: a server that has it already keeps one, and one that says so has it.
 */
import type { AdapterContext, Delivery, DeliveryOutcome } from '#gateway/adapter.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { buildMeasurementReport } from '#standards/dicom/sr-tid1500.ts';
import type { Config } from './config.ts';
import { failureByStatus, type Failure } from './failure.ts';
import { multipartWriter } from './multipart-writer.ts';
import { baseUrl, clientFor, type HttpAnswer } from './stow-client.ts';
import { statusOfStore } from './store-response.ts';

export const interaction = 'STOW-RS';

export async function deliver(delivery: Delivery, config: Config, context: AdapterContext): Promise<DeliveryOutcome> {
  if (config.base_url === undefined) return { kind: 'refused', interaction, peer: '', answerCode: '', text: 'the integration has no base_url; add one or stop sending reports to it' };
  const peer = `${baseUrl(config)}/studies`;
  const report = buildMeasurementReport(delivery.document, { controlId: delivery.controlId, now: context.now(), ...(config.time_zone ? { timeZone: config.time_zone } : {}) });
  const sent = Buffer.concat([buildPart10Header(report), report.dataset]);
  const common = { interaction, peer, sent, sentType: 'application/dicom' };
  const writer = multipartWriter('application/dicom');
  const body = Buffer.concat([writer.head({ 'Content-Type': `application/dicom; transfer-syntax=${report.transferSyntaxUid}` }), sent, writer.end()]);
  try {
    const exchanged = await clientFor(config).send({ method: 'POST', path: '/studies', headers: { 'content-type': writer.contentType, accept: 'application/dicom+json' }, body }, context.signal);
    if ('failure' in exchanged) return { ...outcomeOf(exchanged.failure), ...common };
    return { ...judge(exchanged.answer, report.sopInstanceUid, context.now()), ...common, answer: exchanged.answer.body };
  } catch (error) {
    return { kind: 'refused', ...common, answerCode: 'settings', text: `the settings cannot be used (${error instanceof Error ? error.message : 'unknown'}); check certificates and keys` };
  }
}

type Judgement =
  | { readonly kind: 'delivered'; readonly answerCode: string }
  | { readonly kind: 'refused'; readonly answerCode: string; readonly text: string }
  | { readonly kind: 'unreachable'; readonly text: string; readonly retryAfterMilliseconds?: number }
  | { readonly kind: 'unconfirmed'; readonly text: string };

/** By the status, and where the server says it by what the answer says of our instance: a 200 may hold a failure, a 409 a duplicate. */
export function judge({ status, retryAfter, contentType, body }: HttpAnswer, sopInstanceUid: string, now: Date): Judgement {
  const told = statusOfStore(body, contentType, sopInstanceUid);
  const answerCode = told?.kind === 'failed' ? `${status} ${told.code}` : String(status);
  if (told?.kind === 'failed' && told.isDuplicate) return { kind: 'delivered', answerCode };
  if (told?.kind === 'failed' && told.isLater) return { kind: 'unreachable', text: `HTTP ${status}: ${told.text}` };
  if (told?.kind === 'failed') return { kind: 'refused', answerCode, text: `HTTP ${status}: ${told.text}` };
  if (status === 200 || status === 201 || (status === 202 && told?.kind === 'stored')) return { kind: 'delivered', answerCode };
  if (status >= 200 && status < 300) return { kind: 'refused', answerCode, text: `HTTP ${status} without saying what became of the object; look whether it is there` };
  return outcomeOf(failureByStatus(status, retryAfter, now));
}

function outcomeOf({ kind, answerCode, text, retryAfterMilliseconds }: Failure): Judgement {
  if (kind === 'refused') return { kind, answerCode, text };
  return kind === 'unconfirmed' ? { kind, text } : { kind, text, ...(retryAfterMilliseconds === undefined ? {} : { retryAfterMilliseconds }) };
}
