/** Binds the upper layer to the gateway: who may associate (association.ts), and which message goes to which receiver. */
import { createHash, randomUUID } from 'node:crypto';
import type { AdapterContext, Endpoint, Integration, IntegrationDirectory, Listener, Peer, Receipt, Receive, Refusal } from '#gateway/adapter.ts';
import type { Arrival } from '#gateway/arrivals.ts';
import { implementationClassUid, implementationVersionName } from '#standards/dicom/part10.ts';
import type { AssociationDecision } from './association.ts';
import { decideAssociation, isStorage, rejections, settingFor } from './association.ts';
import { adviceOnBreak, adviceOnCaller } from './advice.ts';
import { AssociationTally } from './association-tally.ts';
import type { Config } from './config.ts';
import { answerOnly, receiveCEcho } from './receive-c-echo.ts';
import type { StoreAssociation } from './receive-c-store.ts';
import { CStoreReceiver } from './receive-c-store.ts';
import { RefusalBursts } from './refusal-bursts.ts';
import { ServiceDispatcher } from './serve.ts';
import { serviceOf } from './services.ts';
import { Status } from './status.ts';
import type { AssociateResponse, AssociationAcceptor, UpperLayerUser } from './upper-layer/acceptor.ts';
import type { MessageReceiver } from './upper-layer/message-assembler.ts';
import type { CommandSet } from './upper-layer/command-set.ts';
import { CommandField, responseBit } from './upper-layer/command-set.ts';
import { Invoker } from './upper-layer/invoker.ts';
import type { UpperLayerLimits } from './upper-layer/limits.ts';
import { limitsOf } from './upper-layer/limits.ts';
import type { Caller } from './upper-layer/listener.ts';
import { listen as listenUpperLayer } from './upper-layer/listener.ts';
import type { AssociateRequest, NegotiatedContext, Rejection } from './upper-layer/pdu.ts';
import { ContextResult } from './upper-layer/pdu.ts';

export async function listen(
  endpoint: Endpoint, integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext, limits: UpperLayerLimits = limitsOf(endpoint.limits),
): Promise<Listener> {
  const door: Door = { integrations, receive, context, limits, bursts: new RefusalBursts(), openByCallingAeTitle: new Map() };
  const listener = await listenUpperLayer(endpoint.host, endpoint.port, {
    ...(endpoint.tls ? { createServer: endpoint.tls.createServer } : {}),
    limits, implementation: { classUid: implementationClassUid, versionName: implementationVersionName },
    user: (acceptor, caller) => new GatewayUser(acceptor, caller, door),
    unheard: (address) => {
      const text = 'connections are closed unheard: more than twice the associations that are allowed are open';
      if (door.bursts.begins(address, text, (repeats) => { context.log.warn({ address, repeats }, `the same ${repeats} more times: ${text}`); })) context.log.warn({ address }, text);
    },
  });
  return { port: listener.port, close: async (graceMilliseconds) => { await listener.close(graceMilliseconds); door.bursts.close(); } };
}

/** What all associations of one listener share. */
interface Door {
  readonly integrations: IntegrationDirectory<Config>;
  readonly receive: Receive;
  readonly context: AdapterContext;
  readonly limits: UpperLayerLimits;
  readonly bursts: RefusalBursts;
  readonly openByCallingAeTitle: Map<string, number>;
}

const textBeyond = (limit: NonNullable<Caller['beyond']>, limits: UpperLayerLimits): string => (limit === 'associations'
  ? `${limits.associations} associations are open (MEDSCAN_DICOM_ASSOCIATIONS)` : `${limits.associationsPerAddress} associations are open from this address (MEDSCAN_DICOM_ASSOCIATIONS_PER_ADDRESS)`);

/** An integration may demand who stands behind an AE title: setting tls_subjects. */
function withCertificate(decision: AssociationDecision, subject: string | undefined): AssociationDecision {
  if (decision.kind === 'reject') return decision;
  const { integration } = decision;
  const { tls_subjects: allowed } = integration.config;
  if (allowed.length === 0 || (subject !== undefined && allowed.includes(subject))) return decision;
  const came = subject === undefined ? 'without a client certificate' : 'with another client certificate';
  return { kind: 'reject', rejection: rejections.callingAeTitleNotRecognized, refusal: { reason: 'not-allowed', text: `the caller came ${came} (setting tls_subjects)` }, integration };
}

/** With the setting that would allow it. */
function nameOf(context: NegotiatedContext): string {
  const setting = settingFor(context);
  return setting ? `${context.abstractSyntax} (setting ${setting})` : context.abstractSyntax;
}

/** A C-CANCEL-RQ and a response have no answer. */
const nothingToAnswer: MessageReceiver = { write() { /* dropped */ }, async end() { /* nothing */ }, async abort() { /* nothing is open */ }, readsOn: true };

