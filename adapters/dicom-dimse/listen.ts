/** Binds the upper layer to the gateway: who may associate (association.ts), and which message goes to which receiver. */
import { createHash, randomUUID } from 'node:crypto';
import type { AdapterContext, Endpoint, Integration, IntegrationDirectory, Listener, Peer, Receipt, Receive, Refusal } from '#gateway/adapter.ts';
import { implementationClassUid, implementationVersionName } from '#standards/dicom/part10.ts';
import type { AssociationDecision } from './association.ts';
import { decideAssociation, rejections } from './association.ts';
import type { Config } from './config.ts';
import { answerOnly, receiveCEcho } from './receive-c-echo.ts';
import type { StoreAssociation } from './receive-c-store.ts';
import { CStoreReceiver } from './receive-c-store.ts';
import { ServiceDispatcher } from './serve.ts';
import { serviceOf } from './services.ts';
import { Status } from './status.ts';
import type { AssociateResponse, AssociationAcceptor, UpperLayerUser } from './upper-layer/acceptor.ts';
import type { MessageReceiver } from './upper-layer/message-assembler.ts';
import type { CommandSet } from './upper-layer/command-set.ts';
import { CommandField, responseBit } from './upper-layer/command-set.ts';
import { Invoker } from './upper-layer/invoker.ts';
import type { UpperLayerLimits } from './upper-layer/limits.ts';
import { defaultLimits } from './upper-layer/limits.ts';
import type { Caller } from './upper-layer/listener.ts';
import { listen as listenUpperLayer } from './upper-layer/listener.ts';
import type { AssociateRequest, NegotiatedContext } from './upper-layer/pdu.ts';
import { ContextResult } from './upper-layer/pdu.ts';

export async function listen(
  endpoint: Endpoint, integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext, limits: UpperLayerLimits = defaultLimits,
): Promise<Listener> {
  return listenUpperLayer(endpoint.host, endpoint.port, {
    ...(endpoint.tls ? { createServer: endpoint.tls.createServer } : {}),
    limits, implementation: { classUid: implementationClassUid, versionName: implementationVersionName },
    user: (acceptor, caller) => new GatewayUser(acceptor, caller, integrations, receive, context, limits),
  });
}

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
function nameOf({ abstractSyntax, result }: NegotiatedContext): string {
  const setting = result === ContextResult.userRejection ? serviceOf(abstractSyntax)?.setting : undefined;
  return setting ? `${abstractSyntax} (setting ${setting})` : abstractSyntax;
}

/** A C-CANCEL-RQ and a response have no answer. */
const nothingToAnswer: MessageReceiver = { write() { /* dropped */ }, async end() { /* nothing */ }, async abort() { /* nothing is open */ }, readsOn: true };

class GatewayUser implements UpperLayerUser {
  readonly #acceptor: AssociationAcceptor;
  readonly #caller: Caller;
  readonly #integrations: IntegrationDirectory<Config>;
  readonly #receive: Receive;
  readonly #context: AdapterContext;
  readonly #limits: UpperLayerLimits;
  #association: StoreAssociation | undefined;
  #services: ServiceDispatcher | undefined;

  constructor(acceptor: AssociationAcceptor, caller: Caller, integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext, limits: UpperLayerLimits) {
    this.#acceptor = acceptor;
    this.#caller = caller;
    this.#integrations = integrations;
    this.#receive = receive;
    this.#context = context;
    this.#limits = limits;
  }

  async associate(request: AssociateRequest): Promise<AssociateResponse> {
    const about = { address: this.#caller.address, callingAeTitle: request.callingAeTitle, calledAeTitle: request.calledAeTitle };
    if (!this.#caller.isWithinLimits) {
      this.#context.log.warn(about, 'association rejected: too many associations');
      return { kind: 'reject', rejection: rejections.temporaryCongestion };
    }
    const decision = withCertificate(decideAssociation(request, this.#caller.address, this.#integrations, this.#limits.minimumPeerMaximumLength), this.#caller.tlsSubject);
    if (decision.kind === 'reject') {
      this.#context.log.warn({ ...about, ...decision.rejection }, `association rejected: ${decision.refusal.text}`);
      const receipt = await this.#recordRefusal(decision.integration, decision.refusal, request.bytes, request);
      return { kind: 'reject', rejection: decision.rejection, answered: (heard) => receipt?.answered('A-ASSOCIATE-RJ', heard) };
    }
    this.#association = { acceptor: this.#acceptor, request, integration: decision.integration, peer: this.#peer(request) };
    const invoker = new Invoker((bytes) => this.#acceptor.send(bytes), request.maximumLength, this.#acceptor.over);
    this.#services = new ServiceDispatcher({ ...this.#association, invoker, contexts: decision.contexts, integrations: this.#integrations }, this.#context);
    if (!decision.contexts.some(({ result }) => result === ContextResult.acceptance)) {
      const refusal: Refusal = { reason: 'unsupported', text: `none of the proposed services is supported: ${decision.contexts.slice(0, 10).map(nameOf).join(', ')}` };
      const receipt = await this.#recordRefusal(decision.integration, refusal, request.bytes, request);
      receipt?.answered('A-ASSOCIATE-AC', true);
    }
    this.#context.log.debug({ ...about, integrationId: decision.integration.integrationId }, 'association accepted');
    return { kind: 'accept', contexts: decision.contexts };
  }

  message(command: CommandSet, context: NegotiatedContext): MessageReceiver {
    const association = this.#association, services = this.#services;
    if (!association || !services) throw new Error('a message without an association');
    if (command.commandField === CommandField.cStoreRq && !serviceOf(context.abstractSyntax)) return services.inTurn(new CStoreReceiver(association, command, context, this.#receive, this.#context));
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

  ended(why: string, bytes?: Buffer): void {
    this.#context.log.info({ address: this.#caller.address, callingAeTitle: this.#association?.request.callingAeTitle }, `association ended: ${why}`);
    if (bytes) void this.#recordRefusal(undefined, { reason: 'malformed', text: why }, bytes).then((receipt) => receipt?.answered('A-ABORT', true));
  }

  #peer(request?: AssociateRequest): Peer {
    const { address, port, tlsSubject } = this.#caller;
    return { address, port, ...(request ? { application: request.callingAeTitle } : {}), ...(tlsSubject === undefined ? {} : { tlsSubject }) };
  }

  /** On record before the peer hears it, but never in the way of telling it. */
  async #recordRefusal(integration: Integration<Config> | undefined, refusal: Refusal, head: Buffer, request?: AssociateRequest): Promise<Receipt | undefined> {
    try {
      return await this.#receive({
        integration, interaction: 'A-ASSOCIATE', controlId: randomUUID(), peer: this.#peer(request), receivedAt: this.#context.now(),
        facts: request ? { callingAeTitle: request.callingAeTitle, calledAeTitle: request.calledAeTitle, implementationVersionName: request.implementationVersionName } : {},
        head, sha256: createHash('sha256').update(head).digest('hex'), byteSize: head.length,
      }, refusal);
    } catch (error) {
      this.#context.log.error({ error: error instanceof Error ? error.message : String(error) }, 'a refused association could not be recorded');
      return undefined;
    }
  }
}
