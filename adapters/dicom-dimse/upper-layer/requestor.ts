/**
 * An association that we request, for services that stream stored bytes or that take another role than SCU: the sub-operations of C-MOVE, and
 * N-EVENT-REPORT of storage commitment. One operation at a time; dimse-scu.ts asks for single services with a library instead.
 *
 *     connect -> A-ASSOCIATE-RQ -> AC | RJ -> invoker.ask() ... -> A-RELEASE
 */
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { implementationClassUid, implementationVersionName } from '#standards/dicom/part10.ts';
import type { Receiver } from '../config.ts';
import { tlsOptions, tlsProblem } from '../tls-options.ts';
import { collectDataset } from '../collect-dataset.ts';
import { responseBit } from './command-set.ts';
import type { CommandSet } from './command-set.ts';
import type { ScuOutcome } from './dimse-scu.ts';
import { Invoker } from './invoker.ts';
import { defaultLimits } from './limits.ts';
import type { MessageReceiver } from './message-assembler.ts';
import { MessageAssembler } from './message-assembler.ts';
import type { AssociateAccept, NegotiatedContext, ProposedContext, Role } from './pdu.ts';
import { AbortReason, AbortSource, ContextResult, decodeAssociateAccept, encodeAbort, encodeAssociateRequest, encodeReleaseRequest, InvalidPdu, PduType } from './pdu.ts';
import { PduReader } from './pdu-reader.ts';

export interface Proposal {
  readonly contexts: readonly ProposedContext[];
  readonly roles?: ReadonlyMap<string, Role>;
  /** Takes what the peer asks on this association: C-STORE sub-operations of a C-GET, N-EVENT-REPORT. Undefined, or absent: it may not ask, the association is aborted. */
  readonly serve?: (command: CommandSet, context: NegotiatedContext) => MessageReceiver | undefined;
}
export type Associated = { readonly kind: 'associated'; readonly association: RequestedAssociation } | Exclude<ScuOutcome, { kind: 'answered' | 'context refused' }>;

const releaseMilliseconds = 2_000;
const smallestPeerMaximumLength = 1024;

/** Never rejects. */
export function associate(receiver: Receiver, proposal: Proposal, signal: AbortSignal): Promise<Associated> {
  const problem = tlsProblem(receiver);
  return problem === undefined ? new RequestedAssociation(receiver, proposal, signal).begin() : Promise.resolve({ kind: 'not connected', text: problem });
}

export class RequestedAssociation {
  readonly #receiver: Receiver;
  readonly #proposal: Proposal;
  readonly #signal: AbortSignal;
  readonly #over = new AbortController();
  readonly #reader: PduReader;
  readonly #messages: MessageAssembler;
  readonly #begun = Promise.withResolvers<Associated>();
  readonly #released = Promise.withResolvers<void>();
  #socket: Socket | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #isConnected = false;
  #pauses = 0;
  /** Receivers of what the peer asks. */
  readonly #served = new WeakSet<MessageReceiver>();
  #contexts: readonly NegotiatedContext[] = [];
  #invoker: Invoker | undefined;

