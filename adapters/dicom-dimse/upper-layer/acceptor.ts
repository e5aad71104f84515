/**
 * One association as its acceptor sees it: a socket below, a DICOM service (UpperLayerUser) above, PS3.8's state machine between.
 *
 *     socket -> PduReader -> transition(state, event) -> action -> bytes to the socket, or an indication to the user
 *
 * Messages are served one after the other: after the last fragment of a message nothing more is read until the user has answered it
 * (no asynchronous operations window is negotiated, PS3.7 D.3.3.3), so a sender that pipelines is slowed by TCP and loses nothing.
 * A service that must hear the peer while it answers (C-CANCEL, C-STORE-RSP of a C-GET) says so: MessageReceiver.readsOn.
 * Data of a message goes to its receiver as it comes; a receiver that returns a promise pauses the socket until it resolves.
 */
import type { Socket } from 'node:net';
import { finished } from 'node:stream';
import type { CommandSet } from './command-set.ts';
import type { MessageReceiver } from './message-assembler.ts';
import { MessageAssembler } from './message-assembler.ts';
import type { AssociateRequest, Implementation, NegotiatedContext, Rejection } from './pdu.ts';
import {
  AbortReason, AbortSource, ContextResult, decodeAssociateRequest, encodeAbort, encodeAssociateAccept, encodeAssociateReject, encodeReleaseResponse, InvalidPdu, PduType,
} from './pdu.ts';
import type { UpperLayerLimits } from './limits.ts';
import { PduReader } from './pdu-reader.ts';
import type { Action, Event, State } from './state-machine.ts';
import { receiveShared } from './shared-receive-buffer.ts';
import { transition } from './state-machine.ts';

export type AssociateResponse =
  | { readonly kind: 'accept'; readonly contexts: readonly NegotiatedContext[] }
  /** `answered` is told whether the operating system took the A-ASSOCIATE-RJ. */
  | { readonly kind: 'reject'; readonly rejection: Rejection; answered?(heard: boolean): void };

/** The "DICOM UL service-user" of PS3.8. One per association. */
export interface UpperLayerUser {
  /** A-ASSOCIATE indication. */
  associate(request: AssociateRequest): Promise<AssociateResponse>;
  /** A complete command set on an accepted context. */
  message(command: CommandSet, context: NegotiatedContext): MessageReceiver;
  /** The association, or the attempt at one, ended otherwise than by release. `bytes`: the A-ASSOCIATE-RQ that could not be read. */
  ended(why: string, bytes?: Buffer): void;
}
export interface AcceptorOptions {
  readonly limits: UpperLayerLimits;
  readonly implementation: Implementation;
  user(acceptor: AssociationAcceptor): UpperLayerUser;
}

const eventOfPdu: Readonly<Record<number, Event>> = {
  [PduType.associateRq]: 'A-ASSOCIATE-RQ PDU', [PduType.associateAc]: 'A-ASSOCIATE-AC PDU', [PduType.associateRj]: 'A-ASSOCIATE-RJ PDU',
  [PduType.pDataTf]: 'P-DATA-TF PDU', [PduType.releaseRq]: 'A-RELEASE-RQ PDU', [PduType.releaseRp]: 'A-RELEASE-RP PDU', [PduType.abort]: 'A-ABORT PDU',
};

/** Of bytes that are no association request. */
const mostRecordedByteLength = 4096;

export class AssociationAcceptor {
  /** Resolves when the socket is closed and nothing of a message is left running. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #limits: UpperLayerLimits;
  readonly #implementation: Implementation;
  readonly #user: UpperLayerUser;
  readonly #reader: PduReader;
  readonly #messages: MessageAssembler;
  readonly #over = new AbortController();
  #state: State = 'Sta1';
  /** Our own work that the peer waits for: backpressure of the receiver, or the answer. Reasons to pause, and not to call the peer idle. */
  #working = 0;
  #pauses = 0;
  /** Messages whose answer is waited for before anything more is read. */
  #holds = 0;
  #stopping = false;
  #hasEnded = false;
  #artim: NodeJS.Timeout | undefined;
  #idleWatch: NodeJS.Timeout | undefined;
  #unfinished: Promise<void> = Promise.resolve();

