/** STOW-RS, QIDO-RS and WADO-RS against a gateway with its database: what was stored is found and comes back byte for byte. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readHeader } from '#standards/dicom/header.ts';
import { storageClassOf } from '#standards/dicom/sop-classes.ts';
import { corpusFiles } from '#standards/dicom/test/dcmtk.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { eventually, testGateway, type TestGateway } from '../../test/support/gateway.ts';
import { insertIntegration } from '../../test/support/pipeline.ts';
import { boundary, DicomwebTestClient, multipartOf, partsOf, relatedType } from './testing/client.ts';
import { ct, encapsulated, jpegBaseline, multiframe, native, object, root } from './testing/objects.ts';

let gateway: TestGateway;
let client: DicomwebTestClient, other: DicomwebTestClient, nurse: DicomwebTestClient;
const anyDicom = 'multipart/related; type="application/dicom"; transfer-syntax=*';

async function clientOf(organizationName: string, role = 'service'): Promise<DicomwebTestClient> {
  const { token } = await createApiToken(gateway.db.database, { organizationName, role, name: `test ${role}` });
  return new DicomwebTestClient(gateway.ports.http!, token);
}
async function settings(name: string, more: Record<string, unknown>): Promise<void> {
  await gateway.db.asOwner('UPDATE external_integrations SET settings = settings || $2::jsonb WHERE name = $1', [name, JSON.stringify(more)]);
  await gateway.integrations.reload();
  expect(gateway.integrations.problems()).toEqual([]);
}
const stored = (sopInstanceUid: string) => gateway.db.asOwner<{ sha256: string; study_instance_uid: string; status: string }>('SELECT f.sha256, f.status, s.study_instance_uid FROM scan_files f JOIN scans s USING (organization_id, scan_id) WHERE f.sop_instance_uid = $1', [sopInstanceUid]);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const referenced = (json: any, sequence = '00081199'): string[] => (json?.[sequence]?.Value ?? []).map((item: any) => item['00081155']?.Value[0]);
const reasons = (json: any, sequence = '00081198'): number[] => (json?.[sequence]?.Value ?? []).map((item: any) => item['00081197'].Value[0]);

beforeAll(async () => {
  gateway = await testGateway({ MEDSCAN_ROLES: 'gateway,api' });
  await insertIntegration(gateway.db, 'Web Hospital', 'VNA', 'dicomweb');
  await insertIntegration(gateway.db, 'Other Hospital', 'Other VNA', 'dicomweb');
  await settings('VNA', { allow_query: true, allow_retrieve: true });
  await settings('Other VNA', { allow_query: true, allow_retrieve: true });
  client = await clientOf('Web Hospital');
  other = await clientOf('Other Hospital');
  nurse = await clientOf('Web Hospital', 'nurse');
});
afterAll(() => gateway?.stop());

describe('STOW-RS', () => {
  test('stores every object of a request and refers to each', async () => {
    const objects = [object(), object(), object()];
    const answer = await client.store(objects.map(({ file }) => file));
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/dicom+json');
    expect(referenced(answer.json)).toEqual(objects.map(({ sopInstanceUid }) => sopInstanceUid));
    expect(answer.json['00081198']).toBeUndefined();
    expect(answer.json['00081190']).toEqual({ vr: 'UR', Value: [`${client.base}/studies/${root}.1`] });
    for (const { sopInstanceUid, dataset } of objects) expect(await stored(sopInstanceUid)).toEqual([{ sha256: sha256(dataset), status: 'stored', study_instance_uid: `${root}.1` }]);
  });

  test('stores a single object without multipart', async () => {
    const one = object();
    const answer = await client.send('POST', '/studies', { 'content-type': 'application/dicom' }, one.file);
    expect([answer.status, referenced(answer.json)]).toEqual([200, [one.sopInstanceUid]]);
  });

  test('answers a repeat as before, without a second row', async () => {
    const one = object();
    await client.store([one.file]);
    const again = await client.store([one.file]);
    expect([again.status, referenced(again.json)]).toEqual([200, [one.sopInstanceUid]]);
    expect(await stored(one.sopInstanceUid)).toHaveLength(1);
  });

  test('keeps the data set, and neither preamble nor group 0002 of the sender', async () => {
    const one = object();
    const evil = Buffer.from(one.file);
    evil.write('MZ this could be a program', 0, 'latin1');
    expect((await client.store([evil])).status).toBe(200);
    const answer = await client.get(`/studies/${root}.1/series/${root}.1.1/instances/${one.sopInstanceUid}`, anyDicom);
    const [part] = partsOf(answer);
    expect(part!.bytes.subarray(0, 128).equals(Buffer.alloc(128))).toBe(true);
    expect(part!.bytes.subarray(readHeader(part!.bytes).part10.datasetOffset).equals(one.dataset)).toBe(true);
  });

  test('takes what is good and names what is not, with a reason', async () => {
    const good = object(), noStudy = object({ '(0020,000d)': null });
    const answer = await client.store([good.file, noStudy.file, Buffer.from('no DICOM at all')]);
    expect(answer.status).toBe(202);
    expect(referenced(answer.json)).toEqual([good.sopInstanceUid]);
    expect(referenced(answer.json, '00081198')).toEqual([noStudy.sopInstanceUid]);
    expect(reasons(answer.json)).toEqual([0xc000]);
    expect(reasons(answer.json, '0008119A')).toEqual([0xc000]);
    expect(answer.headers.get('warning')).toContain('Study Instance UID (0020,000d) is missing');
  });

  test('refuses objects of another study than the address names with A900, on record and replayable', async () => {
    const stray = object();
    const answer = await client.store([stray.file], `${root}.2`);
    expect([answer.status, reasons(answer.json), referenced(answer.json, '00081198')]).toEqual([409, [0xa900], [stray.sopInstanceUid]]);
    expect(await stored(stray.sopInstanceUid)).toEqual([]);
    const rows = await gateway.db.asOwner<{ message_status: string; payload_location: string }>('SELECT message_status, payload_location FROM sync_logs WHERE control_id = $1', [stray.sopInstanceUid]);
    expect(rows).toMatchObject([{ message_status: 'rejected', payload_location: expect.stringMatching(/^store:/) }]);
    expect((await client.store([object({ '(0020,000d)': `${root}.2` }).file], `${root}.2`)).status).toBe(200);
  });

  test('refuses SOP classes that are not for storage with 0122', async () => {
    const verification = object({ '(0008,0016)': '1.2.840.10008.1.1' });
    const answer = await client.store([verification.file]);
    expect([answer.status, reasons(answer.json)]).toEqual([409, [0x0122]]);
  });

  test('takes the SOP classes and modalities that the integration names, and refuses others as C-STORE does', async () => {
    await settings('VNA', { sop_classes: [ct], modalities: ['CT'] });
    try {
      expect((await client.store([object().file])).status).toBe(200);
      const [otherClass, otherModality] = [await client.store([object({ '(0008,0016)': multiframe }).file]), await client.store([object({ '(0008,0060)': 'MR' }).file])];
      expect([otherClass.status, reasons(otherClass.json), otherModality.status, reasons(otherModality.json)]).toEqual([409, [0x0122], 409, [0x0124]]);
    } finally {
      await settings('VNA', { sop_classes: [], modalities: [] });
    }
  });

  test.each<[string, Record<string, string>, Buffer, number]>([
    ['zip', { 'content-type': 'application/zip' }, Buffer.from('PK\x03\x04'), 415],
    ['compressed', { 'content-type': relatedType, 'content-encoding': 'gzip' }, Buffer.from([0x1f, 0x8b]), 415],
    ['metadata apart', { 'content-type': `multipart/related; type="application/dicom+json"; boundary=${boundary}` }, multipartOf([]), 415],
    ['no content type', { 'content-type': '' }, Buffer.from('x'), 415],
    ['no boundary parameter', { 'content-type': 'multipart/related; type="application/dicom"' }, multipartOf([]), 400],
    ['another boundary than announced', { 'content-type': `multipart/related; type="application/dicom"; boundary=other` }, multipartOf([Buffer.alloc(20_000)]), 400],
    ['cut off', { 'content-type': relatedType }, multipartOf([Buffer.alloc(100)]).subarray(0, 120), 400],
    ['no part', { 'content-type': relatedType }, Buffer.from(`--${boundary}--\r\n`), 400],
    ['a huge part head', { 'content-type': relatedType }, Buffer.from(`--${boundary}\r\nX: ${'a'.repeat(100_000)}\r\n\r\n`), 400],
    ['an unwanted answer', { 'content-type': relatedType, accept: 'application/dicom+xml' }, multipartOf([]), 406],
  ])('refuses a body that is %s', async (_what, headers, body, status) => {
    const before = await gateway.db.asOwner<{ n: number }>("SELECT count(*)::int AS n FROM sync_logs WHERE interaction = 'STOW-RS' AND message_status = 'rejected'");
    const answer = await client.send('POST', '/studies', headers, body);
    expect([answer.status, answer.json?.message]).toEqual([status, expect.stringMatching(/\S.{10,}/)]);
    const after = await gateway.db.asOwner<{ n: number }>("SELECT count(*)::int AS n FROM sync_logs WHERE interaction = 'STOW-RS' AND message_status = 'rejected'");
    expect(after[0]!.n, 'on record').toBeGreaterThan(before[0]!.n);
  });

  test('a part of another type fails alone', async () => {
    const good = object();
    const body = Buffer.concat([Buffer.from(`--${boundary}\r\nContent-Type: text/plain\r\n\r\nhello\r\n`), multipartOf([good.file])]);
    const answer = await client.send('POST', '/studies', { 'content-type': relatedType }, body);
    expect([answer.status, referenced(answer.json), reasons(answer.json, '0008119A')]).toEqual([202, [good.sopInstanceUid], [0xc000]]);
  });

  test('a request that ends early keeps what came before, and says so', async () => {
    const [whole, cut] = [object(), object()];
    const body = multipartOf([whole.file, cut.file]);
    const answer = await client.send('POST', '/studies', { 'content-type': relatedType }, body.subarray(0, body.length - 200));
    expect([answer.status, referenced(answer.json)]).toEqual([202, [whole.sopInstanceUid]]);
    expect(await stored(cut.sopInstanceUid)).toEqual([]);
  });

  test('an object above the limit ends the request with 413, and leaves nothing', async () => {
    await settings('VNA', { maximum_object_megabytes: 1 });
    const large = object({}, { pixelData: native('OW', Buffer.alloc(3 << 20)) });
    const answer = await client.stream('/studies', { 'content-type': relatedType }, [multipartOf([large.file])]);
    await settings('VNA', { maximum_object_megabytes: 4096 });
    expect(answer.status).toBe(413);
    expect(reasons(JSON.parse(answer.text))).toEqual([0x0122]);
    expect(await stored(large.sopInstanceUid)).toEqual([]);
  });

  test('a request with more parts than allowed is not read on', async () => {
    await settings('VNA', { maximum_parts: 10 });
    const objects = Array.from({ length: 12 }, () => object());
    const answer = await client.store(objects.map(({ file }) => file));
    await settings('VNA', { maximum_parts: 10_000 });
    expect([answer.status, referenced(answer.json).length]).toEqual([202, 10]);
  });

  test('a thousand parts of nonsense are a thousand failures, quickly', async () => {
    const started = performance.now();
    const answer = await client.store(Array.from({ length: 1000 }, () => Buffer.from('x')));
    expect([answer.status, reasons(answer.json, '0008119A').length]).toEqual([409, 1000]);
    expect(performance.now() - started).toBeLessThan(25_000);
  });
});

describe('who may', () => {
  test('nobody without a token, and it is on record', async () => {
    const answer = await new DicomwebTestClient(gateway.ports.http!).get('/studies');
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="medscan"']);
    expect(await gateway.db.asOwner("SELECT message_status FROM sync_logs WHERE interaction = 'QIDO-RS' AND error_text LIKE 'A valid access token%'")).toHaveLength(1);
  });

  test('not with a role that is not named', async () => {
    expect((await nurse.get('/studies')).status).toBe(403);
    expect((await nurse.store([object().file])).status).toBe(403);
  });

  test('not where the integration does not allow it', async () => {
    await settings('VNA', { allow_query: false, allow_retrieve: false });
    const answers = [await client.get('/studies'), await client.get(`/studies/${root}.1`)];
    await settings('VNA', { allow_query: true, allow_retrieve: true });
    expect(answers.map(({ status, json }) => [status, json.message])).toEqual([[403, expect.stringContaining('allow_query')], [403, expect.stringContaining('allow_retrieve')]]);
  });

  test('not from an address or with a token that the integration does not name', async () => {
    await settings('VNA', { addresses: ['10.0.0.0/8'] });
    expect((await client.get('/studies')).status).toBe(403);
    await settings('VNA', { addresses: [], callers: ['somebody else'] });
    expect((await client.get('/studies')).status).toBe(403);
    await settings('VNA', { callers: [] });
  });

  test.each([['DELETE', `/studies/${root}.1`, 405], ['PUT', '/studies', 405], ['OPTIONS', '/studies', 405], ['POST', '/series', 405], ['GET', '/nothing', 404], ['GET', '/studies/1.2*', 400], ['GET', '/studies/...', 400], ['GET', '/studies/1.2/series/1.3/instances/1.4/frames/0', 400], ['GET', '/studies/..%2f..%2fetc', 400]])('%s %s is answered %s %i', async (method, path, status) => {
    const answer = await client.send(method, path);
    expect(answer.status).toBe(status);
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
    if (status === 405) expect(answer.headers.get('allow')).toMatch(/GET/);
  });
});

describe('QIDO-RS', () => {
  const study = `${root}.5`;
  beforeAll(async () => {
    const objects = [1, 2, 3].map((number) => object({ '(0020,000d)': study, '(0020,000e)': `${study}.${number === 3 ? 2 : 1}`, '(0008,0050)': 'ACC-5', '(0010,0020)': 'P-5', '(0020,0011)': number === 3 ? 2 : 1, '(0020,0013)': number, '(0028,0010)': 64, '(0028,0011)': 32, '(0008,0018)': `${study}.9.${number}` }));
    expect((await client.store(objects.map(({ file }) => file))).status).toBe(200);
  });

  test.each([
    ['tag', '00100020=P-5'], ['keyword', 'PatientID=P-5'], ['wildcard', 'PatientName=M%C3%BCl*&AccessionNumber=ACC-?&PatientID=P-5'], ['ideographic name', `PatientName=${encodeURIComponent('山田*')}&PatientID=P-5`],
    ['range', 'StudyDate=20260101-20261231&PatientID=P-5'], ['UID list', `StudyInstanceUID=1.2.3,${study}`], ['UID list by backslash', `StudyInstanceUID=1.2.3%5C${study}`], ['modality', 'ModalitiesInStudy=CT&PatientID=P-5'],
  ])('finds a study by %s', async (_how, query) => {
    const answer = await client.get(`/studies?${query}`);
    expect([answer.status, answer.json?.map((row: any) => row['0020000D'].Value[0])]).toEqual([200, [study]]);
  });

  test('tells the row as DICOM JSON', async () => {
    const { json } = await client.get(`/studies?StudyInstanceUID=${study}`);
    const [row] = await gateway.db.asOwner<any>('SELECT s.*, p.* FROM scans s JOIN patients p USING (organization_id, patient_id) WHERE study_instance_uid = $1', [study]);
    expect(json[0]).toEqual({
      '00080005': { vr: 'CS', Value: ['ISO_IR 192'] }, '00080020': { vr: 'DA', Value: ['20260301'] }, '00080030': { vr: 'TM', Value: ['101112'] }, '00080050': { vr: 'SH', Value: [row.accession_number] },
      '00080056': { vr: 'CS', Value: ['ONLINE'] }, '00080061': { vr: 'CS', Value: row.modalities }, '00080080': { vr: 'LO' }, '00080090': { vr: 'PN', Value: [{ Alphabetic: 'House^Gregory' }] }, '00080201': { vr: 'SH', Value: ['+0000'] },
      '00081030': { vr: 'LO', Value: [row.study_description] }, '00081190': { vr: 'UR', Value: [`${client.base}/studies/${study}`] },
      '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Müller^Änne', Ideographic: '山田^太郎' }] }, '00100020': { vr: 'LO', Value: [row.patient_number] }, '00100030': { vr: 'DA', Value: ['19800517'] }, '00100040': { vr: 'CS', Value: ['F'] },
      '0020000D': { vr: 'UI', Value: [study] }, '00200010': { vr: 'SH', Value: [row.study_id] }, '00201206': { vr: 'IS', Value: [row.series_count] }, '00201208': { vr: 'IS', Value: [row.instance_count] },
    });
  });

  test('goes down to series and instances, by path and by query', async () => {
    const uids = (json: any, tag: string): string[] => json.map((row: any) => row[tag].Value[0]);
    expect(uids((await client.get(`/studies/${study}/series`)).json, '0020000E')).toEqual([`${study}.1`, `${study}.2`]);
    expect(uids((await client.get(`/series?StudyInstanceUID=${study}&SeriesNumber=2`)).json, '0020000E')).toEqual([`${study}.2`]);
    expect(uids((await client.get(`/studies/${study}/instances`)).json, '00080018')).toEqual([1, 2, 3].map((number) => `${study}.9.${number}`));
    expect(uids((await client.get(`/studies/${study}/series/${study}.1/instances?InstanceNumber=2`)).json, '00080018')).toEqual([`${study}.9.2`]);
    const [instance] = (await client.get(`/instances?SOPInstanceUID=${study}.9.3&includefield=all`)).json;
    expect(instance).toMatchObject({ '00080016': { vr: 'UI', Value: [ct] }, '00280010': { vr: 'US', Value: [64] }, '00280011': { vr: 'US', Value: [32] }, '0020000E': { vr: 'UI', Value: [`${study}.2`] }, '00100020': { vr: 'LO', Value: ['P-5'] } });
  });

  test('leaves out the study\'s attributes below a study, unless asked for', async () => {
    const path = `/studies/${study}/series`;
    expect((await client.get(path)).json[0]['00100010']).toBeUndefined();
    expect((await client.get(`${path}?includefield=PatientName`)).json[0]['00100010']).toBeDefined();
    expect((await client.get(`${path}?includefield=00081030,00100020`)).json[0]['00081030']).toEqual({ vr: 'LO', Value: ['CHEST'] });
  });

  test('pages, and warns when there is more', async () => {
    const first = await client.get(`/studies/${study}/instances?limit=2`);
    expect([first.json.length, first.headers.get('warning')]).toEqual([2, '299 medscan "There are additional results that can be requested."']);
    const rest = await client.get(`/studies/${study}/instances?limit=2&offset=2`);
    expect([rest.json.length, rest.headers.get('warning')]).toEqual([1, null]);
  });

  test('answers 204 where nothing is found, and to another organization', async () => {
    expect((await client.get('/studies?PatientID=NOBODY')).status).toBe(204);
    expect((await other.get(`/studies?StudyInstanceUID=${study}`)).status).toBe(204);
    expect((await other.get(`/studies/${study}/instances`)).status).toBe(204);
  });

  test.each(['PatientWeight=80', 'StudyDate=yesterday', 'StudyInstanceUID=1.2*', 'limit=-1', 'limit=1&limit=2', 'offset=x', 'PatientID=1&00100020=2', 'SOPInstanceUID=1.2'])('refuses %s with 400 in words', async (query) => {
    const answer = await client.get(`/studies?${query}`);
    expect([answer.status, answer.json.message]).toEqual([400, expect.stringMatching(/\S.{10,}/)]);
    expect(answer.json.message).not.toContain('yesterday');
  });

  test('is audited as a query, with the names of the keys only', async () => {
    await client.get('/studies?PatientID=P-5', 'application/dicom+json');
    const rows = await gateway.db.asOwner<{ detail: any }>("SELECT a.detail FROM audit_logs a JOIN sync_logs l USING (organization_id, sync_id) WHERE l.interaction = 'QIDO-RS study' ORDER BY l.started_at, l.sync_id");
    expect(rows.at(-1)!.detail).toMatchObject({ keys: ['patientId'] });
    expect(JSON.stringify(rows)).not.toContain('P-5');
  });

});

describe('WADO-RS', () => {
  const study = `${root}.7`;
  const frames = [1, 2, 3].map((number) => Buffer.alloc(16, number));
  const jpegs = [Buffer.from('ffd8aaaaffd9', 'hex'), Buffer.from('ffd8bbbbbbbbffd9', 'hex'), Buffer.from('ffd8ccccccccccffd900', 'hex').subarray(0, 10)];
  const image = { '(0020,000d)': study, '(0020,000e)': `${study}.1`, '(0028,0002)': 1, '(0028,0004)': 'MONOCHROME2', '(0028,0008)': '3', '(0028,0010)': 4, '(0028,0011)': 4, '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0, '(0008,0016)': multiframe };
  const nativeObject = object({ ...image, '(0009,0010)': { vr: 'LO', value: 'TEST' }, '(0009,1001)': { vr: 'OB', value: Buffer.from([1, 2, 3, 4]) }, '(0009,1002)': { vr: 'OB', value: Buffer.alloc(40_000, 9) } }, { pixelData: native('OB', Buffer.concat(frames)) });
  const offsets = [0, 8 + jpegs[0]!.length, 16 + jpegs[0]!.length + jpegs[1]!.length];
  const withTable = object(image, { transferSyntaxUid: jpegBaseline, pixelData: encapsulated(offsets, jpegs) });
  const withoutTable = object(image, { transferSyntaxUid: jpegBaseline, pixelData: encapsulated([], jpegs) });
  const ambiguous = object(image, { transferSyntaxUid: jpegBaseline, pixelData: encapsulated([], [...jpegs, jpegs[0]!]) });
  const split = object({ ...image, '(0028,0008)': '1' }, { transferSyntaxUid: jpegBaseline, pixelData: encapsulated([], jpegs) });
  const at = ({ sopInstanceUid }: { sopInstanceUid: string }): string => `/studies/${study}/series/${study}.1/instances/${sopInstanceUid}`;
  beforeAll(async () => { expect((await client.store([nativeObject, withTable, withoutTable, ambiguous, split].map(({ file }) => file))).status).toBe(200); });

  test.each(['', '/series/1.2.826.0.1.3680043.10.98.7.1'])('hands out a study%s as it came', async (below) => {
    const answer = await client.get(`/studies/${study}${below}`, anyDicom);
    expect(answer.status).toBe(200);
    const parts = partsOf(answer);
    expect(parts.map(({ bytes }) => sha256(bytes.subarray(readHeader(bytes).part10.datasetOffset))).toSorted()).toEqual([nativeObject, withTable, withoutTable, ambiguous, split].map(({ dataset }) => sha256(dataset)).toSorted());
    expect(parts[0]!.headers).toMatch(/Content-Type: application\/dicom; transfer-syntax=1\.2\.840/);
  });

  test('hands out one instance alone', async () => {
    const answer = await client.get(at(nativeObject), 'application/dicom');
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/dicom; transfer-syntax=1.2.840.10008.1.2.1']);
    expect(answer.body.subarray(-nativeObject.dataset.length).equals(nativeObject.dataset)).toBe(true);
  });

  test('leaves out what is stored in another transfer syntax than asked for, and refuses when nothing is left', async () => {
    const some = await client.get(`/studies/${study}`, 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1');
    expect([some.status, partsOf(some).length, some.headers.get('warning')]).toEqual([206, 1, expect.stringContaining('4 instances')]);
    const none = await client.get(at(withTable), 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1');
    expect([none.status, none.json.message]).toEqual([406, expect.stringContaining(jpegBaseline)]);
    expect((await client.get(at(withTable), 'text/html')).status).toBe(406);
  });

  test('another organization finds nothing under any address', async () => {
    for (const path of [`/studies/${study}`, `/studies/${study}/metadata`, at(nativeObject), `${at(nativeObject)}/metadata`, `${at(nativeObject)}/frames/1`, `${at(nativeObject)}/bulkdata/7fe00010`]) expect((await other.get(path)).status, path).toBe(404);
    expect((await client.get(`/studies/1.2.3/series/${study}.1/instances/${nativeObject.sopInstanceUid}`)).status, 'in the wrong study').toBe(404);
  });

  test('tells metadata, large values by address and small ones inline, keys in order', async () => {
    const answer = await client.get(`/studies/${study}/metadata`);
    expect([answer.status, answer.headers.get('content-type'), answer.json.length]).toEqual([200, 'application/dicom+json', 5]);
    const row = answer.json.find((one: any) => one['00080018'].Value[0] === nativeObject.sopInstanceUid);
    expect(row).toMatchObject({
      '00080005': { vr: 'CS', Value: ['ISO_IR 192'] }, '00100010': { vr: 'PN', Value: [{ Alphabetic: 'Müller^Änne', Ideographic: '山田^太郎' }] }, '00280010': { vr: 'US', Value: [4] }, '00280008': { vr: 'IS', Value: [3] },
      '00091001': { vr: 'OB', InlineBinary: 'AQIDBA==' }, '00091002': { vr: 'OB', BulkDataURI: `${client.base}${at(nativeObject)}/bulkdata/00091002` }, '7FE00010': { vr: 'OW', BulkDataURI: `${client.base}${at(nativeObject)}/bulkdata/7fe00010` },
    });
    const uri = new URL(row['00091002'].BulkDataURI).pathname.replace('/dicom-web', '');
    const bulk = await client.get(uri, 'application/octet-stream');
    expect([bulk.status, bulk.body.equals(Buffer.alloc(40_000, 9))]).toEqual([200, true]);
    expect(partsOf(await client.get(uri)).map(({ bytes }) => bytes.length)).toEqual([40_000]);
    expect(partsOf(await client.get(`${at(nativeObject)}/bulkdata/7fe00010`)).map(({ bytes }) => bytes)).toEqual(frames);
  });

  test('hands out native frames in the order asked for', async () => {
    const answer = await client.get(`${at(nativeObject)}/frames/3,1`, 'multipart/related; type="application/octet-stream"');
    expect(partsOf(answer).map(({ bytes }) => bytes)).toEqual([frames[2], frames[0]]);
  });

  test.each([['with an offset table', withTable], ['without one, a fragment a frame', withoutTable]])('hands out encapsulated frames %s', async (_how, from) => {
    const answer = await client.get(`${at(from)}/frames/2,3,1`, 'multipart/related; type="image/jpeg"; transfer-syntax=*');
    expect([answer.status, partsOf(answer).map(({ bytes }) => bytes.toString('hex'))]).toEqual([200, [jpegs[1], jpegs[2], jpegs[0]].map((bytes) => bytes!.toString('hex'))]);
    expect(answer.headers.get('content-type')).toMatch(/^multipart\/related; type="image\/jpeg"/);
  });

  test('joins the fragments of an only frame', async () => {
    expect(partsOf(await client.get(`${at(split)}/frames/1`)).map(({ bytes }) => bytes)).toEqual([Buffer.concat(jpegs)]);
  });

  test.each<[string, () => string, string, number]>([
    ['a frame that is not there', () => `${at(nativeObject)}/frames/4`, '*/*', 404],
    ['frames that cannot be told apart', () => `${at(ambiguous)}/frames/1`, '*/*', 406],
    ['JPEG of native pixels', () => `${at(nativeObject)}/frames/1`, 'multipart/related; type="image/jpeg"', 406],
    ['decoded pixels of a JPEG', () => `${at(withTable)}/frames/1`, 'multipart/related; type="application/octet-stream"', 406],
    ['a value that is not there', () => `${at(nativeObject)}/bulkdata/00091003`, '*/*', 404],
  ])('refuses %s in words', async (_what, path, accept, status) => {
    const answer = await client.get(path(), accept);
    expect([answer.status, answer.json.message]).toEqual([status, expect.stringMatching(/\S.{10,}/)]);
  });

  test('is audited when it begins and when it has been sent', async () => {
    await client.get(at(nativeObject), 'application/dicom');
    const rows = await eventually(async () => {
      const found = await gateway.db.asOwner<{ answer_status: string; answer_code: string; facts: any; audits: number }>("SELECT answer_status, answer_code, facts, (SELECT count(*)::int FROM audit_logs a WHERE a.sync_id = l.sync_id) AS audits FROM sync_logs l WHERE interaction = 'WADO-RS instance' ORDER BY started_at DESC LIMIT 1");
      return found[0]?.answer_status === 'answered' && found;
    });
    expect(rows).toMatchObject([{ answer_code: '200', audits: 2, facts: { count: 1 } }]);
  });
});