  constructor(receiver: Receiver, proposal: Proposal, signal: AbortSignal) {
    this.#receiver = receiver;
    this.#proposal = proposal;
    this.#signal = signal;
    this.#messages = new MessageAssembler(defaultLimits.commandSetByteLength, {
      begin: (command, context) => {
        if ((command.commandField & responseBit) !== 0) return collectDataset(async (dataset) => { this.#invoker?.answered(command, dataset); });
        const receiver = this.#proposal.serve?.(command, context);
        if (!receiver) throw new InvalidPdu('the peer asks where it was asked');
        this.#served.add(receiver);
        return receiver;
      },
      wait: (until) => { this.#pauseUntil(until); },
      complete: (message) => {
        const ended = message.end();
        ended.catch((error: unknown) => { this.abort(error instanceof Error ? error.message : String(error)); });
        if (this.#served.has(message)) this.#pauseUntil(ended); // one request of the peer after the other
      },
    });
    this.#reader = new PduReader({
      header: (type, byteLength) => {
        const most = type === PduType.pDataTf ? defaultLimits.maximumLength : defaultLimits.associatePduByteLength;
        if (byteLength > most) throw new InvalidPdu(`PDU of type ${type} claims ${byteLength} bytes; ${most} are allowed`);
      },
      pdu: (type, bytes) => { this.#pdu(type, bytes); },
      pdv: (contextId, isCommand, isLast) => { this.#messages.pdv(contextId, isCommand, isLast); },
      fragment: (bytes) => { this.#messages.fragment(bytes); },
      endOfPdv: () => { this.#messages.endOfPdv(); },
    });
  }

  begin(): Promise<Associated> {
    const { host, port, connect_timeout_milliseconds: milliseconds } = this.#receiver;
    const socket = this.#socket = this.#receiver.tls ? connectTls({ host, port, ...tlsOptions(this.#receiver) }) : connect({ host, port });
    socket.setNoDelay(true);
    socket.on(this.#receiver.tls ? 'secureConnect' : 'connect', () => {
      this.#isConnected = true;
      const { calling_ae_title: callingAeTitle, called_ae_title: calledAeTitle } = this.#receiver;
      socket.write(encodeAssociateRequest({ callingAeTitle, calledAeTitle, ...this.#proposal, maximumLength: defaultLimits.maximumLength, implementation: { classUid: implementationClassUid, versionName: implementationVersionName } }));
    });
    socket.on('data', (chunk: Buffer) => { this.#data(chunk); });
    socket.on('error', (error) => { this.#end(error.message); });
    socket.on('close', () => { this.#end('the connection was closed'); });
    this.#deadline = setTimeout(() => { this.abort(`no answer to the association request within ${milliseconds} ms`); }, milliseconds);
    const stop = (): void => { this.abort('the gateway is stopping'); };
    this.#signal.addEventListener('abort', stop, { once: true });
    this.#over.signal.addEventListener('abort', () => { this.#signal.removeEventListener('abort', stop); }, { once: true });
    if (this.#signal.aborted) stop();
    return this.#begun.promise;
  }

  /** Aborted when nothing can be asked any more. */
  get over(): AbortSignal { return this.#over.signal; }
  get invoker(): Invoker { return this.#invoker!; }
  /** An accepted context for the class, in the transfer syntax when one is named. */
  context(abstractSyntax: string, transferSyntaxUid?: string): NegotiatedContext | undefined {
    return this.#contexts.find((context) => context.result === ContextResult.acceptance && context.abstractSyntax === abstractSyntax && (transferSyntaxUid === undefined || context.transferSyntax === transferSyntaxUid));
  }
  /** The contexts as they were answered. */
  get contexts(): readonly NegotiatedContext[] { return this.#contexts; }
  get bytesReceived(): number { return this.#socket?.bytesRead ?? 0; }
  /** Answers what the peer asked; false when nothing can be sent any more. */
  respond(bytes: Buffer): Promise<boolean> { return this.#send(bytes); }
  refusal(abstractSyntax: string): number | undefined { return this.#contexts.find((context) => context.abstractSyntax === abstractSyntax)?.result; }

  /** Releases in good order; resolves when the connection is gone. */
  async release(): Promise<void> {
    if (!this.#over.signal.aborted) this.#socket?.write(encodeReleaseRequest());
    const timer = setTimeout(() => { this.abort('no answer to the release'); }, releaseMilliseconds);
    await this.#released.promise;
    clearTimeout(timer);
  }

  abort(why: string): void {
    if (this.#socket?.writable && this.#isConnected) this.#socket.write(encodeAbort(AbortSource.serviceUser, AbortReason.notSpecified));
    this.#socket?.destroySoon();
    setTimeout(() => { this.#socket?.destroy(); }, releaseMilliseconds).unref(); // a peer that reads nothing does not take the A-ABORT either
    this.#end(why);
  }

  #data(chunk: Buffer): void {
    try {
      this.#reader.push(chunk);
    } catch (error) { this.abort(error instanceof Error ? error.message : String(error)); }
  }

  #pdu(type: number, bytes: Buffer): void {
    if (type === PduType.associateAc && this.#invoker === undefined) this.#accepted(decodeAssociateAccept(bytes));
    else if (type === PduType.associateRj && this.#invoker === undefined) {
      this.#begun.resolve({ kind: 'rejected', result: bytes[7] ?? 0, source: bytes[8] ?? 0, reason: bytes[9] ?? 0 });
      this.#socket?.destroySoon();
    } else if (type === PduType.releaseRp || type === PduType.releaseRq) this.#socket?.destroySoon();
    else this.abort(type === PduType.abort ? 'the receiver aborted the association (A-ABORT)' : `PDU of type ${type} is not expected`);
  }

  #accepted(accept: AssociateAccept): void {
    clearTimeout(this.#deadline);
    if (accept.maximumLength > 0 && accept.maximumLength < smallestPeerMaximumLength) { this.abort(`the receiver takes PDUs of at most ${accept.maximumLength} bytes, which no DICOM system needs`); return; }
    this.#contexts = this.#proposal.contexts.map(({ id, abstractSyntax, transferSyntaxes }) => {
      const answer = accept.contexts.find((context) => context.id === id);
      return { id, abstractSyntax, result: answer?.result ?? ContextResult.noReason, transferSyntax: answer?.transferSyntax || (transferSyntaxes[0] ?? '') };
    });
    for (const context of this.#contexts) if (context.result === ContextResult.acceptance) this.#messages.accept(context);
    this.#invoker = new Invoker((bytes) => this.#send(bytes), accept.maximumLength, this.#over.signal);
    this.#watchSending();
    this.#begun.resolve({ kind: 'associated', association: this });
  }

  /** A peer that reads nothing more would hold up whoever sends to it for as long as its connection lives. */
  #watchSending(): void {
    const { response_timeout_milliseconds: milliseconds } = this.#receiver;
    let unsent = 0, since = performance.now();
    const watch = setInterval(() => {
      const now = this.#socket?.writableLength ?? 0;
      if (now === 0 || now !== unsent) { unsent = now; since = performance.now(); }
      else if (performance.now() - since >= milliseconds) this.abort(`the receiver took no bytes for ${milliseconds} ms`);
    }, milliseconds / 4);
    this.#over.signal.addEventListener('abort', () => { clearInterval(watch); }, { once: true });
  }

  #send(bytes: Buffer): Promise<boolean> {
    const socket = this.#socket;
    if (!socket?.writable) return Promise.resolve(false);
    return new Promise((resolve) => { socket.write(bytes, (error) => { resolve(!error); }); });
  }

  /** A receiver that cannot keep up slows the peer down. */
  #pauseUntil(wait: Promise<void>): void {
    this.#pauses++;
    this.#socket?.pause();
    const go = (): void => { if (--this.#pauses === 0) this.#socket?.resume(); };
    wait.then(go, go); // a failed write shows in the receiver's end()
  }

  #end(why: string): void {
    clearTimeout(this.#deadline);
    void this.#messages.abandon()?.abort().catch(() => { /* reported by the store */ });
    this.#over.abort();
    this.#begun.resolve(this.#isConnected ? { kind: 'no answer', wasSent: false, text: why } : { kind: 'not connected', text: why });
    this.#released.resolve();
  }
}
