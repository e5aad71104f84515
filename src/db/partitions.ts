/** The monthly partitions of sync_logs, audit_logs and system_metrics: made ahead, as the owner, at every start and once a day. */
import pg from 'pg';

/** Makes the partitions of the coming months that are missing; returns how many. Rows outside every month go to the default partition. */
export async function ensurePartitions(ownerUrl: string): Promise<number> {
  const client = new pg.Client({ connectionString: ownerUrl, application_name: 'medscan partitions' });
  await client.connect();
  try {
    const { rows } = await client.query<{ made: number }>('SELECT medscan_ensure_partitions() AS made');
    return rows[0]!.made;
  } finally {
    await client.end();
  }
}