const files = corpusFiles();
if (files.length === 0) process.stderr.write('dicomweb: the corpus (MEDSCAN_CORPUS) is absent; its tests are skipped\n');

describe.skipIf(files.length === 0)('the DICOM corpus', () => {
  test.each(files.map((file) => [basename(file), file]))('stores %s and hands it out with the same data set, or says why not', async (_name, file) => {
    const bytes = readFileSync(file);
    const { part10, dataset } = readHeader(bytes);
    const uid = (tag: number): string => dataset.get(tag)?.bytes.toString('latin1').replace(/[\0 ]+$/, '') ?? '';
    const answer = await client.store([bytes]);
    const canBeStored = part10.transferSyntaxSource === 'file meta' && storageClassOf(uid(0x00080016)) !== 'not-storage' && [0x00080018, 0x0020000d, 0x0020000e].every((tag) => uid(tag) !== '');
    if (!canBeStored) {
      expect([answer.status, answer.headers.get('warning')]).toEqual([409, expect.stringMatching(/299 medscan "\S.{10,}/)]);
      return;
    }
    expect([answer.status, referenced(answer.json)]).toEqual([200, [uid(0x00080018)]]);
    const back = await client.get(`/studies/${uid(0x0020000d)}/series/${uid(0x0020000e)}/instances/${uid(0x00080018)}`, anyDicom);
    const [part] = partsOf(back);
    const version = (await stored(uid(0x00080018))).find(({ status }) => status === 'stored')!;
    const sent = bytes.subarray(part10.datasetOffset), got = part!.bytes.subarray(readHeader(part!.bytes).part10.datasetOffset);
    expect(sha256(got)).toBe(version.sha256);
    if (sha256(sent) === version.sha256) expect(got.equals(sent)).toBe(true);
    const metadata = await client.get(`/studies/${uid(0x0020000d)}/metadata`);
    expect(metadata.status).toBe(200);
  });
});
