/** dead_jobs: jobs that failed for good, until a person has them tried again or gives them up. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
const Held = z.object({
  dead_job_id: z.string(), queue_name: z.string(), job_data: z.record(z.string(), z.unknown()), scan_id: z.string().nullable(), integration_id: z.string().nullable(), status: z.enum(['open', 'retried', 'discarded']),
});
export type HeldDeadJob = z.infer<typeof Held>;

export interface DeadJob { readonly deadJobId: string; readonly queueName: string; readonly data: object; readonly scanId: string | undefined; readonly integrationId: string | undefined; readonly errorText: string | undefined }

export async function insertDeadJob(tx: CommonQueryMethods, job: DeadJob): Promise<void> {
  await tx.query(sql.type(Nothing)`
    INSERT INTO dead_jobs (organization_id, dead_job_id, queue_name, job_data, scan_id, integration_id, error_text)
    VALUES (${ORGANIZATION}, ${job.deadJobId}, ${job.queueName}, ${jsonText(job.data)}::jsonb, ${job.scanId ?? null}, ${job.integrationId ?? null}, ${job.errorText ?? null})
    ON CONFLICT (organization_id, dead_job_id) DO NOTHING`);
}

/** The row, locked until the transaction ends. */
export async function holdDeadJob(tx: CommonQueryMethods, deadJobId: string): Promise<HeldDeadJob | undefined> {
  return await tx.maybeOne(sql.type(Held)`
    SELECT dead_job_id, queue_name, job_data, scan_id, integration_id, status FROM dead_jobs WHERE organization_id = ${ORGANIZATION} AND dead_job_id = ${deadJobId} FOR UPDATE`) ?? undefined;
}

export async function decideDeadJob(tx: CommonQueryMethods, deadJobId: string, decision: { readonly status: 'retried' | 'discarded'; readonly by: string; readonly reason: string | null }): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE dead_jobs SET status = ${decision.status}, decided_by = ${decision.by}, decided_at = now(), reason = ${decision.reason} WHERE organization_id = ${ORGANIZATION} AND dead_job_id = ${deadJobId}`);
}
