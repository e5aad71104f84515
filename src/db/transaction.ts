/**
 * The two ways to the tables. Row level security reads app.organization_id, which is set for one transaction, here and by the functions of
 * the hot paths (held-commit.ts, store-messages.ts): without it no row of any tenant is visible or writable.
 */
import { sql, type Database, type Transaction } from './pool.ts';

export type { Transaction } from './pool.ts';

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * One transaction in the name of one organization; commits when `work` resolves, rolls back when it throws. After a deadlock or a
 * serialization failure `work` runs again (up to 5 times): it may only touch the database.
 */
export function inOrganization<T>(database: Database, organizationId: string, work: (tx: Transaction) => Promise<T>): Promise<T> {
  if (!uuid.test(organizationId)) throw new TypeError('An organization id is a UUID.');
  return database.pool.transaction(async (tx) => {
    await tx.query(sql.typeAlias('void')`SELECT set_config('app.organization_id', ${organizationId}, true)`);
    return work(tx);
  });
}

/** The transaction as a database: what runs on it, transactions of its own included (savepoints), is committed or undone with it. */
export function databaseWithin(tx: Transaction): Database {
  const outside = (): never => { throw new Error('a transaction is neither pinged nor closed, and commits nothing by itself'); };
  return { pool: tx as Database['pool'], held: { run: outside, close: outside }, ping: outside, close: outside };
}

/**
 * One transaction before or across organizations: whose AE title, login or token is this; the lists that schedules walk. The policies
 * allow it a few reads and no write of a tenant's row. `reason` is a constant of the code and shows as the application name meanwhile.
 */
export function asSystem<T>(database: Database, reason: string, work: (tx: Transaction) => Promise<T>): Promise<T> {
  return database.pool.transaction(async (tx) => {
    await tx.query(sql.typeAlias('void')`SELECT set_config('app.scope', 'system', true), set_config('application_name', ${`medscan: ${reason}`}, true)`);
    return work(tx);
  });
}
