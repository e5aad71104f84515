/**
 * C-MOVE as SCP: images go to the Move Destination on an association of our own. A destination is an AE title that one of the organization's
 * integrations names as its destination: where an address comes from is the configuration, never the request.
 */
import type { StoredInstance } from '#gateway/holdings.ts';
import { explain } from './advice.ts';
import { receiverOf } from './config.ts';
import type { Receiver } from './config.ts';
import { nativeForm, nativeSyntaxes } from './native-form.ts';
import type { Operation } from './operation.ts';
import type { InstanceSender } from './retrieve.ts';
import { retrieve } from './retrieve.ts';
import type { Root } from './services.ts';
import { Status } from './status.ts';
import { encodeStoreRequest } from './upper-layer/command-set.ts';
import type { DatasetBytes } from './upper-layer/invoker.ts';
import { associate } from './upper-layer/requestor.ts';
import type { RequestedAssociation } from './upper-layer/requestor.ts';

const mostContexts = 128;

export function answerCMove(operation: Operation, root: Root, bytes: Buffer): Promise<void> {
  const { integration, integrations } = operation.association;
  const { moveDestination } = operation.command;
  const receivers = integrations.sending?.() ?? integrations.all();
  const receiver = receivers.filter(({ organizationId }) => organizationId === integration.organizationId).map(({ config }) => receiverOf(config)).find((one) => one?.called_ae_title === moveDestination);
  return retrieve(operation, root, bytes, {
    interaction: 'C-MOVE', facts: { destination: moveDestination },
    ...(receiver ? {} : { refused: { status: Status.moveDestinationUnknown, errorComment: `no integration has ${moveDestination || 'this AE title'} as its destination` } }),
    open: (instances) => openDestination(operation, receiver!, instances),
  });
}

async function openDestination(operation: Operation, receiver: Receiver, instances: readonly StoredInstance[]): Promise<InstanceSender | string> {
  const offers = [...new Map(instances.map(({ sopClassUid, transferSyntaxUid }) => [`${sopClassUid} ${transferSyntaxUid}`, { abstractSyntax: sopClassUid, transferSyntaxes: [transferSyntaxUid] }])).values()];
  const native = [...new Set(instances.map(({ sopClassUid }) => sopClassUid))].flatMap((abstractSyntax) => nativeSyntaxes.filter((uid) => !offers.some((offer) => offer.abstractSyntax === abstractSyntax && offer.transferSyntaxes[0] === uid)).map((uid) => ({ abstractSyntax, transferSyntaxes: [uid] })));
  const contexts = [...offers, ...native].slice(0, mostContexts).map((offer, index) => ({ id: 2 * index + 1, ...offer }));
  const associated = await associate(receiver, { contexts }, operation.adapter.signal);
  if (associated.kind !== 'associated') return explain(associated).text;
  return new MoveSender(operation, receiver, associated.association);
}

class MoveSender implements InstanceSender {
  readonly notes = new Set<string>();
  readonly #operation: Operation;
  readonly #receiver: Receiver;
  readonly #association: RequestedAssociation;

  constructor(operation: Operation, receiver: Receiver, association: RequestedAssociation) {
    this.#operation = operation;
    this.#receiver = receiver;
    this.#association = association;
  }

  get isOver(): boolean { return this.#association.over.aborted; }
  abort(): void { this.#association.abort('a stored object could not be read'); }
  close(): Promise<void> { return this.#association.release(); }

  async send(instance: StoredInstance, dataset: DatasetBytes): Promise<number | string> {
    const context = this.#association.context(instance.sopClassUid, instance.transferSyntaxUid);
    const native = context ? undefined : await nativeForm(instance, dataset, (uid) => this.#association.context(instance.sopClassUid, uid)?.id, this.#operation.adapter);
    if (typeof native === 'string') return `${this.#receiver.called_ae_title} does not take ${instance.sopClassUid} in transfer syntax ${instance.transferSyntaxUid}; ${native}`;
    if (native) this.notes.add(native.note);
    const { request } = this.#operation.association;
    const moveOriginator = { aeTitle: request.callingAeTitle, messageId: this.#operation.command.messageId };
    const response = await this.#association.invoker.ask(native?.contextId ?? context!.id, (messageId) => encodeStoreRequest({ ...instance, messageId, moveOriginator }), native?.dataset ?? dataset, this.#receiver.response_timeout_milliseconds);
    if (response?.status !== undefined) return response.status;
    if (!this.isOver) this.#association.abort('no response in time');
    return `${this.#receiver.called_ae_title} did not answer a C-STORE`;
  }
}
