/**
 * Asks another AE for one service (C-ECHO or C-STORE) with dcmjs-dimse's Client, and says exactly how far it came.
 *
 *     connect -> A-ASSOCIATE -> request -> response -> release        each may be where it ends: Exchange.outcome
 *
 * The Client alone loses the difference between "refused", "never left" and "sent, no answer". What is added, and why:
 * - contexts: it proposes Implicit VR first in one context, and would re-encode the object for a receiver that takes the first;
 *   here each encoding that we have gets a context of its own, and bytes go out as they are (RawDataset);
 * - a refused context, an A-ABORT and an association that just ends give it no event for the request: the outcome is kept here and told at 'closed';
 * - a receiver that answers with a maximum length of a few bytes would make it loop for ever; one that sends without end, grow for ever;
 * - it leaves sockets half open and Nagle on, and it and its dcmjs print private values.
 */
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type dimseLibrary from 'dcmjs-dimse';
import { implementationClassUid, implementationVersionName } from '#standards/dicom/part10.ts';
import { implicitVrLittleEndian, explicitVrLittleEndian } from '#standards/dicom/transfer-syntaxes.ts';
import { verification } from '../association.ts';
import type { Receiver } from '../config.ts';
import { tlsOptions, tlsProblem } from '../tls-options.ts';

export interface StoreObject {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  /** Transfer Syntax UID -> data set written in it, most wanted first. */
  readonly encodings: ReadonlyMap<string, Buffer>;
}
export type ScuOutcome =
  | { readonly kind: 'answered'; readonly status: number; readonly errorComment: string; readonly transferSyntaxUid: string }
  | { readonly kind: 'not connected'; readonly text: string }
  | { readonly kind: 'rejected'; readonly result: number; readonly source: number; readonly reason: number }
  | { readonly kind: 'context refused'; readonly result: number }
  | { readonly kind: 'no answer'; readonly wasSent: boolean; readonly text: string };
export interface ScuExchange {
  readonly outcome: ScuOutcome;
  /** Milliseconds from the start; absent when it did not come so far. */
  readonly connectedAfter?: number; readonly associatedAfter?: number; readonly answeredAfter?: number;
}

/** A C-ECHO and a C-STORE are answered with about 200 bytes. */
const mostBytesReceived = 256 * 1024;
const smallestPeerMaximumLength = 1024;
const releaseMilliseconds = 2_000;

/** Loaded with the first request: a gateway that only receives does without. It is CommonJS: named imports type-check and fail. */
let library: Promise<Library> | undefined;
function load(): Promise<Library> {
  return library ??= import('dcmjs-dimse').then(({ default: dimse }) => {
    const dcmjs = createRequire(import.meta.resolve('dcmjs-dimse'))('dcmjs') as { log: { setLevel(level: string): void } };
    dcmjs.log.setLevel('silent');
    dimse.log.setLevel('silent');
    dimse.Implementation.setImplementationClassUid(implementationClassUid);
    dimse.Implementation.setImplementationVersion(implementationVersionName);
    return dimse;
  });
}
type Library = typeof dimseLibrary;
type Association = InstanceType<Library['association']['Association']>;
type Request = InstanceType<Library['requests']['CEchoRequest']> | InstanceType<Library['requests']['CStoreRequest']>;

/** Resolves when the connection is closed; never rejects. */
export async function ask(receiver: Receiver, object: StoreObject | 'C-ECHO', signal: AbortSignal): Promise<ScuExchange> {
  const problem = tlsProblem(receiver);
  if (problem !== undefined) return { outcome: { kind: 'not connected', text: problem } };
  const dimse = await load();
  const request = object === 'C-ECHO' ? new dimse.requests.CEchoRequest() : storeRequest(dimse, object);
  const transferSyntaxes = object === 'C-ECHO' ? [explicitVrLittleEndian, implicitVrLittleEndian] : [...object.encodings.keys()];
  return new Exchange(dimse, request, object, transferSyntaxes, receiver).run(signal);
}

function rawDataset(dimse: Library, object: StoreObject, transferSyntaxUid: string): InstanceType<Library['Dataset']> {
  const bytes = object.encodings.get(transferSyntaxUid) ?? Buffer.alloc(0);
  class RawDataset extends dimse.Dataset {
    override getDenaturalizedDataset(): Buffer { return bytes; }
  }
  return new RawDataset({ SOPClassUID: object.sopClassUid, SOPInstanceUID: object.sopInstanceUid }, transferSyntaxUid);
}
const storeRequest = (dimse: Library, object: StoreObject): InstanceType<Library['requests']['CStoreRequest']> =>
  new dimse.requests.CStoreRequest(rawDataset(dimse, object, [...object.encodings.keys()][0] ?? explicitVrLittleEndian));

/** What the Client has inside and we must reach. */
interface ClientNetwork { socket: Socket; sendAssociationRequest(association: Association): void; on(event: string, listener: (detail: never) => void): void }

class Exchange {
  readonly #dimse: Library;
  readonly #client: InstanceType<Library['Client']>;
  readonly #request: Request;
  readonly #object: StoreObject | 'C-ECHO';
  readonly #transferSyntaxes: readonly string[];
  readonly #receiver: Receiver;
  readonly #started = performance.now();
  #socket: Socket | undefined;
  #outcome: ScuOutcome | undefined;
  #failure = 'the connection was closed before an answer came';
  #wasSent = false;
  #transferSyntaxUid = '';
  #deadline: NodeJS.Timeout | undefined;
  readonly #times: { connectedAfter?: number; associatedAfter?: number; answeredAfter?: number } = {};

