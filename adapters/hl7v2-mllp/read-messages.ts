/** Bytes to messages as the listener takes them, with what it would refuse and nothing received: for a dry run and to replay what was kept. */
import { hash } from 'node:crypto';
import type { Integration, ReadMessage, Refusal } from '#gateway/adapter.ts';
import { validControlId } from '#standards/hl7v2/acknowledgment.ts';
import { splitFrame } from '#standards/hl7v2/batch.ts';
import { Hl7ParseError, parseMessage } from '#standards/hl7v2/parse.ts';
import type { Hl7Message } from '#standards/hl7v2/parse.ts';
import type { Hl7v2Config } from './config.ts';
import { headerProblem, interactionOf } from './header-check.ts';
import { MllpDecoder, maximumFrameBytes } from './mllp.ts';
import { orderGroupCount, orderInteractions } from './receive-orm.ts';

/** `bytes`: a message or a batch, in an MLLP block or without. */
export function readMessages(bytes: Buffer, integration: Integration<Hl7v2Config>): readonly ReadMessage[] {
  const content = unframed(bytes);
  try {
    return splitFrame(content).messages.flatMap((message) => readMessage(message, integration));
  } catch (error) {
    return [unreadable(content, error)];
  }
}

function readMessage(bytes: Buffer, integration: Integration<Hl7v2Config>): readonly ReadMessage[] {
  let message: Hl7Message;
  try { message = parseMessage(bytes); } catch (error) { return [unreadable(bytes, error)]; }
  const problem = headerProblem(message, integration);
  const refusal = problem && refusalOf(problem);
  return exchangesOf(message, bytes, problem === undefined).map((exchange) => ({ ...exchange, head: bytes, ...(refusal ? { refusal } : {}) }));
}

/** One exchange a message; one for each ORC group of an order that is taken, the second with control id '<MSH-10>#2'. */
export function exchangesOf(message: Hl7Message, bytes: Buffer, isTaken: boolean): readonly Pick<ReadMessage, 'interaction' | 'controlId' | 'facts'>[] {
  const interaction = interactionOf(message);
  const controlId = validControlId(message.header(10)) ?? digestName(bytes);
  const groups = isTaken && orderInteractions.includes(interaction) ? Math.max(orderGroupCount(message), 1) : 1;
  const facts = { version: message.header(12).slice(0, 20), processingId: message.header(11).slice(0, 20), characterSet: (message.header(18) || message.characterSet.encoding).slice(0, 40) };
  return Array.from({ length: groups }, (_, index) => ({
    interaction, controlId: index === 0 ? controlId : `${controlId}#${index + 1}`,
    facts: groups === 1 ? facts : { ...facts, orderGroup: index + 1, orderGroups: groups },
  }));
}

export const refusalOf = ({ reason, text, location }: Refusal): Refusal => ({ reason, text, ...(location ? { location } : {}) });
/** What stands for MSH-10 where there is none. */
export const digestName = (bytes: Buffer): string => `sha256:${hash('sha256', bytes).slice(0, 16)}`;

function unreadable(bytes: Buffer, error: unknown): ReadMessage {
  if (!(error instanceof Hl7ParseError)) throw error;
  return { interaction: 'unreadable', controlId: digestName(bytes), facts: {}, head: bytes, refusal: { reason: 'malformed', text: error.message, location: error.location } };
}

function unframed(bytes: Buffer): Buffer {
  if (bytes[0] !== 0x0b || bytes.length > maximumFrameBytes) return bytes;
  return new MllpDecoder().push(Buffer.concat([bytes, Buffer.of(0x1c, 0x0d)]))[0] ?? bytes;
}
