/** Archives that others wrote, for tests: DCMTK's dcmqrscp and wlmscpfs, and Orthanc. Each on a free port of this machine, in a folder that goes with it. */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../../test/support/free-port.ts';

const run = promisify(execFile);
const isInstalled = (name: string): boolean => [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'].some((directory) => existsSync(join(directory, name)));
const orthanc = existsSync('/usr/sbin/Orthanc') ? '/usr/sbin/Orthanc' : 'Orthanc';

/** Undefined: it is not installed, and said so. */
export function missing(...names: string[]): boolean {
  const absent = names.filter((name) => !isInstalled(name));
  if (absent.length > 0) process.stderr.write(`skipped: ${absent.join(', ')} is not installed\n`);
  return absent.length > 0;
}

export interface Archive {
  readonly port: number;
  readonly aeTitle: string;
  /** Puts files into it by C-STORE. */
  store(...files: string[]): Promise<void>;
  stop(): Promise<void>;
}
/** The AE that the archive may answer and move to. */
export interface KnownAe { readonly aeTitle: string; readonly port: number }

async function listening(port: number, process: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    if (process.exitCode !== null) throw new Error(`the archive ended with ${process.exitCode}`);
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1').on('connect', () => { socket.destroy(); resolve(true); }).on('error', () => { resolve(false); });
    });
    if (isOpen) return;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  throw new Error('the archive does not listen');
}

function stopOf(process: ChildProcess, directory: string): () => Promise<void> {
  return async () => {
    if (process.exitCode === null && process.signalCode === null) {
      const ended = new Promise((resolve) => { process.once('exit', resolve); });
      process.kill('SIGKILL');
      await ended;
    }
    rmSync(directory, { recursive: true, force: true });
  };
}

export async function startDcmqrscp(known: KnownAe, aeTitle = 'ARCHIVE'): Promise<Archive> {
  const directory = mkdtempSync(join(tmpdir(), 'dcmqrscp-'));
  const port = await freePort();
  mkdirSync(join(directory, 'storage'));
  writeFileSync(join(directory, 'dcmqrscp.cfg'), [
    `NetworkTCPPort = ${port}`, 'MaxPDUSize = 16384', 'MaxAssociations = 16', 'HostTable BEGIN', `gateway = (${known.aeTitle}, 127.0.0.1, ${known.port})`, 'HostTable END',
    'VendorTable BEGIN', 'VendorTable END', 'AETable BEGIN', `${aeTitle} ${join(directory, 'storage')} RW (200, 1024mb) ANY`, 'AETable END', '',
  ].join('\n'));
  const child = spawn('dcmqrscp', ['-c', join(directory, 'dcmqrscp.cfg')], { stdio: 'ignore' });
  await listening(port, child);
  return { port, aeTitle, stop: stopOf(child, directory), store: (...files) => storescu(aeTitle, port, files) };
}

async function storescu(aeTitle: string, port: number, files: readonly string[], options: readonly string[] = []): Promise<void> {
  await run('storescu', [...options, '-aet', 'MODALITY', '-aec', aeTitle, '127.0.0.1', String(port), ...files]);
}

/** `items`: a worklist file each, as text for dump2dcm. */
export async function startWlmscpfs(items: readonly string[], aeTitle = 'RIS'): Promise<Archive & { change(items: readonly string[]): Promise<void> }> {
  const directory = mkdtempSync(join(tmpdir(), 'wlmscpfs-'));
  const port = await freePort();
  const own = join(directory, aeTitle);
  const change = async (texts: readonly string[]): Promise<void> => {
    rmSync(own, { recursive: true, force: true });
    mkdirSync(own);
    writeFileSync(join(own, 'lockfile'), '');
    for (const [index, text] of texts.entries()) {
      writeFileSync(join(directory, `${index}.dump`), text);
      await run('dump2dcm', [join(directory, `${index}.dump`), join(own, `${index}.wl`)]);
    }
  };
  await change(items);
  const child = spawn('wlmscpfs', ['-s', '-dfr', '-dfp', directory, String(port)], { stdio: 'ignore' });
  await listening(port, child);
  return { port, aeTitle, change, stop: stopOf(child, directory), store: async () => { throw new Error('a worklist stores nothing'); } };
}

/** Files in PEM. The archive then speaks TLS alone, both ways, and wants a certificate of whoever calls. */
export interface ArchiveTls { readonly certificateFile: string; readonly keyFile: string; readonly caFile: string }

/** With its HTTP port, for what the test wants done there. */
export async function startOrthanc(known: KnownAe, aeTitle = 'ORTHANC', tls?: ArchiveTls): Promise<Archive & { readonly http: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'orthanc-'));
  const [port, httpPort] = [await freePort(), await freePort()];
  writeFileSync(join(directory, 'orthanc.json'), JSON.stringify({
    Name: 'test', StorageDirectory: directory, IndexDirectory: directory, HttpPort: httpPort, RemoteAccessAllowed: false, AuthenticationEnabled: false, DicomAet: aeTitle, DicomPort: port, Plugins: [],
    DicomAlwaysAllowStore: true, DicomAlwaysAllowFind: true, DicomAlwaysAllowMove: true, DicomAlwaysAllowGet: true, DicomCheckCalledAet: true, StorageCommitmentReportsSize: 100,
    DicomModalities: { gateway: { AET: known.aeTitle, Host: '127.0.0.1', Port: known.port, AllowStorageCommitment: true, AllowMove: true, AllowFind: true, AllowGet: true, AllowStore: true, UseDicomTls: tls !== undefined } },
    ...(tls ? { DicomTlsEnabled: true, DicomTlsCertificate: tls.certificateFile, DicomTlsPrivateKey: tls.keyFile, DicomTlsTrustedCertificates: tls.caFile, DicomTlsRemoteCertificateRequired: true } : {}),
  }));
  const child = spawn(orthanc, [join(directory, 'orthanc.json')], { stdio: 'ignore' });
  await listening(port, child);
  const own = tls ? ['+tls', tls.keyFile, tls.certificateFile, '+cf', tls.caFile] : [];
  return { port, aeTitle, http: `http://127.0.0.1:${httpPort}`, stop: stopOf(child, directory), store: (...files) => storescu(aeTitle, port, files, own) };
}
