/** source_counts, prior_searches, study_retrievals and worklist_polls: what other systems are asked, and what they said. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
const Id = z.object({ id: z.string() });

const AskedScan = z.object({
  scan_id: z.string(), patient_id: z.string(), status: z.string(), order_status: z.string().nullable(), study_instance_uid: z.string().nullable(), scan_type: z.string(), body_part: z.string().nullable(), modalities: z.array(z.string()),
  study_at: z.date().nullable(), instance_count: z.number(), images_complete_at: z.date().nullable(), last_instance_at: z.date().nullable(), birth_date: z.string().nullable(), patient_number: z.string().nullable(),
});
export type AskedScan = z.infer<typeof AskedScan>;

/** A scan as other systems are asked about it; `patient_number` as the assigning authority calls its patient. */
export async function scanToAskAbout(tx: CommonQueryMethods, scanId: string, assigningAuthority: string): Promise<AskedScan | undefined> {
  return await tx.maybeOne(sql.type(AskedScan)`
    SELECT s.scan_id, s.patient_id, s.status, s.order_status, s.study_instance_uid, s.scan_type, s.body_part, s.modalities, s.study_at, s.instance_count, s.images_complete_at, s.last_instance_at,
      p.birth_date::text AS birth_date,
      (SELECT i.value FROM patient_identifiers i WHERE i.organization_id = s.organization_id AND i.patient_id = s.patient_id AND i.assigning_authority = ${assigningAuthority}
        ORDER BY i.is_current DESC, i.created_at LIMIT 1) AS patient_number
    FROM scans s JOIN patients p ON p.organization_id = s.organization_id AND p.patient_id = s.patient_id WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ${scanId}`) ?? undefined;
}

/** The integrations that a scan's images came from. */
export async function sourcesOfScan(tx: CommonQueryMethods, scanId: string): Promise<readonly string[]> {
  return tx.anyFirst(sql.type(z.object({ id: z.string() }))`
    SELECT DISTINCT source_integration_id AS id FROM scan_files WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND source_integration_id IS NOT NULL`);
}

/** What the gateway itself stored in the study at other systems: its reports. They are in the source's count, and are not waited for. */
export async function ownObjects(tx: CommonQueryMethods, scanId: string): Promise<ReadonlySet<string>> {
  return new Set(await tx.anyFirst(sql.type(z.object({ uid: z.string() }))`
    SELECT DISTINCT o->>'sop_instance_uid' AS uid FROM sync_logs l, jsonb_array_elements(CASE jsonb_typeof(l.facts->'objects') WHEN 'array' THEN l.facts->'objects' ELSE '[]'::jsonb END) o
    WHERE l.organization_id = ${ORGANIZATION} AND l.scan_id = ${scanId} AND l.direction = 'outbound' AND l.delivery_id IS NOT NULL AND o->>'sop_instance_uid' IS NOT NULL`));
}

/** Which of these are here, in whatever state. */
export async function instancesHere(tx: CommonQueryMethods, studyInstanceUid: string): Promise<ReadonlySet<string>> {
  return new Set(await tx.anyFirst(sql.type(z.object({ uid: z.string() }))`
    SELECT f.sop_instance_uid AS uid FROM scan_files f JOIN scans s ON s.organization_id = f.organization_id AND s.scan_id = f.scan_id
    WHERE f.organization_id = ${ORGANIZATION} AND s.study_instance_uid = ${studyInstanceUid} AND f.conflict_of IS NULL`));
}

const Count = z.object({ status: z.enum(['asking', 'proven', 'missing', 'unknown_study', 'no_answer', 'given_up']), attempts: z.number(), first_asked_at: z.date(), next_at: z.date() });
export type CountRow = z.infer<typeof Count>;

