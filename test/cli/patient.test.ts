/** What an operator does at the terminal about HL7: undo a merge, state conformance, try the folders of an integration. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

const program = path.join(import.meta.dirname, '../../bin/medscan.mjs');
const home = mkdtempSync(path.join(tmpdir(), 'medscan-cli-patient-'));
let pipeline: TestPipeline;
beforeAll(async () => {
  pipeline = await testPipeline();
  mkdirSync(path.join(home, 'folders'));
});
afterAll(async () => { await pipeline.close(); rmSync(home, { recursive: true, force: true }); });

interface Result { readonly code: number; readonly out: string; readonly err: string }
function medscan(...words: string[]): Promise<Result> {
  const { promise, resolve } = Promise.withResolvers<Result>();
  const env = { PATH: process.env['PATH'], MEDSCAN_HOME: home, DATABASE_URL: pipeline.db.ownerUrl, MEDSCAN_FOLDERS: path.join(home, 'folders'), MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex') };
  execFile(process.execPath, [program, ...words], { env }, (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }));
  return promise;
}

test('a merge is found by a number, refused while scans are undecided, and undone', async () => {
  const send = (interaction: string, controlId: string, normalized: object) => pipeline.receive({ interaction, controlId, normalized });
  await send('C-STORE', '1.81.9', { patient: patient('CLI-A'), instance: instance('1.81', '1.81.9') });
  await send('ADT^A40', 'CLI1', { authority: 'registration', patient: patient('CLI-B'), merges: [{ survivor: patient('CLI-B').identifiers, prior: patient('CLI-A').identifiers }] });
  await send('C-STORE', '1.82.9', { patient: patient('CLI-A'), instance: instance('1.82', '1.82.9') });
  expect((await medscan('patient', 'merges', 'NOBODY')).out).toContain('No patient with this identifier was merged.');
  const { out } = await medscan('patient', 'merges', 'CLI-A');
  const id = /[0-9a-f-]{36}/.exec(out.split('\n').find((line) => line.includes('merge')) ?? '')![0];
  expect(out, 'ids and no numbers of patients').not.toContain('CLI-');
  expect(await medscan('patient', 'unmerge', 'x')).toMatchObject({ code: 1, err: expect.stringContaining('is not the id of a merge') as string });
  const asked = await medscan('patient', 'unmerge', id);
  expect(asked).toMatchObject({ code: 1, err: expect.stringContaining('--later-scans') as string });
  const late = /[0-9a-f-]{36}/.exec(asked.err.split('\n').find((line) => line.startsWith('  ')) ?? '')![0];
  expect(await medscan('patient', 'unmerge', id, '--later-scans', late)).toMatchObject({ code: 0, out: expect.stringContaining('2 scans went back') as string });
  expect((await medscan('patient', 'unmerge', id)).err).toContain('was undone at');
  expect(await pipeline.db.asOwner("SELECT count(*)::int AS scans FROM scans s JOIN patients p USING (organization_id, patient_id) WHERE p.patient_number = 'CLI-A'")).toEqual([{ scans: 2 }]);
  expect(await pipeline.db.asOwner("SELECT actor_id FROM audit_logs WHERE object_type = 'patient_merge'")).toEqual([{ actor_id: 'medscan patient unmerge' }]);
});

test('conformance is stated of one integration by its name, and its folders are tried', async () => {
  const file = path.join(home, 'ris.yaml');
  writeFileSync(file, 'organization: Test Hospital\nintegrations:\n  - { name: RIS North, kind: ris, adapter: hl7v2-mllp, direction: both, settings: { folder: ris, deliver_folder: results, inverse_merge: reject } }\n  - { name: Other, kind: ris, adapter: hl7v2-mllp, direction: inbound, settings: { addresses: [10.0.0.1] } }\n  - { name: Archive, kind: pacs, adapter: dicom-dimse, direction: inbound }\n');
  expect(await medscan('integration', 'apply', file)).toMatchObject({ code: 0 });
  const stated = await medscan('conformance', 'hl7', 'RIS North');
  expect(stated.code).toBe(0);
  expect(stated.err, 'the adapters of other integrations are known too').not.toContain('dicom-dimse');
  expect(stated.out).toContain('## RIS North');
  expect(stated.out).toContain('the other way round | AE 205');
  expect(stated.out).not.toContain('## Other');
  expect((await medscan('conformance', 'hl7')).out).toMatch(/## RIS North[\s\S]*## Other|## Other[\s\S]*## RIS North/);
  expect(await medscan('conformance', 'hl7', 'Nobody')).toMatchObject({ code: 1, err: expect.stringContaining('There is no integration "Nobody"') as string });
  expect(await medscan('integration', 'test', 'RIS North')).toMatchObject({ code: 0, out: expect.stringMatching(/ok {4}folder.*ris[\s\S]*ok {4}folder.*results/) as string });
});
