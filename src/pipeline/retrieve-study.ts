/**
 * Has a source send a study, or the images of it that are missing. In: a retrieve-study job. Out: images, received as from any sender; the row says how
 * many are here. Done only when all that the source has are here: what its answer counts is not proof. Sending again is harmless, for a repeat changes nothing.
 * A scan that waited for missing images is looked at again at once (completeness-at-source.ts).
 */
import { raiseAlert } from '../db/alerts.ts';
import { bossDb } from '../db/pool.ts';
import { askNow, instancesHere, ownObjects, saveRetrieval, scanToAskAbout, takeRetrieval, type RetrievalRow } from '../db/source-questions.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import { QUEUES, type CheckSourceJob, type RetrieveStudyJob } from '../queue/queues.ts';
import type { FoundInstance, QueryOutcome, Retrieved } from '#gateway/queries.ts';
import type { PriorsDependencies } from './priors.ts';
import { askOnRecord, pauseMilliseconds, textOf, type Source } from './sources.ts';

const MOST_ATTEMPTS = 8;
/** Longer than a large study takes. A worker that dies in the middle keeps others off for so long. */
const LEASE_MILLISECONDS = 1_800_000;

/** Handles one retrieve-study job. */
export async function retrieveStudy(dependencies: PriorsDependencies, job: RetrieveStudyJob): Promise<'retrieved' | 'again' | 'failed' | 'nothing to do'> {
  const { organizationId, retrievalId } = job;
  const begun = await inOrganization(dependencies.database, organizationId, async (tx) => {
    const now = dependencies.now();
    const row = await takeRetrieval(tx, retrievalId, now, new Date(now.getTime() + LEASE_MILLISECONDS));
    if (!row) return undefined;
    const source = dependencies.sources.find(organizationId, row.integration_id);
    const scan = await scanToAskAbout(tx, row.for_scan_id, source?.wanted.assigningAuthority ?? '');
    if (!source || !scan) await saveRetrieval(tx, retrievalId, { status: 'failed', retrieved: undefined, text: 'the source is switched off' });
    return source && scan ? { row, source, scan } : undefined;
  });
  if (!begun) return 'nothing to do';
  const { row, source, scan } = begun;
  const study = { studyInstanceUid: row.study_instance_uid, ...(scan.patient_number ? { patientId: scan.patient_number } : {}) };
  const about = { attempt: row.attempts + 1, scanId: row.for_scan_id, patientId: scan.patient_id };
  // What an attempt that broke off brought is here for good: the next one asks for the rest.
  const missing = row.purpose === 'missing' || row.attempts > 0 ? await missingImages(dependencies, source, study, { ...about, controlId: `list ${retrievalId}`, isWhole: row.purpose === 'prior' }) : undefined;
  const outcome = missing && 'kind' in missing ? missing : missing?.instances.length === 0 ? undefined
    : (await askOnRecord(dependencies, source, { ...about, controlId: `retrieve ${retrievalId}`, interaction: source.queries.interactions.retrieve, facts: { purpose: row.purpose } },
      () => retrieveOnRecord(source, { ...study, ...(missing ? { instances: missing.instances } : {}) }))).outcome;
  return judge(dependencies, job, row, source, outcome, missing && !('kind' in missing) ? missing : undefined);
}

/** What comes on our own association or connection (C-GET, WADO-RS) is told as any sender's: no study that it brings is complete meanwhile. */
async function retrieveOnRecord({ queries, integration, receive, context }: Source, selection: Parameters<Source['queries']['retrieve']>[0]): Promise<QueryOutcome<Retrieved>> {
  const arrival = context.arrivals?.begin(integration, integration.name);
  const outcome = await queries.retrieve(selection, integration, async (message, refusal) => {
    const receipt = await receive(message, refusal);
    arrival?.brought(receipt);
    return receipt;
  }, context);
  arrival?.ended(outcome.kind === 'answered' ? 'released' : 'broken');
  return outcome;
}