/** The question about a scan: opened when there is none, and anew when images came since it was last asked. A source that did not answer is left alone as long as it would be. */
export async function openCount(tx: CommonQueryMethods, scanId: string, integrationId: string, now: Date): Promise<CountRow> {
  const at = now.toISOString();
  return tx.one(sql.type(Count)`
    INSERT INTO source_counts AS c (organization_id, scan_id, integration_id, status, first_asked_at, next_at) VALUES (${ORGANIZATION}, ${scanId}, ${integrationId}, 'asking', ${at}::timestamptz, ${at}::timestamptz)
    ON CONFLICT (organization_id, scan_id) DO UPDATE SET (status, attempts, first_asked_at, next_at) = (
      SELECT CASE WHEN is_new THEN 'asking' ELSE c.status END, CASE WHEN is_new THEN 0 ELSE c.attempts END, CASE WHEN is_new THEN ${at}::timestamptz ELSE c.first_asked_at END, CASE WHEN NOT is_new THEN c.next_at WHEN c.status IN ('no_answer', 'asking') THEN greatest(c.next_at, ${at}::timestamptz) ELSE ${at}::timestamptz END
      FROM (SELECT coalesce(s.last_instance_at > c.asked_at, false) AS is_new FROM scans s WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ${scanId}) n)
    RETURNING status, attempts, first_asked_at, next_at`);
}

export interface CountedAtSource { readonly status: CountRow['status']; readonly there: number | undefined; readonly here: number | undefined; readonly text: string | null; readonly nextAt: Date; readonly askedAt: Date; readonly syncId: string | undefined }

/** What the source said; the scan keeps how many images it should have. */
export async function saveCount(tx: CommonQueryMethods, scanId: string, count: CountedAtSource): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE source_counts SET status = ${count.status}, instances_there = coalesce(${count.there ?? null}::int, instances_there), instances_here = coalesce(${count.here ?? null}::int, instances_here), attempts = attempts + 1,
      asked_at = ${count.askedAt.toISOString()}::timestamptz, next_at = ${count.nextAt.toISOString()}::timestamptz, last_text = ${count.text}, source_sync_id = coalesce(${count.syncId ?? null}::uuid, source_sync_id)
    WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId}`);
  if (count.there === undefined) return;
  await tx.query(sql.type(Nothing)`UPDATE scans SET expected_instances = ${count.there} WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND expected_instances IS DISTINCT FROM ${count.there}`);
}

/** What was asked of the source has come: the next look is due. */
export async function askNow(tx: CommonQueryMethods, scanId: string, at: Date): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE source_counts SET next_at = least(next_at, ${at.toISOString()}::timestamptz) WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND status <> 'given_up'`);
}

/** False: this scan was searched for at this source before. */
export async function insertPriorSearch(tx: CommonQueryMethods, scanId: string, integrationId: string): Promise<boolean> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    INSERT INTO prior_searches (organization_id, scan_id, integration_id) VALUES (${ORGANIZATION}, ${scanId}, ${integrationId}) ON CONFLICT DO NOTHING`);
  return rowCount === 1;
}

/** The same, and once more for a scan that was searched for before. False: a search waits already. */
export async function renewPriorSearch(tx: CommonQueryMethods, scanId: string, integrationId: string): Promise<boolean> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    INSERT INTO prior_searches AS p (organization_id, scan_id, integration_id) VALUES (${ORGANIZATION}, ${scanId}, ${integrationId})
    ON CONFLICT (organization_id, scan_id, integration_id) DO UPDATE SET status = 'queued', attempts = 0, next_at = now(), last_text = NULL WHERE p.status <> 'queued'`);
  return rowCount === 1;
}

/** Scans that a rule is about and that nobody has searched for: ordered in the last two days, or complete since a moment ago (a person's completion, or one that was missed). */
export async function scansWithoutSearch(tx: CommonQueryMethods, integrationId: string, when: 'complete' | 'ordered', scanTypes: readonly string[]): Promise<readonly string[]> {
  const stage = when === 'ordered' ? sql.fragment`s.status = 'scheduled' AND s.order_status = 'ordered'` : sql.fragment`s.images_complete_at > now() - interval '15 minutes'`;
  return tx.anyFirst(sql.type(z.object({ id: z.string() }))`
    SELECT s.scan_id AS id FROM scans s WHERE s.organization_id = ${ORGANIZATION} AND s.created_at > now() - interval '2 days' AND ${stage}
      AND (${scanTypes.length === 0} OR s.scan_type = ANY(${sql.array([...scanTypes], 'text')}))
      AND NOT EXISTS (SELECT 1 FROM prior_searches p WHERE p.organization_id = s.organization_id AND p.scan_id = s.scan_id AND p.integration_id = ${integrationId})
      AND NOT EXISTS (SELECT 1 FROM study_retrievals r WHERE r.organization_id = s.organization_id AND r.study_instance_uid = s.study_instance_uid AND r.purpose = 'prior')
    ORDER BY s.created_at DESC LIMIT 200`);
}

