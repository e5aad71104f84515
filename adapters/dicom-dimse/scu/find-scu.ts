/**
 * Which studies a patient has at the source, and how many images a study has there (Study or Patient Root FIND, PS3.4 C.6). Hierarchical queries
 * only: the unique keys above the asked level are given, as every archive understands them.
 */
import { isUsableUid } from '#domain/usable-uid.ts';
import type { AdapterContext, Integration } from '#gateway/adapter.ts';
import type { FoundInstance, FoundStudy, QueryOutcome, StudyContents, StudyQuestion, StudyReference } from '#gateway/queries.ts';
import type { DatasetElements } from '#standards/dicom/dataset-writer.ts';
import type { Config } from '../config.ts';
import type { Identifier } from '../identifier.ts';
import type { NegotiatedContext } from '../upper-layer/pdu.ts';
import type { RequestedAssociation } from '../upper-layer/requestor.ts';
import { find, identifierContext, queryModel } from './query.ts';
import type { FindOptions, Found } from './query.ts';
import { failureOf, resultOf, withAssociation } from './with-association.ts';
import type { Asked } from './with-association.ts';

const mostStudies = 1_000, mostSeries = 1_000, mostInstances = 100_000;
const wholeNumber = (text: string): number | undefined => (/^\d{1,9}$/.test(text.trim()) ? Number(text) : undefined);

/** Asks on one association, as often as an answer leads to the next question. */
class Inquiry {
  readonly #association: RequestedAssociation;
  readonly #context: NegotiatedContext;
  readonly #config: Config;
  readonly #signal: AbortSignal;
  /** Of the first question: what goes on record. */
  sent: Buffer | undefined;

  constructor(association: RequestedAssociation, context: NegotiatedContext, config: Config, signal: AbortSignal) {
    this.#association = association;
    this.#context = context;
    this.#config = config;
    this.#signal = signal;
  }

