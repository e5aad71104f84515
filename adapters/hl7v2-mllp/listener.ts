/**
 * The MLLP listener: many connections, each a strict series of frame -> answer. Within a connection the next message waits for the answer to
 * the one before, because senders rely on the order; connections run side by side. Limits keep one peer from taking what all need.
 */
import net from 'node:net';
import { TLSSocket } from 'node:tls';
import type { AdapterContext, Endpoint, Integration, IntegrationDirectory, Listener, Peer, Receive } from '#gateway/adapter.ts';
import { failpoint } from '#src/failpoint.ts';
import { ByteBudget } from './byte-budget.ts';
import type { Holder } from './byte-budget.ts';
import { isStranger } from './claim.ts';
import type { Hl7v2Config } from './config.ts';
import { FrameTooLargeError, MllpDecoder, frame, maximumFrameBytes } from './mllp.ts';
import { notMllp } from './not-mllp.ts';
import { answerToOversize, answerToUnframed } from './oversize.ts';
import { receiveFrame } from './receive-frame.ts';
import type { Answer, FrameReceiver } from './receive-frame.ts';

export interface ListenerLimits {
  readonly frameBytes: number;
  /** The largest frame of a peer whose address no integration lists, where all list addresses: enough to answer it with a reason. */
  readonly strangerFrameBytes: number;
  /** Memory for the frames of all connections, unfinished and waiting. */
  readonly heldBytes: number;
  /** Connections at once, in all and from one address. */
  readonly connections: number; readonly connectionsPerAddress: number;
  /** Longest pause inside a frame, longest time for a whole frame, longest silence between frames. */
  readonly framePauseMilliseconds: number; readonly frameMilliseconds: number; readonly idleMilliseconds: number;
  /** How long the peer may leave an answer unread before its connection is cut. */
  readonly answerMilliseconds: number;
  /** Bytes outside frames after which the peer does not speak MLLP. */
  readonly strayBytes: number;
  /** Frames of one connection waiting for their turn before its socket is paused. */
  readonly waitingFrames: number;
  /** How long the rest of a frame that has begun is waited for when the listener closes; no more than half of the time for closing. */
  readonly restMilliseconds: number;
  /** How long nothing follows FS alone, or FS LF, after a whole segment until it is taken as the end of the frame: some senders leave the CR out. */
  readonly bareEndMilliseconds: number;
}

export const defaultLimits: ListenerLimits = {
  frameBytes: maximumFrameBytes, strangerFrameBytes: 256 * 1024, heldBytes: 128 * 1024 * 1024, connections: 512, connectionsPerAddress: 64,
  framePauseMilliseconds: 30_000, frameMilliseconds: 120_000, idleMilliseconds: 3_600_000, answerMilliseconds: 30_000, strayBytes: 65_536, waitingFrames: 16, restMilliseconds: 3_000, bareEndMilliseconds: 1_000,
};

export interface MllpListenOptions { readonly limits?: Partial<ListenerLimits> }

