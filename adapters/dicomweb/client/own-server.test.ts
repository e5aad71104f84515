/** The client meets our own server: what one gateway holds, another asks for and fetches, byte for byte. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiToken } from '../../../src/db/user-sessions.ts';
import { testGateway, type TestGateway } from '../../../test/support/gateway.ts';
import { insertIntegration } from '../../../test/support/pipeline.ts';
import { asking, sha256, type Asking } from '../testing/asking.ts';
import { DicomwebTestClient } from '../testing/client.ts';
import { encapsulated, jpegBaseline, native, object, root } from '../testing/objects.ts';
import { countInstances, findStudies } from './find.ts';
import { retrieve } from './retrieve.ts';

const study = `${root}.1`, otherStudy = `${root}.2`;
const objects = [
  object({}, { pixelData: native('OW', Buffer.alloc(300_000, 7)) }), object({ '(0020,000e)': `${root}.1.2`, '(0018,0015)': 'CHEST' }),
  object({ '(0020,000e)': `${root}.1.2`, '(0018,0015)': 'CHEST' }, { transferSyntaxUid: jpegBaseline, pixelData: encapsulated([0], [Buffer.from('ffd8ffd9', 'hex')]) }),
];
const other = object({ '(0020,000d)': otherStudy, '(0020,000e)': `${otherStudy}.1`, '(0008,0020)': '20200101' });
let gateway: TestGateway, client: Asking;

beforeAll(async () => {
  gateway = await testGateway({ MEDSCAN_ROLES: 'gateway,api' });
  await insertIntegration(gateway.db, 'Other Hospital', 'Readers', 'dicomweb');
  await gateway.db.asOwner(`UPDATE external_integrations SET settings = '{"allow_query": true, "allow_retrieve": true, "assigning_authority": "NORTH", "maximum_results": 2}'`);
  await gateway.integrations.reload();
  const { token } = await createApiToken(gateway.db.database, { organizationName: 'Other Hospital', role: 'service', name: 'reader' });
  const { status } = await new DicomwebTestClient(gateway.ports.http!, token).store([...objects, other].map(({ file }) => file));
  expect(status).toBe(200);
  client = asking({ base_url: `http://127.0.0.1:${gateway.ports.http}/dicom-web/`, authentication: 'bearer', bearer_token: token });
});
afterAll(() => gateway?.stop());

test('studies of a patient, in a range of dates, with what their series tell', async () => {
  const found = (range: object) => findStudies({ patientId: 'MRN-77', describeSeries: 5, ...range }, client.integration, client.context);
  expect(await found({})).toMatchObject({ kind: 'answered', value: [{ studyInstanceUid: study, studyDate: '20260301', issuerOfPatientId: 'NORTH', patientBirthDate: '19800517', numberOfInstances: 3, modalities: ['CT'], bodyParts: ['CHEST'] }, { studyInstanceUid: otherStudy }] });
  expect(await found({ to: '20201231' })).toMatchObject({ value: [{ studyInstanceUid: otherStudy, numberOfInstances: 1 }] });
  expect(await findStudies({ patientId: 'P-7', describeSeries: 0 }, client.integration, client.context)).toMatchObject({ kind: 'answered', value: [] });
});

test('how many images a study has, and which, although a page holds two', async () => {
  const count = (studyInstanceUid: string, byName: boolean) => countInstances({ studyInstanceUid, byName }, client.integration, client.context);
  expect(await count(study, false)).toMatchObject({ kind: 'answered', value: { numberOfInstances: 3 } });
  const listed = await count(study, true), instances = listed.kind === 'answered' ? listed.value?.instances ?? [] : [];
  expect(new Map(instances.map(({ sopInstanceUid, seriesInstanceUid }) => [sopInstanceUid, seriesInstanceUid]))).toEqual(new Map(objects.map(({ sopInstanceUid, seriesInstanceUid }) => [sopInstanceUid, seriesInstanceUid])));
  expect(await count('2.25.404', false)).toMatchObject({ kind: 'answered', value: undefined });
});

test('its images, by study and by name, in the transfer syntaxes they have', async () => {
  const take = async (instances?: readonly (typeof objects)[number][]) => {
    client.received.length = 0;
    const outcome = await retrieve({ studyInstanceUid: study, ...(instances ? { instances: instances.map((one) => ({ ...one, sopClassUid: '' })) } : {}) }, client.integration, client.receive, client.context);
    return { outcome, got: new Map(client.received.map(({ message }) => [message.sha256, message.facts['transferSyntaxUid']])) };
  };
  const syntaxes = new Map([[sha256(objects[0]!.dataset), '1.2.840.10008.1.2.1'], [sha256(objects[1]!.dataset), '1.2.840.10008.1.2.1'], [sha256(objects[2]!.dataset), jpegBaseline]]);
  const whole = await take();
  expect([whole.outcome, whole.got]).toMatchObject([{ kind: 'answered', value: { completed: 3, failed: 0 } }, syntaxes]);
  const named = await take([objects[2]!]);
  expect([named.outcome, named.got]).toMatchObject([{ kind: 'answered', value: { completed: 1, failed: 0 } }, new Map([...syntaxes].slice(2))]);
  expect(await retrieve({ studyInstanceUid: '2.25.404' }, client.integration, client.receive, client.context)).toMatchObject({ kind: 'refused', answerCode: '404' });
});
