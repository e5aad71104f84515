/**
 * A RIS on loopback: sends ADT and ORM to the gateway over MLLP, one message in flight on one connection, and receives ORU^R01.
 * Its misbehaviours are those of reality: it answers AE or AR, never, late, or is switched off.
 */
import net from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Arrivals } from './arrivals.ts';
import { acknowledgment, headerFields, mergeMessage, orderMessage, registrationMessage, segmentFields } from './hl7-messages.ts';
import type { MessageEnvelope, SimulatedOrder, SimulatedPatient } from './hl7-messages.ts';
import { sha256Of } from './ledger.ts';
import type { Ledger } from './ledger.ts';
import { LoopbackListener } from './loopback-listener.ts';
import { Misbehaviour } from './misbehaviour.ts';
import { FrameReader, frameMessage } from './mllp-framing.ts';

export type RisMode = 'accept' | 'AE' | 'AR' | 'silent' | 'late' | 'hang-up' | 'down';
export interface RisOptions {
  /** Where ORU^R01 is received; 0 takes any port. */
  readonly port?: number;
  /** The gateway's MLLP listener. */
  readonly gateway: { readonly host: string; readonly port: number };
  readonly sendingApplication?: string; readonly sendingFacility?: string;
  readonly ledger?: Ledger;
  readonly lateMilliseconds?: number;
}
export interface ReceivedResult { readonly controlId: string; readonly type: string; readonly text: string; readonly bytes: Buffer; readonly at: Date; readonly answered: string | undefined }
/** `code` is MSA-1; undefined when no answer came before the connection ended or the time ran out. */
export interface RisAnswer { readonly controlId: string; readonly code: string | undefined; readonly text: string; readonly milliseconds: number }

/** A RIS keeps its clock and its numbering: control ids are unique over restarts. */
export class Ris {
  readonly received = new Arrivals<ReceivedResult>();
  readonly behaviour: Misbehaviour<RisMode>;
  readonly #options: RisOptions;
  readonly #listener: LoopbackListener;
  #socket: net.Socket | undefined;
  #sending: Promise<unknown> = Promise.resolve();
  #number = 0;

