import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { organizationsNamed } from '../db/operator-reads.ts';
import { restoreIdentity } from '../pipeline/index.ts';
import { CommandError } from './explain.ts';
import { withInstallation } from './with-installation.ts';

/** DICOM files that came back from a model of others: UIDs, patient and study are put back, and the files written under their names. What was never sent is refused. */
export async function reidentifyCommand(files: readonly string[], options: { readonly organization?: string; readonly output: string }): Promise<void> {
  await withInstallation(async ({ database, keys }) => {
    const organizations = await organizationsNamed(database, options.organization);
    const [organization] = organizations;
    if (organization === undefined || organizations.length > 1) throw new CommandError(organization === undefined ? 'There is no such organization.' : 'There are several organizations: say which one with --organization.');
    await mkdir(options.output, { recursive: true });
    for (const file of files) {
      const restored = await restoreIdentity({ database, keys }, organization.organization_id, await readFile(file), 'medscan reidentify').catch((error: unknown) => { throw new CommandError(`${file}: ${error instanceof Error ? error.message : String(error)}`); });
      if (restored === undefined) throw new CommandError(`${file}: no UID in it was ever sent by ${organization.name}; it is left alone.`);
      const target = path.join(options.output, path.basename(file));
      await writeFile(target, restored.file, { flag: 'wx', mode: 0o600 }).catch((error: NodeJS.ErrnoException) => { throw error.code === 'EEXIST' ? new CommandError(`${target} is there already; it is not overwritten.`) : error; });
      console.log(`${target}: ${restored.restoredUids} UIDs and ${restored.restoredElements} attributes restored`);
    }
  });
}
