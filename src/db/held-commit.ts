/**
 * Statements whose commit waits for something outside the database. By the extended query protocol a statement's transaction lasts until
 * Sync: Execute now, Sync when the other thing has happened.
 *
 *   Bind, Execute, Flush --rows are written, locks are held--> [more statements] --> wait for `until` --Sync--> committed
 *
 * Against BEGIN, statement, COMMIT that is one round trip less, on the path where each object pays for them. The pool of the rest (pool.ts)
 * has no way to leave out the Sync, so these connections are the driver's own, few, and used for nothing else.
 */
import pg, { type Connection, type Submittable } from 'pg';
import type { Log } from '../log.ts';

export interface HeldStatement { readonly name: string; readonly text: string; readonly values: readonly string[] }
export type Execute = (statement: HeldStatement) => Promise<readonly TextRow[]>;
/** Values as text, column by column. */
export type TextRow = readonly (string | null)[];

export interface HeldCommits {
  /**
   * Resolves with the rows when they are committed. When `until` or `then` rejects, or no answer comes in time, nothing is written and it rejects.
   * What `then` executes, knowing the rows, is part of the same transaction.
   */
  run(statement: HeldStatement, until: Promise<unknown>, then?: (rows: readonly TextRow[], execute: Execute) => Promise<unknown>): Promise<readonly TextRow[]>;
  close(): Promise<void>;
}

const MOST_CONNECTIONS = 4;

export function createHeldCommits(appUrl: string, log: Pick<Log, 'warn'>, silenceMilliseconds: number): HeldCommits {
  const pool = new pg.Pool({ connectionString: appUrl, max: MOST_CONNECTIONS, idleTimeoutMillis: 60_000, connectionTimeoutMillis: 5_000, statement_timeout: 30_000 });
  pool.on('error', (error) => { log.warn({ err: error }, 'a database connection was lost'); });
  // While a connection is lent the pool does not listen, and an 'error' that nobody listens to ends the process. The statement tells.
  pool.on('connect', (client) => { client.on('error', () => {}); });
  const turns = new Turns(MOST_CONNECTIONS);
  return {
    async run(statement, until, then) {
      until.catch(() => {});
      await turns.begin();
      const client = await pool.connect().catch((error: unknown) => {
        turns.end();
        throw error;
      });
      let isLost = false;
      try {
        const exchange = client.query(new HeldExchange(statement));
        const rows = await within(silenceMilliseconds, exchange.executed);
        if (then) await then(rows, (next) => within(silenceMilliseconds, exchange.execute(next)));
        await until;
        exchange.commit();
        await within(silenceMilliseconds, exchange.ended);
        return rows;
      } catch (error) {
        // Refused by the server: rolled back. Anything else leaves the transaction open: the connection goes, and takes it along.
        isLost = !(error instanceof pg.DatabaseError);
        throw error;
      } finally {
        client.release(isLost);
        turns.end();
      }
    },
    close: () => pool.end(),
  };
}

/** The pool refuses whoever waits longer for a connection than connecting may take; here disks may keep all of them for as long as they like. */
class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) { this.#free = count; }

  async begin(): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => { this.#waiting.push(resolve); });
  }

  end(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free += 1;
  }
}

/** The driver's side of one exchange: it calls the handlers as messages come (pg: Client, Submittable). One statement runs at a time. */
class HeldExchange implements Submittable {
  /** Of the statement that runs: the driver notes under this name that it is parsed. */
  name: string;
  text: string;
  executed: Promise<readonly TextRow[]>;
  readonly ended: Promise<void>;
  readonly #first: HeldStatement;
  readonly #ended = Promise.withResolvers<void>();
  #rows: TextRow[] = [];
  #executed = Promise.withResolvers<readonly TextRow[]>();
  #connection: ProtocolConnection | undefined;
  #isSynced = false;

  constructor(first: HeldStatement) {
    this.#first = first;
    this.name = first.name;
    this.text = first.text;
    this.executed = this.#executed.promise;
    this.ended = this.#ended.promise;
    this.executed.catch(() => {});
    this.ended.catch(() => {});
  }

  submit(driver: Connection): void {
    this.#connection = driver as unknown as ProtocolConnection;
    this.#send(this.#first);
  }

  /** The next statement of the same transaction. The one before must have been executed. */
  execute(statement: HeldStatement): Promise<readonly TextRow[]> {
    this.#executed = Promise.withResolvers();
    this.executed = this.#executed.promise;
    this.#rows = [];
    this.name = statement.name;
    this.text = statement.text;
    this.#send(statement);
    return this.executed;
  }

  commit(): void {
    this.#isSynced = true;
    this.#connection!.sync();
  }

  #send({ name, text, values }: HeldStatement): void {
    const connection = this.#connection!;
    connection.stream.cork();
    if (connection.parsedStatements[name] === undefined) connection.parse({ name, text });
    connection.bind({ statement: name, values });
    connection.execute({});
    connection.flush();
    connection.stream.uncork();
  }

  handleDataRow({ fields }: { fields: TextRow }): void { this.#rows.push(fields); }
  handleCommandComplete(): void { this.#executed.resolve(this.#rows); }
  handleReadyForQuery(): void { this.#ended.resolve(); }
  handleError(error: Error): void {
    this.#executed.reject(error);
    this.#ended.reject(error);
    if (!this.#isSynced) this.commit(); // the server skips everything until then
  }
  handleEmptyQuery(): void { /* the text is never empty */ }
  handleRowDescription(): void { /* not asked for */ }
}

/** What the driver's connection can do beyond its published types. */
interface ProtocolConnection {
  readonly stream: { cork(): void; uncork(): void };
  readonly parsedStatements: Readonly<Record<string, string>>;
  parse(query: { name: string; text: string }): void;
  bind(config: { statement: string; values: readonly string[] }): void;
  execute(config: object): void;
  flush(): void;
  sync(): void;
}

async function within<T>(milliseconds: number, answer: Promise<T>): Promise<T> {
  const { promise: silence, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => { reject(Object.assign(new Error(`the database did not answer within ${milliseconds} ms`), { code: '08006' })); }, milliseconds);
  try {
    return await Promise.race([answer, silence]);
  } finally {
    clearTimeout(timer);
  }
}