  constructor(dimse: Library, request: Request, object: StoreObject | 'C-ECHO', transferSyntaxes: readonly string[], receiver: Receiver) {
    this.#dimse = dimse;
    this.#client = new dimse.Client();
    this.#request = request;
    this.#object = object;
    this.#transferSyntaxes = transferSyntaxes;
    this.#receiver = receiver;
  }

  run(signal: AbortSignal): Promise<ScuExchange> {
    return new Promise((resolve) => {
      const stop = (): void => { this.#giveUp('the gateway is stopping'); };
      signal.addEventListener('abort', stop, { once: true });
      this.#client.on('closed', () => {
        clearTimeout(this.#deadline);
        signal.removeEventListener('abort', stop);
        resolve({ outcome: this.#outcome ?? this.#withoutAnswer(), ...this.#times });
      });
      this.#listen();
      this.#connect();
      if (signal.aborted) stop();
    });
  }

  #connect(): void {
    const { host, port, calling_ae_title: calling, called_ae_title: called, connect_timeout_milliseconds: milliseconds } = this.#receiver;
    this.#client.addRequest(this.#request);
    // The library's own timers close without telling what was under way; ours below are shorter.
    const never = 24 * 3600_000;
    this.#client.send(host, port, calling, called, {
      connectTimeout: never, associationTimeout: never, pduTimeout: never,
      ...(this.#receiver.tls ? { securityOptions: tlsOptions(this.#receiver) } : {}),
    });
    const network = (this.#client as unknown as { network: ClientNetwork }).network;
    this.#socket = network.socket;
    this.#harden(network);
    this.#within(milliseconds, `no answer to the association request within ${milliseconds} ms`);
  }

  #harden(network: ClientNetwork): void {
    network.socket.setNoDelay(true);
    network.socket.on('data', () => { if (network.socket.bytesRead > mostBytesReceived) this.#giveUp('the receiver sends without end'); });
    network.on('abort', () => { this.#giveUp('the receiver aborted the association (A-ABORT)'); });
    const send = network.sendAssociationRequest.bind(network);
    network.sendAssociationRequest = (association) => { this.#propose(association); send(association); };
  }

  #propose(association: Association): void {
    association.clearPresentationContexts();
    const abstractSyntax = this.#object === 'C-ECHO' ? verification : this.#object.sopClassUid;
    for (const transferSyntax of this.#transferSyntaxes) association.addTransferSyntaxToPresentationContext(association.addPresentationContext(abstractSyntax), transferSyntax);
  }

  #listen(): void {
    this.#client.on('connected', () => { this.#times.connectedAfter = this.#elapsed(); });
    this.#client.on('associationAccepted', (association: Association) => { this.#accepted(association); });
    this.#client.on('associationRejected', (rejection: { result: number; source: number; reason: number }) => {
      this.#times.associatedAfter = this.#elapsed();
      this.#outcome = { kind: 'rejected', result: rejection.result, source: rejection.source, reason: rejection.reason };
      this.#socket?.destroySoon();
    });
    this.#client.on('networkError', (error: Error) => { this.#giveUp(error.message.replace(/^.*-> /s, '')); });
    (this.#request as unknown as { on(event: string, listener: (response: { getStatus(): number; getErrorComment(): string | undefined }) => void): void })
      .on('response', (response) => {
        this.#times.answeredAfter = this.#elapsed();
        this.#outcome ??= { kind: 'answered', status: response.getStatus(), errorComment: response.getErrorComment() ?? '', transferSyntaxUid: this.#transferSyntaxUid };
        this.#within(releaseMilliseconds, 'no answer to the release');
      });
  }

  /** Runs before the Client sends its requests (its events are synchronous), so that it can still be stopped from doing so. */
  #accepted(association: Association): void {
    if (this.#times.associatedAfter !== undefined) { this.#giveUp('the receiver accepted twice'); return; }
    this.#times.associatedAfter = this.#elapsed();
    const length = association.getMaxPduLength();
    const contexts = association.getPresentationContexts().map(({ id }) => association.getPresentationContext(id));
    const accepted = contexts.filter((context) => context.getResult() === 0).map((context) => context.getAcceptedTransferSyntaxUid() ?? '');
    const chosen = this.#transferSyntaxes.find((uid) => accepted.includes(uid));
    if (length > 0 && length < smallestPeerMaximumLength) {
      this.#client.clearRequests();
      this.#giveUp(`the receiver takes PDUs of at most ${length} bytes, which no DICOM system needs`);
    } else if (chosen === undefined) {
      this.#outcome = { kind: 'context refused', result: contexts[0]?.getResult() ?? 2 };
      this.#client.clearRequests(); // the Client then releases at once
      this.#within(releaseMilliseconds, 'no answer to the release');
    } else {
      this.#transferSyntaxUid = chosen;
      if (this.#object !== 'C-ECHO') this.#request.setDataset(rawDataset(this.#dimse, this.#object, chosen));
      this.#wasSent = true;
      const milliseconds = this.#receiver.response_timeout_milliseconds;
      this.#within(milliseconds, `no response within ${milliseconds} ms`);
    }
  }

  #withoutAnswer(): ScuOutcome {
    if (this.#times.connectedAfter === undefined) return { kind: 'not connected', text: this.#failure };
    return { kind: 'no answer', wasSent: this.#wasSent, text: this.#failure };
  }
  #giveUp(text: string): void {
    if (!this.#outcome) this.#failure = text;
    this.#socket?.destroy();
  }
  #within(milliseconds: number, text: string): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => { this.#giveUp(text); }, milliseconds);
  }
  #elapsed(): number { return Math.round(performance.now() - this.#started); }
}
