/** A model of somebody else: what it is sent says nothing of the patient, what it says comes back to the patient's own images. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { readHeader } from '#standards/dicom/header.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { dicomReader } from '#standards/dicom/reader.ts';
import { DicomwebTestClient } from '../../adapters/dicomweb/testing/client.ts';
import { native, object, root } from '../../adapters/dicomweb/testing/objects.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { restoreIdentity } from '../../src/pipeline/index.ts';
import { eventually, testGateway, type TestGateway } from '../support/gateway.ts';
import { passQuietTime } from '../support/journey.ts';
import { insertIntegration } from '../support/pipeline.ts';

const study = `${root}.51`;
const image = { '(0020,000d)': study, '(0020,000e)': `${study}.1`, '(0028,0002)': 1, '(0028,0004)': 'MONOCHROME2', '(0028,0010)': 2, '(0028,0011)': 2, '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0, '(0010,1002)': [{ '(0010,0020)': 'OTHER-77' }] };
const objects = [1, 2].map((number) => object({ ...image, '(0020,0013)': number }, { pixelData: native('OB', Buffer.alloc(4, number)) }));
const refused = object({ ...image, '(0020,0013)': 3, '(0028,0301)': 'YES' }, { pixelData: native('OB', Buffer.alloc(4, 3)) });

let gateway: TestGateway, server: Server, organizationId: string;
const received: Buffer[][] = [];
let vaultRowsWhenAsked = -1;

/** Finds something in the second image it is sent. */
async function infer(body: Buffer, headLength: number): Promise<Buffer> {
  const files: Buffer[] = [];
  for (let at = headLength; at < body.length; at += 4 + body.readUInt32LE(at)) files.push(body.subarray(at + 4, at + 4 + body.readUInt32LE(at)));
  received.push(files);
  const sop = dicomReader(files.at(-1)!).first('(0008,0018)');
  const element = Buffer.from(JSON.stringify({ findings: [{ finding: { system: 'http://snomed.info/sct', code: '27925004', display: 'Nodule' }, confidence: 0.9, severity: 'high', sop_instance_uid: sop, box: { left: 0, top: 1, width: 1, height: 1 } }] }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(element.length);
  return Buffer.concat([length, element]);
}

beforeAll(async () => {
  server = createServer((request, response) => {
    void (async () => {
      const body = await buffer(request);
      vaultRowsWhenAsked = (await gateway.db.asOwner('SELECT FROM reidentification_vault')).length;
      const bytes = await infer(body, Number(request.headers['inference-header-content-length']));
      const head = Buffer.from(JSON.stringify({ model_name: 'm', outputs: [{ name: 'findings', datatype: 'BYTES', shape: [1], parameters: { binary_data_size: bytes.length } }] }));
      response.writeHead(200, { 'inference-header-content-length': head.length }).end(Buffer.concat([head, bytes]));
    })();
  }).listen(0, '127.0.0.1');
  gateway = await testGateway({ MEDSCAN_ROLES: 'gateway,worker,api', MEDSCAN_QUIET_SECONDS: '3600' });
  ({ organizationId } = await insertIntegration(gateway.db, 'Sending Hospital', 'VNA', 'dicomweb'));
  const config = {
    endpoint: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, model: 'their model', deidentify: { dates: 'shifted', allowsUnknownBurnedIn: true } },
    input: { kind: 'dicom', tensor: 'images', modalities: ['CT'] }, output: { kind: 'findings', tensor: 'findings' },
  };
  await gateway.db.asOwner(`WITH m AS (INSERT INTO ai_models (organization_id, model_name, model_version, runtime, status, config) VALUES ($1, 'theirs', '1', 'kserve', 'active', $2))
    INSERT INTO workflow_rules (organization_id, name, actions) VALUES ($1, 'all', '[{"action": "run_model", "model_name": "theirs"}]')`, [organizationId, JSON.stringify(config)]);
  await gateway.integrations.reload();
  const { token } = await createApiToken(gateway.db.database, { organizationName: 'Sending Hospital', role: 'service', name: 'sender' });
  const client = new DicomwebTestClient(gateway.ports.http!, token);
  expect((await client.store([...objects, refused].map(({ file }) => file))).status).toBe(200);
  await passQuietTime(gateway);
  await eventually(async () => received.length > 0 && (await gateway.db.asOwner("SELECT FROM ai_analyses WHERE status = 'completed'")).length === 1);
});
afterAll(async () => {
  server?.closeAllConnections();
  server?.close();
  await gateway?.stop();
});

test('the model is sent every image but the one with burned-in text, and nothing that tells whose they are', async () => {
  expect(received[0]).toHaveLength(2);
  const sent = Buffer.concat(received[0]!).toString('latin1');
  for (const secret of ['M\u00fcller', Buffer.from('Müller').toString('latin1'), 'MRN-77', 'ACC-9', '19800517', 'House', 'OTHER-77', '20260301', root]) expect(sent).not.toContain(secret);
  expect(received[0]!.map((file) => readHeader(file).complete)).toEqual([true, true]);
  const [analysis] = await gateway.db.asOwner<{ result: { warnings: string[] } }>('SELECT result FROM ai_analyses');
  expect(analysis!.result.warnings.join(' ')).toContain('One image was not sent: (0028,0301) Burned In Annotation is YES');
});

test('what it found is in the image of the patient', async () => {
  const [finding] = await gateway.db.asOwner<{ location: { sopInstanceUid: string; seriesInstanceUid: string } }>('SELECT location FROM findings');
  expect(finding!.location).toMatchObject({ sopInstanceUid: objects[1]!.sopInstanceUid, seriesInstanceUid: `${study}.1`, boundingBox: { left: 0, top: 1, width: 1, height: 1 } });
});

test('the vault was filled before anything left, is sealed, and belongs to one organization', async () => {
  expect(vaultRowsWhenAsked).toBeGreaterThanOrEqual(4);
  const rows = await gateway.db.asOwner<{ kind: string; sealed: string; organization_id: string }>('SELECT kind, sealed, organization_id FROM reidentification_vault');
  expect(rows.length).toBe(vaultRowsWhenAsked);
  expect(rows.map(({ kind }) => kind).toSorted()).toEqual(['instance', 'instance', 'study', 'uid']);
  expect(rows.every(({ sealed, organization_id: owner }) => sealed.startsWith('v1.') && !sealed.includes(root) && owner === organizationId)).toBe(true);
});

test('the export is on record, with how many images and by which rules', async () => {
  const rows = await gateway.db.asOwner<{ detail: unknown; patient_id: string | null }>("SELECT detail, patient_id FROM audit_logs WHERE event_code = '110106' AND object_type = 'ai_analysis'");
  expect(rows).toMatchObject([{ detail: { sent: 2, refused: 1, de_identification: { dates: 'shifted' } }, patient_id: expect.any(String) }]);
});

test('a result that the model writes about them gets patient, study and references back; another organization can do nothing with it', async () => {
  const sent = dicomReader(received[0]![1]!);
  const [sop, sentStudy, series] = ['(0008,0018)', '(0020,000d)', '(0020,000e)'].map((tag) => sent.first(tag)!);
  const answer = Buffer.concat([buildPart10Header({ sopClassUid: '1.2.840.10008.5.1.4.1.1.88.34', sopInstanceUid: '2.25.42', transferSyntaxUid: '1.2.840.10008.1.2.1' }), encodeDataset({
    '(0008,0016)': '1.2.840.10008.5.1.4.1.1.88.34', '(0008,0018)': '2.25.42', '(0020,000d)': sentStudy!, '(0020,000e)': '2.25.43', '(0010,0010)': sent.first('(0010,0010)')!, '(0010,0020)': sent.first('(0010,0020)')!,
    '(0040,a375)': [{ '(0020,000d)': sentStudy!, '(0008,1115)': [{ '(0020,000e)': series!, '(0008,1199)': [{ '(0008,1150)': '1.2.840.10008.5.1.4.1.1.2', '(0008,1155)': sop! }] }] }],
  })]);
  const { database, keys } = gateway.db;
  const restored = dicomReader((await restoreIdentity({ database, keys }, organizationId, answer, 'test'))!.file);
  expect(['(0010,0010)', '(0010,0020)', '(0010,0030)', '(0008,0050)', '(0020,000d)', '(0040,a375)>(0008,1115)>(0020,000e)', '(0040,a375)>(0008,1115)>(0008,1199)>(0008,1155)'].map((path) => restored.first(path)))
    .toEqual(['Müller^Änne=山田^太郎', 'MRN-77', '19800517', 'ACC-9', study, `${study}.1`, objects[1]!.sopInstanceUid]);
  const { organizationId: other } = await insertIntegration(gateway.db, 'Other Hospital', 'Other VNA', 'dicomweb');
  expect(await restoreIdentity({ database, keys }, other, answer, 'test')).toBeUndefined();
  expect(await gateway.db.asOwner("SELECT detail FROM audit_logs WHERE event_code = '110107' AND actor_id = 'test'")).toMatchObject([{ detail: { restored_uids: expect.any(Number) } }]);
});

test('an image that left comes back as it was', async () => {
  const { database, keys } = gateway.db;
  const restored = await restoreIdentity({ database, keys }, organizationId, received[0]![0]!, 'echo');
  expect(restored!.sopInstanceUid).toBe(objects[0]!.sopInstanceUid);
  expect(restored!.file.subarray(readHeader(restored!.file).part10.datasetOffset).equals(objects[0]!.dataset)).toBe(true);
});

test('an object that names images of several patients is given to none of them', async () => {
  const { database, keys } = gateway.db;
  await gateway.db.asOwner(`
    WITH p AS (INSERT INTO patients (organization_id, patient_number) VALUES ($1, 'SOMEBODY-ELSE') RETURNING patient_id), s AS (INSERT INTO scans (organization_id, patient_id, scan_type) SELECT $1, patient_id, 'ct' FROM p RETURNING scan_id)
    UPDATE reidentification_vault v SET scan_id = s.scan_id FROM s WHERE v.kind = 'study'`, [organizationId]);
  await expect(restoreIdentity({ database, keys }, organizationId, received[0]![0]!, 'echo')).rejects.toThrow('several patients');
});
