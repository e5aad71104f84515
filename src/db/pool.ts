/**
 * The connection pool of the application role, and what PostgreSQL's values become here: timestamptz a Date, date 'YYYY-MM-DD',
 * timestamp its text, int8 and numeric a number (int8 refused beyond 2^53), bytea a Buffer, jsonb its value. Rows are checked by the zod schema of
 * `sql.type(schema)`. Queries run inside src/db/transaction.ts, which says for whom.
 */
import { createPool, createSqlTag, createTypeParserPreset, type CommonQueryMethods, type DatabasePool, type Interceptor, type QuerySqlToken } from 'slonik';
import { createPgDriverFactory } from '@slonik/pg-driver';
import { z } from 'zod';
import type { Log } from '../log.ts';
import { createHeldCommits, type Execute, type HeldCommits } from './held-commit.ts';

export const sql = createSqlTag({ typeAliases: { void: z.object({}) } });

/** What a query needs; the `tx` that inOrganization and asSystem hand to their work. */
export type Transaction = CommonQueryMethods;

export interface Database {
  /** Only src/db queries it; everything else works inside inOrganization or asSystem. */
  readonly pool: DatabasePool;
  readonly held: HeldCommits;
  /** Milliseconds of a round trip; throws when the database does not answer. */
  ping(): Promise<number>;
  /** Waits for running transactions, then closes the connections. */
  close(): Promise<void>;
}

/** A row that is not what the query's schema promises. Says where, not what: the row itself may hold a patient. */
export class RowMismatchError extends Error {
  readonly statement: string;
  constructor(statement: string, issues: readonly { readonly message: string; readonly path?: readonly unknown[] | undefined }[]) {
    const places = issues.map((issue) => `${(issue.path ?? []).map(columnName).join('.')}: ${issue.message}`).join('; ');
    super(`A row is not as its query promises (${places}).`);
    this.name = 'RowMismatchError';
    this.statement = statement;
  }
}

export interface DatabaseOptions {
  readonly maxPoolSize?: number;
  readonly statementTimeoutMilliseconds?: number;
  /** Without an answer for so long a statement fails and its connection is given up; longer than the server's own limit above. */
  readonly silenceMilliseconds?: number;
}

/** Connects once to learn the types, so it throws when the database is away; later losses are survived, each query reports its own. */
export async function createDatabase(appUrl: string, log: Pick<Log, 'warn'>, options: DatabaseOptions = {}): Promise<Database> {
  const pool = await createPool(withApplicationName(appUrl), {
    maxPoolSize: options.maxPoolSize ?? 20,
    idleTimeout: 30_000,
    connectionTimeout: 5_000,
    connectionRetryLimit: 0,
    statementTimeout: options.statementTimeoutMilliseconds ?? 30_000,
    captureStackTrace: false,
    driverFactory: answeringWithin(options.silenceMilliseconds ?? 40_000),
    // Settings are local to a transaction (transaction.ts), so a connection is clean when it comes back: no DISCARD ALL.
    resetConnection: async () => undefined,
    interceptors: [preparedStatements, resultParser],
    typeParsers: [...createTypeParserPreset().filter(({ name }) => !replaced.has(name)), ...typeParsers],
  });
  pool.on('error', (error) => { log.warn({ err: error }, 'a database connection was lost'); });
  const held = createHeldCommits(withApplicationName(appUrl), log, options.silenceMilliseconds ?? 40_000);
  return {
    pool,
    held,
    ping: async () => {
      const started = performance.now();
      await pool.query(sql.typeAlias('void')`SELECT`);
      return performance.now() - started;
    },
    close: async () => {
      await Promise.all([pool.end(), held.close()]);
    },
  };
}

