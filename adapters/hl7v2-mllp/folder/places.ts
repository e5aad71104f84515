/**
 * Where files are exchanged: MEDSCAN_FOLDERS/<folder>, with done/ and refused/ in it. A setting names one folder below that directory and never
 * a path; nothing that is a link is followed, so that who may write there cannot make the gateway read or overwrite a file elsewhere.
 */
import { constants } from 'node:fs';
import { lstat, mkdir, open, realpath, rename, stat } from 'node:fs/promises';
import path from 'node:path';

export interface Places { readonly inbox: string; readonly done: string; readonly refused: string }

/** The folder cannot be used. The text holds no name of a file. */
export class FolderError extends Error {
  constructor(text: string) { super(text); this.name = 'FolderError'; }
}

export const folderName = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** Makes what is missing below `root`. Throws FolderError. */
export async function openPlaces(root: string, folder: string): Promise<Places> {
  const inbox = await ownDirectory(root, folder);
  return { inbox, done: await ownDirectory(inbox, 'done'), refused: await ownDirectory(inbox, 'refused') };
}

/** `name` directly in `parent`, a directory and no link. */
export async function ownDirectory(parent: string, name: string): Promise<string> {
  if (!folderName.test(name)) throw new FolderError('The name of a folder is made of letters, digits, - and _');
  try {
    const directory = path.join(await realpath(parent), name);
    await mkdir(directory, { mode: 0o770 }).catch((error: unknown) => { if (codeOf(error) !== 'EEXIST') throw error; });
    if (!(await lstat(directory)).isDirectory()) throw new FolderError(`${name} is no directory (links are not followed)`);
    return directory;
  } catch (error) {
    if (error instanceof FolderError) throw error;
    throw new FolderError(`The folder ${name} cannot be used (${codeOf(error)})`);
  }
}

/** A folder belongs to one organization. Throws FolderError when integrations of others name it too. */
export async function refuseShared(root: string, folder: string, others: readonly string[]): Promise<void> {
  if (await isShared(root, folder, others)) throw new FolderError('An integration of another organization names the same folder; nothing is read from it or written to it until one of them names another');
}

/** By its name, or because the file system has one directory under both names (letter case, a mount): the folder itself, or where its files are moved to. */
export async function isShared(root: string, folder: string, others: readonly string[]): Promise<boolean> {
  if (others.length === 0 || others.includes(folder)) return others.length > 0;
  const ours = await identitiesOf(path.join(root, folder));
  const theirs = await Promise.all(others.map((other) => identitiesOf(path.join(root, other))));
  return theirs.flat().some((identity) => ours.includes(identity));
}

async function identitiesOf(directory: string): Promise<readonly string[]> {
  const found = await Promise.all([directory, path.join(directory, 'done'), path.join(directory, 'refused')].map((each) => stat(each, { bigint: true }).catch(() => undefined)));
  return found.flatMap((stats) => (stats?.isDirectory() ? [`${stats.dev}:${stats.ino}`] : []));
}

/** Whole or not at all, and durable when it resolves: written beside under a name that nobody reads, synced, renamed, directory synced. */
export async function writeWhole(directory: string, name: string, content: Buffer): Promise<void> {
  const unfinished = path.join(directory, `.${name}.writing`);
  // O_NOFOLLOW: a link that waits under this name is refused, not written through.
  const handle = await open(unfinished, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, 0o660);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(unfinished, path.join(directory, name));
  await syncDirectory(directory);
}

export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY);
  try { await handle.sync(); } finally { await handle.close(); }
}

export const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'unknown';
