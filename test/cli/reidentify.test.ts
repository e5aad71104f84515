/** medscan reidentify on a file that came back from outside. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dicomReader } from '#standards/dicom/reader.ts';
import { native, object } from '../../adapters/dicomweb/testing/objects.ts';
import { outboundImages } from '../../src/pipeline/outbound-images.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'medscan-reidentify-'));
const returned = path.join(directory, 'returned.dcm'), foreign = path.join(directory, 'foreign.dcm'), out = path.join(directory, 'out');
const image = object({ '(0028,0010)': 2, '(0028,0011)': 2, '(0028,0100)': 8 }, { pixelData: native('OB', Buffer.alloc(4)) });
let pipeline: TestPipeline;

function medscan(...options: string[]): Promise<{ code: number; out: string; err: string }> {
  const env = { PATH: process.env['PATH'], DATABASE_URL: pipeline.db.ownerUrl, MEDSCAN_HOME: directory, MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex') };
  return promisify(execFile)(process.execPath, [path.join(import.meta.dirname, '../../src/cli.ts'), 'reidentify', ...options], { env })
    .then(({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }), (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, out: error.stdout, err: error.stderr }));
}

beforeAll(async () => {
  pipeline = await testPipeline();
  const { db, integration: { organizationId } } = pipeline;
  const receipt = await pipeline.receive({ interaction: 'C-STORE', controlId: '1.2.3.1', normalized: { patient: patient('MRN-77'), instance: instance('1.2.3', '1.2.3.1') } });
  if (receipt.kind !== 'accepted') throw new Error(receipt.kind);
  const stored = path.join(directory, 'stored.dcm');
  writeFileSync(stored, image.file);
  const outbound = outboundImages({ database: db.database, keys: db.keys }, { organizationId, analysisId: '0199aa00-0000-7000-8000-000000000001', scanId: receipt.links['scans']!, model: 'theirs 1', destination: '' });
  const options = { dates: 'removed', keepsPatientCharacteristics: false, keepsDeviceIdentity: false, allowsUnknownBurnedIn: false } as const;
  writeFileSync(returned, (await outbound.deIdentified({ path: stored, datasetOffset: 0, sopInstanceUid: image.sopInstanceUid, sopClassUid: '', seriesInstanceUid: '', transferSyntaxUid: '' }, options)).file);
  writeFileSync(foreign, object({ '(0020,000d)': '1.9.9', '(0020,000e)': '1.9.9.1' }).file);
  await outbound.commit({ options, sent: 1, refused: 0 });
});
afterAll(async () => {
  await pipeline?.close();
  rmSync(directory, { recursive: true, force: true });
});

test('puts UIDs and patient back and writes the file, once', async () => {
  expect(readFileSync(returned).toString('latin1')).not.toContain('MRN-77');
  const first = await medscan(returned, '--output', out);
  expect([first.code, first.err, first.out]).toEqual([0, '', expect.stringMatching(/returned\.dcm: \d+ UIDs and \d+ attributes restored/)]);
  const reader = dicomReader(readFileSync(path.join(out, 'returned.dcm')));
  expect([reader.first('(0010,0020)'), reader.first('(0008,0018)')]).toEqual(['MRN-77', image.sopInstanceUid]);
  const again = await medscan(returned, '--output', out);
  expect([again.code, again.err]).toEqual([1, expect.stringContaining('not overwritten')]);
});

test('leaves alone what was never sent, and what is no DICOM', async () => {
  expect(await medscan(foreign, '--output', out)).toMatchObject({ code: 1, err: expect.stringContaining('was ever sent') });
  writeFileSync(path.join(directory, 'no.dcm'), 'this is no DICOM file at all, but some text');
  expect((await medscan(path.join(directory, 'no.dcm'), '--output', out)).code).toBe(1);
});