/** pg-boss's `db` option over a transaction: a job sent with it exists exactly when the transaction commits. */
export function bossDb(tx: Transaction): { executeSql(text: string, values?: unknown[]): Promise<{ rows: unknown[] }> } {
  return {
    executeSql: async (text, values = []) => {
      const token = { ...sql.unsafe`SELECT`, sql: text, values } as unknown as QuerySqlToken;
      const { rows } = await tx.query(token);
      return { rows: [...rows] };
    },
  };
}

/** The same within a held commit. */
export function heldBossDb(execute: Execute): { executeSql(text: string, values?: unknown[]): Promise<{ rows: unknown[] }> } {
  return {
    executeSql: async (text, values = []) => {
      await execute({ name: statementName(text) ?? '', text, values: values as string[] });
      return { rows: [] };
    },
  };
}

/**
 * Names every statement by its text, so that PostgreSQL parses and plans it once per connection instead of at each call: half the time of
 * a short transaction. The texts are those of the code (values are bound), so there are as many names as statements. LISTEN apart, this
 * and tenant settings local to a transaction are why a pooler in front must pool sessions.
 */
const statementNames = new Map<string, string>();
const preparedStatements: Interceptor = {
  name: 'prepared-statements',
  transformQuery: (_context, query) => {
    const name = statementName(query.sql);
    return name === undefined || query.name ? query : { ...query, name };
  },
};
function statementName(text: string): string | undefined {
  let name = statementNames.get(text);
  if (name === undefined && statementNames.size < mostStatementNames) statementNames.set(text, name = `medscan_${statementNames.size}`);
  return name;
}
/** Lists that a caller filters freely have more texts than are worth a plan. */
const mostStatementNames = 500;

/** slonik leaves checking to an interceptor, and its own SchemaValidationError would carry the row and the bound values into logs. */
const resultParser: Interceptor = {
  name: 'result-parser',
  transformRowAsync: async (context, query, row) => {
    if (!context.resultParser) return row;
    const result = await context.resultParser['~standard'].validate(row);
    if (result.issues) throw new RowMismatchError(query.sql, result.issues);
    return result.value as typeof row;
  },
};

/**
 * The server's statement timeout ends what the server knows of. A server that is frozen, or a connection that was dropped without a word,
 * says nothing at all, and whoever waits for it would wait for as long as TCP does: a quarter of an hour.
 */
function answeringWithin(milliseconds: number): ReturnType<typeof createPgDriverFactory> {
  const createDriver = createPgDriverFactory();
  return async (setup) => {
    const driver = await createDriver(setup);
    return {
      createClient: async () => {
        const client = await driver.createClient();
        const query: typeof client.query = async (...statement) => {
          const { promise: silence, reject } = Promise.withResolvers<never>();
          const timer = setTimeout(() => {
            reject(Object.assign(new Error(`the database did not answer within ${milliseconds} ms`), { code: '08006' }));
            client.destroy().catch(() => undefined);
          }, milliseconds);
          try {
            return await Promise.race([client.query(...statement), silence]);
          } finally {
            clearTimeout(timer);
          }
        };
        return { ...client, query };
      },
    };
  };
}

const replaced = new Set(['date', 'int8', 'interval', 'numeric', 'timestamp', 'timestamptz']);
const typeParsers = [
  { name: 'timestamptz', parse: (text: string) => new Date(text) as unknown as string },
  { name: 'timestamp', parse: (text: string) => text },
  { name: 'date', parse: (text: string) => text },
  { name: 'interval', parse: (text: string) => text },
  { name: 'numeric', parse: Number },
  { name: 'int8', parse: safeInteger },
];

function safeInteger(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number)) throw new RangeError('an int8 value is beyond 2^53; select it as text');
  return number;
}

function columnName(step: unknown): string {
  return String(typeof step === 'object' && step !== null && 'key' in step ? step.key : step);
}

function withApplicationName(url: string): string {
  const parsed = new URL(url);
  if (!parsed.searchParams.has('application_name')) parsed.searchParams.set('application_name', 'medscan');
  return parsed.href;
}
