/**
 * Does the source have more images than are here? In: a check-source job, once a scan was quiet, where the settings of the integration that its images
 * came from say so. Out: completion with proof 'instance_count', or a wait with the number in words, or the missing images fetched.
 *
 *   quiet -> C-FIND at the source -> all here          complete
 *                                 -> some missing      fetch them | wait; look again
 *                                 -> no answer         look again
 *                                 -> too long          complete without proof and an alert | a person decides
 *
 * Who said how many, and when, stays in source_counts and with the scan (expected_instances).
 */
import { raiseAlert, resolveAlert } from '../db/alerts.ts';
import { bossDb } from '../db/pool.ts';
import { lockScan, type LockedScan } from '../db/scan-completion.ts';
import { moveInQueue } from '../db/scan-queue.ts';
import { instancesHere, openCount, ownObjects, saveCount, scanToAskAbout, sourcesOfScan, wantStudy, type AskedScan, type CountRow } from '../db/source-questions.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import { QUEUES, type CheckSourceJob, type RetrieveStudyJob } from '../queue/queues.ts';
import type { QueryOutcome, StudyContents, Wanted } from '#gateway/queries.ts';
import { complete, type CompleteDependencies } from './complete.ts';
import { askOnRecord, textOf, type Source, type Sources } from './sources.ts';

export type CheckSourceDependencies = CompleteDependencies & { readonly sources: Sources };
type Rule = NonNullable<Wanted['completeness']>;

/** The source that a quiet scan is to be asked about, if any wants that. */
async function sourceToAsk(sources: Sources | undefined, tx: Transaction, organizationId: string, scanId: string): Promise<{ source: Source; rule: Rule; isOnly: boolean } | undefined> {
  const able = sources?.of(organizationId).filter(({ wanted }) => wanted.completeness) ?? [];
  if (able.length === 0) return undefined;
  const from = await sourcesOfScan(tx, scanId);
  const source = able.find(({ integration }) => from.includes(integration.integrationId));
  return source?.wanted.completeness && { source, rule: source.wanted.completeness, isOnly: from.length === 1 };
}

/** True: the source has the word before the scan may be complete. Called when it is quiet, within its transaction. */
export async function isLeftToSource(dependencies: CompleteDependencies, tx: Transaction, organizationId: string, scan: LockedScan): Promise<boolean> {
  const asked = await sourceToAsk(dependencies.sources, tx, organizationId, scan.scan_id);
  if (!asked) return false;
  const now = dependencies.now();
  const count = await openCount(tx, scan.scan_id, asked.source.integration.integrationId, now);
  if (count.status !== 'given_up' && count.next_at <= now) await look(dependencies, tx, { organizationId, scanId: scan.scan_id }, now);
  return true;
}

async function look(dependencies: CompleteDependencies, tx: Transaction, job: CheckSourceJob, at: Date): Promise<void> {
  await dependencies.boss.send(QUEUES.checkSource.name, job, { singletonKey: job.scanId, startAfter: at, db: bossDb(tx) as never });
}

/** Handles one check-source job. */
export async function checkSource(dependencies: CheckSourceDependencies, job: CheckSourceJob): Promise<'completed' | 'waiting' | 'given up' | 'nothing to do'> {
  const { organizationId, scanId } = job;
  const begun = await inOrganization(dependencies.database, organizationId, async (tx) => {
    const asked = await sourceToAsk(dependencies.sources, tx, organizationId, scanId);
    const scan = asked && await scanToAskAbout(tx, scanId, asked.source.wanted.assigningAuthority);
    if (!scan?.study_instance_uid || scan.images_complete_at) return undefined;
    return { ...asked!, scan, own: await ownObjects(tx, scanId), count: await openCount(tx, scanId, asked!.source.integration.integrationId, dependencies.now()) };
  });
  if (!begun || begun.count.status === 'given_up' || begun.count.next_at > dependencies.now()) return 'nothing to do';
  const { source, scan } = begun;
  const study = { studyInstanceUid: scan.study_instance_uid!, ...(scan.patient_number ? { patientId: scan.patient_number } : {}) };
  const { outcome, syncId, askedAt } = await askOnRecord(dependencies, source, { controlId: `count ${scanId}`, interaction: source.queries.interactions.countInstances, attempt: begun.count.attempts + 1, scanId, patientId: scan.patient_id },
    // A number is proof only where all that is here came from there, and nothing that is there came from us.
    () => source.queries.countInstances({ ...study, byName: !begun.isOnly || begun.own.size > 0 }, source.integration, source.context));
  return inOrganization(dependencies.database, organizationId, (tx) => judge(dependencies, tx, job, { ...begun, outcome, syncId, askedAt }));
}

interface Look { readonly source: Source; readonly rule: Rule; readonly scan: AskedScan; readonly own: ReadonlySet<string>; readonly count: CountRow; readonly outcome: QueryOutcome<StudyContents | undefined>; readonly syncId: string; readonly askedAt: Date }

