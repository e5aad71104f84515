/**
 * PostgreSQL refuses to run as root. Started by root (a container, a CI machine), the embedded server runs as an unprivileged account that
 * already exists, and its files live where that account can reach them.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chown, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { EmbeddedPostgresError } from './embedded-binaries.ts';

export interface ServerAccount { readonly name: string; readonly uid: number; readonly gid: number }

/** The account to run the server as; undefined when this process is not root and simply runs it itself. */
export async function serverAccount(): Promise<ServerAccount | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const entries = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const name of ['postgres', 'nobody']) {
    const entry = entries.find((fields) => fields[0] === name);
    if (entry) return { name, uid: Number(entry[2]), gid: Number(entry[3]) };
  }
  throw new EmbeddedPostgresError('PostgreSQL does not run as root and this system has neither an account postgres nor nobody. Start as a normal user, or set DATABASE_URL.');
}

/**
 * Where the server's files are: under `home`, or in /var/lib/medscan when the server's account may not pass a directory above `home`.
 * Once a database is in one of the two places it stays there, whatever becomes of the directories' modes.
 */
export async function serverDirectory(home: string, account: ServerAccount | undefined): Promise<string> {
  const wanted = path.join(path.resolve(home), 'postgres');
  const elsewhere = path.join('/var/lib/medscan', createHash('sha256').update(wanted).digest('hex').slice(0, 12));
  if (existsSync(path.join(wanted, 'data'))) {
    if (account && !await canPass(wanted, account)) throw new EmbeddedPostgresError(`The database is in ${wanted}, but the account ${account.name}, which runs PostgreSQL for root, may not enter a directory above it. Allow that (chmod o+x), or start as the user who started it before.`);
    return wanted;
  }
  if (existsSync(elsewhere)) {
    if (!account) throw new EmbeddedPostgresError(`The database of ${home} was made by root and is in ${elsewhere}. Start as root again, or choose another MEDSCAN_HOME.`);
    return elsewhere;
  }
  return !account || await canPass(path.dirname(wanted), account) ? wanted : elsewhere;
}

export async function giveTo(account: ServerAccount | undefined, file: string): Promise<void> {
  if (account) await chown(file, account.uid, account.gid);
}

async function canPass(directory: string, account: ServerAccount): Promise<boolean> {
  for (let at = directory; ; at = path.dirname(at)) {
    const { mode, uid, gid } = await stat(at);
    const execute = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & execute) === 0) return false;
    if (path.dirname(at) === at) return true;
  }
}
