/** pg-boss as the gateway uses it: application role, no schema changes, errors logged and survived. */
import { PgBoss } from 'pg-boss';
import type { Log } from '../log.ts';
import { QUEUE_SCHEMA } from './install.ts';

export async function startQueue(appUrl: string, log: Log, options: { supervise: boolean }): Promise<PgBoss> {
  const boss = new PgBoss({
    connectionString: appUrl, schema: QUEUE_SCHEMA, max: 4, migrate: false, createSchema: false,
    useListenNotify: true, supervise: options.supervise, schedule: options.supervise, superviseIntervalSeconds: 10, monitorIntervalSeconds: 10,
  });
  // PostgreSQL going away is ordinary weather: pg-boss reconnects by itself, and without these listeners the process would end.
  boss.on('error', (error) => log.warn({ error: error.message }, 'queue error'));
  boss.on('warning', (warning) => log.debug({ warning: String((warning as { message?: unknown }).message ?? '') }, 'queue warning'));
  await boss.start();
  return boss;
}
