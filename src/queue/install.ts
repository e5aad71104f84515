/**
 * Creates or updates pg-boss's schema and our queues, as the owner of the database; the gateway itself then works with the
 * application role, which may use the tables but not change them.
 */
import pg from 'pg';
import { PgBoss } from 'pg-boss';
import { QUEUES } from './queues.ts';

export const QUEUE_SCHEMA = 'pgboss';

export async function installQueues(ownerUrl: string): Promise<void> {
  const boss = new PgBoss({ connectionString: ownerUrl, schema: QUEUE_SCHEMA, max: 2, supervise: false, schedule: false });
  boss.on('error', () => {});
  await boss.start();
  try {
    const existing = new Set((await boss.getQueues()).map((queue) => queue.name));
    for (const queue of Object.values(QUEUES)) {
      const { name, policy, ...options } = queue;
      if (existing.has(name)) await boss.updateQueue(name, { ...options });
      else await boss.createQueue(name, { ...options, policy, notify: true });
    }
  } finally {
    await boss.stop({ graceful: false, close: true });
  }
  await grantToApplication(ownerUrl);
}

async function grantToApplication(ownerUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  try {
    const { rowCount } = await client.query("SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app'");
    if (rowCount === 0) return;
    await client.query(`
      GRANT USAGE ON SCHEMA ${QUEUE_SCHEMA} TO medscan_app;
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${QUEUE_SCHEMA} TO medscan_app;
      GRANT USAGE ON ALL SEQUENCES IN SCHEMA ${QUEUE_SCHEMA} TO medscan_app;
      GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ${QUEUE_SCHEMA} TO medscan_app`);
  } finally {
    await client.end();
  }
}