class GatewayUser implements UpperLayerUser {
  readonly #acceptor: AssociationAcceptor;
  readonly #caller: Caller;
  readonly #door: Door;
  readonly #tally: AssociationTally;
  #association: StoreAssociation | undefined;
  #services: ServiceDispatcher | undefined;
  #arrival: Arrival | undefined;
  /** The idle limit ended it, and the peer had said everything that it began to say. */
  #hasRested = false;
  #receiveCounted: Receive;
  /** A refusal that repeats one of its burst: counted, not told. */
  #isRepeat = false;

  constructor(acceptor: AssociationAcceptor, caller: Caller, door: Door) {
    this.#acceptor = acceptor;
    this.#caller = caller;
    this.#door = door;
    const tally = this.#tally = new AssociationTally(caller, door.context.now());
    this.#receiveCounted = async (message, refusal) => {
      const receipt = await door.receive(message, refusal);
      tally.object(receipt);
      this.#arrival?.brought(receipt);
      return receipt;
    };
    queueMicrotask(() => { void acceptor.closed.then(() => { this.#closed(); }); });
  }

  async associate(request: AssociateRequest): Promise<AssociateResponse> {
    this.#tally.requested(request);
    const { integrations, limits, context } = this.#door;
    if (this.#caller.beyond) return this.#reject(rejections.temporaryCongestion, { reason: 'not-allowed', text: textBeyond(this.#caller.beyond, limits) }, undefined, request);
    const decision = withCertificate(decideAssociation(request, this.#caller.address, integrations, limits.minimumPeerMaximumLength), this.#caller.tlsSubject);
    if (decision.kind === 'reject') return this.#reject(decision.rejection, decision.refusal, decision.integration, request);
    const full = await this.#whyNotNow(request, decision.contexts);
    if (full) return this.#reject(full.rejection, { reason: 'not-allowed', text: full.text }, decision.integration, request);
    this.#begin(request, decision.integration, decision.contexts);
    if (!decision.contexts.some(({ result }) => result === ContextResult.acceptance)) {
      const refusal: Refusal = { reason: 'unsupported', text: `none of the proposed services is supported: ${decision.contexts.slice(0, 10).map(nameOf).join(', ')}` };
      const receipt = await this.#recordRefusal(decision.integration, refusal, request.bytes, request);
      receipt?.answered('A-ASSOCIATE-AC', true);
    }
    context.log.debug({ ...this.#about(request), integrationId: decision.integration.integrationId }, 'association accepted');
    return { kind: 'accept', contexts: decision.contexts };
  }

  /** Limits that know who calls and what for: a query or a C-ECHO takes no room in the store. */
  async #whyNotNow({ callingAeTitle }: AssociateRequest, contexts: readonly NegotiatedContext[]): Promise<{ rejection: Rejection; text: string } | undefined> {
    const { limits, openByCallingAeTitle: open, context } = this.#door, most = limits.associationsPerCallingAeTitle;
    const before = open.get(callingAeTitle) ?? 0;
    if (before >= most) return { rejection: rejections.localLimitExceeded, text: `${callingAeTitle} has ${most} associations open already (MEDSCAN_DICOM_ASSOCIATIONS_PER_AE)` };
    // Counted before anything is waited for: requests that come together do not all find the same free place.
    open.set(callingAeTitle, before + 1);
    const stores = contexts.some(({ result, abstractSyntax }) => result === ContextResult.acceptance && isStorage(abstractSyntax, true));
    const text = stores ? await context.congestion?.() : undefined;
    if (text === undefined) void this.#acceptor.closed.then(() => { this.#leave(callingAeTitle); });
    else this.#leave(callingAeTitle);
    return text === undefined ? undefined : { rejection: rejections.temporaryCongestion, text };
  }

  #leave(callingAeTitle: string): void {
    const open = this.#door.openByCallingAeTitle, left = (open.get(callingAeTitle) ?? 1) - 1;
    if (left > 0) open.set(callingAeTitle, left); else open.delete(callingAeTitle);
  }

  #begin(request: AssociateRequest, integration: Integration<Config>, contexts: readonly NegotiatedContext[]): void {
    const association = { acceptor: this.#acceptor, request, integration, peer: this.#peer(request) };
    this.#association = association;
    this.#tally.accepted(integration, contexts);
    this.#arrival = this.#door.context.arrivals?.begin(integration, request.callingAeTitle);
    const invoker = new Invoker((bytes) => this.#acceptor.send(bytes), request.maximumLength, this.#acceptor.over);
    this.#services = new ServiceDispatcher({ ...association, invoker, contexts, integrations: this.#door.integrations }, this.#door.context);
  }

  /** The first of a burst is told and put on record before the caller hears it; its repeats are counted. */
  async #reject(rejection: Rejection, refusal: Refusal, integration: Integration<Config> | undefined, request: AssociateRequest): Promise<AssociateResponse> {
    this.#tally.rejected(rejection, { text: refusal.text, advice: adviceOnCaller(rejection) }, integration);
    const about = { ...this.#about(request), ...rejection };
    this.#isRepeat = !this.#beginsBurst(refusal.text, about);
    if (this.#isRepeat) return { kind: 'reject', rejection };
    this.#door.context.log.warn(about, `association rejected: ${refusal.text}`);
    // Without room nothing was wrong with the request: the association log has it, and it is no exchange that failed for good.
    if (rejection.result === 2) return { kind: 'reject', rejection };
    const receipt = await this.#recordRefusal(integration, refusal, request.bytes, request);
    return { kind: 'reject', rejection, answered: (heard) => receipt?.answered('A-ASSOCIATE-RJ', heard) };
  }

  #beginsBurst(text: string, about: object): boolean {
    const { bursts, context } = this.#door, tally = this.#tally;
    return bursts.begins(this.#caller.address, text, (repeats) => {
      context.log.warn({ ...about, repeats }, `the same ${repeats} more times: ${text}`);
      tally.tell(context.associations, context.now(), repeats);
    });
  }

  #closed(): void {
    this.#arrival?.ended(this.#tally.isReleased || this.#hasRested ? 'released' : 'broken');
    if (!this.#isRepeat) this.#tally.tell(this.#door.context.associations, this.#door.context.now());
  }

  #about(request: AssociateRequest): object {
    return { address: this.#caller.address, callingAeTitle: request.callingAeTitle, calledAeTitle: request.calledAeTitle };
  }

  message(command: CommandSet, context: NegotiatedContext): MessageReceiver {
    const association = this.#association, services = this.#services;
    if (!association || !services) throw new Error('a message without an association');
    if ((command.commandField & responseBit) === 0) this.#tally.message(command);
    if (command.commandField === CommandField.cStoreRq && !serviceOf(context.abstractSyntax)) return services.inTurn(this.#store(association, command, context));
    if (command.commandField === CommandField.cEchoRq) return services.inTurn(receiveCEcho(this.#acceptor, command, context));
    if (command.commandField === CommandField.cCancelRq) {
      services.cancel(command.messageIdBeingRespondedTo);
      return nothingToAnswer;
    }
    if ((command.commandField & responseBit) !== 0) {
      if (!services.answered(command)) throw new Error('a response although nothing was asked');
      return nothingToAnswer;
    }
    return services.message(command, context) ?? answerOnly(this.#acceptor, command, context, Status.unrecognizedOperation);
  }

  #store(association: StoreAssociation, command: CommandSet, context: NegotiatedContext): MessageReceiver {
    const { maximum_objects_per_association: most } = association.integration.config;
    if (most > 0 && this.#tally.objects > most) return answerOnly(this.#acceptor, command, context, Status.outOfResources, `more than ${most} objects: use a new association`);
    return new CStoreReceiver(association, command, context, this.#receiveCounted, this.#door.context);
  }

  ended(why: string, bytes?: Buffer): void {
    const outcome = bytes ? 'unreadable' : why === 'aborted by the peer' ? 'aborted-by-peer' : why.endsWith('without a release') ? 'connection-lost' : 'aborted-by-gateway';
    this.#tally.broke(outcome, { text: why, advice: adviceOnBreak(why) });
    this.#hasRested = why.startsWith('idle') && !this.#acceptor.isBusy;
    const about = { address: this.#caller.address, callingAeTitle: this.#association?.request.callingAeTitle };
    this.#isRepeat = (bytes !== undefined || !this.#association) && !this.#beginsBurst(why, about);
    if (this.#isRepeat) return;
    this.#door.context.log.info(about, `association ended: ${why}`);
    if (bytes) void this.#recordRefusal(undefined, { reason: 'malformed', text: why }, bytes).then((receipt) => receipt?.answered('A-ABORT', true));
  }

  #peer(request?: AssociateRequest): Peer {
    const { address, port, tlsSubject } = this.#caller;
    return { address, port, ...(request ? { application: request.callingAeTitle } : {}), ...(tlsSubject === undefined ? {} : { tlsSubject }) };
  }

  /** On record before the peer hears it, but never in the way of telling it. */
  async #recordRefusal(integration: Integration<Config> | undefined, refusal: Refusal, head: Buffer, request?: AssociateRequest): Promise<Receipt | undefined> {
    try {
      return await this.#door.receive({
        integration, interaction: 'A-ASSOCIATE', controlId: randomUUID(), peer: this.#peer(request), receivedAt: this.#door.context.now(),
        facts: request ? { callingAeTitle: request.callingAeTitle, calledAeTitle: request.calledAeTitle, implementationVersionName: request.implementationVersionName } : {},
        head, sha256: createHash('sha256').update(head).digest('hex'), byteSize: head.length,
      }, refusal);
    } catch (error) {
      this.#door.context.log.error({ error: error instanceof Error ? error.message : String(error) }, 'a refused association could not be recorded');
      return undefined;
    }
  }
}