const Search = z.object({ status: z.enum(['queued', 'done', 'skipped', 'failed']), attempts: z.number(), next_at: z.date() });

/** Takes a search that is due, for so long. */
export async function takePriorSearch(tx: CommonQueryMethods, scanId: string, integrationId: string, now: Date, until: Date): Promise<z.infer<typeof Search> | undefined> {
  return await tx.maybeOne(sql.type(Search)`
    UPDATE prior_searches SET next_at = ${until.toISOString()}::timestamptz
    WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND integration_id = ${integrationId} AND status = 'queued' AND next_at <= ${now.toISOString()}::timestamptz + interval '2 seconds' RETURNING status, attempts, next_at`) ?? undefined;
}

export async function savePriorSearch(tx: CommonQueryMethods, scanId: string, integrationId: string, change: { status: 'queued' | 'done' | 'skipped' | 'failed'; found?: number; chosen?: number; text: string | null; nextAt?: Date }): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE prior_searches SET status = ${change.status}, studies_found = coalesce(${change.found ?? null}::int, studies_found), studies_chosen = coalesce(${change.chosen ?? null}::int, studies_chosen), attempts = attempts + 1,
      last_text = ${change.text}, next_at = coalesce(${change.nextAt?.toISOString() ?? null}::timestamptz, next_at)
    WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND integration_id = ${integrationId} AND status = 'queued'`);
}

export interface NewRetrieval { readonly integrationId: string; readonly studyInstanceUid: string; readonly purpose: 'prior' | 'missing'; readonly forScanId: string; readonly analyze: boolean; readonly expected: number | undefined }

/** Wants a study sent. Undefined: it is wanted already, or was sent as a prior; missing images may be wanted again, and so may what failed. */
export async function wantStudy(tx: CommonQueryMethods, wanted: NewRetrieval): Promise<string | undefined> {
  const row = await tx.maybeOne(sql.type(Id)`
    INSERT INTO study_retrievals AS r (organization_id, integration_id, study_instance_uid, purpose, for_scan_id, is_analyzed, expected_instances)
    VALUES (${ORGANIZATION}, ${wanted.integrationId}, ${wanted.studyInstanceUid}, ${wanted.purpose}, ${wanted.forScanId}, ${wanted.analyze}, ${wanted.expected ?? null})
    ON CONFLICT (organization_id, integration_id, study_instance_uid, purpose) DO UPDATE SET status = 'queued', attempts = 0, next_at = now(), last_text = NULL, expected_instances = coalesce(excluded.expected_instances, r.expected_instances)
      WHERE r.status = 'failed' OR (r.status = 'retrieved' AND r.purpose = 'missing')
    RETURNING retrieval_id AS id`);
  return row?.id;
}

const Retrieval = z.object({
  retrieval_id: z.string(), integration_id: z.string(), study_instance_uid: z.string(), purpose: z.enum(['prior', 'missing']), for_scan_id: z.string(), is_analyzed: z.boolean(),
  status: z.enum(['queued', 'retrieved', 'failed']), expected_instances: z.number().nullable(), attempts: z.number(), next_at: z.date(),
});
export type RetrievalRow = z.infer<typeof Retrieval>;

/** Takes a retrieval that is due, for so long; undefined: it is not, or another worker has it. A moment early is due: clocks differ. */
export async function takeRetrieval(tx: CommonQueryMethods, retrievalId: string, now: Date, until: Date): Promise<RetrievalRow | undefined> {
  return await tx.maybeOne(sql.type(Retrieval)`
    UPDATE study_retrievals SET next_at = ${until.toISOString()}::timestamptz
    WHERE organization_id = ${ORGANIZATION} AND retrieval_id = ${retrievalId} AND status = 'queued' AND next_at <= ${now.toISOString()}::timestamptz + interval '2 seconds'
    RETURNING retrieval_id, integration_id, study_instance_uid, purpose, for_scan_id, is_analyzed, status, expected_instances, attempts, next_at`) ?? undefined;
}

export async function saveRetrieval(tx: CommonQueryMethods, retrievalId: string, change: { status: 'queued' | 'retrieved' | 'failed'; retrieved: number | undefined; expected?: number; text: string | null; nextAt?: Date }): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE study_retrievals SET status = ${change.status}, retrieved_instances = coalesce(${change.retrieved ?? null}::int, retrieved_instances), expected_instances = coalesce(${change.expected ?? null}::int, expected_instances), attempts = attempts + 1, last_text = ${change.text},
      next_at = coalesce(${change.nextAt?.toISOString() ?? null}::timestamptz, next_at)
    WHERE organization_id = ${ORGANIZATION} AND retrieval_id = ${retrievalId}`);
}

