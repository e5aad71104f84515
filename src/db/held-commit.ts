/**
 * One statement whose commit waits for something outside the database. By the extended query protocol a statement's transaction lasts until
 * Sync: Execute now, Sync when the other thing has happened.
 *
 *   Bind, Execute, Flush --rows are written, locks are held--> wait for `until` --Sync--> committed
 *
 * Against BEGIN, statement, COMMIT that is one round trip less, on the path where each object pays for them. The pool of the rest (pool.ts)
 * has no way to leave out the Sync, so these connections are the driver's own, few, and used for nothing else.
 */
import pg, { type Connection, type Submittable } from 'pg';
import type { Log } from '../log.ts';

export interface HeldStatement { readonly name: string; readonly text: string; readonly values: readonly string[] }
/** Values as text, column by column. */
export type TextRow = readonly (string | null)[];

export interface HeldCommits {
  /** Resolves with the rows when they are committed. When `until` rejects, or no answer comes in time, nothing is written and it rejects. */
  run(statement: HeldStatement, until: Promise<unknown>): Promise<readonly TextRow[]>;
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
    async run(statement, until) {
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

/** The driver's side of one exchange: it calls the handlers as messages come (pg: Client, Submittable). */
class HeldExchange implements Submittable {
  readonly name: string;
  readonly text: string;
  readonly executed: Promise<readonly TextRow[]>;
  readonly ended: Promise<void>;
  readonly #values: readonly string[];
  readonly #rows: TextRow[] = [];
  readonly #executed = Promise.withResolvers<readonly TextRow[]>();
  readonly #ended = Promise.withResolvers<void>();
  #connection: ProtocolConnection | undefined;
  #isSynced = false;

  constructor({ name, text, values }: HeldStatement) {
    this.name = name;
    this.text = text;
    this.#values = values;
    this.executed = this.#executed.promise;
    this.ended = this.#ended.promise;
    this.executed.catch(() => {});
    this.ended.catch(() => {});
  }

  submit(driver: Connection): void {
    const connection = driver as unknown as ProtocolConnection;
    this.#connection = connection;
    connection.stream.cork();
    if (connection.parsedStatements[this.name] === undefined) connection.parse({ name: this.name, text: this.text });
    connection.bind({ statement: this.name, values: this.#values });
    connection.execute({});
    connection.flush();
    connection.stream.uncork();
  }

  commit(): void {
    this.#isSynced = true;
    this.#connection!.sync();
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