  constructor(socket: Socket, options: AcceptorOptions) {
    this.#socket = socket;
    this.#limits = options.limits;
    this.#implementation = options.implementation;
    this.#reader = new PduReader({
      header: (type, byteLength) => { this.#header(type, byteLength); },
      pdu: (type, bytes) => { this.#pdu(type, bytes); },
      pdv: (contextId, isCommand, isLast) => { this.#messages.pdv(contextId, isCommand, isLast); },
      fragment: (bytes) => { this.#messages.fragment(bytes); },
      endOfPdv: () => { this.#messages.endOfPdv(); },
    });
    this.#messages = new MessageAssembler(this.#limits.commandSetByteLength, {
      begin: (command, context) => this.#user.message(command, context),
      wait: (until) => { this.#pauseUntil(until); },
      complete: (receiver) => { this.#complete(receiver); },
    });
    this.#user = options.user(this);
    this.closed = new Promise((resolve) => {
      socket.once('close', () => { this.#event('transport connection closed'); resolve(this.#settle()); });
    });
    socket.on('error', () => { /* 'close' follows and is what counts */ });
    if (!receiveShared(socket, (chunk) => { this.#data(chunk, true); })) socket.on('data', (chunk: Buffer) => { this.#data(chunk, false); });
    this.#event('transport connection indication');
  }

  /** Aborted when nothing can be sent any more: released, aborted, or the connection is gone. */
  get over(): AbortSignal { return this.#over.signal; }

  get isBusy(): boolean { return this.#messages.isInMessage || this.#working > 0 || this.#state === 'Sta3'; }

  /** Writes to the peer; resolves to whether the operating system took the bytes. Never rejects. */
  send(bytes: Buffer): Promise<boolean> {
    if (!this.#socket.writable || this.#state !== 'Sta6') return Promise.resolve(false);
    return new Promise((resolve) => { this.#socket.write(bytes, (error) => { resolve(!error); }); });
  }

  /** Ends the association as soon as no message is under way. */
  stop(): void {
    this.#stopping = true;
    if (!this.isBusy) this.#event('A-ABORT request');
  }
  /** Ends it now: what is under way is lost, and the sender knows it. */
  destroy(): void { this.#socket.destroy(); }

  #event(event: Event, bytes?: Buffer, reason: number = AbortReason.notSpecified): void {
    const step = transition(this.#state, event);
    if (!step) return;
    this.#state = step.next;
    if (step.next !== 'Sta2' && step.next !== 'Sta3' && step.next !== 'Sta6') this.#over.abort();
    this.#act(step.action, bytes, reason);
  }

  /** The first reason is the true one: what follows it is its consequence. */
  #ended(why: string, bytes?: Buffer): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#user.ended(why, bytes);
  }

  /** PS3.8 tables 9-6 to 9-9. */
  #act(action: Action, bytes: Buffer | undefined, reason: number): void {
    switch (action) {
      case 'AE-5': this.#startArtim(this.#limits.artimMilliseconds); return;
      case 'AE-6': this.#indicateAssociate(bytes ?? Buffer.alloc(0)); return;
      case 'AE-7': this.#stopArtim(); this.#socket.write(bytes ?? Buffer.alloc(0)); this.#watchIdle(); return;
      case 'DT-2': case 'AA-6': return;
      case 'AR-2': this.#event('A-RELEASE response'); return;
      case 'AE-8': this.#finish(bytes ?? Buffer.alloc(0)); return;
      case 'AR-4': this.#finish(encodeReleaseResponse()); return;
      case 'AA-1': this.#ended('aborted by the gateway'); this.#finish(encodeAbort(AbortSource.serviceUser, AbortReason.notSpecified)); return;
      case 'AA-7': this.#socket.destroy(); return; // departs from PS3.8: a peer that sends nonsense after the end is not answered again
      case 'AA-8': this.#finish(encodeAbort(AbortSource.serviceProvider, reason)); return;
      case 'AA-3': this.#ended('aborted by the peer'); this.#socket.destroy(); return;
      case 'AA-2': this.#socket.destroy(); return;
      case 'AA-4': this.#ended('the connection was closed without a release'); return;
      case 'AA-5': case 'AR-5': return;
    }
  }

  /** `isBorrowed`: the chunk's bytes change when this returns. */
  #data(chunk: Buffer, isBorrowed: boolean): void {
    if (this.#state === 'Sta13' || this.#state === 'Sta1') return; // the association is over: nothing that still arrives is looked at
    // Paused only when bytes come while an answer is due: a sender that waits is left listening, so that its closing is noticed.
    if (this.#reader.isHeld) this.#socket.pause();
    try {
      if (this.#reader.push(chunk, isBorrowed) && !isBorrowed) giveBack(chunk);
    } catch (error) { this.#fail(error, chunk); }
  }

  /** `bytes` go on record where there is no association yet: what knocked was no DICOM, or a damaged one. Copied: the chunk may be borrowed, and the record is written later. */
  #fail(error: unknown, bytes?: Buffer): void {
    const wrong = error instanceof InvalidPdu ? error : undefined;
    this.#ended(error instanceof Error ? error.message : String(error), this.#state === 'Sta2' && bytes ? Buffer.from(bytes.subarray(0, mostRecordedByteLength)) : undefined);
    this.#event('invalid PDU', undefined, wrong?.abortReason ?? AbortReason.notSpecified);
  }

  #header(type: number, byteLength: number): void {
    const event = eventOfPdu[type];
    if (!event) throw new InvalidPdu(`PDU type ${type} does not exist; is the peer speaking DICOM?`, AbortReason.unrecognizedPdu);
    const most = type === PduType.pDataTf ? this.#limits.maximumLength : type <= PduType.associateAc ? this.#limits.associatePduByteLength : 4;
    if (byteLength > most) throw new InvalidPdu(`PDU of type ${type} claims ${byteLength} bytes; ${most} are allowed`);
    const step = transition(this.#state, event);
    if (step === undefined || step.action === 'AA-1' || step.action === 'AA-8') {
      throw new InvalidPdu(`${event} is not expected in ${this.#state}`, AbortReason.unexpectedPdu);
    }
    if (type === PduType.releaseRq && this.#messages.isInMessage) throw new InvalidPdu('A-RELEASE-RQ inside a message', AbortReason.unexpectedPdu);
  }

  #pdu(type: number, bytes: Buffer): void {
    const event = eventOfPdu[type];
    if (event) this.#event(event, bytes);
  }

  /** Nothing is read while the user decides: a P-DATA-TF sent too early waits and is judged in the state it then meets. */
  #indicateAssociate(bytes: Buffer): void {
    this.#startArtim(this.#limits.artimMilliseconds); // departs from PS3.8 AE-6, which stops it: a decision that never comes must end too
    let request: AssociateRequest;
    try {
      request = decodeAssociateRequest(bytes);
    } catch (error) {
      this.#ended(error instanceof Error ? error.message : String(error), bytes);
      throw error;
    }
    this.#reader.hold();
    void this.#respond(request);
  }

  async #respond(request: AssociateRequest): Promise<void> {
    let response: AssociateResponse;
    try {
      response = await this.#user.associate(request);
    } catch {
      response = { kind: 'reject', rejection: { result: 2, source: 2, reason: 1 } };
    }
    if (response.kind === 'reject') {
      this.#event('A-ASSOCIATE response reject', encodeAssociateReject(response.rejection));
      const { answered } = response;
      if (answered) finished(this.#socket, { readable: false }, (error) => { answered(!error); });
    } else {
      for (const context of response.contexts) if (context.result === ContextResult.acceptance) this.#messages.accept(context);
      this.#event('A-ASSOCIATE response accept', encodeAssociateAccept(request, response.contexts, this.#limits.maximumLength, this.#implementation));
    }
    this.#goOn();
  }

  #complete(receiver: MessageReceiver): void {
    const isAlone = this.#working === 0, holds = Number(!receiver.readsOn);
    if (holds) this.#reader.hold();
    this.#holds += holds;
    this.#working++;
    const ended = receiver.end().then(() => {
      this.#working--;
      this.#holds -= holds;
      this.#goOn();
    }, () => { this.#working--; this.#event('A-ABORT request'); });
    this.#unfinished = isAlone ? ended : Promise.all([this.#unfinished, ended]).then(() => undefined);
  }

  /** After an answer: on with what was already received, then with the socket. */
  #goOn(): void {
    if (this.#stopping) this.stop();
    if (this.#state === 'Sta13' || this.#state === 'Sta1' || this.#holds > 0) return;
    try {
      this.#reader.release();
    } catch (error) { this.#fail(error); }
    if (!this.#reader.isHeld) this.#resume();
  }

  #pauseUntil(wait: Promise<void>): void {
    this.#pauses++;
    this.#working++;
    this.#socket.pause();
    const go = (): void => {
      this.#pauses--;
      this.#working--;
      if (this.#stopping) this.stop();
      this.#resume();
    };
    wait.then(go, go); // a failed write shows in the receiver's end()
  }
  #resume(): void { if (this.#pauses === 0 && !this.#reader.isHeld) this.#socket.resume(); }

  #startArtim(milliseconds: number): void {
    this.#stopArtim();
    this.#artim = setTimeout(() => {
      if (this.#state !== 'Sta13') this.#ended('ARTIM timer expired: no association was made in time');
      this.#event('ARTIM timer expired');
    }, milliseconds);
  }
  #stopArtim(): void { clearTimeout(this.#artim); }

  #watchIdle(): void {
    let mark = 0, since = performance.now();
    this.#idleWatch = setInterval(() => {
      // What waits to be sent is not our work: the peer does not read. Node counts it as written.
      const { writableLength: unsent } = this.#socket, moved = this.#socket.bytesRead + this.#socket.bytesWritten - unsent;
      if ((this.#working > 0 && unsent === 0) || moved - mark >= this.#limits.idleByteLength) { mark = moved; since = performance.now(); }
      if (performance.now() - since < this.#limits.idleMilliseconds) return;
      this.#ended(`idle for ${this.#limits.idleMilliseconds} ms`);
      this.#event('invalid PDU', undefined, AbortReason.notSpecified);
    }, this.#limits.idleMilliseconds / 4);
  }

  /** Sends the last PDU and gives the peer a moment to close; what it still sends is read and dropped, or the last PDU could be lost to a reset. */
  #finish(lastPdu: Buffer): void {
    clearInterval(this.#idleWatch);
    this.#startArtim(this.#limits.closeMilliseconds);
    void this.#abandonMessage();
    this.#socket.end(lastPdu);
    this.#socket.resume();
  }

  #abandonMessage(): Promise<void> {
    const receiver = this.#messages.abandon();
    if (receiver) this.#unfinished = Promise.all([this.#unfinished, receiver.abort().catch(() => { /* reported by the store */ })]).then(() => undefined);
    return this.#unfinished;
  }

  #settle(): Promise<void> {
    this.#stopArtim();
    clearInterval(this.#idleWatch);
    return this.#abandonMessage();
  }
}

/** Smaller chunks may share an allocation. */
const leastOwnByteLength = 16 * 1024;

/**
 * Returns a receive buffer to the allocator. Left to the collector, buffers pile up faster than it notices: the next ones come from cold
 * memory, and every few MiB cost a full collection (half of the processor time of large objects).
 */
function giveBack(chunk: Buffer): void {
  const { buffer } = chunk;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === chunk.byteLength && buffer.byteLength >= leastOwnByteLength) buffer.transfer(0);
}