/** What the source has and we do not, by name. A source that cannot list its images, or lists none of a study that is wanted whole, is asked for the whole study. */
async function missingImages(dependencies: PriorsDependencies, source: Source, study: { studyInstanceUid: string; patientId?: string }, about: { attempt: number; scanId: string; patientId: string; controlId: string; isWhole: boolean }): Promise<{ instances: readonly FoundInstance[]; there: number } | QueryOutcome<Retrieved> | undefined> {
  const { outcome } = await askOnRecord(dependencies, source, { attempt: about.attempt, scanId: about.scanId, patientId: about.patientId, controlId: about.controlId, interaction: source.queries.interactions.listInstances }, () => source.queries.countInstances({ ...study, byName: true }, source.integration, source.context));
  if (outcome.kind === 'refused') return undefined;
  if (outcome.kind !== 'answered') return outcome;
  if (about.isWhole && !outcome.value?.instances?.length) return undefined;
  const { here, own } = await inOrganization(dependencies.database, source.integration.organizationId, async (tx) => ({ here: await instancesHere(tx, study.studyInstanceUid), own: await ownObjects(tx, about.scanId) }));
  const instances = (outcome.value?.instances ?? []).filter(({ sopInstanceUid }) => !own.has(sopInstanceUid));
  return { instances: instances.filter(({ sopInstanceUid }) => !here.has(sopInstanceUid)), there: instances.length };
}

/** Under a key of its own: the job of the next look has the scan's. */
async function lookAtOnce({ boss, now }: PriorsDependencies, tx: Transaction, job: CheckSourceJob): Promise<void> {
  await askNow(tx, job.scanId, now());
  await boss.send(QUEUES.checkSource.name, job, { singletonKey: `${job.scanId} fetched`, db: bossDb(tx) as never });
}

async function judge(dependencies: PriorsDependencies, job: RetrieveStudyJob, row: RetrievalRow, source: Source, outcome: QueryOutcome<Retrieved> | undefined, listed: { instances: readonly FoundInstance[]; there: number } | undefined): Promise<'retrieved' | 'again' | 'failed'> {
  return inOrganization(dependencies.database, job.organizationId, async (tx) => {
    const held = await instancesHere(tx, row.study_instance_uid), here = held.size;
    const said = outcome?.kind === 'answered' ? outcome.value : undefined;
    const expected = Math.max(listed?.there ?? row.expected_instances ?? 0, said ? said.completed + said.failed + said.warning : 0);
    // Where each image was asked for by name it does not matter how the source ended: with an answer, without one, or with failures that it counts and nobody sees.
    const hasAll = listed !== undefined && listed.instances.every(({ sopInstanceUid }) => held.has(sopInstanceUid));
    const isDone = here > 0 && (hasAll || ((outcome === undefined || said?.failed === 0) && here >= expected));
    if (isDone) {
      await saveRetrieval(tx, row.retrieval_id, { status: 'retrieved', retrieved: here, ...(expected > 0 ? { expected } : {}), text: null });
      if (row.purpose === 'missing') await lookAtOnce(dependencies, tx, { organizationId: job.organizationId, scanId: row.for_scan_id });
      return 'retrieved' as const;
    }
    const text = outcome === undefined ? `${here} of ${expected} images are here` : outcome.kind === 'answered' ? `${here} of ${expected} images are here; the source counted ${said?.completed ?? 0} sent and ${said?.failed ?? 0} failed` : textOf(outcome);
    const attempts = row.attempts + 1;
    if (attempts >= MOST_ATTEMPTS) {
      await saveRetrieval(tx, row.retrieval_id, { status: 'failed', retrieved: here, ...(expected > 0 ? { expected } : {}), text });
      if (row.purpose === 'prior') await raiseAlert(tx, { kind: 'priors_not_fetched', severity: 'warning', subject: `scan ${row.for_scan_id}`, message: `An earlier study could not be fetched from ${source.integration.name} in ${attempts} attempts: ${text}` });
      return 'failed' as const;
    }
    const nextAt = new Date(dependencies.now().getTime() + pauseMilliseconds(outcome, dependencies.retrySeconds, attempts));
    await saveRetrieval(tx, row.retrieval_id, { status: 'queued', retrieved: here, ...(expected > 0 ? { expected } : {}), text, nextAt });
    await dependencies.boss.send(QUEUES.retrieveStudy.name, job, { singletonKey: row.retrieval_id, startAfter: nextAt, db: bossDb(tx) as never });
    return 'again' as const;
  });
}