export async function listen(
  endpoint: Endpoint, integrations: IntegrationDirectory<Hl7v2Config>, receive: Receive, context: AdapterContext, options: MllpListenOptions = {},
): Promise<Listener> {
  const limits = { ...defaultLimits, ...options.limits };
  const connections = new Set<Connection>();
  const budget = new ByteBudget(limits.heldBytes, connections, context.log);
  const to: FrameReceiver = {
    integrations: (): readonly Integration<Hl7v2Config>[] => integrations.all(), receive, together: context.writes?.together, now: () => context.now(),
    onError(error) { context.log.error({ error: error instanceof Error ? error.name : 'unknown' }, 'receiving an HL7 message failed unexpectedly; the sender was asked to try again'); },
  };
  const accept = (socket: net.Socket): void => {
    socket.allowHalfOpen = true;
    const address = socket.remoteAddress ?? '';
    const fromThere = [...connections].filter((connection) => connection.peer.address === address).length;
    if (connections.size >= limits.connections || fromThere >= limits.connectionsPerAddress) {
      context.log.warn({ address, connections: connections.size, fromThere }, 'MLLP connection refused: too many connections');
      socket.on('error', () => {}).destroy();
      return;
    }
    const connection = new Connection(socket, limits, budget, to, context);
    connections.add(connection);
    socket.on('close', () => connections.delete(connection));
  };
  const socketOptions = { noDelay: true, keepAlive: true };
  // A sender that ends its half after the message (nc -N, ncat) still waits for the answer. Over TLS this is said after the handshake (accept): one that is broken off would stay open.
  const server = endpoint.tls ? endpoint.tls.createServer(socketOptions, accept) : net.createServer({ ...socketOptions, allowHalfOpen: true }, accept);
  server.maxConnections = 2 * limits.connections; // those in their handshake count too
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: net.Socket) => {
    if (error.code !== 'ECONNRESET') context.log.warn({ address: socket.remoteAddress ?? '', code: error.code ?? error.name }, 'a TLS handshake at the MLLP port failed: a peer without TLS, without a client certificate that we know, or with too old a version');
    socket.destroy();
  });
  await bound(server, endpoint);
  server.on('error', (error) => context.log.error({ error: error.name }, 'the MLLP listener had an error'));
  return { port: (server.address() as net.AddressInfo).port, close: (grace = 10_000) => closeListener(server, connections, grace, Math.min(limits.restMilliseconds, grace / 2)) };
}

function bound(server: net.Server, { host, port }: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => { server.off('error', reject); resolve(); });
  });
}

/** Takes no new connections. Frames that have begun may end, what is whole is answered, and a connection without either ends at once. */
async function closeListener(server: net.Server, connections: ReadonlySet<Connection>, graceMilliseconds: number, restMilliseconds: number): Promise<void> {
  const closed = new Promise<void>((resolve) => { server.close(() => resolve()); });
  for (const connection of connections) connection.finish(restMilliseconds);
  const timer = setTimeout(() => { for (const connection of connections) connection.cut(); }, graceMilliseconds);
  await closed;
  clearTimeout(timer);
}

/** The common name of a client certificate that our CA has signed. */
function verifiedSubject(socket: net.Socket): Pick<Peer, 'tlsSubject'> {
  const name: unknown = socket instanceof TLSSocket && socket.authorized ? socket.getPeerCertificate().subject?.CN : undefined;
  return typeof name === 'string' ? { tlsSubject: name } : {};
}

class Connection implements Holder {
  readonly peer: Peer;
  readonly #socket: net.Socket;
  readonly #limits: ListenerLimits;
  readonly #budget: ByteBudget;
  readonly #to: FrameReceiver;
  readonly #context: AdapterContext;
  readonly #decoder: MllpDecoder;
  readonly #waiting: Buffer[] = [];
  /** Of the frames that wait and the one in work. */
  #wholeBytes = 0;
  #frameBeganAt = 0;
  #working = false;
  #finishing = false;
  /** Closing, and the frame that had begun by then has not ended. */
  #awaitsRest = false;
  #restTimer: NodeJS.Timeout | undefined;
  #peerEnded = false;
  #oversize: FrameTooLargeError | undefined;
  #unframed: Buffer | undefined;
  #bareTimer: NodeJS.Timeout | undefined;
  #hasToldBareEnd = false;
  #timer: NodeJS.Timeout | undefined;
  #frameDeadline = 0;

