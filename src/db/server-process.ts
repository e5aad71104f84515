/** What tells from outside whether, where and under which number the embedded PostgreSQL runs: its files and the system's process table. */
import { readFile, readlink, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const staleAfterMilliseconds = 240_000; // longer than any start takes

/** The port of last time if it is free, else another, which is then kept. On the loopback interface. */
export async function choosePort(directory: string): Promise<number> {
  const file = path.join(directory, 'port');
  const before = Number(await readFile(file, 'utf8').catch(() => '0'));
  const port = await freePort(before).catch(() => freePort(0));
  await writeFile(file, `${port}\n`);
  return port;
}

async function freePort(wanted: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer().once('error', reject);
  server.listen(wanted, '127.0.0.1', () => {
    const address = server.address();
    server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
  });
  return promise;
}

/** What the running, or crashed, server wrote about itself into its data directory; undefined when there is none. */
export async function readPostmasterFile(data: string): Promise<{ processId: number; port: number } | undefined> {
  const lines = (await readFile(path.join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n');
  const [processId, port] = [Number(lines[0]), Number(lines[3])];
  return processId && port ? { processId, port } : undefined;
}

/** Whether this process number is a server on our data directory, and not another program that got the number later. */
export async function isServerOn(data: string, processId: number): Promise<boolean> {
  if (!isAlive(processId)) return false;
  if (process.platform !== 'linux') return true;
  const workingDirectory = await readlink(`/proc/${processId}/cwd`).catch((error: NodeJS.ErrnoException) => error.code === 'EACCES' ? undefined : '');
  return workingDirectory === undefined || workingDirectory === await realpath(data);
}

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Held only while starting. A lock whose holder is gone is taken over; the holder is known by number and start time, because a container
 * gives the same numbers again after a restart.
 */
export async function whileHoldingStartLock<T>(directory: string, work: () => Promise<T>): Promise<T> {
  const file = path.join(directory, 'starting');
  const own = await nameOf(process.pid);
  for (;;) {
    const taken = await writeFile(file, own, { flag: 'wx' }).then(() => true, (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
      return false;
    });
    if (taken) break;
    const holder = await readFile(file, 'utf8').catch(() => '');
    const age = Date.now() - (await stat(file).catch(() => undefined) ?? { mtimeMs: Date.now() }).mtimeMs;
    // An empty file is one that its holder is just writing, unless it stays empty.
    const stale = holder === '' ? age > 5_000 : age > staleAfterMilliseconds || await nameOf(Number.parseInt(holder, 10)) !== holder;
    if (stale) await rm(file, { force: true });
    else await delay(50);
  }
  return work().finally(() => rm(file, { force: true }));
}

/** Number and, on Linux, start time of a process (proc(5), field 22 of stat); the number alone where it is unknown, '' when there is no such process. */
async function nameOf(processId: number): Promise<string> {
  if (!isAlive(processId)) return '';
  if (process.platform !== 'linux') return `${processId}`;
  const status = await readFile(`/proc/${processId}/stat`, 'utf8').catch(() => '');
  return `${processId} ${status.slice(status.lastIndexOf(')') + 2).split(' ')[19] ?? ''}`;
}
