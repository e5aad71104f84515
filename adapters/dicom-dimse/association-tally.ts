/** What one association was, for the association log: filled while it runs, told when it ends. */
import { uuidV7 } from '#domain/uuid.ts';
import type { Integration, Receipt } from '#gateway/adapter.ts';
import type { AssociationLog, AssociationOutcome, AssociationRecord } from '#gateway/associations.ts';
import type { Explanation } from './advice.ts';
import type { Config } from './config.ts';
import type { CommandSet } from './upper-layer/command-set.ts';
import { requestName } from './upper-layer/command-set.ts';
import type { Caller } from './upper-layer/listener.ts';
import type { AssociateRequest, NegotiatedContext, Rejection } from './upper-layer/pdu.ts';
import { ContextResult } from './upper-layer/pdu.ts';

export const codeOf = ({ result, source, reason }: Rejection): string => `${result}/${source}/${reason}`;

export class AssociationTally {
  readonly associationId = uuidV7();
  readonly #caller: Caller;
  readonly #startedAt: Date;
  readonly #requests: Record<string, number> = {};
  readonly #objects: Record<string, number> = {};
  #request: AssociateRequest | undefined;
  #contexts: readonly NegotiatedContext[] = [];
  #integration: Integration<Config> | undefined;
  #outcome: AssociationOutcome = 'released';
  #explanation: Partial<Explanation> = {};
  #rejection: Rejection | undefined;

  constructor(caller: Caller, startedAt: Date) {
    this.#caller = caller;
    this.#startedAt = startedAt;
  }

  requested(request: AssociateRequest): void { this.#request = request; }
  accepted(integration: Integration<Config>, contexts: readonly NegotiatedContext[]): void { [this.#integration, this.#contexts] = [integration, contexts]; }
  rejected(rejection: Rejection, explanation: Explanation, integration: Integration<Config> | undefined): void {
    this.#integration = integration;
    this.#rejection = rejection;
    this.broke('rejected', explanation);
  }
  /** The first reason is the true one. */
  broke(outcome: AssociationOutcome, explanation: Partial<Explanation>): void {
    if (this.#outcome !== 'released') return;
    this.#outcome = outcome;
    this.#explanation = explanation;
  }

  message(command: CommandSet): void {
    const name = requestName(command.commandField);
    this.#requests[name] = (this.#requests[name] ?? 0) + 1;
  }
  object(receipt: Receipt): void { this.#objects[receipt.kind] = (this.#objects[receipt.kind] ?? 0) + 1; }
  /** In good order, as far as it is known. */
  get isReleased(): boolean { return this.#outcome === 'released'; }
  get objects(): number { return this.#requests['C-STORE'] ?? 0; }

  /** Once the connection is closed; again with `repeats` at the end of a burst. A connection on which nothing was said (a port check) is no association. */
  tell(log: AssociationLog | undefined, finishedAt: Date, repeats = 0): void {
    if (this.#request || this.#outcome !== 'released') log?.record(this.#record(finishedAt, repeats));
  }

  #record(finishedAt: Date, repeats: number): AssociationRecord {
    const { address, port, tlsProtocol, tlsSubject } = this.#caller, request = this.#request, { text, advice } = this.#explanation;
    return {
      associationId: this.associationId, organizationId: this.#integration?.organizationId, integrationId: this.#integration?.integrationId, startedAt: this.#startedAt, finishedAt,
      peerAddress: address, peerPort: port, ...(tlsProtocol === undefined ? {} : { tlsProtocol }), ...(tlsSubject === undefined ? {} : { tlsSubject }),
      ...(request ? {
        callingAeTitle: request.callingAeTitle, calledAeTitle: request.calledAeTitle, implementationClassUid: request.implementationClassUid,
        implementationVersionName: request.implementationVersionName, peerMaximumLength: request.maximumLength,
      } : {}),
      contexts: (request?.presentationContexts ?? []).map(({ id, abstractSyntax, transferSyntaxes }) => {
        const answer = this.#contexts.find((context) => context.id === id);
        return { id, abstract_syntax: abstractSyntax, transfer_syntaxes: transferSyntaxes, result: answer?.result ?? ContextResult.noReason, ...(answer?.result === ContextResult.acceptance ? { transfer_syntax: answer.transferSyntax } : {}) };
      }),
      outcome: this.#outcome, ...(this.#rejection ? { rejection: codeOf(this.#rejection) } : {}), ...(text === undefined ? {} : { reason: text }), ...(advice === undefined ? {} : { advice }),
      ...this.#caller.traffic(), requests: this.#requests, objects: this.#objects, repeats,
    };
  }
}
