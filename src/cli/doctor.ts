import { loadConfig } from '../config.ts';
import { ConfigError } from '../config.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../db/embedded-postgres.ts';
import { createLog } from '../log.ts';
import { explain } from './explain.ts';
import { checkDatabase } from './doctor-database.ts';
import { checkKeys, checkPorts, checkRuntime, checkStorage, checkTls } from './doctor-machine.ts';

/** One thing looked at. `advice` says what to do when it is not ok. */
export interface Check { readonly name: string; readonly status: 'ok' | 'warning' | 'failed'; readonly detail: string; readonly advice?: string }

/** Checks the installation and changes nothing in it. Exit code 1 when something failed; warnings alone are 0. */
export async function doctor({ json }: { readonly json?: true }): Promise<void> {
  const checks = await examine();
  console.log(json ? JSON.stringify(checks, undefined, 2) : checks.map(line).join('\n'));
  const failed = checks.filter(({ status }) => status === 'failed').length;
  const warnings = checks.filter(({ status }) => status === 'warning').length;
  if (!json) console.log(failed + warnings === 0 ? '\nAll is well.' : `\n${failed} failed, ${warnings} to look at.`);
  process.exitCode = failed > 0 ? 1 : 0;
}

async function examine(): Promise<Check[]> {
  let config;
  try {
    config = loadConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map((problem) => ({ name: 'settings', status: 'failed', detail: problem, advice: 'Correct the variable; medscan --help lists all of them.' }));
  }
  const machine = [checkRuntime(), ...await checkStorage(config), ...await checkKeys(config), ...await checkPorts(config), ...checkTls(config)];
  let embedded: EmbeddedPostgres | undefined;
  try {
    embedded = config.databaseUrl ? undefined : await startEmbeddedPostgres({ home: config.home, log: createLog({ logLevel: 'silent' }) });
    return [...machine, ...await checkDatabase(config.databaseUrl ?? embedded!.ownerUrl, embedded !== undefined)];
  } catch (error) {
    return [...machine, { name: 'database', status: 'failed', detail: explain(error), advice: config.databaseUrl ? 'Check DATABASE_URL and that the server runs.' : `Look into ${config.home}/postgres/server.log, or set DATABASE_URL.` }];
  } finally {
    await embedded?.stop();
  }
}

function line({ name, status, detail, advice }: Check): string {
  const label = { ok: 'ok     ', warning: 'WARNING', failed: 'FAILED ' }[status];
  return `${label}  ${name.padEnd(12)} ${detail}${advice && status !== 'ok' ? `\n${' '.repeat(22)}${advice}` : ''}`;
}
