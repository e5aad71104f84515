/**
 * What C-MOVE and C-GET have in common (PS3.4 C.4.2, C.4.3): which instances, one C-STORE sub-operation each with the stored bytes, counts after each.
 *
 *     identifier -> on record -> instances -> sender(instance) ... FF00 with counts ... 0000 | B000 some failed | A702 none sent | FE00 cancelled
 *
 * An instance goes out in the transfer syntax it came in. Where the receiver takes only an uncompressed one it is converted (native-form.ts), which is on
 * record; where it takes neither the instance fails, and the reason is on record.
 */
import type { Holdings, InstanceSelection, Match, StoredDataset, StoredInstance } from '#gateway/holdings.ts';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { formatTag } from '#standards/dicom/tag.ts';
import { implicitVrLittleEndian } from '#standards/dicom/transfer-syntaxes.ts';
import { levelOf, refusal } from './answer-c-find.ts';
import type { Level } from './attributes.ts';
import { InvalidIdentifier, matchesOf, uniqueKeys } from './attributes.ts';
import { readIdentifier } from './identifier.ts';
import type { Operation } from './operation.ts';
import { holdingsRequest } from './operation.ts';
import type { Root } from './services.ts';
import { Status, statusCode, statusPhrase, storeOutcome } from './status.ts';
import type { ResponseFields } from './upper-layer/command-set.ts';
import type { DatasetBytes } from './upper-layer/invoker.ts';

/** Sends one instance: its C-STORE status, or in words why there is none. `isOver`: nothing more can be sent. */
export interface InstanceSender {
  send(instance: StoredInstance, dataset: DatasetBytes): Promise<number | string>;
  /** A dataset that broke off in the middle: the message on the wire cannot be ended. */
  abort(): void;
  readonly isOver: boolean;
  /** What was done to instances before they were sent, in words. */
  readonly notes: ReadonlySet<string>;
  close(): Promise<void>;
}
export interface Retrieval {
  readonly interaction: string;
  readonly facts: Readonly<Record<string, unknown>>;
  /** Known before anything is looked up: the answer to a request that cannot be done. */
  readonly refused?: ResponseFields;
  open(instances: readonly StoredInstance[]): Promise<InstanceSender | string>;
}

/** More than this in one request is refused: it is asked for in parts. */
const mostInstances = 100_000;
const mostFailedTold = 1000;

export async function retrieve(operation: Operation, root: Root, bytes: Buffer, retrieval: Retrieval): Promise<void> {
  let holdings: Holdings, selection: InstanceSelection;
  try {
    const identifier = readIdentifier(bytes, operation.context.transferSyntax);
    if (!identifier) throw new InvalidIdentifier('the identifier is not a data set of the transfer syntax that was agreed on');
    const level = levelOf(identifier, root);
    selection = selectionOf(matchesOf(identifier, level), level);
    if (!operation.adapter.holdings) throw new Error('nothing is retrieved from here');
    holdings = await operation.adapter.holdings(holdingsRequest(operation, retrieval.refused ? 'query' : 'retrieve', `${retrieval.interaction} ${level}`, bytes, { root, ...retrieval.facts }));
  } catch (error) {
    await operation.respond(refusal(error, operation));
    return;
  }
  if (retrieval.refused) {
    const heard = await operation.respond(retrieval.refused);
    await holdings.finish({ answerCode: statusCode(retrieval.refused.status), heard, count: 0, text: retrieval.refused.errorComment ?? '' });
    return;
  }
  await new Transfer(operation, holdings, retrieval).run(selection);
}

function selectionOf(matches: Readonly<Record<string, Match | undefined>>, level: Level): InstanceSelection {
  const { patientId, studyInstanceUid, seriesInstanceUid, sopInstanceUid } = matches;
  const selection = { ...(patientId ? { patientId } : {}), ...(studyInstanceUid ? { studyInstanceUid } : {}), ...(seriesInstanceUid ? { seriesInstanceUid } : {}), ...(sopInstanceUid ? { sopInstanceUid } : {}) };
  const unique = { PATIENT: patientId, STUDY: studyInstanceUid, SERIES: seriesInstanceUid, IMAGE: sopInstanceUid }[level];
  if (!unique || unique.kind === 'wildcard') throw new InvalidIdentifier(`${formatTag(uniqueKeys[level])} is needed to retrieve at level ${level}`, uniqueKeys[level]);
  return selection;
}

class Transfer {
  readonly #operation: Operation;
  readonly #holdings: Holdings;
  readonly #retrieval: Retrieval;
  #remaining = 0;
  #completed = 0;
  #warning = 0;
  #byteSize = 0;
  readonly #failed: string[] = [];
  readonly #reasons = new Set<string>();

