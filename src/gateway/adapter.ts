/**
 * The contract between the gateway and an adapter. Terms, used the same way in code, tables, API and docs:
 *
 *   adapter       code that speaks one system interface (folder under adapters/; installed by being there)
 *   integration   one configured remote system: a row of external_integrations, settings checked by the adapter's configSchema
 *   interaction   what a message asks for, in the standard's words: 'C-STORE', 'ADT^A08', 'create ServiceRequest'
 *   control id    what the sender calls its message: SOP Instance UID, MSH-10, resource type + business identifier
 *   exchange      one message and its answer = one row of sync_logs, for either direction
 *   receipt       what became of an inbound message; the adapter turns it into the protocol's answer
 *   outcome       what became of an outbound delivery
 *
 *     remote bytes -> adapter.inbound -> receive(message) -> [normalize, persist: one commit] -> Receipt -> answer on the wire
 *     outbox row   -> adapter.outbound.deliver(delivery)  -> DeliveryOutcome -> sync_logs
 *
 * `receive` resolves only after the commit: whatever it returns may be told to the sender. An adapter sees no database and no queue.
 */
import type { IncomingMessage } from 'node:http';
import type { ServerOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import type { z } from 'zod';
import type { Arrivals } from './arrivals.ts';
import type { AssociationLog } from './associations.ts';
import type { CommitmentItem, CommitmentReporter, Commitments } from './commitments.ts';
import type { OpenHoldings, StoredInstance } from './holdings.ts';
import type { Images } from './images.ts';
import type { Mapper, Normalized } from './normalized.ts';
import type { CommitmentAsker, Confirmations, Queries } from './queries.ts';
import type { ClientTokens, Records, Write, Writes } from './records.ts';
import type { Exports, RecordExporter } from './exports.ts';
import type { Procedures } from './procedures.ts';
import type { Puller } from './pulls.ts';
import type { SubscriptionNotifier, Subscriptions } from './subscriptions.ts';
import type { ReportDocument, ReportPatient, ReportScan } from '#domain/report-document.ts';

export interface Adapter<Config = unknown> {
  /** Folder name and value of external_integrations.adapter. */
  readonly name: string;
  readonly title: string;
  /** One sentence: which system, which direction, which standard. */
  readonly summary: string;
  /** Every field described with .describe(); secrets marked with .meta({ secret: true }), names of folders with .meta({ folder: true }). Forms, README tables and lint come from it. */
  readonly configSchema: z.ZodType<Config>;
  readonly inbound?: Inbound<Config>;
  readonly outbound?: Outbound<Config>;
  /** Tells the result of a storage commitment that this adapter took in. */
  readonly commitments?: CommitmentReporter<Config>;
  /** Calls those who asked to hear of results (subscriptions.ts). */
  readonly subscriptions?: SubscriptionNotifier<Config>;
  /** Puts records into lines for whole exports (exports.ts). */
  readonly exports?: RecordExporter<Config>;
  /** Fetches from systems that do not send (pulls.ts). */
  readonly pulls?: Puller<Config>;
  /** Asks other systems: for studies, images, worklists (queries.ts). */
  readonly queries?: Queries<Config>;
  /** Asks whether what was delivered is kept for good. */
  readonly commitmentAsker?: CommitmentAsker<Config>;
  /** What the standard asks a vendor to state of these integrations, as Markdown. The same for the same input; holds no secrets. */
  conformance?(subject: ConformanceSubject<Config>): string;
  /** Does what a delivery would do up to the point where something would change on either side. Never throws. */
  testConnection(config: Config, context: AdapterContext, options?: ConnectionTestOptions): Promise<ConnectionTest>;
}

export interface ConformanceSubject<Config = unknown> { readonly product: string; readonly version: string; readonly integrations: readonly Integration<Config>[]; readonly limits?: ListenerLimits }

/** A configured remote system as an adapter sees it: settings decrypted and parsed by its configSchema. */
export interface Integration<Config = unknown> {
  readonly integrationId: string;
  readonly organizationId: string;
  readonly name: string;
  readonly config: Config;
}

/** The enabled integrations of one adapter, all organizations; reloaded while listening, so ask at each association or connection. */
export interface IntegrationDirectory<Config = unknown> {
  all(): readonly Integration<Config>[];
  /** The enabled ones that results go to, whether or not they send. */
  sending?(): readonly Integration<Config>[];
}

export type Inbound<Config = unknown> = (SocketInbound<Config> | HttpInbound<Config>) & {
  readonly interactions: readonly string[];
  /**
   * Turns a message into rows. Reads message.head, message.facts and nothing else, so that a stored message can be replayed.
   * Throws NormalizeError when the sender must change the message.
   */
  normalize(message: StoredMessage<Config>, map: Mapper): Promise<Normalized>;
  /**
   * The conditions under which a stored message was meant, for one that is received again: it is then written under them. Undefined: it has none.
   * Throws NormalizeError when it is not to be received again.
   */
  again?(message: StoredMessage<Config>): Promise<Omit<Write, 'message'> | undefined>;
  /** Takes bytes apart as the listener would and says what it would refuse; receives nothing. For dry runs and replays. */
  read?(bytes: Buffer, integration: Integration<Config>): readonly ReadMessage[];
};
export type ReadMessage = Pick<InboundMessage, 'interaction' | 'controlId' | 'facts' | 'head'> & { readonly refusal?: Refusal };

export interface SocketInbound<Config = unknown> {
  readonly transport: 'socket';
  /** Opens one listener that serves every integration of this adapter. */
  listen(endpoint: Endpoint, integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext): Promise<Listener>;
  /** The same messages by HTTP, where the standard has a way. */
  readonly http?: Pick<HttpInbound<Config>, 'mount' | 'alsoAt' | 'handle'>;
  /** The same messages from files in folders that integrations name, below context.folders. close() lets the file in work finish. */
  watch?(integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext): Promise<{ close(): Promise<void> }>;
}

export interface HttpInbound<Config = unknown> {
  readonly transport: 'http';
  /** Path prefix on the gateway's HTTP port, e.g. '/fhir/r4'. */
  readonly mount: string;
  /** Further paths of the port that come here, e.g. '/.well-known/jwks.json'. */
  readonly alsoAt?: readonly string[];
  handle(request: Request, peer: Peer, integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext): Promise<Response>;
  /** A websocket below the mount: takes the socket over and returns true, or leaves it alone. */
  upgrade?(request: IncomingMessage, socket: Duplex, head: Buffer, integrations: IntegrationDirectory<Config>, context: AdapterContext): boolean;
}

export interface Endpoint { readonly host: string; readonly port: number; readonly tls?: ListenerTls; readonly limits?: ListenerLimits }
/** What the operator allows peers; what is not set is the adapter's own default. */
export interface ListenerLimits {
  /** Open at once: of all peers, of one address, of one caller's name (AE title). */
  readonly associations?: number; readonly associationsPerAddress?: number; readonly associationsPerCaller?: number;
  /** Largest part of a message that is asked for: the PDU of DICOM. */
  readonly messagePartByteLength?: number;
  /** From the connection to a complete first message, and without bytes moved. */
  readonly beginMilliseconds?: number; readonly idleMilliseconds?: number;
}
/** Server side of TLS 1.2/1.3 (BCP 195). The server asks for the certificate at each handshake, so that a renewed one needs no restart. */
export interface ListenerTls { createServer(options: ServerOpts, onConnection: (socket: TLSSocket) => void): TlsServer }
/** `port` is the bound one (0 asks for any). close() refuses new work, lets running exchanges finish for `graceMilliseconds`, then cuts. */
export interface Listener { readonly port: number; close(graceMilliseconds?: number): Promise<void> }

/** Who is on the other side, as far as the protocol tells. `application` is the AE title, MSH-3|MSH-4 or client id. */
export interface Peer { readonly address: string; readonly port: number; readonly application?: string; readonly tlsSubject?: string }

export interface InboundMessage<Config = unknown> {
  /** Undefined: no integration claims the sender; pass it anyway with a Refusal so that the refusal is on record. */
  readonly integration: Integration<Config> | undefined;
  readonly interaction: string;
  readonly controlId: string;
  readonly peer: Peer;
  readonly receivedAt: Date;
  /** Small JSON facts known beyond the bytes (presentation context, HTTP headers that matter); kept with the exchange. `retrieved`: the gateway had this image sent, and by what (queries.ts). */
  readonly facts: Readonly<Record<string, unknown>>;
  /** The first bytes: a whole HL7 or FHIR message; for DICOM the dataset at least up to Pixel Data. */
  readonly head: Buffer;
  /** The stored object when the body went to disk (DICOM); absent when `head` is the whole message, which is then kept in the database. */
  readonly object?: StoredObject;
  /** SHA-256 (hex) of the body as the sender sent it: the dataset, the frame, the request body. With controlId it tells a repeat from a conflict. */
  readonly sha256: string;
  readonly byteSize: number;
}

/** An inbound message as normalize sees it, at arrival or at replay. */
export type StoredMessage<Config = unknown> = Pick<InboundMessage<Config>, 'interaction' | 'controlId' | 'facts' | 'head' | 'receivedAt'> & {
  readonly integration: Integration<Config>;
};

/** Why an adapter refuses before anything is normalized (not allowed, malformed, not supported). Recorded, never silent. */
export interface Refusal { readonly reason: RejectReason; readonly text: string; readonly location?: string }
export type RejectReason =
  | 'malformed'            // bytes that the standard does not allow
  | 'unsupported'          // understood, but not a service of ours
  | 'not-allowed'          // the sender may not (AE title, address, credentials)
  | 'invalid'              // a required value is missing or wrong
  | 'conflict';            // contradicts what is stored

export type Receive = (message: InboundMessage<never> | InboundMessage, refusal?: Refusal) => Promise<Receipt>;

/** What became of an inbound message. `exchangeId` is its sync_logs row. */
export type Receipt = ReceiptBody & {
  readonly exchangeId: string | undefined;
  /** Tell afterwards whether the sender heard the answer, and its code; written to the exchange's answer leg. Never throws. */
  answered(code: string, heard: boolean): void;
};
export type ReceiptBody =
  | { readonly kind: 'accepted'; readonly links: Readonly<Record<string, string>> }   // rows and job are durable. 0000 | AA/CA | 201. links: table -> id
  | { readonly kind: 'duplicate'; readonly answerCode: string | undefined; readonly links: Readonly<Record<string, string>> } // as before, no second effect
  | { readonly kind: 'rejected'; readonly reason: RejectReason; readonly text: string; readonly location?: string }  // the sender must change it: C000/A900 | AR/CR | 422
  | { readonly kind: 'failed'; readonly text: string; readonly retryable: true };     // our trouble, nothing kept as accepted: A700 | AE/CE | 503

/** The message cannot become rows until the sender changes it. `location` in the sender's words: PID-3, (0010,0020), /identifier/0. */
export class NormalizeError extends Error {
  readonly reason: RejectReason;
  readonly location: string | undefined;
  constructor(reason: RejectReason, text: string, location?: string) {
    super(text);
    this.name = 'NormalizeError';
    this.reason = reason;
    this.location = location;
  }
}

export interface Outbound<Config = unknown> {
  /** What can be sent, e.g. 'C-STORE', 'ORU^R01', 'transaction DiagnosticReport'. */
  readonly interactions: readonly string[];
  /** Sends one document. Never throws for what the network or the peer does: that is the outcome. Resending must be harmless at the receiver. */
  deliver(delivery: Delivery, config: Config, context: AdapterContext): Promise<DeliveryOutcome>;
  /** Tells what became of an order, to integrations whose setting order_status_messages (a list of events) asks for it. As deliver otherwise. */
  notify?(notice: OrderNotice, config: Config, context: AdapterContext): Promise<DeliveryOutcome>;
}

/** received: the first image is here. complete: all are. analysed: the AI result is made. `run` counts completions, or versions of the report. */
export interface OrderNotice {
  readonly organizationId: string;
  readonly controlId: string;
  readonly attempt: number;
  readonly event: 'received' | 'complete' | 'analysed';
  /** ISO 8601 UTC */
  readonly at: string;
  readonly run: number;
  readonly patient: ReportPatient;
  readonly scan: ReportScan;
}

export interface Delivery {
  readonly deliveryId: string;
  readonly organizationId: string;
  /** Stays the same over attempts: SOP Instance UID, MSH-10 and resource identifiers are derived from it. */
  readonly controlId: string;
  readonly attempt: number;
  readonly document: ReportDocument;
  /** An image of the study as it is stored; undefined when the gateway has none of that name in use. */
  image?(sopInstanceUid: string): Promise<StoredInstance | undefined>;
}

/**
 * `sent` is what went on the wire (kept as the exchange's payload); `answer` what came back, of `answerType` where that is not sentType. `text` is shown
 * to people who may not see patients: our words and codes. What the receiver said in its own words is in `answer` alone, however short.
 */
export type DeliveryOutcome = (
  | { readonly kind: 'delivered'; readonly answerCode: string }
  | { readonly kind: 'refused'; readonly answerCode: string; readonly text: string }       // permanent: a person must look
  | { readonly kind: 'unreachable'; readonly text: string; readonly retryAfterMilliseconds?: number } // never left, or the peer said "later": retry
  | { readonly kind: 'unconfirmed'; readonly text: string }                                // sent, no answer: retried, because the receiver dedupes
) & {
  readonly interaction: string; readonly peer: string; readonly sent?: Buffer; readonly sentType?: string; readonly answer?: Buffer; readonly answerType?: string;
  /** Small facts about what was sent, without PHI, kept with the exchange: which objects, in which transfer syntax. */
  readonly facts?: Readonly<Record<string, unknown>>;
  /** What was stored there and is to be committed to (commitmentAsker): until then the delivery counts as uncommitted. */
  readonly uncommitted?: readonly CommitmentItem[];
};

/** `stores`: send a synthetic object too, where the adapter has one; only when a person asked for it. */
export interface ConnectionTestOptions { readonly stores?: boolean }
export interface ConnectionTest { readonly ok: boolean; readonly steps: readonly ConnectionStep[] }
export interface ConnectionStep { readonly step: string; readonly ok: boolean; readonly milliseconds: number; readonly detail: string; readonly advice?: string }

export interface AdapterContext {
  readonly log: AdapterLog;
  /** Aborted when the gateway stops. */
  readonly signal: AbortSignal;
  now(): Date;
  /** Opens a streaming write into the object store, mostly at once. With `digestFrom`, SHA-256 is taken of the bytes from there on. */
  store(hint: { extension: string; digestFrom?: number }): ObjectWriter | Promise<ObjectWriter>;
  /** The directory below which an integration may name a folder to exchange files in (MEDSCAN_FOLDERS). Absent: there is none. */
  readonly folders?: string;
  /** Of those, the ones that integrations of other organizations name: neither read nor written. Absent where the context is that of all organizations. */
  foldersOfOthers?(): readonly string[];
  /** Resolves a bearer token to the organization and role it stands for; undefined when it is unknown, expired or revoked. */
  authenticate(bearerToken: string): Promise<Principal | undefined>;
  /** Opens what one organization holds, for who may ask (holdings.ts). Absent in a connection test. */
  readonly holdings?: OpenHoldings;
  /** Pictures and decompressed datasets of stored images. Absent in a connection test. */
  readonly images?: Images;
  /** The organization's patients, orders, studies and reports (records.ts). Absent in a connection test. */
  readonly records?: Records;
  /** Messages that are committed together or not at all (records.ts). Absent in a connection test. */
  readonly writes?: Writes;
  /** Whole sets of records in files (exports.ts). Absent in a connection test. */
  readonly exports?: Exports;
  /** Who wants to hear of results (subscriptions.ts). Absent in a connection test. */
  readonly subscriptions?: Subscriptions;
  /** Tokens for systems that log in by their own standard (records.ts). Absent in a connection test. */
  readonly tokens?: ClientTokens;
  /** Storage commitment and performed procedure steps; absent in a connection test. */
  readonly commitments?: Commitments;
  readonly procedures?: Procedures;
  /** Results of storage commitments that the gateway asked for; absent in a connection test. */
  readonly confirmations?: Confirmations;
  /** Where ended and refused associations are told. Absent in a connection test. */
  readonly associations?: AssociationLog;
  /** Where it is told that more images of a scan may come (arrivals.ts). Absent in a connection test. */
  readonly arrivals?: Arrivals;
  /** Why nothing new should begin now (the store is full, too many jobs wait), in words; undefined when there is room. Never rejects. */
  congestion?(): Promise<string | undefined>;
}
export interface Principal {
  readonly organizationId: string; readonly userId: string; readonly role: string; readonly name: string;
  /** The token's own, narrower list of what it may; empty: all that the role may. */
  readonly scopes?: readonly string[];
}

/** No PHI: ids, codes, counts and durations only. */
export interface AdapterLog {
  debug(facts: object, text: string): void;
  info(facts: object, text: string): void;
  warn(facts: object, text: string): void;
  error(facts: object, text: string): void;
}

/**
 * A file being written: temporary until finish(). write() copies the chunk; when it returns a promise the writer wants the sender to
 * wait (backpressure). After abort() or a failed finish() no file is left.
 */
export interface ObjectWriter {
  write(chunk: Buffer): void | Promise<void>;
  readonly byteSize: number;
  finish(): Promise<StoredObject>;
  abort(): Promise<void>;
}
/** Whole and in its place; `location` is relative to the store. */
export interface StoredObject {
  readonly location: string;
  readonly byteSize: number;
  /** Of the bytes from `digestFrom` on, when it was given. */
  readonly sha256?: string;
  /** Resolves when file and directory entry are fsynced; when it rejects the file is gone. Receive waits for it before anything is committed. */
  readonly durable?: Promise<void>;
}
