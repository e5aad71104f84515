import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, stat, statfs, unlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { ConfigError, type Config } from '../config.ts';
import { certificateEnd, openTls } from '../tls.ts';
import type { Check } from './doctor.ts';

const lowSpaceBytes = 5 * 2 ** 30;

export function checkRuntime(): Check {
  const major = Number(process.versions.node.split('.')[0]);
  return { name: 'runtime', status: major >= 24 ? 'ok' : 'failed', detail: `Node ${process.versions.node} on ${process.platform} ${process.arch}`, advice: 'Start with bin/medscan.mjs after npm ci; it brings its own Node.' };
}

/** Writes and syncs a small file, as every received image will be. */
export async function checkStorage({ home }: Config): Promise<Check[]> {
  const probe = path.join(home, `.doctor-${randomBytes(4).toString('hex')}`);
  try {
    await mkdir(home, { recursive: true });
    const started = performance.now();
    const handle = await open(probe, 'wx');
    await handle.writeFile(Buffer.alloc(65_536)).then(() => handle.sync()).finally(() => handle.close());
    const milliseconds = Math.round(performance.now() - started);
    await unlink(probe);
    const { bavail, bsize } = await statfs(home);
    const free = bavail * bsize;
    return [
      { name: 'storage', status: milliseconds < 500 ? 'ok' : 'warning', detail: `${home} can be written; 64 KiB synced in ${milliseconds} ms`, advice: 'The disk is slow to confirm writes; every sender waits for it. Use a local SSD.' },
      { name: 'free space', status: free > lowSpaceBytes ? 'ok' : 'warning', detail: `${(free / 2 ** 30).toFixed(1)} GiB free`, advice: 'Make room or move MEDSCAN_HOME: senders are refused when the disk is full.' },
    ];
  } catch (error) {
    return [{ name: 'storage', status: 'failed', detail: `${home} cannot be written (${(error as NodeJS.ErrnoException).code})`, advice: 'Set MEDSCAN_HOME to a directory that this account may write to.' }];
  }
}

export async function checkKeys({ home, encryptionKey, databaseUrl }: Config): Promise<Check[]> {
  if (encryptionKey) return [{ name: 'keys', status: 'ok', detail: 'the encryption key is configured' }];
  const file = path.join(home, 'secrets', 'encryption.key');
  if (!existsSync(file)) return [{ name: 'keys', status: 'ok', detail: `an encryption key will be generated at first start in ${file}` }];
  const { mode } = await stat(file);
  const checks: Check[] = [(mode & 0o077) === 0 || process.platform === 'win32'
    ? { name: 'keys', status: 'ok', detail: `the encryption key is in ${file}; keep a copy in a safe place apart from the database` }
    : { name: 'keys', status: 'failed', detail: `${file} can be read by other accounts`, advice: `chmod 600 ${file}` }];
  if (databaseUrl) checks.push({ name: 'keys', status: 'warning', detail: 'the database is shared, but the key is a file of this machine', advice: 'Give all nodes the same key: MEDSCAN_ENCRYPTION_KEY or MEDSCAN_ENCRYPTION_KEY_FILE.' });
  return checks;
}

const soonDays = 30;

/** The certificate of the listeners: whether it can be used, and for how long. */
export function checkTls(config: Config): Check[] {
  if (!config.tlsCertificateFile) return [];
  try {
    openTls(config, { info: () => undefined, error: () => undefined });
    const days = Math.floor((certificateEnd(config)!.getTime() - Date.now()) / 86_400_000);
    const advice = 'Put the renewed certificate and its key in the place of the old files; a running gateway takes them by itself.';
    if (days < 0) return [{ name: 'tls', status: 'failed', detail: 'the certificate has expired: no peer that checks it connects', advice }];
    return [{ name: 'tls', status: days < soonDays ? 'warning' : 'ok', detail: `the certificate is valid for ${days} more days`, advice }];
  } catch (error) {
    const problems = error instanceof ConfigError ? error.problems : [(error as Error).message];
    return problems.map((problem) => ({ name: 'tls', status: 'failed', detail: problem, advice: 'The gateway does not start with these files; correct them or the variables.' }));
  }
}

export async function checkPorts({ bind, httpPort, dicomPort, hl7Port, httpsPort, dicomTlsPort, hl7TlsPort }: Config): Promise<Check[]> {
  const gatewayRuns = Boolean(httpPort) && await fetch(`http://${urlHost(bind)}:${httpPort}/healthz`, { signal: AbortSignal.timeout(2_000) }).then((response) => response.ok, () => false);
  const ports = Object.entries({ HTTP: httpPort, DICOM: dicomPort, HL7: hl7Port, HTTPS: httpsPort, DICOM_TLS: dicomTlsPort, HL7_TLS: hl7TlsPort }).filter((entry): entry is [string, number] => entry[1] !== undefined);
  return Promise.all(ports.map(async ([name, port]): Promise<Check> => {
    const problem = await whyNotListen(bind, port);
    if (!problem) return { name: 'port', status: gatewayRuns && port !== 0 ? 'warning' : 'ok', detail: `${name} ${bind}:${port} is free`, advice: 'A gateway runs, but not with this listener: see MEDSCAN_ROLES and its log.' };
    if (problem === 'EADDRINUSE' && gatewayRuns) return { name: 'port', status: 'ok', detail: `${name} ${bind}:${port} is in use while the gateway runs` };
    const advice = problem === 'EADDRINUSE' ? `Another program uses it; stop that or set MEDSCAN_${name}_PORT.` : problem === 'EACCES' ? `Ports below 1024 need rights; set MEDSCAN_${name}_PORT.` : 'Set MEDSCAN_BIND to an address of this machine.';
    return { name: 'port', status: 'failed', detail: `${name} ${bind}:${port} cannot be used (${problem})`, advice };
  }));
}

function whyNotListen(host: string, port: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const server = createServer().once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
  server.listen(port, host, () => server.close(() => resolve(undefined)));
  return promise;
}

function urlHost(bind: string): string {
  if (bind === '0.0.0.0' || bind === '::') return '127.0.0.1';
  return bind.includes(':') ? `[${bind}]` : bind;
}