  constructor(socket: net.Socket, limits: ListenerLimits, budget: ByteBudget, to: FrameReceiver, context: AdapterContext) {
    this.#socket = socket; this.#limits = limits; this.#budget = budget; this.#to = to; this.#context = context;
    this.#decoder = new MllpDecoder(() => (isStranger(to.integrations(), this.peer.address) ? Math.min(limits.strangerFrameBytes, limits.frameBytes) : limits.frameBytes));
    this.peer = { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0, ...verifiedSubject(socket) };
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', () => {}); // 'close' follows; a peer that resets its connection is no event
    socket.on('close', () => { clearTimeout(this.#timer); clearTimeout(this.#restTimer); clearTimeout(this.#bareTimer); budget.update(this); });
    socket.on('end', () => { this.#peerEnded = true; this.#awaitsRest = false; this.#takeBareEnd(); this.#endWhenDone(); });
    this.#watch();
    this.flow();
  }

  get heldBytes(): number { return this.#wholeBytes + (this.#socket.destroyed ? 0 : this.#decoder.heldBytes); }
  get frameBeganAt(): number | undefined { return this.#decoder.inFrame && !this.#oversize && !this.#socket.destroyed ? this.#frameBeganAt : undefined; }
  flow(): void {
    if ((this.#finishing && !this.#awaitsRest) || this.#oversize || this.#unframed || this.#budget.isFull || this.#waiting.length >= this.#limits.waitingFrames) this.#socket.pause();
    else this.#socket.resume();
  }

  /** Takes no more than the rest of a frame that has begun; what was received whole is answered, then the connection ends. */
  finish(restMilliseconds: number): void {
    this.#finishing = true;
    this.#awaitsRest = this.#decoder.inFrame && !this.#oversize && restMilliseconds > 0;
    if (this.#awaitsRest) this.#restTimer = setTimeout(() => this.#giveRestUp(), restMilliseconds);
    this.flow();
    this.#endWhenDone();
  }
  cut(): void { this.#socket.destroy(); }

  #onData(chunk: Buffer): void {
    clearTimeout(this.#bareTimer);
    if (this.#unframed) return;
    const strayBefore = this.#decoder.strayHead;
    try {
      this.#take(chunk);
    } catch (error) {
      if (!(error instanceof FrameTooLargeError)) throw error;
      this.#oversize = error;
      clearTimeout(this.#timer); // its refusal is being recorded
      this.#budget.update(this);
      this.#socket.pause();
      if (!this.#working) void this.#work();
      return;
    }
    if (this.#decoder.inFrame) failpoint('hl7.midFrame');
    if (this.#isNotMllp(strayBefore === undefined ? chunk : Buffer.concat([strayBefore, chunk]))) return;
    if (this.#decoder.mayBeBareEnd && this.#decoder.endsSegment) this.#awaitCarriageReturn();
    if (this.#decoder.bytesOutsideFrames > this.#limits.strayBytes) {
      this.#context.log.warn({ address: this.peer.address }, 'the peer sends bytes that are no MLLP frames; connection closed');
      this.cut();
      return;
    }
    this.#watch();
    this.#budget.update(this);
    this.flow();
    if (!this.#working) void this.#work();
  }

  /** A peer that began with something else hears why, or has it said in the log, and is let go: it would wait for ever. */
  #isNotMllp(begun: Buffer): boolean {
    const spoken = this.#decoder.strayHead && notMllp(this.#decoder.strayHead);
    if (!spoken) return false;
    if (spoken.kind === 'unframed') {
      this.#unframed = begun;
      clearTimeout(this.#timer);
      this.#socket.pause();
      if (!this.#working) void this.#work();
    } else {
      this.#context.log.warn({ address: this.peer.address }, `MLLP connection closed: ${spoken.text}`);
      this.cut();
    }
    return true;
  }

  /** The timer alone may be late: what has come meanwhile is read before its end is believed. */
  #awaitCarriageReturn(): void {
    this.#bareTimer = setTimeout(() => {
      if (this.#socket.isPaused()) this.#awaitCarriageReturn();
      else this.#bareTimer = setTimeout(() => this.#takeBareEnd(), 0);
    }, this.#limits.bareEndMilliseconds);
  }

  #takeBareEnd(): void {
    if (!this.#decoder.mayBeBareEnd || this.#oversize || this.#socket.destroyed) return;
    if (!this.#hasToldBareEnd) this.#context.log.warn({ address: this.peer.address }, 'the peer ends messages with FS alone; MLLP wants FS CR, and each message waits for what may follow');
    this.#hasToldBareEnd = true;
    const message = this.#decoder.endBare();
    this.#wholeBytes += message.length;
    this.#waiting.push(message);
    this.#awaitsRest = false;
    this.#budget.update(this);
    this.flow();
    if (!this.#working) void this.#work();
  }

  #giveRestUp(): void {
    if (!this.#awaitsRest) return;
    this.#context.log.warn({ address: this.peer.address }, 'MLLP connection closed: the listener ends, and the rest of a message did not come in time');
    this.#awaitsRest = false;
    this.flow();
    this.#endWhenDone();
  }

  #take(chunk: Buffer): void {
    const wasInFrame = this.#decoder.inFrame, whole = this.#decoder.push(chunk);
    if (whole.length > 0) this.#awaitsRest = false;
    if (whole.length > 0 || !wasInFrame) this.#frameBeganAt = performance.now();
    for (const message of whole) this.#wholeBytes += message.length;
    this.#waiting.push(...whole);
  }

  async #work(): Promise<void> {
    this.#working = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      let answers: readonly Answer[] = [];
      try { answers = await receiveFrame(next, this.peer, this.#to); } catch (error) { this.#to.onError(error); this.#giveUp(); break; }
      for (const answer of answers) await this.#answer(answer); // one write after the other: the sender reads them in order
      this.#wholeBytes -= next.length;
      this.#budget.update(this);
      this.flow();
    }
    if (this.#oversize) await this.#refuse(await answerToOversize(this.#oversize, this.peer, this.#to));
    else if (this.#unframed) await this.#refuse(await answerToUnframed(this.#unframed, this.peer, this.#to));
    this.#working = false;
    this.#watch();
    this.#endWhenDone();
  }

  #giveUp(): void {
    this.cut();
    this.#waiting.length = 0;
    this.#wholeBytes = 0;
    this.#budget.update(this);
  }

  #answer(answer: Answer): Promise<void> {
    failpoint('hl7.beforeAck');
    return new Promise((resolve) => {
      let done = false;
      const finished = (heard: boolean): void => {
        if (done) return;
        done = true;
        clearTimeout(timer);
        this.#socket.off('close', lost);
        if (heard) failpoint('hl7.afterAck');
        answer.heard(heard);
        resolve();
      };
      const lost = (): void => finished(false);
      const timer = setTimeout(() => this.cut(), this.#limits.answerMilliseconds);
      if (!this.#socket.writable) { finished(false); return; }
      this.#socket.once('close', lost);
      this.#socket.write(frame(answer.bytes), (error) => finished(!error));
    });
  }

  /** In its turn, after the frames that were whole. What follows is not read. */
  async #refuse(answers: readonly Answer[]): Promise<void> {
    this.#finishing = true;
    for (const answer of answers) await this.#answer(answer);
    this.#socket.destroySoon();
  }

  #endWhenDone(): void {
    if ((this.#finishing || this.#peerEnded) && !this.#awaitsRest && !this.#working && this.#waiting.length === 0) this.#socket.end(() => this.#socket.destroy());
  }

  /** A frame that has begun must go on and end; a connection without one may be silent for long. */
  #watch(): void {
    clearTimeout(this.#timer);
    if (this.#working || this.#socket.destroyed) { this.#frameDeadline = this.#decoder.inFrame ? this.#frameDeadline : 0; return; }
    const now = performance.now();
    if (!this.#decoder.inFrame) this.#frameDeadline = 0;
    else if (this.#frameDeadline === 0) this.#frameDeadline = now + this.#limits.frameMilliseconds;
    const wait = this.#decoder.inFrame ? Math.min(this.#limits.framePauseMilliseconds, this.#frameDeadline - now) : this.#limits.idleMilliseconds;
    this.#timer = setTimeout(() => {
      this.#context.log.warn({ address: this.peer.address, inFrame: this.#decoder.inFrame }, 'MLLP connection closed: the peer went silent');
      this.cut();
    }, Math.max(wait, 0));
  }
}
