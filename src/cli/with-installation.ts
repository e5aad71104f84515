import { loadConfig } from '../config.ts';
import { openInstallation, type Installation } from '../installation.ts';
import { createLog } from '../log.ts';

/** Runs a short command against the installation, which may be in use by a gateway meanwhile. Only warnings are logged, to standard error. */
export async function withInstallation<T>(work: (installation: Installation) => Promise<T>): Promise<T> {
  const config = loadConfig();
  const quiet = config.logLevel === 'info' ? 'warn' : config.logLevel;
  const installation = await openInstallation(config, createLog({ logLevel: quiet }, process.stderr));
  try {
    return await work(installation);
  } finally {
    await installation.close();
  }
}
