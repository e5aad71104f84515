/** record_exports and record_pulls. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

/** The bytes that an attempt wrote; attempt 0: before files were named by attempts. */
const Part = z.object({ attempt: z.number(), byte_length: z.number() });
export type ExportPart = z.infer<typeof Part>;
const Output = z.object({ type: z.string(), count: z.number(), byte_length: z.number(), parts: z.array(Part).optional() });
export type ExportOutputRow = z.infer<typeof Output>;
/** `next` null: nothing of the type is written yet. */
const Progress = z.object({ outputs: z.array(Output), type: z.string(), count: z.number(), byte_length: z.number(), next: z.string().nullable(), parts: z.array(Part).optional() });
export type ExportProgress = z.infer<typeof Progress>;
const Row = z.object({
  export_id: z.string(), organization_id: z.string(), integration_id: z.string(), user_id: z.string(), request_url: z.string(), types: z.array(z.string()), since: z.date().nullable(), transaction_at: z.date(),
  status: z.enum(['queued', 'running', 'completed', 'failed', 'cancelled']), record_count: z.number(), outputs: z.array(Output), error_text: z.string().nullable(), expires_at: z.date(), progress: Progress.nullable(), attempt: z.number(),
});
export type ExportRow = z.infer<typeof Row>;
const COLUMNS = sql.fragment`export_id, organization_id, integration_id, user_id, request_url, types, since, transaction_at, status, record_count, outputs, error_text, expires_at, progress, attempt`;

export async function insertExport(tx: CommonQueryMethods, row: { integrationId: string; userId: string; url: string; types: readonly string[]; since: string | undefined; keepHours: number }): Promise<ExportRow> {
  return tx.one(sql.type(Row)`
    INSERT INTO record_exports (organization_id, integration_id, user_id, request_url, types, since, transaction_at, expires_at)
    VALUES (${ORGANIZATION}, ${row.integrationId}, ${row.userId}, ${row.url}, ${sql.array([...row.types], 'text')}, ${row.since ?? null},
      -- what a transaction writes has the time when it began: those that are still at work come with the next export
      least(now(), (SELECT min(a.xact_start) FROM pg_stat_activity a WHERE a.datname = current_database())), now() + make_interval(hours => ${row.keepHours})) RETURNING ${COLUMNS}`);
}

export async function findExport(tx: CommonQueryMethods, exportId: string): Promise<ExportRow | undefined> {
  return await tx.maybeOne(sql.type(Row)`SELECT ${COLUMNS} FROM record_exports WHERE organization_id = ${ORGANIZATION} AND export_id = ${exportId} AND expires_at > now()`) ?? undefined;
}

/** The row with an attempt of its own, which nobody else has: who began before writes no more. Undefined: there is nothing to do. */
export async function beginExport(tx: CommonQueryMethods, exportId: string): Promise<ExportRow | undefined> {
  return await tx.maybeOne(sql.type(Row)`
    UPDATE record_exports SET attempt = attempt + 1 WHERE organization_id = ${ORGANIZATION} AND export_id = ${exportId} AND expires_at > now() AND status IN ('queued', 'running') RETURNING ${COLUMNS}`) ?? undefined;
}

export async function countRunningExports(tx: CommonQueryMethods, integrationId: string): Promise<number> {
  return tx.oneFirst(sql.type(z.object({ count: z.number() }))`SELECT count(*)::int AS count FROM record_exports WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} AND status IN ('queued', 'running')`);
}

/** False when it was ended meanwhile, or another attempt began. */
export async function moveExport(tx: CommonQueryMethods, { export_id: exportId, attempt }: Pick<ExportRow, 'export_id' | 'attempt'>, change: { status: 'running' | 'completed' | 'failed'; recordCount: number; outputs?: readonly ExportOutputRow[]; progress?: ExportProgress; errorText?: string }): Promise<boolean> {
  const { rowCount } = await tx.query(sql.typeAlias('void')`
    UPDATE record_exports SET status = ${change.status}, record_count = ${change.recordCount}, outputs = coalesce(${change.outputs ? jsonText(change.outputs) : null}::jsonb, outputs), error_text = ${change.errorText ?? null}, progress = coalesce(${change.progress ? jsonText(change.progress) : null}::jsonb, progress)
    WHERE organization_id = ${ORGANIZATION} AND export_id = ${exportId} AND attempt = ${attempt} AND status IN ('queued', 'running')`);
  return rowCount === 1;
}

export async function deleteExport(tx: CommonQueryMethods, integrationId: string, exportId: string): Promise<boolean> {
  const { rowCount } = await tx.query(sql.typeAlias('void')`DELETE FROM record_exports WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} AND export_id = ${exportId}`);
  return rowCount === 1;
}

/** Removes those that have expired; their files are to follow. */
export async function deleteExpiredExports(tx: CommonQueryMethods): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ export_id: z.string() }))`DELETE FROM record_exports WHERE organization_id = ${ORGANIZATION} AND expires_at <= now() RETURNING export_id`);
  return rows.map((row) => row.export_id);
}

const Pull = z.object({ resource_type: z.string(), read_until: z.date().nullable(), next_run_at: z.date(), failure_count: z.number() });
export type PullRow = z.infer<typeof Pull>;

/** Where the reading of each type stands; a type that is new begins now. */
export async function pullsOf(tx: CommonQueryMethods, integrationId: string, types: readonly string[]): Promise<readonly PullRow[]> {
  await tx.query(sql.typeAlias('void')`
    INSERT INTO record_pulls (organization_id, integration_id, resource_type) SELECT ${ORGANIZATION}, ${integrationId}, type FROM ${sql.unnest(types.map((type) => [type]), ['text'])} AS t(type) ON CONFLICT DO NOTHING`);
  return tx.any(sql.type(Pull)`
    SELECT resource_type, read_until, next_run_at, failure_count FROM record_pulls WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} AND resource_type = ANY(${sql.array([...types], 'text')})
    ORDER BY array_position(${sql.array([...types], 'text')}, resource_type)`);
}

export async function notePulled(tx: CommonQueryMethods, integrationId: string, type: string, pulled: { until: string; read: number; nextRunAt: Date }): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    UPDATE record_pulls SET read_until = greatest(read_until, ${pulled.until}::timestamptz), read_count = read_count + ${pulled.read}, last_run_at = now(), last_ok_at = now(), failure_count = 0, next_run_at = ${pulled.nextRunAt.toISOString()}
    WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} AND resource_type = ${type}`);
}

export async function notePullFailed(tx: CommonQueryMethods, integrationId: string, type: string, failure: { text: string; until?: string | undefined; nextRunAt: Date }): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    UPDATE record_pulls SET read_until = greatest(read_until, ${failure.until ?? null}::timestamptz), last_run_at = now(), failure_count = failure_count + 1, last_error = ${failure.text}, next_run_at = ${failure.nextRunAt.toISOString()}
    WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} AND resource_type = ${type}`);
}

/** Nothing is fetched from the system before this. */
export async function holdPulls(tx: CommonQueryMethods, integrationId: string, until: Date): Promise<void> {
  await tx.query(sql.typeAlias('void')`UPDATE record_pulls SET next_run_at = greatest(next_run_at, ${until.toISOString()}::timestamptz) WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId}`);
}
