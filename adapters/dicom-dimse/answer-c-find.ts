/**
 * C-FIND as SCP: Patient Root, Study Root (PS3.4 C.4.1) and Modality Worklist (K.4.1).
 *
 *     C-FIND-RQ, identifier -> on record -> rows, page by page -> C-FIND-RSP FF00 with each match ... 0000 | FE00 cancelled | A700 too many
 *
 * Hierarchical: the unique keys above the asked level are needed, because a query over every instance that is held is one that nobody means.
 */
import type { Holdings, HoldingsQuery } from '#gateway/holdings.ts';
import type { DatasetElements } from '#standards/dicom/dataset-writer.ts';
import { formatTag } from '#standards/dicom/tag.ts';
import type { Level } from './attributes.ts';
import { hasUnmatchedKeys, instanceAttributes, InvalidIdentifier, levels, matchesOf, patientAttributes, seriesAttributes, studyAttributes, uniqueKeys, worklistAttributes, worklistMatches } from './attributes.ts';
import { answerOf, readIdentifier } from './identifier.ts';
import type { Identifier } from './identifier.ts';
import type { Operation } from './operation.ts';
import { holdingsRequest } from './operation.ts';
import type { Root } from './services.ts';
import { Status, statusCode } from './status.ts';
import type { ResponseFields } from './upper-layer/command-set.ts';

interface Question {
  readonly identifier: Identifier;
  readonly interaction: string;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly pending: number;
  readonly always: DatasetElements;
  find(holdings: Holdings, limit: number): AsyncIterable<DatasetElements>;
}

export const answerCFind = (operation: Operation, root: Root, bytes: Buffer): Promise<void> => answer(operation, bytes, (identifier) => questionOf(operation, root, identifier));
export const answerWorklist = (operation: Operation, bytes: Buffer): Promise<void> => answer(operation, bytes, (identifier) => worklistQuestion(operation, identifier));

async function answer(operation: Operation, bytes: Buffer, ask: (identifier: Identifier) => Question): Promise<void> {
  let question: Question, holdings: Holdings;
  try {
    const identifier = readIdentifier(bytes, operation.context.transferSyntax);
    if (!identifier) throw new InvalidIdentifier('the identifier is not a data set of the transfer syntax that was agreed on');
    question = ask(identifier);
    if (!operation.adapter.holdings) throw new Error('queries are not served here');
    holdings = await operation.adapter.holdings(holdingsRequest(operation, 'query', question.interaction, bytes, question.facts));
  } catch (error) {
    await operation.respond(refusal(error, operation));
    return;
  }
  let told = 0;
  let end: ResponseFields = { status: Status.success };
  try {
    const { most_matches: limit, character_set: characterSet } = operation.association.integration.config;
    const form = { transferSyntaxUid: operation.context.transferSyntax, characterSet };
    for await (const attributes of question.find(holdings, limit + 1)) {
      if (operation.cancelled.aborted) { end = { status: Status.cancelled }; break; }
      if (told === limit) { end = { status: Status.outOfResources, errorComment: `more than ${limit} matches; narrow the query` }; break; }
      if (!await operation.respond({ status: question.pending }, answerOf(question.identifier, attributes, question.always, form))) break;
      told++;
    }
  } catch (error) {
    operation.adapter.log.warn({ error: error instanceof Error ? error.message : String(error), exchangeId: holdings.exchangeId }, 'a query was not answered to its end');
    end = { status: Status.cannotUnderstand, errorComment: 'the query took too long or failed; narrow it or ask again' };
  }
  if (operation.cancelled.aborted) end = { status: Status.cancelled };
  const heard = await operation.respond(end);
  await holdings.finish({ answerCode: statusCode(end.status), heard, count: told, ...(end.errorComment ? { text: end.errorComment } : {}) });
}

/** What is wrong with the question, or with us. */
export function refusal(error: unknown, { adapter }: Operation): ResponseFields {
  if (error instanceof InvalidIdentifier) return { status: Status.dataSetDoesNotMatchSopClass, errorComment: error.message, ...(error.tag === undefined ? {} : { offendingElement: formatTag(error.tag) }) };
  adapter.log.error({ error: error instanceof Error ? error.message : String(error) }, 'a request could not be put on record, so it is not answered');
  return { status: Status.outOfResources, errorComment: 'not answered now, please ask again' };
}

/** Level (0008,0052), checked against the root; with the unique keys above it. */
export function levelOf(identifier: Identifier, root: Root): Level {
  const text = identifier.text(0x00080052).trim().toUpperCase();
  const level = levels.find((one) => one === text);
  if (!level || (root === 'study' && level === 'PATIENT')) throw new InvalidIdentifier(`Query/Retrieve Level is not one of ${root === 'study' ? 'STUDY, SERIES, IMAGE' : levels.join(', ')}`, 0x00080052);
  return level;
}

function questionOf({ association }: Operation, root: Root, identifier: Identifier): Question {
  const level = levelOf(identifier, root);
  for (const above of levels.slice(root === 'study' ? 1 : 0, levels.indexOf(level))) {
    if (identifier.values(uniqueKeys[above]).length === 0) throw new InvalidIdentifier(`${formatTag(uniqueKeys[above])} is needed in a query at level ${level}`, uniqueKeys[above]);
  }
  const match = matchesOf(identifier, level);
  return {
    identifier, interaction: `C-FIND ${level}`, facts: { root, level, keys: Object.keys(match).filter((key) => match[key]) }, pending: hasUnmatchedKeys(identifier, level) ? Status.pendingWithoutKeys : Status.pending,
    always: { '(0008,0052)': level, '(0008,0054)': association.request.calledAeTitle, ...(identifier.dataset.has(0x00080056) ? { '(0008,0056)': 'ONLINE' } : {}) },
    find: (holdings, limit) => find(holdings, level, { match, limit }),
  };
}

function find(holdings: Holdings, level: Level, query: HoldingsQuery<string>): AsyncIterable<DatasetElements> {
  switch (level) {
    case 'PATIENT': return each(holdings.findPatients(query), patientAttributes);
    case 'STUDY': return each(holdings.findStudies(query), studyAttributes);
    case 'SERIES': return each(holdings.findSeries(query), seriesAttributes);
    case 'IMAGE': return each(holdings.findInstances(query), instanceAttributes);
  }
}
async function* each<Row>(rows: AsyncIterable<Row>, attributes: (row: Row) => DatasetElements): AsyncGenerator<DatasetElements> {
  for await (const row of rows) yield attributes(row);
}

function worklistQuestion({ association }: Operation, identifier: Identifier): Question {
  const [step] = identifier.items(0x00400100);
  const match = worklistMatches(identifier, step);
  const asked = step?.text(0x00400001).trim() ?? '';
  const station = asked === '' || /[*?]/.test(asked) ? association.request.callingAeTitle : asked;
  const isScheduled = ['', '*', 'SCHEDULED'].includes(step?.text(0x00400020).trim() ?? '');
  return {
    identifier, interaction: 'C-FIND worklist', facts: { keys: Object.keys(match).filter((key) => match[key]) }, pending: Status.pending, always: {},
    find: (holdings, limit) => each(isScheduled ? holdings.findScheduled({ match, limit }) : none(), (row) => worklistAttributes(row, station)),
  };
}
async function* none(): AsyncGenerator<never> { /* only scheduled steps are on the worklist */ }