/**
 * The scan was fetched as an earlier study of another, by a rule that does not want it analysed; nor was it ordered about then, for itself; nor did
 * anybody send an image of it unasked, be it one that is here already.
 */
export async function isPriorOnly(tx: CommonQueryMethods, scanId: string): Promise<boolean> {
  return await tx.exists(sql.type(Nothing)`
    SELECT FROM scans s JOIN study_retrievals r ON r.organization_id = s.organization_id AND r.study_instance_uid = s.study_instance_uid AND r.purpose = 'prior'
    WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ${scanId} HAVING bool_and(NOT r.is_analyzed AND (s.order_status IS NULL OR coalesce(s.scheduled_at, s.created_at) < r.created_at - interval '2 days'))`)
    && !await wasSentUnasked(tx, scanId);
}

/**
 * An image of a fetched study came, for the first time or again, that the gateway did not ask for. What it asked for says so ('retrieved' among the facts:
 * Move Originator, C-GET). A source that never names a Move Originator is believed by time: what it sent while it was asked, and a minute after.
 */
async function wasSentUnasked(tx: CommonQueryMethods, scanId: string): Promise<boolean> {
  return tx.exists(sql.type(Nothing)`
    WITH came AS MATERIALIZED (
      SELECT l.integration_id, l.started_at, coalesce(l.facts ? 'retrieved', false) AS is_retrieved FROM sync_logs l
      WHERE l.organization_id = ${ORGANIZATION} AND l.scan_id = ${scanId} AND l.direction = 'inbound' AND l.message_status IN ('accepted', 'duplicate')
        AND EXISTS (SELECT FROM scan_files f WHERE f.organization_id = l.organization_id AND f.sop_instance_uid = l.control_id)),
    questions AS MATERIALIZED ( -- made before the look-up: no index serves a condition that makes its key itself, under row level security
      SELECT 'retrieve ' || r.retrieval_id AS control_id
      FROM scans s JOIN study_retrievals r ON r.organization_id = s.organization_id AND r.study_instance_uid = s.study_instance_uid AND r.purpose = 'prior'
      WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ${scanId} AND NOT EXISTS (SELECT FROM came c WHERE c.is_retrieved AND c.integration_id = r.integration_id)),
    asked AS MATERIALIZED (
      SELECT q.integration_id, q.started_at, coalesce(q.finished_at, now()) + interval '1 minute' AS ended_at
      FROM questions k CROSS JOIN LATERAL (SELECT * FROM sync_logs l WHERE l.organization_id = ${ORGANIZATION} AND l.control_id = k.control_id AND l.direction = 'outbound') q)
    SELECT FROM came c WHERE NOT c.is_retrieved AND NOT EXISTS (SELECT FROM asked a WHERE a.integration_id = c.integration_id AND c.started_at BETWEEN a.started_at AND a.ended_at)`);
}

