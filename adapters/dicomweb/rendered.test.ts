/** Pictures and XML by DICOMweb against a gateway with its database, judged by a PNG decoder, a browser and DCMTK. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decode as decodePng } from 'fast-png';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { testGateway, type TestGateway } from '../../test/support/gateway.ts';
import { insertIntegration } from '../../test/support/pipeline.ts';
import { DicomwebTestClient, partsOf } from './testing/client.ts';
import { encapsulated, jpegBaseline, multiframe, native, object, root } from './testing/objects.ts';

function nativeModelByDcmtk(file: string): string | undefined {
  try {
    return execFileSync('dcm2xml', ['--native-format', file], { stdio: ['ignore', 'pipe', 'ignore'] }).toString();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

let gateway: TestGateway;
let client: DicomwebTestClient, other: DicomwebTestClient;
const study = `${root}.31`;
const pixel = { '(0028,0002)': 1, '(0028,0004)': 'MONOCHROME2', '(0028,0010)': 2, '(0028,0011)': 4, '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0 };
const image = { '(0020,000d)': study, '(0020,000e)': `${study}.1`, ...pixel };
const frames = [[0, 50, 100, 150, 200, 210, 220, 255], [9, 9, 9, 9, 9, 9, 9, 9], [1, 2, 3, 4, 5, 6, 7, 8]];
const single = object({ ...image, '(0020,0013)': 1 }, { pixelData: native('OB', Buffer.from(frames[0]!)) });
const several = object({ ...image, '(0020,0013)': 2, '(0008,0016)': multiframe, '(0028,0008)': '3' }, { pixelData: native('OB', Buffer.from(frames.flat())) });
const document = object({ '(0020,000d)': study, '(0020,000e)': `${study}.2`, '(0020,0011)': 9, '(0008,0016)': '1.2.840.10008.5.1.4.1.1.88.33', '(0008,0060)': 'SR' });
const broken = object({ ...image, '(0020,000e)': `${study}.3`, '(0020,0011)': 10, '(0028,0010)': 64, '(0028,0011)': 64 }, { transferSyntaxUid: jpegBaseline, pixelData: encapsulated([], [Buffer.from('ffd8ffc0000b08004000400101110000', 'hex')]) });
const at = ({ sopInstanceUid, seriesInstanceUid }: { sopInstanceUid: string; seriesInstanceUid: string }): string => `/studies/${study}/series/${seriesInstanceUid}/instances/${sopInstanceUid}`;
const greys = (png: Buffer): number[] => Array.from(decodePng(png).data);

beforeAll(async () => {
  gateway = await testGateway({ MEDSCAN_ROLES: 'gateway,api' });
  for (const [organization, name] of [['Picture Hospital', 'Viewer'], ['Second Hospital', 'Second viewer']] as const) await insertIntegration(gateway.db, organization, name, 'dicomweb');
  await gateway.db.asOwner(`UPDATE external_integrations SET settings = settings || '{"allow_query": true, "allow_retrieve": true}'::jsonb WHERE adapter = 'dicomweb'`);
  await gateway.integrations.reload();
  const clientOf = async (organizationName: string): Promise<DicomwebTestClient> => new DicomwebTestClient(gateway.ports.http!, (await createApiToken(gateway.db.database, { organizationName, role: 'service', name: 'viewer' })).token);
  [client, other] = [await clientOf('Picture Hospital'), await clientOf('Second Hospital')];
  expect((await client.store([single, several, document, broken].map(({ file }) => file))).status).toBe(200);
});
afterAll(() => gateway?.stop());

describe('rendered images', () => {
  test('an instance is a PNG of its values', async () => {
    const answer = await client.get(`${at(single)}/rendered`, 'image/png');
    expect([answer.status, answer.headers.get('content-type'), answer.headers.get('cache-control')]).toEqual([200, 'image/png', 'no-store']);
    expect(decodePng(answer.body)).toMatchObject({ width: 4, height: 2, channels: 1 });
    expect(greys(answer.body)).toEqual(frames[0]);
  });

  test('window, viewport and part are those of the query', async () => {
    expect(greys((await client.get(`${at(single)}/rendered?window=100,101,linear-exact`, 'image/png')).body)).toEqual([0, 1, 128, 254, 255, 255, 255, 255]);
    expect(decodePng((await client.get(`${at(single)}/rendered?viewport=100,100`, 'image/png')).body)).toMatchObject({ width: 100, height: 50 });
    expect(greys((await client.get(`${at(single)}/rendered?viewport=2,1,2,1,-2,1`, 'image/png')).body)).toEqual([255, 220]);
  });

  test('frames come alone or as parts, in the order asked for', async () => {
    expect(greys((await client.get(`${at(several)}/frames/3/rendered`, 'image/png')).body)).toEqual(frames[2]);
    const both = await client.get(`${at(several)}/frames/3,1/rendered`, 'multipart/related; type="image/png"');
    expect(partsOf(both).map(({ bytes }) => greys(bytes))).toEqual([frames[2], frames[0]]);
    expect((await client.get(`${at(several)}/frames/3,1/rendered`, 'image/png')).status).toBe(406);
    expect((await client.get(`${at(several)}/frames/4/rendered`, 'image/png')).status).toBe(404);
  });

  test('an instance of several frames is its first one to who takes one picture, with a word about the others', async () => {
    const one = await client.get(`${at(several)}/rendered`, 'image/png');
    expect([greys(one.body), one.headers.get('warning')]).toEqual([frames[0], expect.stringContaining('frame 1 of 3')]);
    expect(partsOf(await client.get(`${at(several)}/rendered`, 'multipart/related; type="image/png"'))).toHaveLength(3);
  });

  test('a study is all its pictures as parts; what is no image, or a broken one, is passed over', async () => {
    const answer = await client.get(`/studies/${study}/rendered`, 'multipart/related; type="image/png"');
    expect(partsOf(answer).map(({ headers }) => /instances\/([\d.]+)\/frames\/(\d)\/rendered/.exec(headers)?.slice(1))).toEqual([[single.sopInstanceUid, '1'], ...['1', '2', '3'].map((frame) => [several.sopInstanceUid, frame])]);
    expect((await client.get(`/studies/${study}/rendered`, 'image/png')).status).toBe(406);
    expect(partsOf(await client.get(`/studies/${study}/series/${study}.1/rendered`))).toHaveLength(4);
  });

  test('a thumbnail is one small picture at every level', async () => {
    for (const path of [`/studies/${study}`, `/studies/${study}/series/${study}.1`, at(single)]) {
      const answer = await client.get(`${path}/thumbnail`);
      expect([answer.status, answer.headers.get('content-type'), answer.body.subarray(0, 3).toString('hex')], path).toEqual([200, 'image/jpeg', 'ffd8ff']);
    }
    expect(decodePng((await client.get(`${at(single)}/thumbnail?viewport=8,8`, 'image/png')).body)).toMatchObject({ width: 8, height: 4 });
  });

  test.each<[string, string, string, number]>([
    ['a document', `${at(document)}/rendered`, 'image/png', 406], ['a damaged image', `${at(broken)}/rendered`, 'image/jpeg', 406], ['a series of documents', `/studies/${study}/series/${study}.2/thumbnail`, '*/*', 406],
    ['GIF', `${at(single)}/rendered`, 'image/gif', 406], ['a window without width', `${at(single)}/rendered?window=40`, 'image/png', 400], ['an endless viewport', `${at(single)}/rendered?viewport=100000,100000`, 'image/png', 400],
    ['a viewport of letters', `${at(single)}/rendered?viewport=a,b`, 'image/png', 400], ['no quality', `${at(single)}/rendered?quality=0`, 'image/jpeg', 400], ['a part outside', `${at(single)}/rendered?viewport=4,4,100,100,2,2`, 'image/png', 406],
    ['something twice', `${at(single)}/rendered?quality=1&quality=2`, 'image/jpeg', 400], ['nothing', `/studies/1.2.3/rendered`, '*/*', 404],
  ])('refuses %s in words', async (_what, path, accept, status) => {
    const answer = await client.get(path, accept);
    expect([answer.status, answer.json.message]).toEqual([status, expect.stringMatching(/\S.{10,}/)]);
    expect(answer.json.message).not.toMatch(/Müller|MRN-77/);
  });

  test('another organization sees nothing, and what is seen is audited as a transfer', async () => {
    expect((await other.get(`${at(single)}/rendered`)).status).toBe(404);
    await client.get(`${at(single)}/rendered`, 'image/jpeg');
    const rows = await gateway.db.asOwner<{ interaction: string; answer_code: string }>("SELECT interaction, answer_code FROM sync_logs WHERE interaction = 'WADO-RS rendered instance' AND answer_code = '200'");
    expect(rows.length).toBeGreaterThan(0);
  });

  test('a parameter that nobody knows is named in a warning', async () => {
    const answer = await client.get(`${at(single)}/rendered?annotation=patient`, 'image/jpeg');
    expect([answer.status, answer.headers.get('warning')]).toEqual([200, expect.stringContaining('annotation')]);
  });
});

