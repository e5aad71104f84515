/** Orthanc with its DICOMweb plugin as an archive that speaks nothing but DICOMweb, for tests; behind HTTP Basic, in a folder that goes with it. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { freePort } from '../../../test/support/free-port.ts';

const program = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin'].map((directory) => join(directory, 'Orthanc')).find((file) => existsSync(file));
const plugin = ['/usr/share/orthanc/plugins', '/usr/local/share/orthanc/plugins', '/usr/lib/orthanc'].map((directory) => join(directory, 'libOrthancDicomWeb.so')).find((file) => existsSync(file));

/** True, and said so: it is not installed. */
export function isOrthancMissing(): boolean {
  const absent = [...(program ? [] : ['Orthanc']), ...(plugin ? [] : ['orthanc-dicomweb'])];
  if (absent.length > 0) process.stderr.write(`skipped: ${absent.join(', ')} is not installed\n`);
  return absent.length > 0;
}

export const login = { username: 'gateway', password: 'archive-of-the-test' };

export interface WebArchive {
  readonly baseUrl: string;
  store(...files: Buffer[]): Promise<void>;
  /** Sends instances that it has by STOW-RS to `known`; the status with which its own interface tells the end. */
  send(sopInstanceUids: readonly string[]): Promise<number>;
  /** Fetches a study by WADO-RS from `known`; how many instances it took. */
  fetch(studyInstanceUid: string): Promise<number>;
  /** What it says by its own interface, not DICOMweb: '/studies', '/instances/...'. */
  ask(resource: string): Promise<any>;
  stop(): Promise<void>;
}

/** @param known the DICOMweb server that it sends to */
export async function startOrthancWeb(known?: { readonly url: string; readonly token: string }): Promise<WebArchive> {
  const directory = mkdtempSync(join(tmpdir(), 'orthanc-web-')), port = await freePort();
  writeFileSync(join(directory, 'orthanc.json'), JSON.stringify({
    Name: 'test', StorageDirectory: directory, IndexDirectory: directory, HttpPort: port, DicomServerEnabled: false, RemoteAccessAllowed: true, AuthenticationEnabled: true,
    RegisteredUsers: { [login.username]: login.password }, Plugins: [plugin], DicomWeb: { Enable: true, Root: '/dicom-web/', EnableWado: false, Servers: known ? { gateway: { Url: known.url, HttpHeaders: { Authorization: `Bearer ${known.token}` } } } : {} },
  }));
  const child = spawn(program!, [join(directory, 'orthanc.json')], { stdio: 'ignore' });
  const base = `http://127.0.0.1:${port}`, headers = { authorization: `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}` };
  for (let tries = 0; !await fetch(`${base}/system`, { headers }).then(({ ok }) => ok, () => false); tries++) {
    if (child.exitCode !== null || tries > 600) throw new Error(`Orthanc does not answer (ended with ${child.exitCode})`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  return {
    baseUrl: `${base}/dicom-web`,
    async store(...files) {
      for (const file of files) {
        const { status } = await fetch(`${base}/instances`, { method: 'POST', headers, body: new Uint8Array(file) });
        if (status !== 200) throw new Error(`Orthanc did not take a file: ${status}`);
      }
    },
    async send(sopInstanceUids) {
      const found = await Promise.all(sopInstanceUids.map(async (uid) => (await fetch(`${base}/tools/lookup`, { method: 'POST', headers, body: uid })).json() as Promise<{ ID: string }[]>));
      return (await fetch(`${base}/dicom-web/servers/gateway/stow`, { method: 'POST', headers, body: JSON.stringify({ Resources: found.map(([one]) => one!.ID), Synchronous: true }) })).status;
    },
    async fetch(studyInstanceUid) {
      const answer = await fetch(`${base}/dicom-web/servers/gateway/retrieve`, { method: 'POST', headers, body: JSON.stringify({ Resources: [{ Study: studyInstanceUid }], Synchronous: true }) });
      return Number(((await answer.json()) as { ReceivedInstancesCount?: string }).ReceivedInstancesCount);
    },
    ask: async (resource) => (await fetch(base + resource, { headers })).json(),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = new Promise((resolve) => { child.once('exit', resolve); });
        child.kill('SIGKILL');
        await ended;
      }
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
