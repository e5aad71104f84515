/**
 * A report leaves as ORU^R01: built by report-to-oru.ts, sent on the connection kept for its receiver, and its acknowledgment read.
 *
 *   AA, CA                        delivered
 *   AE, CE with ERR 206 or 207    unreachable: the receiver is in trouble, not the message
 *   one of resend_on              unreachable, until it was sent resend_attempts times
 *   any other AE, AR, CE, CR      refused: a person must look
 *   no answer, another MSA-2      unconfirmed: sent again with the same MSH-10
 *   no connection                 unreachable
 */
import type { AdapterContext, Delivery, DeliveryOutcome } from '#gateway/adapter.ts';
import { readAcknowledgment } from '#standards/hl7v2/acknowledgment.ts';
import type { ReadAcknowledgment } from '#standards/hl7v2/acknowledgment.ts';
import { encodeMessage } from '#standards/hl7v2/encode.ts';
import { Hl7ParseError } from '#standards/hl7v2/parse.ts';
import { renderReportPdf } from '#standards/pdf/report-pdf.ts';
import type { ConnectionUse } from './closing-receiver.ts';
import type { Hl7v2Config } from './config.ts';
import { deliveryControlId } from './control-id.ts';
import { deliverToFolder } from './folder/deliver.ts';
import { MllpClient } from './mllp-client.ts';
import type { MllpEndpoint } from './mllp-client.ts';
import { reportToOru } from './report-to-oru.ts';

export async function deliverOru(delivery: Delivery, config: Hl7v2Config, context: AdapterContext): Promise<DeliveryOutcome> {
  const pdf = config.deliver_content.includes('pdf') ? await renderReportPdf(delivery.document, { timeZone: config.time_zone }) : undefined;
  return sendMessage('ORU^R01', delivery, config, context, (controlId) => reportToOru(delivery.document, controlId, config, context.now(), pdf));
}

/** Builds the message under the delivery's MSH-10 and sends it where the integration says: to its host and port, or into its folder. */
export async function sendMessage(interaction: string, delivery: Pick<Delivery, 'controlId' | 'attempt'>, config: Hl7v2Config, context: AdapterContext, build: (controlId: string) => string): Promise<DeliveryOutcome> {
  const endpoint = endpointOf(config);
  const { deliver_folder: folder } = config;
  const common = { interaction, peer: folder !== undefined ? `folder:${folder}` : endpoint ? `${endpoint.host}:${endpoint.port}` : 'not configured' };
  if (!endpoint && folder === undefined) return { ...common, kind: 'refused', answerCode: '', text: 'The integration has no host and port to send results to; set both, or deliver_folder' };
  const controlId = deliveryControlId(delivery.controlId);
  let message: Buffer;
  try {
    message = encodeMessage(build(controlId), config.deliver_character_set);
  } catch (error) {
    if (error instanceof RangeError) return { ...common, kind: 'refused', answerCode: '', text: error.message };
    throw error;
  }
  const sent = { ...common, sent: message, sentType: 'x-application/hl7-v2+er7' };
  if (folder !== undefined) return { ...sent, ...await deliverToFolder(folder, controlId, message, context) };
  if (!endpoint) throw new Error('an endpoint was looked for above');
  const client = clientFor(endpoint, context);
  const facts = factsOf(client.use);
  const result = await client.send(message, config.acknowledgment_timeout_milliseconds, isLastTo(controlId, config, client));
  if (result.kind === 'not-connected') return { ...sent, kind: 'unreachable', text: result.text };
  if (result.kind === 'no-answer') return { ...sent, ...facts, kind: 'unconfirmed', text: result.text };
  const outcome = outcomeOf(result.answer, controlId, { ...config, attempt: delivery.attempt });
  if (outcome.kind === 'unconfirmed') client.reset(); else lastAnswered.set(client, controlId);
  return { ...sent, ...facts, ...outcome, answer: result.answer };
}

/** Kept with the exchange where it is not as the settings say. */
const factsOf = (use: ConnectionUse): Pick<DeliveryOutcome, 'facts'> =>
  (use.kind === 'per-message' && use.until ? { facts: { connection: 'per-message', because: 'the receiver closed connections after its answers', kept_one_tried_from: use.until.toISOString() } } : {});

/**
 * Asked for both, a receiver answers CA when the message is safe there, and AA, AE or AR when it has processed it (ch. 2.9.3). One that answers twice
 * without being asked is late with the second: what acknowledges the message before this one is no answer to this one.
 */
