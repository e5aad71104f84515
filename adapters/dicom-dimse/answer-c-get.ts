/** C-GET as SCP: images go back on the same association, in contexts for which the requestor negotiated the role of SCP (PS3.7 D.3.3.4). */
import type { StoredInstance } from '#gateway/holdings.ts';
import { nativeForm } from './native-form.ts';
import type { Operation } from './operation.ts';
import type { InstanceSender } from './retrieve.ts';
import { retrieve } from './retrieve.ts';
import type { Root } from './services.ts';
import { encodeStoreRequest } from './upper-layer/command-set.ts';
import type { DatasetBytes } from './upper-layer/invoker.ts';
import { ContextResult } from './upper-layer/pdu.ts';

const responseMilliseconds = 60_000;

export const answerCGet = (operation: Operation, root: Root, bytes: Buffer): Promise<void> =>
  retrieve(operation, root, bytes, { interaction: 'C-GET', facts: {}, open: async () => new GetSender(operation) });

class GetSender implements InstanceSender {
  readonly notes = new Set<string>();
  readonly #operation: Operation;
  constructor(operation: Operation) { this.#operation = operation; }

  get isOver(): boolean { return this.#operation.association.acceptor.over.aborted; }
  abort(): void { this.#operation.association.acceptor.destroy(); }
  async close(): Promise<void> { /* the association is the requestor's */ }

  async send(instance: StoredInstance, dataset: DatasetBytes): Promise<number | string> {
    const { contexts, request, invoker } = this.#operation.association;
    const { sopClassUid, transferSyntaxUid } = instance;
    const contextIn = (uid: string): number | undefined => contexts.find((one) => one.result === ContextResult.acceptance && one.abstractSyntax === sopClassUid && one.transferSyntax === uid)?.id;
    const stored = contextIn(transferSyntaxUid);
    if (!request.roles.get(sopClassUid)?.scp) return `the requestor did not ask to be SCP of ${sopClassUid} (role selection)`;
    const native = stored === undefined ? await nativeForm(instance, dataset, contextIn, this.#operation.adapter) : undefined;
    if (typeof native === 'string') return `no context for ${sopClassUid} in transfer syntax ${transferSyntaxUid} was proposed first; ${native}`;
    if (native) this.notes.add(native.note);
    const response = await invoker.ask(native?.contextId ?? stored!, (messageId) => encodeStoreRequest({ ...instance, messageId }), native?.dataset ?? dataset, responseMilliseconds);
    if (response?.status !== undefined) return response.status;
    if (!this.isOver) this.abort();
    return 'the requestor did not answer a C-STORE';
  }
}
