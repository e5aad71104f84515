/** The monthly partitions of sync_logs, audit_logs and system_metrics: made ahead, as the owner, at every start and once a day. Old ones of metrics, which hold nothing of patients, end then. */
import pg from 'pg';

/** Metrics of this month and so many before it are kept. */
export const KEEP_METRICS_MONTHS = 13;

/** Makes the partitions of the coming months that are missing; returns how many. Rows outside every month go to the default partition. */
export async function ensurePartitions(ownerUrl: string): Promise<number> {
  const client = new pg.Client({ connectionString: ownerUrl, application_name: 'medscan partitions' });
  await client.connect();
  try {
    const { rows } = await client.query<{ made: number }>('SELECT medscan_ensure_partitions() AS made');
    await dropOldMetrics(client);
    return rows[0]!.made;
  } finally {
    await client.end();
  }
}

/** Somebody who reads all tables (pg_dump) holds them for as long as that takes, and another node may drop the same at this moment. No start waits or fails for that; the next day has it done. */
async function dropOldMetrics(client: pg.Client): Promise<void> {
  try {
    await client.query("SET lock_timeout = '2s'");
    await client.query('SELECT medscan_drop_old_metrics($1)', [KEEP_METRICS_MONTHS]);
  } catch (error) {
    if (!NOT_NOW.has((error as { code?: string }).code ?? '')) throw error;
  }
}
/** lock_not_available, deadlock_detected, undefined_table. */
const NOT_NOW: ReadonlySet<string> = new Set(['55P03', '40P01', '42P01']);
