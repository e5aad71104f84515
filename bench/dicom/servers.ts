/** The servers of the comparison: started together, each on a port of its own, stopped at the end. A peer that is not installed is left out. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Server { readonly name: string; readonly durability: string; readonly port: number; readonly process: ChildProcess }

const PLUGIN = '/usr/share/orthanc/plugins/libOrthancPostgreSQLIndex.so';
const has = (command: string): boolean => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;

interface Kind { readonly name: string; readonly durability: string; readonly available: () => boolean; start(port: number, directory: string, database: URL): ChildProcess }

const node = (script: string, port: number, directory: string, database: URL): ChildProcess => spawn(process.execPath, [path.join(import.meta.dirname, script), `port=${port}`, `dir=${directory}`], {
  env: { ...process.env, DATABASE_URL: database.href, UV_THREADPOOL_SIZE: '16' }, stdio: ['ignore', 'ignore', 'inherit'],
});

function orthanc(port: number, directory: string, postgres: URL | undefined): ChildProcess {
  const file = path.join(directory, 'orthanc.json');
  writeFileSync(file, JSON.stringify({
    Name: 'bench', StorageDirectory: directory, IndexDirectory: directory, DicomPort: port, HttpServerEnabled: false, RemoteAccessAllowed: false, DicomCheckCalledAet: false, DicomAlwaysAllowStore: true,
    MaximumPduLength: 131072, UnknownSopClassAccepted: true, Plugins: postgres ? [PLUGIN] : [],
    ...(postgres ? { PostgreSQL: { EnableIndex: true, EnableStorage: false, Host: postgres.hostname, Port: Number(postgres.port), Database: 'orthanc', Username: postgres.username, Password: decodeURIComponent(postgres.password), Lock: false, IndexConnectionsCount: 5 } } : {}),
  }));
  return spawn('Orthanc', [file], { stdio: 'ignore', env: { ...process.env, TCP_NODELAY: '1' } });
}

const KINDS: readonly Kind[] = [
  { name: 'medscan', durability: 'file and directory fsync, rows, audit and job committed', available: () => true, start: (port, directory, database) => node('../gateway.ts', port, directory, database) },
  { name: 'floor', durability: 'our upper layer and store alone: file and directory fsync, no database', available: () => true, start: (port, directory, database) => node('floor.ts', port, directory, database) },
  { name: 'orthanc-postgresql', durability: 'file fdatasync, PostgreSQL commit', available: () => has('Orthanc') && existsSync(PLUGIN), start: (port, directory, database) => orthanc(port, directory, database) },
  { name: 'orthanc-sqlite', durability: 'file fdatasync, SQLite WAL NORMAL', available: () => has('Orthanc'), start: (port, directory) => orthanc(port, directory, undefined) },
  { name: 'storescp', durability: 'page cache', available: () => has('storescp'), start: (port, directory) => spawn('storescp', ['--fork', '+B', '+xa', '-pdu', '131072', '-od', directory, String(port)], { stdio: 'ignore', env: { ...process.env, TCP_NODELAY: '1' } }) },
];

export async function startServers(names: readonly string[], directory: string, database: URL): Promise<Server[]> {
  const servers: Server[] = [];
  for (const kind of KINDS.filter((candidate) => names.includes(candidate.name))) {
    if (!kind.available()) {
      console.log(`${kind.name}: not installed here, left out`);
      continue;
    }
    const home = path.join(directory, kind.name);
    mkdirSync(home, { recursive: true });
    const port = await freePort();
    const server = { name: kind.name, durability: kind.durability, port, process: kind.start(port, home, database) };
    servers.push(server);
    await listening(server);
  }
  return servers;
}

export async function stopServers(servers: readonly Server[]): Promise<void> {
  await Promise.all(servers.map(async (server) => {
    server.process.kill('SIGTERM');
    await Promise.race([new Promise((resolve) => { server.process.once('exit', resolve); }), sleep(15_000)]);
    server.process.kill('SIGKILL');
  }));
}

/** CPU seconds and peak resident bytes of a server, its children included where they are still alive. */
export function usage(server: Server): { cpuSeconds: number; peakBytes: number } {
  try {
    const fields = readFileSync(`/proc/${server.process.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${server.process.pid}/status`, 'utf8'));
    return { cpuSeconds: [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index]), 0) / 100, peakBytes: Number(peak?.[1] ?? 0) * 1024 };
  } catch {
    return { cpuSeconds: 0, peakBytes: 0 };
  }
}

async function listening(server: Server): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (server.process.exitCode !== null) throw new Error(`${server.name} ended with code ${server.process.exitCode} before it listened`);
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = net.connect(server.port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
      socket.once('error', () => resolve(false));
    });
    if (isOpen) return;
    await sleep(100);
  }
  throw new Error(`${server.name} did not listen within 30 s`);
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => { server.once('listening', resolve); });
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => { server.close(resolve); });
  return port;
}
