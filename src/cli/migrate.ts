import { loadConfig } from '../config.ts';
import { migrationsDirectory } from '../installation.ts';
import { withInstallation } from './with-installation.ts';

export async function migrateCommand({ check }: { readonly check?: true }): Promise<void> {
  if (check) return reportDue();
  await withInstallation(({ migrated }) => {
    console.log(migrated.length === 0 ? 'The database is up to date.' : `Applied:\n${migrated.map((id) => `  ${id}`).join('\n')}`);
    return Promise.resolve();
  });
}

async function reportDue(): Promise<void> {
  const [{ startEmbeddedPostgres }, { migrate }, { createLog }] = await Promise.all([import('../db/embedded-postgres.ts'), import('../db/migrate.ts'), import('../log.ts')]);
  const config = loadConfig();
  const embedded = config.databaseUrl ? undefined : await startEmbeddedPostgres({ home: config.home, log: createLog({ logLevel: 'warn' }, process.stderr) });
  try {
    const due = await migrate(config.databaseUrl ?? embedded!.ownerUrl, { directory: migrationsDirectory, check: true });
    console.log(due.length === 0 ? 'The database is up to date.' : `Due:\n${due.map((id) => `  ${id}`).join('\n')}`);
    process.exitCode = due.length === 0 ? 0 : 1;
  } finally {
    await embedded?.stop();
  }
}
