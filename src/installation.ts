/**
 * What every role and command starts from: a database that runs, is provisioned and migrated, and the installation's keys.
 */
import path from 'node:path';
import type { Config } from './config.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from './db/embedded-postgres.ts';
import { migrate } from './db/migrate.ts';
import { createDatabase, type Database } from './db/pool.ts';
import { provision } from './db/provision.ts';
import { loadKeys, type Keys } from './db/secrets.ts';
import { createLog, type Log } from './log.ts';
import { installQueues } from './queue/install.ts';

export interface Installation {
  readonly config: Config;
  readonly log: Log;
  readonly database: Database;
  /** Owns the tables: migrations, partitions and the queue's schema. */
  readonly ownerUrl: string;
  /** Works under row level security. */
  readonly appUrl: string;
  readonly keys: Keys;
  /** Undefined with DATABASE_URL. */
  readonly embedded: EmbeddedPostgres | undefined;
  /** Names of the migrations that this call applied. */
  readonly migrated: readonly string[];
  close(): Promise<void>;
}

export const migrationsDirectory = path.join(import.meta.dirname, '..', 'migrations');

/** Starts or adopts the embedded PostgreSQL unless DATABASE_URL is set, provisions, migrates, and connects as the application. */
export async function openInstallation(config: Config, log: Log = createLog(config)): Promise<Installation> {
  const keys = await loadKeys(config);
  const embedded = config.databaseUrl ? undefined : await startEmbeddedPostgres({ home: config.home, log });
  try {
    const ownerUrl = config.databaseUrl ?? embedded!.ownerUrl;
    const { appUrl } = await provision(ownerUrl, keys);
    const migrated = await migrate(ownerUrl, { directory: migrationsDirectory });
    await installQueues(ownerUrl);
    const database = await createDatabase(appUrl, log, { maxPoolSize: config.databasePoolSize });
    return {
      config, log, keys, ownerUrl, appUrl, embedded, migrated, database,
      close: async () => {
        await database.close();
        await embedded?.stop();
      },
    };
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
}
