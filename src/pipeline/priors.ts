/**
 * Earlier studies of the same patient, for comparison. In: a scan that is complete or ordered, and the rule of a source (its settings). Out: the studies
 * that fit the rule, each wanted once (study_retrievals), sent by C-MOVE or C-GET, or fetched by WADO-RS, and received as any image.
 *
 *   complete | ordered -> search-priors job -> C-FIND by patient -> choose: not here, same modality, same body part, newest first, at most N
 *                      -> retrieve-study job each -> images by the ordinary way in; the scan they make is not analysed unless the rule says so
 */
import { auditEvents, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { raiseAlert } from '../db/alerts.ts';
import type { LockedScan } from '../db/scan-completion.ts';
import { bossDb } from '../db/pool.ts';
import { insertPriorSearch, instancesHere, isPriorOnly, renewPriorSearch, savePriorSearch, scanToAskAbout, takePriorSearch, wantStudy, type AskedScan } from '../db/source-questions.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import { QUEUES, type RetrieveStudyJob, type SearchPriorsJob } from '../queue/queues.ts';
import type { FoundStudy, PriorsRule } from '#gateway/queries.ts';
import { askOnRecord, pauseMilliseconds, textOf, type AskDependencies, type Source, type Sources } from './sources.ts';
import type { PgBoss } from 'pg-boss';

export interface PriorsDependencies extends AskDependencies { readonly boss: PgBoss; readonly sources: Sources; readonly retrySeconds: number }

const MOST_ATTEMPTS = 8;
/** A worker that dies in the middle keeps others off for so long. */
const LEASE_MILLISECONDS = 600_000;
const DAY_MILLISECONDS = 86_400_000;
/** Studies whose series are looked at for their body part, for each one that is wanted. */
const DESCRIBED_PER_WANTED = 5;

/** Queues the search at every source whose rule is about this moment. Within the transaction that completes the scan. */
export async function queuePriorSearches(dependencies: { readonly boss: PgBoss; readonly sources?: Sources }, tx: Transaction, organizationId: string, scan: Pick<LockedScan, 'scan_id' | 'scan_type'>): Promise<void> {
  for (const source of dependencies.sources?.of(organizationId) ?? []) {
    const rule = source.wanted.priors;
    if (!rule || rule.when !== 'complete' || !isAbout(rule, scan.scan_type)) continue;
    await queueSearch(dependencies.boss, tx, { organizationId, scanId: scan.scan_id, integrationId: source.integration.integrationId });
  }
}

/** A scan is searched for once at each source; asking for it again changes nothing. */
export async function queueSearch(boss: PgBoss, tx: Transaction, job: SearchPriorsJob): Promise<void> {
  if (await insertPriorSearch(tx, job.scanId, job.integrationId)) await boss.send(QUEUES.searchPriors.name, job, { singletonKey: `${job.scanId} ${job.integrationId}`, db: bossDb(tx) as never });
}

export type PriorsRequest = { readonly kind: 'queued'; readonly sources: readonly string[] } | { readonly kind: 'not-found' } | { readonly kind: 'refused'; readonly reason: string };

/** A person wants earlier studies of a scan now, whatever moment the rules name, and again where a search failed. */
export async function requestPriors(dependencies: { readonly database: PriorsDependencies['database']; readonly boss: PgBoss; readonly sources: Sources }, organizationId: string, scanId: string, actor: AuditActor): Promise<PriorsRequest> {
  const able = dependencies.sources.of(organizationId).filter(({ wanted }) => wanted.priors);
  return inOrganization(dependencies.database, organizationId, async (tx) => {
    const scan = await scanToAskAbout(tx, scanId, '');
    if (!scan) return { kind: 'not-found' };
    if (able.length === 0) return { kind: 'refused', reason: 'no system of the organization is one that earlier studies are fetched from (setting priors of an integration)' };
    const sources: string[] = [];
    for (const { integration: { integrationId, name } } of able) {
      if (!await renewPriorSearch(tx, scanId, integrationId)) continue;
      const job: SearchPriorsJob = { organizationId, scanId, integrationId };
      await dependencies.boss.send(QUEUES.searchPriors.name, job, { singletonKey: `${scanId} ${integrationId}`, db: bossDb(tx) as never });
      sources.push(name);
    }
    await recordAudit(tx, { ...auditEvents.query, action: 'E', outcome: 'success', actor, object: { type: 'scan', id: scanId }, patientId: scan.patient_id, detail: { fetch_priors: sources } });
    return { kind: 'queued', sources };
  });
}

export const isAbout = (rule: PriorsRule, scanType: string): boolean => rule.forScanTypes.length === 0 || rule.forScanTypes.includes(scanType);

/** Handles one search-priors job. */
export async function searchPriors(dependencies: PriorsDependencies, job: SearchPriorsJob): Promise<'done' | 'skipped' | 'again' | 'failed' | 'nothing to do'> {
  const { organizationId, scanId, integrationId } = job;
  const source = dependencies.sources.find(organizationId, integrationId);
  const rule = source?.wanted.priors;
  const begun = await inOrganization(dependencies.database, organizationId, async (tx) => {
    const now = dependencies.now();
    const search = await takePriorSearch(tx, scanId, integrationId, now, new Date(now.getTime() + LEASE_MILLISECONDS));
    if (!search) return undefined;
    const scan = await scanToAskAbout(tx, scanId, source?.wanted.assigningAuthority ?? '');
    const why = !source || !rule ? 'the source is switched off, or fetches no earlier studies any more' : !scan ? 'the scan is gone' : await isPriorOnly(tx, scanId) ? 'the scan is itself an earlier study'
      : !scan.patient_number ? `the patient has no identifier of the source's assigning authority (${source.wanted.assigningAuthority || 'none'})` : undefined;
    if (why !== undefined) await savePriorSearch(tx, scanId, integrationId, { status: 'skipped', text: why });
    return { search, scan, why };
  });
  if (!begun) return 'nothing to do';
  if (begun.why !== undefined || !source || !rule || !begun.scan) return 'skipped';
  const { scan, search } = begun;
  const before = scan.study_at ?? dependencies.now(), { timeZone } = source.wanted, today = day(before, timeZone);
  const { outcome } = await askOnRecord(dependencies, source, { controlId: `priors ${scanId}`, interaction: source.queries.interactions.findStudies, attempt: search.attempts + 1, scanId, patientId: scan.patient_id },
    () => source.queries.findStudies({ patientId: scan.patient_number!, from: day(new Date(before.getTime() - rule.withinDays * DAY_MILLISECONDS), timeZone), to: today, describeSeries: rule.bodyPart === 'any' ? 0 : rule.mostStudies * DESCRIBED_PER_WANTED }, source.integration, source.context));
  return inOrganization(dependencies.database, organizationId, async (tx) => {
    if (outcome.kind !== 'answered') {
      const attempts = search.attempts + 1;
      if (attempts >= MOST_ATTEMPTS) {
        await savePriorSearch(tx, scanId, integrationId, { status: 'failed', text: textOf(outcome) });
        await raiseAlert(tx, { kind: 'priors_not_fetched', severity: 'warning', subject: `scan ${scanId}`, message: `Earlier studies could not be searched for at ${source.integration.name}: ${textOf(outcome)}` });
        return 'failed' as const;
      }
      const nextAt = new Date(dependencies.now().getTime() + pauseMilliseconds(outcome, dependencies.retrySeconds, attempts));
      await savePriorSearch(tx, scanId, integrationId, { status: 'queued', text: textOf(outcome), nextAt });
      await dependencies.boss.send(QUEUES.searchPriors.name, job, { singletonKey: `${scanId} ${integrationId}`, startAfter: nextAt, db: bossDb(tx) as never });
      return 'again' as const;
    }
    const { chosen, left } = choose(outcome.value, scan, source, rule);
    const wanted = await want(dependencies, tx, job, rule, chosen, today);
    await savePriorSearch(tx, scanId, integrationId, { status: 'done', found: outcome.value.length, chosen: wanted, text: left.length > 0 ? `left out: ${left.join(', ')}` : null });
    return 'done' as const;
  });
}

/** DA as the clocks of the source show it. */
const day = (date: Date, timeZone = 'UTC'): string => new Intl.DateTimeFormat('en-CA', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' }).format(date).replaceAll('-', '');

/** Which of the found studies fit the rule, the newest first; the others by reason, counted. */
export function choose(found: readonly FoundStudy[], scan: Pick<AskedScan, 'study_instance_uid' | 'study_at' | 'modalities' | 'body_part' | 'birth_date'>, source: { readonly wanted: Pick<Source['wanted'], 'assigningAuthority'> }, rule: PriorsRule): { chosen: readonly FoundStudy[]; left: readonly string[] } {
  const reasons = new Map<string, number>();
  const fitting = found.filter((study) => {
    const why = misfit(study, scan, source.wanted.assigningAuthority, rule);
    if (why !== undefined && why !== 'the scan itself') reasons.set(why, (reasons.get(why) ?? 0) + 1);
    return why === undefined;
  });
  const newest = fitting.toSorted((one, other) => `${other.studyDate}${other.studyTime}`.localeCompare(`${one.studyDate}${one.studyTime}`));
  if (newest.length > rule.mostStudies) reasons.set('older than those wanted', newest.length - rule.mostStudies);
  return { chosen: newest.slice(0, rule.mostStudies), left: [...reasons].map(([why, count]) => `${count} ${why}`) };
}

function misfit(study: FoundStudy, scan: Parameters<typeof choose>[1], assigningAuthority: string, rule: PriorsRule): string | undefined {
  if (study.studyInstanceUid === scan.study_instance_uid) return 'the scan itself';
  // A patient ID alone does not name a patient: what else the source tells must not contradict.
  if (study.issuerOfPatientId !== '' && assigningAuthority !== '' && study.issuerOfPatientId !== assigningAuthority) return 'of another issuer of patient IDs';
  const born = scan.birth_date?.replaceAll('-', '') ?? '';
  if (born.length === 8 && study.patientBirthDate.length === 8 && born !== study.patientBirthDate) return 'with another birth date';
  if (study.numberOfInstances !== undefined && study.numberOfInstances > rule.mostInstances) return 'with too many images';
  if (rule.modality === 'same' && study.modalities.length > 0 && scan.modalities.length > 0 && !study.modalities.some((modality) => ownModalities(scan.modalities).includes(modality))) return 'of other modalities';
  return fitsBodyPart(study, scan.body_part, rule) ? undefined : 'of other body parts';
}

/** What is made about images, whatever took them (PS3.3 C.7.3.1.1.1): a CT with its dose report is not like every study that has a report. */
const aboutImages = new Set(['SR', 'PR', 'KO', 'DOC', 'OT', 'REG', 'SEG', 'RWV', 'FID', 'AU', 'PLAN']);
function ownModalities(modalities: readonly string[]): readonly string[] {
  const own = modalities.filter((modality) => !aboutImages.has(modality));
  return own.length > 0 ? own : modalities;
}

function fitsBodyPart({ bodyParts }: FoundStudy, bodyPart: string | null, rule: PriorsRule): boolean {
  if (rule.bodyPart === 'any') return true;
  if (!bodyPart || bodyParts.length === 0) return rule.bodyPart === 'same_or_unknown';
  return bodyParts.some((part) => part.toUpperCase() === bodyPart.toUpperCase());
}

/** What is here, even in part, is left as it is. A study of the same day may be on its way here for itself: it is not kept from its analysis. */
async function want(dependencies: PriorsDependencies, tx: Transaction, job: SearchPriorsJob, rule: PriorsRule, chosen: readonly FoundStudy[], today: string): Promise<number> {
  let wanted = 0;
  for (const { studyInstanceUid, studyDate, numberOfInstances } of chosen) {
    if ((await instancesHere(tx, studyInstanceUid)).size > 0) continue;
    const retrievalId = await wantStudy(tx, { integrationId: job.integrationId, studyInstanceUid, purpose: 'prior', forScanId: job.scanId, analyze: rule.analyze || studyDate >= today, expected: numberOfInstances });
    if (!retrievalId) continue;
    await dependencies.boss.send(QUEUES.retrieveStudy.name, { organizationId: job.organizationId, retrievalId } satisfies RetrieveStudyJob, { singletonKey: retrievalId, db: bossDb(tx) as never });
    wanted += 1;
  }
  return wanted;
}
