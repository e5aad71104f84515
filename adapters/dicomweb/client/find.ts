/**
 * Which studies a patient has at the server, and how many images a study has there, by QIDO-RS. Series by series: every server can list the series of a
 * study and the instances of a series, and not every one those of a study.
 */
import { isUsableUid } from '#domain/usable-uid.ts';
import type { AdapterContext, Integration } from '#gateway/adapter.ts';
import type { FoundInstance, FoundStudy, QueryOutcome, StudyContents, StudyQuestion, StudyReference } from '#gateway/queries.ts';
import type { Config } from '../config.ts';
import type { DicomwebClient } from '../web-client.ts';
import type { Match } from './answers.ts';
import { asked, resultOf, type Asked } from './ask.ts';
import { pathOf, search, uidPath, type Found, type Question } from './search.ts';

const tags = {
  sopClassUid: '00080016', sopInstanceUid: '00080018', studyDate: '00080020', studyTime: '00080030', modality: '00080060', modalitiesInStudy: '00080061', patientId: '00100020', issuerOfPatientId: '00100021', patientBirthDate: '00100030',
  bodyPartExamined: '00180015', studyInstanceUid: '0020000D', seriesInstanceUid: '0020000E', studyInstances: '00201208', seriesInstances: '00201209',
};
export const interactions = { findStudies: 'QIDO-RS studies', countInstances: 'QIDO-RS studies', listInstances: 'QIDO-RS instances' };

const studyQuestion = (keys: Readonly<Record<string, string>>, told: readonly string[]): Question => ({ path: '/studies', keys, told, nameTag: tags.studyInstanceUid, mostMatches: 1_000 });
const seriesQuestion = (study: string): Question => ({ path: `${uidPath(study)}/series`, told: [tags.modality, tags.bodyPartExamined, tags.seriesInstances], nameTag: tags.seriesInstanceUid, mostMatches: 1_000 });
const instanceQuestion = (study: string, series: string): Question => ({ path: `${uidPath(study, series)}/instances`, told: [tags.sopClassUid], nameTag: tags.sopInstanceUid, mostMatches: 100_000 });

export function findStudies({ patientId, from, to, describeSeries }: StudyQuestion, integration: Integration<Config>, context: AdapterContext): Promise<QueryOutcome<readonly FoundStudy[]>> {
  const range = from === undefined && to === undefined ? {} : { [tags.studyDate]: `${from ?? ''}-${to ?? ''}` };
  const question = studyQuestion({ [tags.patientId]: patientId, ...range }, [tags.modalitiesInStudy, tags.issuerOfPatientId, tags.patientBirthDate, tags.studyInstances]);
  return asked(integration, interactions.findStudies, pathOf(question), async (client) => {
    const found = await search(client, question, context);
    if ('failure' in found) return { result: resultOf(found.failure) };
    // * and ? in a number are wildcards to the server.
    const studies = found.matches.map(studyOf).filter((study) => study.patientId === patientId).toSorted((one, other) => `${other.studyDate}${other.studyTime}`.localeCompare(`${one.studyDate}${one.studyTime}`));
    const described = [];
    for (const [index, study] of studies.entries()) described.push(index < describeSeries ? await describe(client, study, context) : study);
    return { result: { kind: 'answered', answerCode: '200', value: described, ...(found.isCut ? { text: 'the server has more studies of the patient than are looked at' } : {}) }, count: studies.length };
  });
}

function studyOf(match: Match): FoundStudy {
  return {
    studyInstanceUid: match.text(tags.studyInstanceUid), patientId: match.text(tags.patientId), issuerOfPatientId: match.text(tags.issuerOfPatientId), patientBirthDate: match.text(tags.patientBirthDate),
    studyDate: match.text(tags.studyDate), studyTime: match.text(tags.studyTime), modalities: match.texts(tags.modalitiesInStudy), bodyParts: [], numberOfInstances: match.wholeNumber(tags.studyInstances),
  };
}

/** What the series tell, where the study does not. A server that does not answer leaves it as it was. */
async function describe(client: DicomwebClient, study: FoundStudy, context: AdapterContext): Promise<FoundStudy> {
  const found = await search(client, seriesQuestion(study.studyInstanceUid), context);
  if ('failure' in found) return study;
  const told = (tag: string): string[] => [...new Set(found.matches.flatMap((match) => match.texts(tag)))];
  return { ...study, bodyParts: told(tags.bodyPartExamined), modalities: study.modalities.length > 0 ? study.modalities : told(tags.modality), numberOfInstances: study.numberOfInstances ?? sumOf(found.matches.map((match) => match.wholeNumber(tags.seriesInstances))) };
}

