/** Which message of which service goes to which file, one after the other; and what answers, cancels and responses on the way mean. */
import type { AdapterContext } from '#gateway/adapter.ts';
import { answerCFind, answerWorklist } from './answer-c-find.ts';
import { answerCGet } from './answer-c-get.ts';
import { answerCMove } from './answer-c-move.ts';
import { collectDataset } from './collect-dataset.ts';
import type { Operation, ServedAssociation } from './operation.ts';
import { operationOf } from './operation.ts';
import { answerOnly } from './receive-c-echo.ts';
import { receiveProcedureBegin, receiveProcedureChange } from './receive-mpps.ts';
import { receiveStorageCommitment } from './receive-storage-commitment.ts';
import { receiveCommitmentResult } from './scu/receive-commitment-result.ts';
import type { Service } from './services.ts';
import { serviceOf } from './services.ts';
import { Status } from './status.ts';
import type { CommandSet } from './upper-layer/command-set.ts';
import { CommandField } from './upper-layer/command-set.ts';
import type { MessageReceiver } from './upper-layer/message-assembler.ts';
import type { NegotiatedContext } from './upper-layer/pdu.ts';

type Handler = (operation: Operation, dataset: Buffer) => Promise<void>;

function handlerOf(service: Service, commandField: number): Handler | undefined {
  switch (`${service.kind} ${commandField}`) {
    case `find ${CommandField.cFindRq}`: return 'root' in service ? (operation, dataset) => answerCFind(operation, service.root, dataset) : undefined;
    case `move ${CommandField.cMoveRq}`: return 'root' in service ? (operation, dataset) => answerCMove(operation, service.root, dataset) : undefined;
    case `get ${CommandField.cGetRq}`: return 'root' in service ? (operation, dataset) => answerCGet(operation, service.root, dataset) : undefined;
    case `worklist ${CommandField.cFindRq}`: return answerWorklist;
    case `storage commitment ${CommandField.nActionRq}`: return receiveStorageCommitment;
    case `storage commitment ${CommandField.nEventReportRq}`: return receiveCommitmentResult;
    case `performed procedure ${CommandField.nCreateRq}`: return receiveProcedureBegin;
    case `performed procedure ${CommandField.nSetRq}`: return receiveProcedureChange;
    default: return undefined;
  }
}
const listensMeanwhile = new Set<number>([CommandField.cFindRq, CommandField.cMoveRq, CommandField.cGetRq]);

export class ServiceDispatcher {
  readonly #association: ServedAssociation;
  readonly #adapter: AdapterContext;
  readonly #cancels = new Map<number, AbortController>();
  #running: Promise<void> = Promise.resolve();

  constructor(association: ServedAssociation, adapter: AdapterContext) {
    this.#association = association;
    this.#adapter = adapter;
  }

  /** Undefined: the context is not that of a service beside storage and verification. */
  message(command: CommandSet, context: NegotiatedContext): MessageReceiver | undefined {
    const service = serviceOf(context.abstractSyntax);
    if (!service) return undefined;
    const handler = handlerOf(service, command.commandField);
    const { acceptor } = this.#association;
    if (!handler) return this.inTurn(answerOnly(acceptor, command, context, Status.unrecognizedOperation));
    if (!command.hasDataSet) return this.inTurn(answerOnly(acceptor, command, context, Status.dataSetDoesNotMatchSopClass, 'a data set is needed'));
    // A request that has to wait for another is not read past: no asynchronous operations were negotiated.
    const readsOn = listensMeanwhile.has(command.commandField) && this.#cancels.size === 0;
    const cancel = new AbortController();
    this.#cancels.set(command.messageId, cancel);
    const cancelled = AbortSignal.any([cancel.signal, acceptor.over, this.#adapter.signal]);
    return collectDataset((dataset) => this.#serve(handler, operationOf(this.#association, command, context, this.#adapter, cancelled), dataset), { readsOn });
  }

  async #serve(handler: Handler, operation: Operation, dataset: Buffer): Promise<void> {
    this.#running = this.#running.then(() => handler(operation, dataset)).catch(async (error: unknown) => {
      this.#adapter.log.error({ error: error instanceof Error ? error.message : String(error) }, 'a request was not answered because of a fault of the gateway');
      await operation.respond({ status: Status.processingFailure, errorComment: 'a fault of the gateway; its log says more' });
    });
    await this.#running;
    this.#cancels.delete(operation.command.messageId);
  }

  /** C-CANCEL-RQ has no response; the operation that it names ends with FE00 (PS3.7 9.3.2.3). */
  cancel(messageId: number): void { this.#cancels.get(messageId)?.abort(); }

  /** False: nobody asked for this response. */
  answered(response: CommandSet): boolean { return this.#association.invoker.answered(response); }

  /** A message that came while a query or retrieve is being answered is taken in at once and answered afterwards. */
  inTurn(receiver: MessageReceiver): MessageReceiver {
    if (this.#cancels.size === 0) return receiver;
    const before = this.#running;
    return { write: (bytes) => receiver.write(bytes), end: () => before.then(() => receiver.end()), abort: () => receiver.abort() };
  }
}
