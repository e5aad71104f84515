/**
 * Plain SQL migrations: files NNNN_name.sql in order, one transaction each, their SHA-256 recorded. An applied file that was edited or
 * is gone, and a new one that sorts before an applied one, are refused: the database would not be what the files say.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';

export interface Migration { readonly id: string; readonly sql: string; readonly sha256: string; readonly schemaVersion: string }
interface Applied { readonly id: string; readonly sha256: string }

export class MigrationError extends Error {
  constructor(text: string, options?: ErrorOptions) {
    super(text, options);
    this.name = 'MigrationError';
  }
}

/**
 * Brings the database to the newest file and returns the names of what was applied. With `check` nothing changes and the names are
 * those still to apply. Several processes may call it at once: one works, the others wait and find nothing to do.
 */
export async function migrate(ownerUrl: string, options: { readonly directory: string; readonly check?: boolean }): Promise<string[]> {
  const migrations = await readMigrations(options.directory);
  const client = new pg.Client({ connectionString: ownerUrl, application_name: 'medscan migrate' });
  client.on('error', () => undefined); // reported by the query that was running
  await client.connect();
  try {
    if (options.check) return pending(migrations, await readApplied(client)).map(({ id }) => id);
    await client.query("SELECT pg_advisory_lock(hashtext('medscan.migrate'))");
    await client.query(`CREATE TABLE IF NOT EXISTS schema_migration (id text PRIMARY KEY, sha256 text NOT NULL, schema_version text NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now(), milliseconds integer NOT NULL)`);
    const due = pending(migrations, await readApplied(client));
    for (const migration of due) await apply(client, migration);
    return due.map(({ id }) => id);
  } finally {
    await client.end();
  }
}

export async function readMigrations(directory: string): Promise<Migration[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort();
  const migrations = await Promise.all(names.map(async (id) => {
    if (!/^\d{4}_[\w-]+\.sql$/.test(id)) throw new MigrationError(`Migration ${id}: a migration is named NNNN_name.sql.`);
    const text = (await readFile(path.join(directory, id), 'utf8')).replaceAll('\r\n', '\n');
    return { id, sql: text, sha256: createHash('sha256').update(text).digest('hex'), version: /^-- schema-version: (\d+\.\d+\.\d+)$/m.exec(text)?.[1] };
  }));
  let current: string | undefined;
  return migrations.map(({ version, ...migration }) => {
    current = version ?? current;
    if (!current) throw new MigrationError(`Migration ${migration.id}: the first migration must say its version in a line '-- schema-version: 1.0.0'.`);
    return { ...migration, schemaVersion: current };
  });
}

function pending(migrations: readonly Migration[], applied: readonly Applied[]): Migration[] {
  const files = new Map(migrations.map((migration) => [migration.id, migration]));
  for (const { id, sha256 } of applied) {
    const file = files.get(id);
    if (!file) throw new MigrationError(`Migration ${id} is applied but its file is gone: this is an older or another version of the gateway than the one that made the database.`);
    if (file.sha256 !== sha256) throw new MigrationError(`Migration ${id} was edited after it was applied. Restore the file; put the change into a new migration.`);
  }
  const have = new Set(applied.map(({ id }) => id));
  const last = applied.at(-1)?.id ?? '';
  const due = migrations.filter(({ id }) => !have.has(id));
  const late = due.find(({ id }) => id < last);
  if (late) throw new MigrationError(`Migration ${late.id} sorts before ${last}, which is applied. Give it a higher number.`);
  return due;
}

async function readApplied(client: pg.Client): Promise<Applied[]> {
  const { rows: [found] } = await client.query<{ exists: boolean }>("SELECT to_regclass('schema_migration') IS NOT NULL AS exists");
  return found?.exists ? (await client.query<Applied>('SELECT id, sha256 FROM schema_migration ORDER BY id COLLATE "C"')).rows : [];
}

async function apply(client: pg.Client, { id, sql, sha256, schemaVersion }: Migration): Promise<void> {
  const started = performance.now();
  try {
    await client.query('BEGIN');
    await client.query(sql);
    await client.query('INSERT INTO schema_migration (id, sha256, schema_version, milliseconds) VALUES ($1, $2, $3, $4)',
      [id, sha256, schemaVersion, Math.round(performance.now() - started)]);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw new MigrationError(`Migration ${id} failed and was rolled back: ${(error as Error).message}`, { cause: error });
  }
}
