/** DCMTK as the other side, in both roles. Skipped where its tools are not installed. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { freePort } from '../../test/support/free-port.ts';
import { buildPart10Header, parsePart10Head } from '#standards/dicom/part10.ts';
import { configSchema } from './config.ts';
import { testConnection } from './test-connection.ts';
import type { TestGateway, TestGatewayOptions } from './testing/gateway.ts';
import { startGateway, testContext } from './testing/gateway.ts';
import { ctDataset, ctImageStorage, explicitLittleEndian } from './testing/peer.ts';
import { ask } from './upper-layer/dimse-scu.ts';

const run = promisify(execFile);
const isInstalled = (() => { try { execFileSync('storescu', ['--version'], { stdio: 'ignore' }); return true; } catch { return false; } })();
const withDcmtk = test.skipIf(!isInstalled);
if (!isInstalled) process.stderr.write('dicom-dimse: DCMTK (storescu, echoscu, storescp) is not installed; its tests are skipped\n');

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => { for (const cleanup of cleanups.splice(0).reverse()) await cleanup(); });
const start = async (options?: TestGatewayOptions): Promise<TestGateway> => {
  const gateway = await startGateway(options);
  cleanups.push(() => gateway.close());
  return gateway;
};
const directory = (): string => {
  const path = mkdtempSync(join(tmpdir(), 'dcmtk-'));
  cleanups.push(() => { rmSync(path, { recursive: true, force: true }); });
  return path;
};
const file = (path: string, sopInstanceUid: string, pixelByteLength: number): Buffer => {
  const dataset = ctDataset(sopInstanceUid, pixelByteLength);
  writeFileSync(path, Buffer.concat([buildPart10Header({ sopClassUid: ctImageStorage, sopInstanceUid, transferSyntaxUid: explicitLittleEndian }), dataset]));
  return dataset;
};

withDcmtk('answers echoscu', async () => {
  const gateway = await start();
  await run('echoscu', ['-aec', 'MEDSCAN', '127.0.0.1', String(gateway.port)]);
});

withDcmtk('answers the largest proposal of echoscu: 128 contexts with all 38 transfer syntaxes that it knows', async () => {
  const gateway = await start();
  await run('echoscu', ['-ppc', '128', '-pts', '38', '-aec', 'MEDSCAN', '127.0.0.1', String(gateway.port)]);
});

withDcmtk('rejects echoscu with a wrong called AE title, and puts it on record', async () => {
  const gateway = await start();
  await expect(run('echoscu', ['-aec', 'NOBODY', '127.0.0.1', String(gateway.port)])).rejects.toMatchObject({ stderr: expect.stringContaining('Called AE Title Not Recognized') });
  expect(gateway.received).toMatchObject([{ message: { interaction: 'A-ASSOCIATE' }, refusal: { reason: 'not-allowed' } }]);
});

withDcmtk('stores what storescu sends, byte for byte, with its largest and its smallest PDUs', async () => {
  const gateway = await start();
  const from = directory();
  const sent = new Map(Array.from({ length: 5 }, (_, index) => [`1.2.3.${index}`, file(join(from, `${index}.dcm`), `1.2.3.${index}`, 300_000)]));
  for (const pdu of ['4096', '131072']) await run('storescu', ['-aec', 'MEDSCAN', '--max-send-pdu', pdu, '127.0.0.1', String(gateway.port), ...readdirSync(from).map((name) => join(from, name))]);
  expect(gateway.received).toHaveLength(10);
  for (const { message, answered } of gateway.received) {
    expect(answered).toEqual({ code: '0000', heard: true });
    const stored = readFileSync(join(gateway.directory, message.object!.location));
    // storescu writes the header again before it sends it; the pixels are the file's, and the file is one that DCMTK takes.
    expect(stored.subarray(stored.length - 300_000).equals(sent.get(message.controlId)!.subarray(-300_000))).toBe(true);
    await run('dcmftest', [join(gateway.directory, message.object!.location)]);
  }
});

async function storescp(...options: string[]): Promise<{ port: number; directory: string }> {
  const port = await freePort(), path = directory();
  const child = spawn('storescp', ['-od', path, ...options, String(port)], { stdio: 'ignore' });
  cleanups.push(() => { child.kill(); });
  const { destination } = configSchema.parse({ destination: { host: '127.0.0.1', port, called_ae_title: 'PACS' } });
  for (let attempt = 0; attempt < 100; attempt++) {
    const { outcome } = await ask(destination!, 'C-ECHO', new AbortController().signal);
    if (outcome.kind === 'answered') return { port, directory: path };
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  throw new Error('storescp does not listen');
}

withDcmtk('sends an object that storescp stores byte for byte', async () => {
  const scp = await storescp('+B');
  const dataset = ctDataset('1.2.3.4', 200_000);
  const { destination } = configSchema.parse({ destination: { host: '127.0.0.1', port: scp.port, called_ae_title: 'PACS' } });
  const { outcome } = await ask(destination!, { sopClassUid: ctImageStorage, sopInstanceUid: '1.2.3.4', encodings: new Map([[explicitLittleEndian, dataset]]) }, new AbortController().signal);
  expect(outcome).toEqual({ kind: 'answered', status: 0, errorComment: '', transferSyntaxUid: explicitLittleEndian });
  const [name] = readdirSync(scp.directory);
  const stored = readFileSync(join(scp.directory, name!));
  expect(stored.subarray(parsePart10Head(stored).datasetOffset).equals(dataset)).toBe(true);
});

withDcmtk('passes the connection test step by step', async () => {
  const scp = await storescp();
  const config = configSchema.parse({ destination: { host: '127.0.0.1', port: scp.port, called_ae_title: 'PACS' } });
  const result = await testConnection(config, testContext(directory()));
  expect(result.steps.map(({ step, ok }) => [step, ok])).toEqual([['TCP', true], ['A-ASSOCIATE', true], ['C-ECHO', true]]);
  expect(result.ok).toBe(true);
});
