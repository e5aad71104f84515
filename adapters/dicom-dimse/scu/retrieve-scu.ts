/**
 * Has images sent (PS3.4 C.4.2, C.4.3). C-MOVE: to our own AE title, where they arrive as from any sender. C-GET: on this association, where we are
 * the SCP of the C-STORE sub-operations; each goes the ordinary way in, and is answered after the commit.
 *
 *     study, or image by image per series -> C-MOVE-RQ | C-GET-RQ ... FF00 with counts ... 0000 | B000 some failed | a failure
 */
import type { AdapterContext, Integration, Receive } from '#gateway/adapter.ts';
import type { FoundInstance, QueryOutcome, Retrieved, StudyReference } from '#gateway/queries.ts';
import type { DatasetElements } from '#standards/dicom/dataset-writer.ts';
import type { Config } from '../config.ts';
import { CStoreReceiver } from '../receive-c-store.ts';
import type { StoreAssociation } from '../receive-c-store.ts';
import type { CommandSet, SubOperations } from '../upper-layer/command-set.ts';
import { CommandField, encodeGetRequest, encodeMoveRequest } from '../upper-layer/command-set.ts';
import type { NegotiatedContext } from '../upper-layer/pdu.ts';
import type { Proposal, RequestedAssociation } from '../upper-layer/requestor.ts';
import { countInstances } from './find-scu.ts';
import { meaningOf } from './query-status.ts';
import { encodeKeys, identifierContext, queryModel } from './query.ts';
import { storageProposal } from './storage-proposal.ts';
import { failureOf, resultOf, withAssociation } from './with-association.ts';
import type { Asked } from './with-association.ts';

export type Selection = StudyReference & { readonly instances?: readonly FoundInstance[] };

/** UIDs in one identifier: 64 characters each stay far below what a data set of an identifier may be. */
const mostInstancesAtOnce = 500;

export async function retrieve(selection: Selection, integration: Integration<Config>, receive: Receive, context: AdapterContext): Promise<QueryOutcome<Retrieved>> {
  return integration.config.retrieve_by === 'C-GET' ? getImages(selection, integration, receive, context) : moveImages(selection, integration, context);
}

/** C-MOVE to the AE title that the source calls us by. */
export function moveImages(selection: Selection, { config }: Integration<Config>, context: AdapterContext): Promise<QueryOutcome<Retrieved>> {
  const abstractSyntax = queryModel(config.query_root, 'move');
  return withAssociation(config, 'C-MOVE', { contexts: [identifierContext(1, abstractSyntax)] }, context.signal, (association) =>
    askForAll(association, selection, config, context, abstractSyntax, { byReceive: false, encode: (sopClassUid) => (messageId) => encodeMoveRequest({ sopClassUid, messageId, destinationAeTitle: config.called_ae_title }) }));
}

async function getImages(selection: Selection, integration: Integration<Config>, receive: Receive, context: AdapterContext): Promise<QueryOutcome<Retrieved>> {
  const { config } = integration;
  const abstractSyntax = queryModel(config.query_root, 'get');
  const named = selection.instances ?? await instancesAtSource(selection, integration, context);
  let served: RequestedAssociation | undefined;
  const storage = storageProposal(named?.map(({ sopClassUid }) => sopClassUid), config, 3);
  const proposal: Proposal = {
    contexts: [identifierContext(1, abstractSyntax), ...storage.contexts], roles: storage.roles,
    serve: (command, agreed) => (command.commandField === CommandField.cStoreRq && served ? receiver(served, command, agreed, integration, receive, context) : undefined),
  };
  return withAssociation(config, 'C-GET', proposal, context.signal, (association) => {
    served = association;
    return askForAll(association, selection, config, context, abstractSyntax, { byReceive: true, encode: (sopClassUid) => (messageId) => encodeGetRequest({ sopClassUid, messageId }) });
  });
}

