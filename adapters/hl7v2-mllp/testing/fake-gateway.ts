/** For tests: a pipeline that keeps what it receives in memory and normalizes it with the real mappings; and a plain MLLP sender. */
import { once } from 'node:events';
import net from 'node:net';
import { resolve } from 'node:path';
import { NormalizeError } from '#gateway/adapter.ts';
import type { AdapterContext, InboundMessage, Integration, Listener, ListenerTls, Receipt, ReceiptBody, Receive, Refusal } from '#gateway/adapter.ts';
import type { Normalized } from '#gateway/normalized.ts';
import { createMapper } from '#mapping/mapper.ts';
import { hl7v2Config } from '../config.ts';
import type { Hl7v2Config } from '../config.ts';
import { listen } from '../listener.ts';
import type { MllpListenOptions } from '../listener.ts';
import { MllpDecoder, frame } from '../mllp.ts';
import { normalize } from '../normalize.ts';

export const map = createMapper(resolve(import.meta.dirname, '../../../mappings'));

export function integration(settings: Record<string, unknown> = {}, organizationId = 'organization'): Integration<Hl7v2Config> {
  return { integrationId: `${organizationId}-ris`, organizationId, name: 'RIS', config: hl7v2Config.parse(settings) };
}

export interface Received {
  readonly message: InboundMessage<Hl7v2Config>; readonly refusal: Refusal | undefined; readonly receipt: ReceiptBody;
  readonly normalized: Normalized | undefined; readonly answers: { code: string; heard: boolean }[];
}

export interface FakeGateway {
  readonly received: Received[];
  readonly context: AdapterContext;
  readonly logged: string[];
  receive: Receive;
  /** Set to decide a receipt by hand, for instance to fail. */
  decide: ((message: InboundMessage<Hl7v2Config>) => Promise<ReceiptBody | undefined> | ReceiptBody | undefined) | undefined;
}

export function fakeGateway(): FakeGateway {
  const received: Received[] = [];
  const logged: string[] = [];
  const log = (facts: object, text: string): void => { logged.push(`${text} ${JSON.stringify(facts)}`); };
  const gateway: FakeGateway = {
    received, logged, decide: undefined,
    context: {
      log: { debug: log, info: log, warn: log, error: log }, signal: new AbortController().signal, now: () => new Date('2026-01-05T10:00:06Z'),
      store: () => Promise.reject(new Error('HL7 messages are not stored as objects')), authenticate: () => Promise.resolve(undefined),
    },
    async receive(given, refusal): Promise<Receipt> {
      const message = given as InboundMessage<Hl7v2Config>;
      const { receipt, normalized } = await judge(gateway, message, refusal);
      const answers: { code: string; heard: boolean }[] = [];
      received.push({ message, refusal, receipt, normalized, answers });
      return { ...receipt, exchangeId: String(received.length), answered: (code, heard) => { answers.push({ code, heard }); } };
    },
  };
  return gateway;
}

async function judge(gateway: FakeGateway, message: InboundMessage<Hl7v2Config>, refusal: Refusal | undefined): Promise<{ receipt: ReceiptBody; normalized?: Normalized }> {
  const decided = await gateway.decide?.(message);
  if (decided) return { receipt: decided };
  if (refusal || !message.integration) return { receipt: { kind: 'rejected', reason: 'not-allowed', text: 'no integration', ...refusal } };
  const before = gateway.received.find((other) => other.receipt.kind === 'accepted' && other.message.controlId === message.controlId && other.message.sha256 === message.sha256);
  if (before) return { receipt: { kind: 'duplicate', answerCode: before.answers[0]?.code, links: {} } };
  try {
    return { receipt: { kind: 'accepted', links: {} }, normalized: await normalize({ ...message, integration: message.integration }, map) };
  } catch (error) {
    if (!(error instanceof NormalizeError)) throw error;
    return { receipt: { kind: 'rejected', reason: error.reason, text: error.message, ...(error.location ? { location: error.location } : {}) } };
  }
}

export async function startListener(gateway: FakeGateway, integrations: readonly Integration<Hl7v2Config>[] = [integration()], options: MllpListenOptions & { tls?: ListenerTls } = {}): Promise<Listener> {
  return listen({ host: '127.0.0.1', port: 0, ...(options.tls ? { tls: options.tls } : {}) }, { all: () => integrations }, gateway.receive, gateway.context, options);
}

/** A sender that writes bytes as told and hands out the answers in order. */
export class Sender {
  readonly socket: net.Socket;
  readonly closed: Promise<unknown>;
  readonly #decoder = new MllpDecoder();
  readonly #answers: string[] = [];
  readonly #waiting: ((answer: string | undefined) => void)[] = [];
  private constructor(socket: net.Socket) {
    this.socket = socket;
    this.closed = new Promise((resolveClosed) => { socket.on('close', resolveClosed); });
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => { for (const answer of this.#decoder.push(chunk)) this.#take(answer.toString()); });
    void this.closed.then(() => { for (const waiting of this.#waiting.splice(0)) waiting(undefined); });
  }
  static async connect(port: number): Promise<Sender> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new Sender(socket);
  }
  /** One message, one answer; undefined when the connection ends without one. */
  send(message: string | Buffer): Promise<string | undefined> { this.write(frame(Buffer.from(message))); return this.answer(); }
  write(bytes: Buffer): void { this.socket.write(bytes); }
  answer(): Promise<string | undefined> {
    const ready = this.#answers.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    if (this.socket.destroyed) return Promise.resolve(undefined);
    return new Promise((resolveAnswer) => { this.#waiting.push(resolveAnswer); });
  }
  close(): void { this.socket.destroy(); }
  #take(answer: string): void { const waiting = this.#waiting.shift(); if (waiting) waiting(answer); else this.#answers.push(answer); }
}

export function adt(controlId: string, more: readonly string[] = ['PID|1||PID-1^^^ADT1^MR||Smith^Lucy||20141014|F'], event = 'A08'): string {
  return [`MSH|^~\\&|RIS|HOSP|MEDSCAN|AI|20260105100000||ADT^${event}|${controlId}|P|2.5.1`, 'EVN||20260105100000', ...more, ''].join('\r');
}
