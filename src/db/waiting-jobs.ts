/** How many jobs wait, from the jobs themselves: the queue's own statistics may be an hour old where no worker runs. */
import { z } from 'zod';
import { sql, type Database } from './pool.ts';
import { asSystem } from './transaction.ts';

/** Counts no further than `most`. */
export function countWaitingJobs(database: Database, schema: string, queues: readonly string[], most: number): Promise<number> {
  return asSystem(database, 'count waiting jobs', (tx) => tx.oneFirst(sql.type(z.object({ count: z.number() }))`
    SELECT count(*)::int AS count FROM (SELECT FROM ${sql.identifier([schema, 'job'])} WHERE name = ANY(${sql.array([...queues], 'text')}) AND state IN ('created', 'retry') LIMIT ${most}) waiting`));
}