  private constructor(options: RisOptions) {
    this.#options = options;
    this.#listener = new LoopbackListener(options.port ?? 0, (socket) => this.#serve(socket));
    this.behaviour = new Misbehaviour<RisMode>('accept', async (mode) => mode === 'down' ? this.#listener.close() : this.#listener.open());
  }

  static async start(options: RisOptions): Promise<Ris> {
    const ris = new Ris(options);
    await ris.#listener.open();
    return ris;
  }

  get port(): number { return this.#listener.port; }

  envelope(controlId?: string): MessageEnvelope {
    this.#number += 1;
    return {
      controlId: controlId ?? `RIS${Date.now().toString(36).toUpperCase()}${process.pid}N${this.#number}`.slice(0, 20),
      sendingApplication: this.#options.sendingApplication ?? 'RIS', sendingFacility: this.#options.sendingFacility ?? 'NORTH', at: new Date(),
    };
  }

  async register(patient: SimulatedPatient, event: 'A01' | 'A04' | 'A08' = 'A04'): Promise<RisAnswer> {
    return this.send(registrationMessage(event, patient, this.envelope()));
  }
  async order(patient: SimulatedPatient, order: SimulatedOrder, control: 'NW' | 'XO' | 'CA' = 'NW'): Promise<RisAnswer> {
    return this.send(orderMessage(control, patient, order, this.envelope()));
  }
  async merge(patient: SimulatedPatient, priorPatientId: string): Promise<RisAnswer> {
    return this.send(mergeMessage(patient, priorPatientId, this.envelope()));
  }

  /** Sends after the earlier messages have been answered. Never rejects for what the gateway does: an absent answer is `code: undefined`. */
  async send(message: Buffer, timeoutMilliseconds = 10_000): Promise<RisAnswer> {
    const exchange = this.#sending.then(() => this.#exchange(message, timeoutMilliseconds));
    this.#sending = exchange.catch(() => undefined);
    return exchange;
  }

  async stop(): Promise<void> {
    this.#socket?.destroy();
    await this.#listener.close();
  }

  async #exchange(message: Buffer, timeoutMilliseconds: number): Promise<RisAnswer> {
    const controlId = headerFields(message.toString('utf8'))[9] ?? '';
    const started = performance.now();
    const text = await this.#roundTrip(message, timeoutMilliseconds).catch(() => undefined);
    const acknowledged = text === undefined ? undefined : segmentFields(text, 'MSA');
    const code = acknowledged?.[2]?.trim() === controlId ? acknowledged[1]?.trim() : undefined;
    if (code === undefined) this.#drop();
    this.#options.ledger?.append({
      id: controlId, sha256: sha256Of(message), code: code ?? '', at: new Date().toISOString(),
      told: code === undefined ? 'nothing' : code === 'AA' || code === 'CA' ? 'accepted' : 'refused',
    });
    return { controlId, code, text: text ?? '', milliseconds: performance.now() - started };
  }

  async #roundTrip(message: Buffer, timeoutMilliseconds: number): Promise<string> {
    const socket = await this.#connection(AbortSignal.timeout(timeoutMilliseconds));
    const frames = new FrameReader();
    return new Promise((resolve, reject) => {
      const finish = (): void => { clearTimeout(timer); socket.off('data', read); socket.off('close', hangUp); };
      const read = (chunk: Buffer): void => {
        const [answer] = frames.push(chunk);
        if (answer !== undefined) { finish(); resolve(answer.toString('utf8')); }
      };
      const hangUp = (): void => { finish(); reject(new Error('the gateway hung up')); };
      const timer = setTimeout(() => { finish(); reject(new Error('no answer in time')); }, timeoutMilliseconds);
      socket.on('data', read);
      socket.on('close', hangUp);
      socket.write(frameMessage(message));
    });
  }

  async #connection(signal: AbortSignal): Promise<net.Socket> {
    if (this.#socket !== undefined && !this.#socket.destroyed) return this.#socket;
    const socket = net.connect({ ...this.#options.gateway, noDelay: true });
    try {
      await once(socket, 'connect', { signal });
    } catch (error) {
      socket.destroy();
      throw error;
    }
    socket.on('error', () => undefined);
    socket.on('end', () => socket.destroy());
    this.#socket = socket;
    return socket;
  }

  #drop(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #serve(socket: net.Socket): void {
    const frames = new FrameReader();
    let answering: Promise<void> = Promise.resolve();
    socket.on('data', (chunk: Buffer) => {
      for (const message of frames.push(chunk)) answering = answering.then(() => this.#receive(message, socket)).catch(() => undefined);
    });
  }

  async #receive(bytes: Buffer, socket: net.Socket): Promise<void> {
    const mode = this.behaviour.take();
    const text = bytes.toString('utf8');
    const header = headerFields(text);
    const refusal = mode === 'AE' || mode === 'AR' ? mode : undefined;
    const code = mode === 'silent' || mode === 'hang-up' || mode === 'down' ? undefined : refusal ?? (isResult(text) || isOrderStatus(text) ? 'AA' : 'AR');
    if (mode === 'late') await sleep(this.#options.lateMilliseconds ?? 5_000);
    this.received.add({ controlId: header[9] ?? '', type: header[8] ?? '', text, bytes, at: new Date(), answered: code });
    if (mode === 'hang-up') socket.destroy();
    if (code === undefined || socket.destroyed) return;
    const reason = code === 'AA' ? undefined : refusal === undefined ? 'Only ORU^R01 with a PID and an OBR, and ORM^O01 with ORC-1 SC are taken here' : 'Refused on request';
    socket.write(frameMessage(acknowledgment(code, text, reason, `ACK${this.envelope().controlId}`.slice(0, 20))));
  }
}

function isResult(text: string): boolean {
  const [message, event] = headerFields(text)[8]?.split('^') ?? [];
  return message === 'ORU' && event === 'R01' && segmentFields(text, 'PID') !== undefined && segmentFields(text, 'OBR') !== undefined;
}

function isOrderStatus(text: string): boolean {
  return headerFields(text)[8]?.startsWith('ORM^O01') === true && segmentFields(text, 'ORC')?.[1] === 'SC';
}