describe('XML', () => {
  const xml = 'multipart/related; type="application/dicom+xml"';

  test('metadata are one Native DICOM Model for each instance', async () => {
    const answer = await client.get(`/studies/${study}/metadata`, xml);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, expect.stringMatching(/^multipart\/related; type="application\/dicom\+xml"/)]);
    const texts = partsOf(answer).map(({ bytes }) => bytes.toString('utf8'));
    expect(texts).toHaveLength(4);
    expect(texts[0]).toContain('<DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><PersonName number="1"><Alphabetic><FamilyName>Müller</FamilyName><GivenName>Änne</GivenName></Alphabetic><Ideographic><FamilyName>山田</FamilyName><GivenName>太郎</GivenName></Ideographic></PersonName></DicomAttribute>');
    expect(texts[0]).toMatch(/tag="7FE00010" vr="OW" keyword="PixelData"><BulkData uri="http:[^"]+bulkdata\/7fe00010"\/>/);
  });

  test('metadata hold the values that DCMTK reads', async ({ skip }) => {
    const directory = mkdtempSync(join(tmpdir(), 'medscan-xml-'));
    try {
      const file = join(directory, 'single.dcm');
      writeFileSync(file, single.file);
      const reference = nativeModelByDcmtk(file);
      if (reference === undefined) return skip('dcm2xml (DCMTK) is not installed');
      const valuesIn = (text: string): Map<string, string> => new Map([...text.matchAll(/<DicomAttribute tag="([0-9A-F]{8})" vr="(\w\w)" keyword="(\w+)"[^>]*?(?:\/>|>([\s\S]*?)<\/DicomAttribute>)/g)]
        .filter(([, tag]) => tag! >= '00080000' && tag! < '7FE00010').map(([, tag, vr, keyword, content = '']) => [`${tag} ${vr} ${keyword}`, content.replaceAll(/>\s+</g, '><').trim()]));
      const ours = valuesIn(partsOf(await client.get(`${at(single)}/metadata`, xml))[0]!.bytes.toString('utf8'));
      ours.delete('00083002 UI AvailableTransferSyntaxUID');
      expect([...ours]).toEqual([...valuesIn(reference)]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('search results are parts too', async () => {
    const answer = await client.get(`/studies?StudyInstanceUID=${study}`, xml);
    expect([answer.status, partsOf(answer).length]).toEqual([200, 1]);
    expect(partsOf(answer)[0]!.bytes.toString('utf8')).toContain(`<DicomAttribute tag="0020000D" vr="UI" keyword="StudyInstanceUID"><Value number="1">${study}</Value></DicomAttribute>`);
    expect((await client.get('/studies', 'text/html')).status).toBe(406);
  });
});
