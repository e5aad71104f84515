/**
 * A frame comes in; the answers to it go out, after the commit:
 *
 *   frame -> messages -> header check -> receive(message, refusal?) -> acknowledgment
 *
 * Everything is handed to receive, what we refuse too: a message that cannot be read is recorded with its bytes. An order message with several
 * ORC groups becomes one exchange per group, the second with control id '<MSH-10>#2', of one commit (order-groups.ts), and one answer.
 */
import { hash } from 'node:crypto';
import type { InboundMessage, Integration, Peer, Receipt, Receive, Refusal } from '#gateway/adapter.ts';
import type { Writes } from '#gateway/records.ts';
import { buildAcknowledgment } from '#standards/hl7v2/acknowledgment.ts';
import { splitFrame } from '#standards/hl7v2/batch.ts';
import { formatDtm } from '#standards/hl7v2/date-time.ts';
import type { ErrorConditionCode } from '#standards/hl7v2/error-conditions.ts';
import { Hl7ParseError, parseMessage } from '#standards/hl7v2/parse.ts';
import type { Hl7Message } from '#standards/hl7v2/parse.ts';
import { codesDue, failedVerdict, verdictOf, worst } from './acknowledge.ts';
import type { Verdict } from './acknowledge.ts';
import { claimingIntegration } from './claim.ts';
import type { Hl7v2Config } from './config.ts';
import { acknowledgesDelivery, answersOurAcknowledgment, nextControlId } from './control-id.ts';
import { headerProblem } from './header-check.ts';
import type { HeaderProblem } from './header-check.ts';
import { rememberChecked } from './normalize.ts';
import { receiveTogether } from './order-groups.ts';
import { digestName, exchangesOf, refusalOf } from './read-messages.ts';

/** `heard` is to be called once, after the socket took the bytes or failed to. */
export interface Answer { readonly bytes: Buffer; heard(wasHeard: boolean): void }

export interface FrameReceiver {
  integrations(): readonly Integration<Hl7v2Config>[];
  receive: Receive;
  /** One commit for the order groups of a message; without it they are committed one after the other. */
  readonly together?: Writes['together'] | undefined;
  now(): Date;
  /** The pipeline promises not to throw; if it does all the same, it is logged and the sender hears AE. */
  onError(error: unknown): void;
}

export async function receiveFrame(frame: Buffer, peer: Peer, to: FrameReceiver): Promise<readonly Answer[]> {
  let content;
  try {
    content = splitFrame(frame);
  } catch (error) {
    if (!(error instanceof Hl7ParseError)) throw error;
    return refuseUnreadable(frame, frame, peer, to, error);
  }
  const answers: Answer[] = [];
  for (const message of content.messages) answers.push(...await receiveMessage(message, frame, peer, to)); // in order: a later one may build on an earlier
  return content.isBatch && answers.length > 0 ? [batchOf(answers, to.now())] : answers;
}

async function receiveMessage(bytes: Buffer, frame: Buffer, peer: Peer, to: FrameReceiver): Promise<readonly Answer[]> {
  let message: Hl7Message;
  try {
    message = parseMessage(bytes);
  } catch (error) {
    if (!(error instanceof Hl7ParseError)) throw error;
    return refuseUnreadable(bytes, frame, peer, to, error);
  }
  if (answersOurAcknowledgment(message)) return [];
  const [application, facility] = [message.header(3), message.header(4)];
  const sender: Peer = { ...peer, application: senderName(application, facility) };
  const integration = claimingIntegration(to.integrations(), { application, facility, address: peer.address, tlsSubject: peer.tlsSubject });
  const isLate = acknowledgesDelivery(message);
  const problem = (isLate && integration ? lateAcknowledgment : undefined) ?? headerProblem(message, integration);
  if (!problem) rememberChecked(bytes, message);
  const inbound = inboundMessages(message, bytes, integration, sender, to.now(), problem === undefined);
  const { verdict, receipts } = await receiveAll(inbound, problem, to);
  return answersTo(message, integration?.config.acknowledgment ?? 'one-answer', isLate ? { code: 'AA' } : verdict, receipts, to.now());
}

const lateAcknowledgment: HeaderProblem = {
  reason: 'unsupported', condition: '200', location: 'MSH-9', text: 'An acknowledgment of a message that we sent, as a message of its own; a delivery goes by the answer on its own connection',
};