async function judge(dependencies: CheckSourceDependencies, tx: Transaction, job: CheckSourceJob, look: Look): Promise<'completed' | 'waiting' | 'given up' | 'nothing to do'> {
  const { source, outcome, askedAt, syncId, rule } = look;
  const scan = await lockScan(tx, job.scanId);
  if (!scan || scan.images_complete_at) return 'nothing to do';
  const here = await instancesHere(tx, look.scan.study_instance_uid!);
  const contents = outcome.kind === 'answered' ? outcome.value : undefined;
  const foreign = contents?.instances?.filter(({ sopInstanceUid }) => !look.own.has(sopInstanceUid));
  const told = foreign?.length ?? contents?.numberOfInstances;
  // A source that counts none of what came from it has not counted yet.
  const there = told === 0 && here.size > 0 ? undefined : told;
  const missing = foreign ? foreign.filter(({ sopInstanceUid }) => !here.has(sopInstanceUid)).length : there === undefined ? undefined : Math.max(0, there - here.size);
  const record = { there, here: here.size, askedAt, syncId };
  const name = source.integration.name;
  // More came meanwhile: the quiet time begins again and asks again.
  if (missing === 0) {
    await saveCount(tx, job.scanId, { ...record, status: 'proven', text: `${name} has ${there} images; all are here`, nextAt: askedAt });
    await resolveAlert(tx, 'images_missing', `scan ${job.scanId}`);
    await complete(dependencies, tx, job.organizationId, scan, 'instance_count', { kind: 'system', id: 'check-source' });
    return 'completed';
  }
  const text = outcome.kind !== 'answered' ? `${name} does not say how many images there are: ${textOf(outcome)}`
    : there === undefined ? `${name} does not know this study yet` : `${missing} of ${there} images that ${name} has are not here`;
  const status = outcome.kind !== 'answered' ? 'no_answer' as const : there === undefined ? 'unknown_study' as const : 'missing' as const;
  const now = dependencies.now();
  const untilGivenUp = look.count.first_asked_at.getTime() + rule.giveUpMinutes * 60_000 - now.getTime();
  if (untilGivenUp <= 0) return giveUp(dependencies, tx, job, scan, { ...look, text, record });
  // A source that asks for more time gets it, up to the time when the settings decide without it.
  const askedFor = outcome.kind === 'unreachable' ? outcome.retryAfterMilliseconds ?? 0 : 0;
  const nextAt = new Date(now.getTime() + Math.max(rule.lookAgainSeconds * 1000, Math.min(askedFor, untilGivenUp)));
  await saveCount(tx, job.scanId, { ...record, status, text, nextAt });
  const isFetched = status === 'missing' && rule.whenMissing === 'fetch';
  if (isFetched) await fetchMissing(dependencies, tx, job, source, look.scan, there!);
  await moveInQueue(tx, job.scanId, { status: 'pending', whyWaiting: `${text}; ${isFetched ? 'they are fetched' : 'asked again'}.` }, now);
  await lookAgain(dependencies, tx, job, nextAt);
  return 'waiting';
}

const lookAgain = look;

async function fetchMissing(dependencies: CheckSourceDependencies, tx: Transaction, job: CheckSourceJob, source: Source, scan: AskedScan, expected: number): Promise<void> {
  const retrievalId = await wantStudy(tx, { integrationId: source.integration.integrationId, studyInstanceUid: scan.study_instance_uid!, purpose: 'missing', forScanId: job.scanId, analyze: true, expected });
  if (retrievalId) await dependencies.boss.send(QUEUES.retrieveStudy.name, { organizationId: job.organizationId, retrievalId } satisfies RetrieveStudyJob, { singletonKey: retrievalId, db: bossDb(tx) as never });
}

async function giveUp(dependencies: CheckSourceDependencies, tx: Transaction, job: CheckSourceJob, scan: LockedScan, { rule, askedAt, text, record }: Look & { text: string; record: { there: number | undefined; here: number; askedAt: Date; syncId: string } }): Promise<'completed' | 'given up'> {
  await saveCount(tx, job.scanId, { ...record, status: 'given_up', text, nextAt: askedAt });
  const end = rule.withoutProof === 'complete' ? 'It was analysed with what is here.' : 'It waits for a person: complete it by force, or have the images sent.';
  await raiseAlert(tx, { kind: 'images_missing', severity: 'warning', subject: `scan ${job.scanId}`, message: `After ${rule.giveUpMinutes} minutes the images of this scan are not proven to be complete: ${text}. ${end}` });
  if (rule.withoutProof === 'complete') {
    await complete(dependencies, tx, job.organizationId, scan, 'quiet_time', { kind: 'system', id: 'check-source' });
    return 'completed';
  }
  await moveInQueue(tx, job.scanId, { status: 'paused', whyWaiting: `${text}; a person decides.` }, dependencies.now());
  return 'given up';
}