function isLastTo(controlId: string, { request_acknowledgment: asked }: Hl7v2Config, client: MllpClient): (answer: Buffer) => boolean {
  return (answer) => {
    const acknowledgment = read(answer);
    if (acknowledgment && acknowledgment.controlId !== controlId && acknowledgment.controlId === lastAnswered.get(client)) return false;
    return !(asked === 'both' && acknowledgment?.code === 'CA');
  };
}
const lastAnswered = new WeakMap<MllpClient, string>();

type Outcome = { kind: 'delivered'; answerCode: string } | { kind: 'refused'; answerCode: string; text: string } | { kind: 'unreachable'; text: string; retryAfterMilliseconds: number } | { kind: 'unconfirmed'; text: string };

/** Which answers are tried again, and how often a message has been sent. */
export type ResendRules = Pick<Hl7v2Config, 'resend_on' | 'resend_attempts'> & { readonly attempt: number };
/** After such an answer the receiver has been reached: it is given more time than a line that is down. */
const resendMilliseconds = 60_000;

export function outcomeOf(answer: Buffer, controlId: string, { resend_on: resendOn, resend_attempts: attempts, attempt }: ResendRules): Outcome {
  const acknowledgment = read(answer);
  if (!acknowledgment) return { kind: 'unconfirmed', text: 'The answer is no HL7 acknowledgment' };
  if (acknowledgment.controlId !== controlId) return { kind: 'unconfirmed', text: 'The acknowledgment is for another message: MSA-2 is not our MSH-10' };
  const { code, condition, location } = acknowledgment;
  if (code === 'AA' || code === 'CA') return { kind: 'delivered', answerCode: code };
  const text = `The receiver answered ${code}${isCode(condition) ? `, condition ${condition}` : ''}${isPlace(location) ? ` at ${location}` : ''}`;
  if ((code === 'AE' || code === 'CE') && (condition === '206' || condition === '207')) return { kind: 'unreachable', text: `${text}: try again later`, retryAfterMilliseconds: resendMilliseconds };
  if (resendOn.includes(code)) {
    return attempt < attempts ? { kind: 'unreachable', text: `${text}: sent again (${attempt} of ${attempts})`, retryAfterMilliseconds: resendMilliseconds }
      : { kind: 'refused', answerCode: code, text: `${text}, ${attempt} times; it is not sent again` };
  }
  return { kind: 'refused', answerCode: code, text };
}

/** Of the receiver's values only what cannot be words is told: those stay in the answer, where fewer people read. */
const isCode = (text: string | undefined): boolean => text !== undefined && /^\d{1,4}$/.test(text);
const isPlace = (text: string | undefined): boolean => text !== undefined && /^[A-Z][A-Z0-9]{2}(?:\^\d{1,4}){0,5}$/.test(text);

function read(answer: Buffer): ReadAcknowledgment | undefined {
  try { return readAcknowledgment(answer); } catch (error) { if (error instanceof Hl7ParseError) return undefined; throw error; }
}

export function endpointOf(config: Hl7v2Config): MllpEndpoint | undefined {
  if (config.host === undefined || config.port === undefined) return undefined;
  const { tls_ca: ca, tls_certificate: cert, tls_key: key } = config;
  return { host: config.host, port: config.port, connectTimeoutMilliseconds: config.connect_timeout_milliseconds, perMessage: config.connection === 'per-message', tls: config.tls ? { ca, cert, key } : undefined };
}

/** One connection per receiver and settings, kept over deliveries; all end when the gateway stops. */
const clients = new WeakMap<AbortSignal, Map<string, MllpClient>>();
function clientFor(endpoint: MllpEndpoint, { signal, log }: AdapterContext): MllpClient {
  let open = clients.get(signal);
  if (!open) {
    const opened = open = new Map<string, MllpClient>();
    clients.set(signal, opened);
    signal.addEventListener('abort', () => { for (const client of opened.values()) client.close(); opened.clear(); }, { once: true });
  }
  const key = JSON.stringify(endpoint);
  let client = open.get(key);
  if (!client) open.set(key, client = new MllpClient(endpoint, { onLearned: (use) => log.info({ host: endpoint.host, port: endpoint.port, ...use }, learnedText[use.kind]) }));
  return client;
}
const learnedText: Readonly<Record<ConnectionUse['kind'], string>> = {
  'per-message': 'the receiver closes the connection after its answer: each message gets one of its own, until a kept one is tried again; the setting connection: per-message spares the trial',
  kept: 'the receiver keeps the connection open after its answer again: one connection serves all messages',
};

/** How this process uses connections to the receiver; undefined while nothing was sent there. */
export function connectionUse(endpoint: MllpEndpoint, signal: AbortSignal): ConnectionUse | undefined {
  return clients.get(signal)?.get(JSON.stringify(endpoint))?.use;
}
