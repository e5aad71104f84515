import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, optionalTimestamp, text, timestamp } from '../fields.ts';
import { keyAfter, pageQuery } from '../pagination.ts';

export const deadJobStatuses = ['open', 'retried', 'discarded'] as const;
export const DeadJob = z.object({
  dead_job_id: id, queue_name: z.string(), scan_id: id.nullable(), integration_id: id.nullable(), integration_name: text, error_text: text, died_at: timestamp, status: z.enum(deadJobStatuses),
  decided_by: text, decided_at: optionalTimestamp, reason: text,
}).openapi('DeadJob');

export const deadJobQuery = pageQuery.extend({ status: z.enum(deadJobStatuses).default('open') });

const columns = sql.fragment`j.dead_job_id, j.queue_name, j.scan_id, j.integration_id, i.name AS integration_name, j.error_text, j.died_at, j.status, j.decided_by, j.decided_at, j.reason`;
const source = sql.fragment`dead_jobs j LEFT JOIN external_integrations i ON i.organization_id = j.organization_id AND i.integration_id = j.integration_id`;

export function listDeadJobs(tx: Transaction, query: z.output<typeof deadJobQuery>) {
  const before = keyAfter(query);
  return tx.any(sql.type(DeadJob)`
    SELECT ${columns} FROM ${source} WHERE j.organization_id = ${ORGANIZATION} AND j.status = ${sql.literalValue(query.status)} AND ${before === null ? sql.fragment`true` : sql.fragment`j.dead_job_id < ${before}::uuid`}
    ORDER BY j.dead_job_id DESC LIMIT ${query.limit + 1}`);
}

export function readDeadJob(tx: Transaction, deadJobId: string) {
  return tx.maybeOne(sql.type(DeadJob)`SELECT ${columns} FROM ${source} WHERE j.organization_id = ${ORGANIZATION} AND j.dead_job_id = ${deadJobId}`);
}
