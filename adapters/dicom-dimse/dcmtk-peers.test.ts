/** DCMTK beyond storing: a receiver that speaks TLS only, and a tool that asks the peer to shut down. Skipped where it is not installed. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, expect, test } from 'vitest';
import { certificateDirectory, haveOpenssl } from '../../test/support/certificates.ts';
import { freePort } from '../../test/support/free-port.ts';
import { configSchema } from './config.ts';
import { testConnection } from './test-connection.ts';
import { startGateway, testContext } from './testing/gateway.ts';

const run = promisify(execFile);
const has = (program: string): boolean => { try { execFileSync(program, ['--version'], { stdio: 'ignore' }); return true; } catch { return false; } };
const [haveStorescp, haveTermscu] = [has('storescp') && haveOpenssl, has('termscu')];
if (!haveStorescp || !haveTermscu) process.stderr.write('dicom-dimse: DCMTK (storescp, termscu) or openssl is not installed; their tests are skipped\n');

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => { for (const cleanup of cleanups.splice(0).reverse()) await cleanup(); });
const certificates = certificateDirectory();
afterAll(() => certificates.remove());
const directory = (): string => {
  const path = mkdtempSync(join(tmpdir(), 'dcmtk-peers-'));
  cleanups.push(() => { rmSync(path, { recursive: true, force: true }); });
  return path;
};

test.skipIf(!haveStorescp)('the connection test reaches a storescp over TLS, shows what was agreed, and says what to do about a wrong certificate', async () => {
  const authority = certificates.authority('Hospital CA'), server = authority.sign('pacs.hospital.example'), client = authority.sign('gateway'), stranger = certificates.authority('Other CA');
  const port = await freePort(), received = directory();
  const child = spawn('storescp', ['+tls', server.keyFile, server.certificateFile, '+cf', authority.certificateFile, '-od', received, String(port)], { stdio: 'ignore' });
  cleanups.push(() => { child.kill(); });
  const settings = { destination: { host: '127.0.0.1', port, called_ae_title: 'PACS', tls: true, tls_ca: authority.cert, tls_certificate: client.cert, connect_timeout_milliseconds: 3_000 }, tls_private_key: client.key };
  const tryIt = (changes: object = {}): ReturnType<typeof testConnection> => testConnection(configSchema.parse({ ...settings, destination: { ...settings.destination, ...changes } }), testContext(received), { stores: true });
  let result = await tryIt();
  for (let attempt = 0; attempt < 100 && result.steps[0]?.ok === false; attempt++) { await new Promise((resolve) => { setTimeout(resolve, 50); }); result = await tryIt(); }
  expect(result.steps.map(({ step, ok }) => [step, ok])).toEqual([['TCP', true], ['TLS', true], ['A-ASSOCIATE', true], ['C-ECHO', true], ['C-STORE', true]]);
  expect(result.steps[1]!.detail).toMatch(/^TLSv1\.[23], \S*GCM\S*; certificate of pacs\.hospital\.example, valid to \d{4}-\d\d-\d\d$/);
  expect(result.steps[2]!.detail).toMatch(/accepted: Verification \[Explicit VR Little Endian, Implicit VR Little Endian\]; Comprehensive 3D SR Storage/);
  const [name] = readdirSync(received);
  expect((await run('dcmdump', ['+P', 'PatientID', join(received, name!)])).stdout).toContain('[MEDSCAN-TEST]');

  expect((await tryIt({ tls_ca: stranger.cert })).steps.at(-1)).toMatchObject({ step: 'TLS', ok: false, advice: expect.stringContaining('check the certificates') });
  const plain = await tryIt({ tls: false });
  expect(plain.steps.map(({ step, ok }) => [step, ok])).toEqual([['TCP', true], ['A-ASSOCIATE', false]]);
  expect(plain.steps[1]!.advice).toMatch(/TLS/);
});

test.skipIf(!haveTermscu)('termscu, which asks its peer to shut down, shuts nothing down', async () => {
  const gateway = await startGateway();
  cleanups.push(() => gateway.close());
  await run('termscu', ['-aec', 'MEDSCAN', '127.0.0.1', String(gateway.port)]).catch(() => undefined);
  await run('termscu', ['-aec', 'NOBODY', '127.0.0.1', String(gateway.port)]).catch(() => undefined);
  await run('echoscu', ['-aec', 'MEDSCAN', '127.0.0.1', String(gateway.port)]);
});