/** Of these scans, those that are complete, were fetched as earlier studies and never sent unasked until now: open again, as if their last image had come at `at`. */
export async function reopenFetched(tx: CommonQueryMethods, scanIds: readonly string[], at: Date): Promise<readonly string[]> {
  const fetched = await tx.anyFirst(sql.type(Id)`
    SELECT s.scan_id AS id FROM scans s WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ANY(${sql.array([...scanIds], 'uuid')}) AND s.images_complete_at IS NOT NULL AND s.status = 'completed'
      AND EXISTS (SELECT FROM study_retrievals r WHERE r.organization_id = s.organization_id AND r.study_instance_uid = s.study_instance_uid AND r.purpose = 'prior' AND NOT r.is_analyzed)
      AND NOT EXISTS (SELECT FROM ai_analyses a WHERE a.organization_id = s.organization_id AND a.scan_id = s.scan_id)
    ORDER BY s.scan_id FOR UPDATE`);
  const reopened: string[] = [];
  for (const scanId of fetched) {
    if (await wasSentUnasked(tx, scanId)) continue;
    await tx.query(sql.type(Nothing)`
      UPDATE scans SET images_complete_at = NULL, completeness_proof = NULL, status = 'in_progress', last_instance_at = greatest(last_instance_at, ${at.toISOString()}::timestamptz)
      WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId}`);
    reopened.push(scanId);
  }
  return reopened;
}

/** What is due and may have lost its job. */
export async function dueQuestions(tx: CommonQueryMethods, before: Date): Promise<{ searches: readonly { scan_id: string; integration_id: string }[]; retrievals: readonly string[] }> {
  const at = before.toISOString();
  return {
    searches: await tx.any(sql.type(z.object({ scan_id: z.string(), integration_id: z.string() }))`SELECT scan_id, integration_id FROM prior_searches WHERE organization_id = ${ORGANIZATION} AND status = 'queued' AND next_at < ${at}::timestamptz ORDER BY next_at LIMIT 100`),
    retrievals: await tx.anyFirst(sql.type(Id)`SELECT retrieval_id AS id FROM study_retrievals WHERE organization_id = ${ORGANIZATION} AND status = 'queued' AND next_at < ${at}::timestamptz ORDER BY next_at LIMIT 100`),
  };
}

/** True: it is time to ask this RIS, and no other node does. */
export async function claimPoll(tx: CommonQueryMethods, integrationId: string, everySeconds: number): Promise<boolean> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    INSERT INTO worklist_polls AS w (organization_id, integration_id, next_poll_at) VALUES (${ORGANIZATION}, ${integrationId}, now() + make_interval(secs => ${everySeconds}))
    ON CONFLICT (organization_id, integration_id) DO UPDATE SET next_poll_at = excluded.next_poll_at WHERE w.next_poll_at <= now() OR w.next_poll_at > excluded.next_poll_at`);
  return rowCount === 1;
}

export async function savePoll(tx: CommonQueryMethods, integrationId: string, poll: { seen?: number; changed?: number; text: string | null; isOk: boolean; at: Date }): Promise<void> {
  const at = poll.at.toISOString();
  await tx.query(sql.type(Nothing)`
    UPDATE worklist_polls SET polled_at = ${at}::timestamptz, last_ok_at = CASE WHEN ${poll.isOk} THEN ${at}::timestamptz ELSE last_ok_at END, last_text = ${poll.text},
      items_seen = coalesce(${poll.seen ?? null}::int, items_seen), items_changed = coalesce(${poll.changed ?? null}::int, items_changed)
    WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId}`);
}

export interface LatestMessage { readonly controlId: string; readonly sha256: string; readonly startedAt: Date }

/** What was last received under each of these control ids, refused or not. */
export async function latestMessages(tx: CommonQueryMethods, integrationId: string, interaction: string, controlIds: readonly string[]): Promise<readonly LatestMessage[]> {
  if (controlIds.length === 0) return [];
  const rows = await tx.any(sql.type(z.object({ control_id: z.string(), sha256: z.string(), started_at: z.date() }))`
    SELECT DISTINCT ON (control_id) control_id, sha256, started_at FROM sync_logs
    WHERE organization_id = ${ORGANIZATION} AND control_id = ANY(${sql.array([...controlIds], 'text')}) AND integration_id = ${integrationId} AND interaction = ${interaction} AND direction = 'inbound' AND sha256 IS NOT NULL
    ORDER BY control_id, started_at DESC, sync_id DESC`);
  return rows.map((row) => ({ controlId: row.control_id, sha256: row.sha256, startedAt: row.started_at }));
}