  constructor(operation: Operation, holdings: Holdings, retrieval: Retrieval) {
    this.#operation = operation;
    this.#holdings = holdings;
    this.#retrieval = retrieval;
  }

  async run(selection: InstanceSelection): Promise<void> {
    let end: ResponseFields;
    try {
      end = await this.#transfer(selection);
    } catch (error) {
      this.#operation.adapter.log.warn({ error: error instanceof Error ? error.message : String(error), exchangeId: this.#holdings.exchangeId }, 'a retrieve was not done to its end');
      end = { status: Status.noSubOperations, errorComment: 'the retrieve failed; ask again' };
    }
    const heard = await this.#operation.respond({ ...end, subOperations: this.#counts(end.status === Status.cancelled) }, this.#failedList(end.status));
    await this.#holdings.finish({
      answerCode: statusCode(end.status), heard, count: this.#completed + this.#warning, failed: this.#failed.length, byteSize: this.#byteSize,
      ...(this.#reasons.size > 0 || end.errorComment ? { text: [...(end.errorComment ? [end.errorComment] : []), ...this.#reasons].slice(0, 5).join('; ') } : {}),
    });
  }

  async #transfer(selection: InstanceSelection): Promise<ResponseFields> {
    const instances: StoredInstance[] = [];
    for await (const instance of this.#holdings.instancesOf(selection)) {
      if (instances.push(instance) > mostInstances) return { status: Status.noSubOperations, errorComment: `more than ${mostInstances} instances; ask for them in parts` };
    }
    this.#remaining = instances.length;
    if (instances.length === 0) return { status: Status.success };
    const sender = await this.#retrieval.open(instances);
    if (typeof sender === 'string') {
      this.#failed.push(...instances.map(({ sopInstanceUid }) => sopInstanceUid));
      this.#remaining = 0;
      return { status: Status.noSubOperations, errorComment: sender };
    }
    try {
      return await this.#sendAll(instances, sender);
    } finally {
      for (const note of sender.notes) this.#reasons.add(note);
      await sender.close();
    }
  }

  async #sendAll(instances: readonly StoredInstance[], sender: InstanceSender): Promise<ResponseFields> {
    for (const instance of instances) {
      if (this.#operation.cancelled.aborted) return { status: Status.cancelled };
      this.#remaining--;
      this.#count(instance, sender.isOver ? 'the association ended before' : await this.#sendOne(instance, sender));
      if (this.#remaining > 0 && !await this.#operation.respond({ status: Status.pending, subOperations: this.#counts(true) })) return { status: Status.cancelled };
    }
    if (this.#failed.length === 0) return { status: Status.success };
    return { status: this.#completed + this.#warning === 0 ? Status.noSubOperations : Status.subOperationsFailed, errorComment: [...this.#reasons][0] ?? '' };
  }

  /** The file is opened before the command leaves, so that one that is missing fails alone. */
  async #sendOne(instance: StoredInstance, sender: InstanceSender): Promise<number | string> {
    let dataset: StoredDataset | undefined;
    try {
      dataset = await this.#holdings.openStored(instance);
      return await sender.send(instance, dataset).catch((error: unknown) => { sender.abort(); throw error; });
    } catch {
      this.#operation.adapter.log.error({ sopInstanceUid: instance.sopInstanceUid, exchangeId: this.#holdings.exchangeId }, 'a stored object could not be read');
      return 'a stored object could not be read';
    } finally {
      await dataset?.close();
    }
  }

  #count(instance: StoredInstance, result: number | string): void {
    if (typeof result === 'number' && storeOutcome(result) === 'stored') {
      if (result === Status.success) this.#completed++; else this.#warning++;
      this.#byteSize += instance.byteSize;
      return;
    }
    this.#failed.push(instance.sopInstanceUid);
    this.#reasons.add(typeof result === 'string' ? result : `${statusCode(result)} ${statusPhrase(result)}`);
  }

  #counts(withRemaining: boolean): NonNullable<ResponseFields['subOperations']> {
    return { ...(withRemaining ? { remaining: this.#remaining } : {}), completed: this.#completed, failed: this.#failed.length, warning: this.#warning };
  }

  /** Failed SOP Instance UID List (0008,0058). */
  #failedList(status: number): Buffer | undefined {
    if (this.#failed.length === 0 || status === Status.success) return undefined;
    return encodeDataset({ '(0008,0058)': this.#failed.slice(0, mostFailedTold) }, { explicitVr: this.#operation.context.transferSyntax !== implicitVrLittleEndian });
  }
}