/** Which SOP classes are to be offered. A source that cannot tell its images is offered the usual ones. */
async function instancesAtSource(selection: Selection, integration: Integration<Config>, context: AdapterContext): Promise<readonly FoundInstance[] | undefined> {
  const outcome = await countInstances({ ...selection, byName: true }, integration, context);
  return outcome.kind === 'answered' ? outcome.value?.instances : undefined;
}

/** A sub-operation is received as a C-STORE of an association that was made to us: same file, same rows, same answer. */
function receiver(association: RequestedAssociation, command: CommandSet, agreed: NegotiatedContext, integration: Integration<Config>, receive: Receive, context: AdapterContext): CStoreReceiver {
  const { destination } = integration.config;
  const { host = '', port = 0, called_ae_title: source = '', calling_ae_title: own = '' } = destination ?? {};
  const made: StoreAssociation = {
    acceptor: { send: (bytes) => association.respond(bytes) }, request: { callingAeTitle: source, calledAeTitle: own, implementationVersionName: '' },
    integration, peer: { address: host, port, application: source },
  };
  return new CStoreReceiver(made, command, agreed, (message, refusal) => receive({ ...message, facts: { ...message.facts, retrieved: 'C-GET' } }, refusal), context);
}

interface Operation { readonly byReceive: boolean; encode(sopClassUid: string): (messageId: number) => Buffer }

async function askForAll(association: RequestedAssociation, selection: Selection, config: Config, context: AdapterContext, abstractSyntax: string, operation: Operation): Promise<Asked<Retrieved>> {
  const agreed = association.context(abstractSyntax);
  if (!agreed) return { result: failureOf({ kind: 'context refused', result: association.refusal(abstractSyntax) ?? 2 }) };
  let retrieved: Retrieved = { completed: 0, failed: 0, warning: 0, byReceive: operation.byReceive };
  let worst: number | undefined = 0;
  let sent: Buffer | undefined;
  for (const keys of identifiersOf(selection, config)) {
    const identifier = encodeKeys(keys, agreed);
    sent ??= identifier;
    let counted: SubOperations | undefined;
    const last = await association.invoker.askRepeatedly(agreed.id, operation.encode(abstractSyntax), identifier, {
      idleMilliseconds: config.retrieve_timeout_seconds * 1000, cancelled: context.signal, moved: () => association.bytesReceived,
      pending: (response) => { counted = response.subOperations ?? counted; },
    });
    if (last === undefined && !association.over.aborted) association.abort('no sign of life during a retrieve');
    retrieved = add(retrieved, last?.subOperations ?? counted);
    worst = last?.status === 0 ? worst : last?.status;
    if (last?.status === undefined || !['done', 'partly'].includes(meaningOf(last.status))) break;
  }
  return { result: resultOf(worst, retrieved, { silence: `no answer to the end; ${retrieved.completed} images until then` }), count: retrieved.completed + retrieved.warning, ...(sent ? { sent } : {}) };
}

const add = (sum: Retrieved, more: SubOperations | undefined): Retrieved =>
  (more ? { ...sum, completed: sum.completed + more.completed, failed: sum.failed + more.failed, warning: sum.warning + more.warning } : sum);

/** The whole study, or the named images, series by series (PS3.4 C.4.2.2.1: unique keys down to the level, a list at the last). */
function identifiersOf({ studyInstanceUid, patientId, instances }: Selection, config: Config): DatasetElements[] {
  const above = { ...(config.query_root === 'patient' ? { '(0010,0020)': patientId ?? '' } : {}), '(0020,000d)': studyInstanceUid };
  if (!instances) return [{ '(0008,0052)': 'STUDY', ...above }];
  return [...Map.groupBy(instances, ({ seriesInstanceUid }) => seriesInstanceUid)].flatMap(([series, images]) =>
    Array.from({ length: Math.ceil(images.length / mostInstancesAtOnce) }, (_, part) => ({
      '(0008,0052)': 'IMAGE', ...above, '(0020,000e)': series,
      '(0008,0018)': images.slice(part * mostInstancesAtOnce, (part + 1) * mostInstancesAtOnce).map(({ sopInstanceUid }) => sopInstanceUid),
    })));
}