const sumOf = (numbers: readonly (number | undefined)[]): number | undefined =>
  (numbers.length === 0 || numbers.includes(undefined) ? undefined : numbers.reduce<number>((sum, one) => sum + (one ?? 0), 0));

/** What these settings would refuse is not waited for, and not fetched. */
const takesSome = ({ modalities, sop_classes: sopClasses }: Config): boolean => modalities.length + sopClasses.length > 0;
const isTaken = ({ modalities, sop_classes: sopClasses }: Config, modality: string, sopClassUid: string): boolean =>
  (modalities.length === 0 || modality === '' || modalities.includes(modality)) && (sopClasses.length === 0 || sopClassUid === '' || sopClasses.includes(sopClassUid));

export function countInstances({ studyInstanceUid, byName }: StudyReference & { readonly byName: boolean }, integration: Integration<Config>, context: AdapterContext): Promise<QueryOutcome<StudyContents | undefined>> {
  const { config } = integration;
  const question = { ...studyQuestion({ [tags.studyInstanceUid]: studyInstanceUid }, [tags.studyInstances]), name: studyInstanceUid };
  return asked(integration, byName ? interactions.listInstances : interactions.countInstances, pathOf(byName ? seriesQuestion(studyInstanceUid) : question), async (client) => {
    if (!isUsableUid(studyInstanceUid)) return { result: { kind: 'refused', answerCode: 'uid', text: 'the Study Instance UID is not a UID: it cannot stand in an address' } };
    const found = await search(client, question, context);
    if ('failure' in found) return { result: resultOf(found.failure) };
    const [study] = found.matches;
    if (!study) return { result: { kind: 'answered', answerCode: '200', value: undefined }, count: 0 };
    const told = study.wholeNumber(tags.studyInstances);
    // Number of Study Related Instances is told by most and owed by none: counted by name where it is not.
    return byName || told === undefined || takesSome(config) ? listInstances(client, studyInstanceUid, told ?? 0, config, context) : { result: { kind: 'answered', answerCode: '200', value: { numberOfInstances: told } }, count: 1 };
  });
}

async function listInstances(client: DicomwebClient, study: string, toldOfStudy: number, config: Config, context: AdapterContext): Promise<Asked<StudyContents | undefined>> {
  const series = await search(client, seriesQuestion(study), context);
  if ('failure' in series || series.isCut) return { result: incomplete(series) };
  const instances = new Map<string, FoundInstance>(), listed = new Set<string>();
  for (const one of series.matches) {
    const seriesInstanceUid = one.text(tags.seriesInstanceUid);
    const found = await search(client, instanceQuestion(study, seriesInstanceUid), context);
    if ('failure' in found || found.isCut) return { result: incomplete(found) };
    const told = one.wholeNumber(tags.seriesInstances) ?? 0;
    // A list that is shorter than the server itself says would prove a study complete that is not.
    if (found.matches.length < told) return { result: { kind: 'unconfirmed', text: `the server lists ${found.matches.length} of the ${told} images that it says a series has` } };
    for (const match of found.matches) {
      const instance = { seriesInstanceUid, sopInstanceUid: match.text(tags.sopInstanceUid), sopClassUid: match.text(tags.sopClassUid) };
      listed.add(instance.sopInstanceUid);
      if (isTaken(config, one.text(tags.modality), instance.sopClassUid)) instances.set(instance.sopInstanceUid, instance);
    }
  }
  // As little would one without some of the series.
  if (listed.size < toldOfStudy) return { result: { kind: 'unconfirmed', text: `the server lists ${listed.size} of the ${toldOfStudy} images that it says the study has` } };
  const value = series.matches.length === 0 ? undefined : { numberOfInstances: instances.size, instances: [...instances.values()] };
  return { result: { kind: 'answered', answerCode: '200', value }, count: instances.size };
}

const incomplete = (found: Found): ReturnType<typeof resultOf> => ('failure' in found ? resultOf(found.failure) : { kind: 'unconfirmed', text: 'the study has more images than can be listed' });
