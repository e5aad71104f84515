/** One request for a service beside storage, with all that answering it needs. */
import type { AdapterContext, Integration, IntegrationDirectory, Peer } from '#gateway/adapter.ts';
import type { HoldingsRequest } from '#gateway/holdings.ts';
import type { Config } from './config.ts';
import type { AssociationAcceptor } from './upper-layer/acceptor.ts';
import type { CommandSet, ResponseFields } from './upper-layer/command-set.ts';
import { encodeResponse } from './upper-layer/command-set.ts';
import type { Invoker } from './upper-layer/invoker.ts';
import type { AssociateRequest, NegotiatedContext } from './upper-layer/pdu.ts';

export interface ServedAssociation {
  readonly acceptor: AssociationAcceptor;
  readonly invoker: Invoker;
  readonly request: AssociateRequest;
  readonly contexts: readonly NegotiatedContext[];
  readonly integration: Integration<Config>;
  readonly integrations: IntegrationDirectory<Config>;
  readonly peer: Peer;
}

export interface Operation {
  readonly association: ServedAssociation;
  readonly command: CommandSet;
  readonly context: NegotiatedContext;
  readonly adapter: AdapterContext;
  /** Aborted by a C-CANCEL for this message, and when the association is over. */
  readonly cancelled: AbortSignal;
  respond(fields: ResponseFields, dataset?: Buffer): Promise<boolean>;
}

export function operationOf(association: ServedAssociation, command: CommandSet, context: NegotiatedContext, adapter: AdapterContext, cancelled: AbortSignal): Operation {
  return {
    association, command, context, adapter, cancelled,
    respond: (fields, dataset) => association.invoker.send(context.id, encodeResponse(command, { ...fields, hasDataSet: dataset !== undefined }), dataset),
  };
}

/** How the request is put on record: names of keys and levels only; the identifier goes with it as the exchange's message. */
export function holdingsRequest({ association, context, command }: Operation, purpose: HoldingsRequest['purpose'], interaction: string, identifier: Buffer, facts: Readonly<Record<string, unknown>>): HoldingsRequest {
  const { integration, peer, request } = association;
  return {
    organizationId: integration.organizationId, integrationId: integration.integrationId, purpose, interaction, controlId: `${request.callingAeTitle} ${command.messageId}`,
    actor: { kind: 'application', id: request.callingAeTitle, address: peer.address }, timeZone: integration.config.time_zone,
    facts: { ...facts, sopClassUid: context.abstractSyntax, calledAeTitle: request.calledAeTitle }, message: { content: identifier, type: `application/dicom; transfer-syntax=${context.transferSyntax}` },
  };
}
