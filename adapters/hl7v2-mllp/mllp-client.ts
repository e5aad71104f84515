/**
 * One outbound connection: connects when first needed, stays open, sends one message at a time and waits for its answer. Never throws:
 * what happened is the result, and the three results are what a retry policy must tell apart.
 *
 * Some receivers close the connection after each answer (closing-receiver.ts). A message that meets the close half way is lost or unanswered, so there every
 * message gets a connection of its own; where it is known before (perMessage), from the start.
 */
import net from 'node:net';
import tls from 'node:tls';
import { ClosingReceiver } from './closing-receiver.ts';
import type { ClosingReceiverOptions, ConnectionUse } from './closing-receiver.ts';
import { FrameTooLargeError, MllpDecoder, frame } from './mllp.ts';

export interface MllpEndpoint {
  readonly host: string; readonly port: number;
  readonly tls?: { readonly ca?: string | undefined; readonly cert?: string | undefined; readonly key?: string | undefined } | undefined;
  readonly connectTimeoutMilliseconds: number;
  /** A connection for each message. */
  readonly perMessage?: boolean;
}

export type SendResult =
  | { readonly kind: 'answered'; readonly answer: Buffer }
  /** No byte of the message left this machine. */
  | { readonly kind: 'not-connected'; readonly text: string }
  /** The message was handed to the network and nothing usable came back. */
  | { readonly kind: 'no-answer'; readonly text: string };

export type IsLast = (answer: Buffer) => boolean;

const idleMilliseconds = 300_000;
/** For the receiver's end of a connection that we have ended. */
const endMilliseconds = 2_000;

export class MllpClient {
  readonly #endpoint: MllpEndpoint;
  readonly #receiver: ClosingReceiver;
  #socket: net.Socket | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #closed = false;
  constructor(endpoint: MllpEndpoint, options: ClosingReceiverOptions = {}) {
    this.#endpoint = endpoint;
    this.#receiver = new ClosingReceiver(endpoint.perMessage ?? false, options);
  }

  get use(): ConnectionUse { return this.#receiver.use; }

  /** Messages are sent in the order of the calls, each after the answer to the one before. `isLast`: whether no other answer follows this one. */
  send(message: Buffer, answerTimeoutMilliseconds: number, isLast: IsLast = () => true): Promise<SendResult> {
    const result = this.#queue.then(() => this.#exchange(message, answerTimeoutMilliseconds, isLast));
    this.#queue = result.then(() => this.#watched());
    return result;
  }

  /** Ends the connection; a message in flight gets 'no-answer'. */
  close(): void { this.#closed = true; this.#socket?.destroy(); this.#socket = undefined; }

  /** Ends the connection when an answer was not the one waited for: what comes later on it belongs to no message. */
  reset(): void { this.#socket?.destroy(); this.#socket = undefined; }

  async #exchange(message: Buffer, timeoutMilliseconds: number, isLast: IsLast): Promise<SendResult> {
    if (this.#closed) return { kind: 'not-connected', text: 'The gateway is stopping' };
    let socket: net.Socket;
    try {
      socket = await this.#connected();
    } catch (error) {
      return { kind: 'not-connected', text: connectionErrorText(error, this.#endpoint) };
    }
    const result = await exchangeOn(socket, message, timeoutMilliseconds, isLast);
    if (result.kind === 'answered') this.#receiver.answered(socket);
    else { this.#noteClose(socket); this.reset(); }
    if (this.#receiver.isPerMessage) this.#finish();
    return result;
  }

  /** Where the receiver is suspected, the next message waits until the connection has outlived its answer, or has not. */
  #watched(): Promise<void> | undefined {
    const socket = this.#socket;
    if (!socket || this.#closed || !this.#receiver.isWatched(socket)) return undefined;
    return new Promise((resolve) => {
      const done = (): void => { clearTimeout(timer); socket.off('close', done); resolve(); };
      const timer = setTimeout(() => { this.#receiver.outlived(socket); done(); }, this.#receiver.soonMilliseconds);
      if (socket.destroyed) done(); else socket.once('close', done);
    });
  }

  #noteClose(socket: net.Socket): void {
    if (socket === this.#socket && (socket.readableEnded || socket.destroyed)) this.#receiver.closed(socket);
  }

  /** Our end of it; the receiver's follows, or the time for it ends. */
  #finish(): void {
    this.#socket?.setTimeout(endMilliseconds);
    this.#socket?.end();
    this.#socket = undefined;
  }

  async #connected(): Promise<net.Socket> {
    if (this.#socket && !this.#socket.destroyed && this.#socket.writable) return this.#socket;
    const socket = await connect(this.#endpoint);
    if (this.#closed) { socket.destroy(); throw new Error('The gateway is stopping'); }
    socket.setTimeout(idleMilliseconds, () => socket.destroy());
    socket.on('end', () => { this.#noteClose(socket); socket.destroy(); }); // half open is of no use: no answer can come
    socket.once('close', () => this.#noteClose(socket));
    return this.#socket = socket;
  }
}

/** Resolves with a connected (for TLS: verified) socket that has an error listener; rejects within the timeout. */
export function connect(endpoint: MllpEndpoint): Promise<net.Socket> {
  const { host, port, connectTimeoutMilliseconds: milliseconds } = endpoint;
  return new Promise((resolve, reject) => {
    const options = { host, port, noDelay: true, keepAlive: true };
    const socket = endpoint.tls
      ? tls.connect({ ...options, ...defined(endpoint.tls), ...(net.isIP(host) ? {} : { servername: host }), minVersion: 'TLSv1.2' })
      : net.connect(options);
    const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${milliseconds} ms`)), milliseconds);
    socket.once(endpoint.tls ? 'secureConnect' : 'connect', () => { clearTimeout(timer); socket.off('error', reject); socket.setNoDelay(true); resolve(socket); });
    socket.once('error', reject);
    socket.on('error', () => {});
    socket.once('close', () => { clearTimeout(timer); reject(new Error('the connection was closed')); });
  });
}

function defined(options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function exchangeOn(socket: net.Socket, message: Buffer, timeoutMilliseconds: number, isLast: IsLast): Promise<SendResult> {
  const decoder = new MllpDecoder();
  return new Promise((resolve) => {
    const finish = (result: SendResult): void => {
      clearTimeout(timer);
      socket.off('data', onData); socket.off('close', onClose);
      resolve(result);
    };
    const timer = setTimeout(() => finish({ kind: 'no-answer', text: `No acknowledgment within ${timeoutMilliseconds} ms` }), timeoutMilliseconds);
    const onClose = (): void => finish({ kind: 'no-answer', text: 'The receiver closed the connection before it acknowledged' });
    const onData = (chunk: Buffer): void => {
      try {
        const answer = decoder.push(chunk).find(isLast);
        if (answer) finish({ kind: 'answered', answer });
      } catch (error) {
        if (!(error instanceof FrameTooLargeError)) throw error;
        finish({ kind: 'no-answer', text: 'The receiver answered with more bytes than an acknowledgment has' });
      }
    };
    socket.on('data', onData); socket.on('close', onClose);
    if (socket.destroyed) onClose(); else socket.write(frame(message));
  });
}

export function connectionErrorText(error: unknown, { host, port }: MllpEndpoint): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return `No connection to ${host}:${port}: ${code ?? message}`;
}