  async ask(keys: DatasetElements, mostMatches: number): Promise<Found> {
    const options: FindOptions = { idleMilliseconds: this.#config.query_timeout_seconds * 1000, mostMatches, signal: this.#signal };
    const found = await find(this.#association, this.#context, keys, options);
    this.sent ??= found.sent;
    return found;
  }

  /** Unique keys of the levels above. */
  above({ studyInstanceUid, patientId }: StudyReference): DatasetElements {
    return { ...(this.#config.query_root === 'patient' ? { '(0010,0020)': patientId ?? '' } : {}), '(0020,000d)': studyInstanceUid };
  }

  seriesOf(study: StudyReference): Promise<Found> {
    return this.ask({ '(0008,0052)': 'SERIES', ...this.above(study), '(0020,000e)': null, '(0008,0060)': null, '(0018,0015)': null, '(0020,1209)': null }, mostSeries);
  }

  instancesOf(study: StudyReference, seriesInstanceUid: string): Promise<Found> {
    return this.ask({ '(0008,0052)': 'IMAGE', ...this.above(study), '(0020,000e)': seriesInstanceUid, '(0008,0018)': null, '(0008,0016)': null }, mostInstances);
  }
}

function inquire<T>(integration: Integration<Config>, context: AdapterContext, interaction: string, work: (inquiry: Inquiry) => Promise<Asked<T>>): Promise<QueryOutcome<T>> {
  const { config } = integration;
  const abstractSyntax = queryModel(config.query_root, 'find');
  return withAssociation(config, interaction, { contexts: [identifierContext(1, abstractSyntax)] }, context.signal, async (association) => {
    const agreed = association.context(abstractSyntax);
    if (!agreed) return { result: failureOf({ kind: 'context refused', result: association.refusal(abstractSyntax) ?? 2 }) };
    const inquiry = new Inquiry(association, agreed, config, context.signal);
    return { ...await work(inquiry), ...(inquiry.sent ? { sent: inquiry.sent } : {}) };
  });
}

export function findStudies(question: StudyQuestion, integration: Integration<Config>, context: AdapterContext): Promise<QueryOutcome<readonly FoundStudy[]>> {
  return inquire(integration, context, 'C-FIND STUDY', async (inquiry) => {
    if (question.patientId.includes('\\')) return { result: { kind: 'refused', answerCode: '', text: 'a patient ID with a backslash cannot be asked for' } };
    const { from = '', to = '' } = question;
    const found = await inquiry.ask({
      '(0008,0052)': 'STUDY', '(0010,0020)': question.patientId, '(0010,0021)': null, '(0010,0030)': null, '(0020,000d)': null, '(0008,0020)': from || to ? `${from}-${to}` : null, '(0008,0030)': null,
      '(0008,0061)': null, '(0020,1208)': null,
    }, mostStudies);
    const studies = found.matches.map(({ identifier }) => studyOf(identifier)).filter((study) => isUsableUid(study.studyInstanceUid) && study.patientId === question.patientId)
      .toSorted((one, other) => `${other.studyDate}${other.studyTime}`.localeCompare(`${one.studyDate}${one.studyTime}`));
    const described = [];
    for (const [index, study] of studies.entries()) described.push(index < question.describeSeries ? await describe(inquiry, study) : study);
    return { result: resultOf(found.status, described, { isCut: found.isCut }), count: studies.length };
  });
}

function studyOf(identifier: Identifier): FoundStudy {
  return {
    studyInstanceUid: identifier.text(0x0020000d).trim(), patientId: identifier.text(0x00100020).trim(), issuerOfPatientId: identifier.text(0x00100021).trim(), patientBirthDate: identifier.text(0x00100030).trim(),
    studyDate: identifier.text(0x00080020).trim(), studyTime: identifier.text(0x00080030).trim(), modalities: identifier.values(0x00080061).map((modality) => modality.trim()), bodyParts: [],
    numberOfInstances: wholeNumber(identifier.text(0x00201208)),
  };
}

/** What the series tell, where the study does not. A source that does not answer leaves it as it was. */
async function describe(inquiry: Inquiry, study: FoundStudy): Promise<FoundStudy> {
  const { matches, status } = await inquiry.seriesOf(study);
  if (status !== 0) return study;
  const told = (tag: number): string[] => [...new Set(matches.map(({ identifier }) => identifier.text(tag).trim()).filter((value) => value !== ''))];
  return { ...study, bodyParts: told(0x00180015), modalities: study.modalities.length > 0 ? study.modalities : told(0x00080060), numberOfInstances: study.numberOfInstances ?? sumOf(matches.map(({ identifier }) => wholeNumber(identifier.text(0x00201209)))) };
}

const sumOf = (numbers: readonly (number | undefined)[]): number | undefined =>
  (numbers.length === 0 || numbers.includes(undefined) ? undefined : numbers.reduce<number>((sum, one) => sum + (one ?? 0), 0));

/** What these settings would refuse is not waited for, and not fetched. */
const takesSome = ({ modalities, sop_classes: sopClasses }: Config): boolean => modalities.length + sopClasses.length > 0;
const isTaken = ({ modalities, sop_classes: sopClasses }: Config, modality: string, sopClassUid: string): boolean =>
  (modalities.length === 0 || modality === '' || modalities.includes(modality)) && (sopClasses.length === 0 || sopClassUid === '' || sopClasses.includes(sopClassUid));

export function countInstances(study: StudyReference & { readonly byName: boolean }, integration: Integration<Config>, context: AdapterContext): Promise<QueryOutcome<StudyContents | undefined>> {
  return inquire(integration, context, study.byName ? 'C-FIND IMAGE' : 'C-FIND STUDY', async (inquiry) => {
    if (study.byName) return listInstances(inquiry, study, integration.config);
    const { matches, status, isCut } = await inquiry.ask({ '(0008,0052)': 'STUDY', ...inquiry.above(study), '(0020,1208)': null }, 10);
    if (status !== 0) return { result: resultOf(status, undefined, { isCut }) };
    const match = matches.find(({ identifier }) => identifier.text(0x0020000d).trim() === study.studyInstanceUid);
    if (!match) return { result: resultOf(status, undefined), count: 0 };
    const told = wholeNumber(match.identifier.text(0x00201208));
    if (told !== undefined && !takesSome(integration.config)) return { result: resultOf(status, { numberOfInstances: told }), count: 1 };
    // Number of Study Related Instances is optional (PS3.4 C.6.2.1.2): counted by name where it is not told.
    return listInstances(inquiry, study, integration.config);
  });
}

async function listInstances(inquiry: Inquiry, study: StudyReference, config: Config): Promise<Asked<StudyContents | undefined>> {
  const series = await inquiry.seriesOf(study);
  if (series.status !== 0) return { result: resultOf(series.status, undefined, series) };
  const instances: FoundInstance[] = [];
  for (const { identifier } of series.matches) {
    const seriesInstanceUid = identifier.text(0x0020000e).trim();
    const images = await inquiry.instancesOf(study, seriesInstanceUid);
    if (images.status !== 0) return { result: resultOf(images.status, undefined, images) };
    instances.push(...images.matches.map((image) => ({ seriesInstanceUid, sopInstanceUid: image.identifier.text(0x00080018).trim(), sopClassUid: image.identifier.text(0x00080016).trim() }))
      .filter(({ sopInstanceUid, sopClassUid }) => isUsableUid(sopInstanceUid) && isTaken(config, identifier.text(0x00080060).trim(), sopClassUid)));
  }
  const named = [...new Map(instances.map((instance) => [instance.sopInstanceUid, instance])).values()];
  return { result: resultOf(0, series.matches.length === 0 ? undefined : { numberOfInstances: named.length, instances: named }), count: named.length };
}
