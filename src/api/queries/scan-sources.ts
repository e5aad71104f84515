import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, optionalTimestamp, text, timestamp } from '../fields.ts';

const SourceCount = z.object({
  integration_id: id, integration_name: z.string(), status: z.enum(['asking', 'proven', 'missing', 'unknown_study', 'no_answer', 'given_up']), instances_there: z.int().nullable(), instances_here: z.int().nullable(),
  attempts: z.int(), first_asked_at: timestamp, asked_at: optionalTimestamp, next_at: timestamp, last_text: text,
}).openapi('SourceCount');
const PriorSearch = z.object({
  integration_id: id, integration_name: z.string(), status: z.enum(['queued', 'done', 'skipped', 'failed']), studies_found: z.int().nullable(), studies_chosen: z.int().nullable(), attempts: z.int(), next_at: timestamp, last_text: text,
}).openapi('PriorSearch');
const Retrieval = z.object({
  retrieval_id: id, integration_id: id, integration_name: z.string(), study_instance_uid: z.string(), purpose: z.enum(['prior', 'missing']), is_analyzed: z.boolean(), status: z.enum(['queued', 'retrieved', 'failed']),
  expected_instances: z.int().nullable(), retrieved_instances: z.int().nullable(), attempts: z.int(), next_at: timestamp, last_text: text,
}).openapi('StudyRetrieval');

export const ScanSources = z.object({ count: SourceCount.nullable(), prior_searches: z.array(PriorSearch), retrievals: z.array(Retrieval) }).openapi('ScanSources');

const named = sql.fragment`JOIN external_integrations i ON i.organization_id = q.organization_id AND i.integration_id = q.integration_id WHERE q.organization_id = ${ORGANIZATION}`;

/** What other systems were asked about a scan, and what they said. */
export async function readScanSources(tx: Transaction, scanId: string): Promise<z.input<typeof ScanSources>> {
  const count = await tx.maybeOne(sql.type(SourceCount)`
    SELECT q.integration_id, i.name AS integration_name, q.status, q.instances_there, q.instances_here, q.attempts, q.first_asked_at, q.asked_at, q.next_at, q.last_text FROM source_counts q ${named} AND q.scan_id = ${scanId}`);
  const searches = await tx.any(sql.type(PriorSearch)`
    SELECT q.integration_id, i.name AS integration_name, q.status, q.studies_found, q.studies_chosen, q.attempts, q.next_at, q.last_text FROM prior_searches q ${named} AND q.scan_id = ${scanId} ORDER BY q.created_at`);
  const retrievals = await tx.any(sql.type(Retrieval)`
    SELECT q.retrieval_id, q.integration_id, i.name AS integration_name, q.study_instance_uid, q.purpose, q.is_analyzed, q.status, q.expected_instances, q.retrieved_instances, q.attempts, q.next_at, q.last_text
    FROM study_retrievals q ${named} AND q.for_scan_id = ${scanId} ORDER BY q.created_at`);
  return { count, prior_searches: [...searches], retrievals: [...retrievals] };
}