async function receiveAll(inbound: readonly InboundMessage<Hl7v2Config>[], problem: (Refusal & { condition: ErrorConditionCode }) | undefined, to: FrameReceiver):
Promise<{ verdict: Verdict; receipts: readonly Receipt[] }> {
  const receipts: Receipt[] = [];
  const refusal = problem && refusalOf(problem);
  try {
    if (inbound.length > 1 && !problem && to.together) receipts.push(...await receiveTogether(inbound, { together: to.together, receive: to.receive }));
    else for (const message of inbound) receipts.push(await to.receive(message, refusal)); // groups of one message stay in order
    return { verdict: worst(receipts.map((receipt) => verdictOf(receipt, problem?.condition))), receipts };
  } catch (error) {
    to.onError(error);
    return { verdict: failedVerdict, receipts };
  }
}

function inboundMessages(message: Hl7Message, bytes: Buffer, integration: Integration<Hl7v2Config> | undefined, peer: Peer, receivedAt: Date, isTaken: boolean): InboundMessage<Hl7v2Config>[] {
  const sha256 = hash('sha256', bytes);
  const tls = peer.tlsSubject === undefined ? {} : { tlsSubject: peer.tlsSubject };
  return exchangesOf(message, bytes, isTaken).map(({ facts, ...exchange }) => ({ integration, peer, receivedAt, head: bytes, sha256, byteSize: bytes.length, ...exchange, facts: { ...facts, ...tls } }));
}

/** MSH-3|MSH-4 as it may be kept and shown: no control characters, no more than an HD holds. */
export function senderName(application: string, facility: string): string {
  return [application, facility].map((name) => name.replaceAll(/\p{Cc}/gu, '').slice(0, 227)).join('|');
}

/** The bytes are no message: they are recorded as they came, and answered with what can be read of the header, which may be nothing. */
async function refuseUnreadable(bytes: Buffer, frame: Buffer, peer: Peer, to: FrameReceiver, error: Hl7ParseError): Promise<readonly Answer[]> {
  const readable = readableHeader(bytes);
  const [application, facility] = [readable?.header(3) ?? '', readable?.header(4) ?? ''];
  const sha256 = hash('sha256', bytes);
  const inbound: InboundMessage<Hl7v2Config> = {
    integration: claimingIntegration(to.integrations(), { application, facility, address: peer.address, tlsSubject: peer.tlsSubject }), interaction: 'unreadable',
    controlId: digestName(bytes), peer: { ...peer, application: senderName(application, facility) }, receivedAt: to.now(),
    facts: { frameBytes: frame.length }, head: bytes, sha256, byteSize: bytes.length,
  };
  const { verdict, receipts } = await receiveAll([inbound], { reason: 'malformed', text: error.message, location: error.location, condition: '100' }, to);
  return answersTo(readable, 'one-answer', verdict, receipts, to.now());
}

/** The first MSH of the bytes on its own, if there is one that parses. */
function readableHeader(bytes: Buffer): Hl7Message | undefined {
  const start = bytes.indexOf('MSH');
  const line = start < 0 ? '' : bytes.toString('latin1', start, start + 4096).split(/[\r\n]/, 1)[0] ?? '';
  try { return parseMessage(Buffer.from(line, 'latin1')); } catch { return undefined; }
}

function answersTo(message: Hl7Message | undefined, mode: Hl7v2Config['acknowledgment'], verdict: Verdict, receipts: readonly Receipt[], sentAt: Date): readonly Answer[] {
  const codes = codesDue(message, mode, verdict);
  if (codes.length === 0) for (const receipt of receipts) receipt.answered('none', false);
  return codes.map((code, index) => ({
    bytes: buildAcknowledgment(message, { code, controlId: nextControlId(sentAt), sentAt, error: verdict.error }),
    heard(wasHeard: boolean) { if (index === codes.length - 1) for (const receipt of receipts) receipt.answered(receipts.length === 1 ? code : ownCode(receipt, code), wasHeard); },
  }));
}

/** Each exchange keeps the code it deserved: an order group that was stored must not answer a resend with the error of its neighbour. */
function ownCode(receipt: Receipt, answered: string): string {
  return `${answered[0]}${verdictOf(receipt).code[1]}`;
}

/** HL7 v2.5.1 ch. 2.10.3.2: a batch is answered with a batch of acknowledgments, in one frame. */
function batchOf(answers: readonly Answer[], sentAt: Date): Answer {
  const header = `BHS|^~\\&|||||${formatDtm(sentAt)}||||${nextControlId(sentAt)}\r`;
  return {
    bytes: Buffer.concat([Buffer.from(header), ...answers.map(({ bytes }) => bytes), Buffer.from(`BTS|${answers.length}\r`)]),
    heard(wasHeard) { for (const answer of answers) answer.heard(wasHeard); },
  };
}
