/** The client's services against archives that others wrote: DCMTK's dcmqrscp and Orthanc. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { samplePatients } from '../../../src/simulator/sample-patients.ts';
import { writeStudy } from '../../../src/simulator/synthetic-study.ts';
import { smallStudy } from '../../../test/support/journey.ts';
import type { Receive } from '#gateway/adapter.ts';
import type { Archive } from '../testing/archives.ts';
import { missing, startDcmqrscp, startOrthanc } from '../testing/archives.ts';
import type { TestGateway } from '../testing/gateway.ts';
import { integration, startGateway, testContext } from '../testing/gateway.ts';
import { testConnection } from '../test-connection.ts';
import { queries } from './queries.ts';

const patient = samplePatients.plain;
const newer = smallStudy({ patient, accessionNumber: 'A-2', studyAt: new Date('2025-05-02T10:00:00Z') });
const older = smallStudy({ patient, accessionNumber: 'A-1', studyAt: new Date('2024-03-01T10:00:00Z') });
const absent = '1.2.3.4.5';
const never: Receive = async () => { throw new Error('nothing was to be received here'); };

// dcmqrscp indexes no Body Part Examined.
const archives = [
  { name: 'dcmqrscp', isMissing: missing('dcmqrscp', 'storescu'), start: startDcmqrscp, bodyParts: [] }, { name: 'Orthanc', isMissing: missing('Orthanc', 'storescu'), start: startOrthanc, bodyParts: ['CHEST'] },
] as const;

describe.each(archives)('$name', ({ isMissing, start, bodyParts }) => {
  let archive: Archive, gateway: TestGateway, directory: string;
  beforeAll(async () => {
    if (isMissing) return;
    gateway = await startGateway();
    archive = await start({ aeTitle: 'MEDSCAN', port: gateway.port });
    directory = mkdtempSync(join(tmpdir(), 'studies-'));
    await archive.store(...await writeStudy(newer, join(directory, 'new')), ...await writeStudy(older, join(directory, 'old')));
  });
  afterAll(async () => {
    await archive?.stop();
    await gateway?.close();
    if (directory) rmSync(directory, { recursive: true, force: true });
  });
  const source = (more: object = {}) => integration({ destination: { host: '127.0.0.1', port: archive.port, called_ae_title: archive.aeTitle, calling_ae_title: 'MEDSCAN', connect_timeout_milliseconds: 5000, response_timeout_milliseconds: 5000, tls: false }, ...more });
  const context = () => testContext(gateway.directory);

  test.skipIf(isMissing).each(['study', 'patient'] as const)('finds the studies of a patient by %s root, newest first, and what their series tell', async (query_root) => {
    const outcome = await queries.findStudies({ patientId: patient.patientId, to: '20260101', describeSeries: 1 }, source({ query_root }), context());
    expect(outcome).toMatchObject({ kind: 'answered', answerCode: '0000', interaction: 'C-FIND STUDY', count: 2 });
    const studies = outcome.kind === 'answered' ? outcome.value : [];
    expect(studies.map((study) => study.studyInstanceUid)).toEqual([newer.studyInstanceUid, older.studyInstanceUid]);
    expect(studies[0]).toMatchObject({ modalities: ['CT'], bodyParts, studyDate: '20250502', patientId: patient.patientId });
    expect(studies[1]!.bodyParts).toEqual([]);
  });

  test.skipIf(isMissing)('finds by date what lies in the range, and nothing of another patient', async () => {
    const ranged = await queries.findStudies({ patientId: patient.patientId, from: '20240101', to: '20241231', describeSeries: 0 }, source(), context());
    expect(ranged).toMatchObject({ kind: 'answered', count: 1, value: [{ studyInstanceUid: older.studyInstanceUid }] });
    expect(await queries.findStudies({ patientId: 'NOBODY', describeSeries: 0 }, source(), context())).toMatchObject({ kind: 'answered', count: 0, value: [] });
    // A wildcard in a patient ID is that of another question: its answers are not ours.
    expect(await queries.findStudies({ patientId: '*', describeSeries: 0 }, source(), context())).toMatchObject({ kind: 'answered', count: 0, value: [] });
  });

  test.skipIf(isMissing)('counts the images of a study, by number and by name', async () => {
    const study = { studyInstanceUid: newer.studyInstanceUid, patientId: patient.patientId };
    expect(await queries.countInstances({ ...study, byName: false }, source(), context())).toMatchObject({ kind: 'answered', value: { numberOfInstances: 8 } });
    const named = await queries.countInstances({ ...study, byName: true }, source(), context());
    expect(named.kind === 'answered' && new Set(named.value?.instances?.map(({ sopInstanceUid }) => sopInstanceUid))).toEqual(new Set(newer.objects.map(({ sopInstanceUid }) => sopInstanceUid)));
    // What the settings would refuse is not waited for, and not fetched; of what SOP class an image is, not every archive tells.
    for (const byName of [false, true]) expect(await queries.countInstances({ ...study, byName }, source({ modalities: ['MR'] }), context())).toMatchObject({ kind: 'answered', value: { numberOfInstances: 0, instances: [] } });
    expect(await queries.countInstances({ ...study, byName: false }, source({ modalities: ['CT'], sop_classes: ['1.2.840.10008.5.1.4.1.1.2'] }), context())).toMatchObject({ kind: 'answered', value: { numberOfInstances: 8 } });
    expect(await queries.countInstances({ studyInstanceUid: absent, byName: false }, source(), context())).toMatchObject({ kind: 'answered', value: undefined });
  });

  test.skipIf(isMissing)('has a study sent by C-MOVE: its images arrive by the ordinary way in', async () => {
    const before = gateway.received.length;
    const outcome = await queries.retrieve({ studyInstanceUid: older.studyInstanceUid }, source(), never, context());
    expect(outcome).toMatchObject({ kind: 'answered', answerCode: '0000', interaction: 'C-MOVE', value: { completed: 8, failed: 0, byReceive: false } });
    expect(new Set(gateway.received.slice(before).map(({ message }) => message.controlId))).toEqual(new Set(older.objects.map(({ sopInstanceUid }) => sopInstanceUid)));
  });

  test.skipIf(isMissing)('has two named images sent, and no other', async () => {
    const before = gateway.received.length;
    const instances = newer.objects.slice(2, 4).map(({ sopClassUid, sopInstanceUid }) => ({ sopClassUid, sopInstanceUid, seriesInstanceUid: newer.seriesInstanceUid }));
    expect(await queries.retrieve({ studyInstanceUid: newer.studyInstanceUid, instances }, source(), never, context())).toMatchObject({ kind: 'answered', value: { completed: 2 } });
    expect(gateway.received.slice(before).map(({ message }) => message.controlId).toSorted()).toEqual(instances.map(({ sopInstanceUid }) => sopInstanceUid).toSorted());
  });

  test.skipIf(isMissing)('says in words that the destination of a C-MOVE is not known there', async () => {
    const outcome = await queries.retrieve({ studyInstanceUid: older.studyInstanceUid }, source({ called_ae_title: 'STRANGER' }), never, context());
    expect(outcome).toMatchObject({ kind: expect.stringMatching(/refused|unreachable/), text: expect.stringMatching(/[A-Z0-9]{4} (Refused|Error|Failed)/) });
  });

  test.skipIf(isMissing)('fetches a study by C-GET: each image is received as a C-STORE, byte for byte as it is stored there', async () => {
    const received: { controlId: string; sha256: string; peer: string | undefined }[] = [];
    const receive: Receive = async (message) => {
      received.push({ controlId: message.controlId, sha256: message.sha256, peer: message.peer.application });
      return { kind: 'accepted', links: {}, exchangeId: undefined, answered() { /* nobody looks */ } };
    };
    const outcome = await queries.retrieve({ studyInstanceUid: newer.studyInstanceUid, patientId: patient.patientId }, source({ retrieve_by: 'C-GET' }), receive, context());
    expect(outcome).toMatchObject({ kind: 'answered', answerCode: '0000', interaction: 'C-GET', value: { completed: 8, failed: 0, byReceive: true } });
    expect(new Set(received.map(({ controlId }) => controlId))).toEqual(new Set(newer.objects.map(({ sopInstanceUid }) => sopInstanceUid)));
    expect(received.every(({ peer }) => peer === archive.aeTitle)).toBe(true);
  });

  test.skipIf(isMissing).each(['C-MOVE', 'C-GET'] as const)('has a study and a named image sent by patient root too: %s', async (retrieve_by) => {
    const got: string[] = [];
    const receive: Receive = async (message) => { got.push(message.controlId); return { kind: 'accepted', links: {}, exchangeId: undefined, answered() { /* nobody looks */ } }; };
    const arrived = (): string[] => (retrieve_by === 'C-GET' ? got : gateway.received.map(({ message }) => message.controlId));
    const before = arrived().length;
    const study = { studyInstanceUid: older.studyInstanceUid, patientId: patient.patientId };
    expect(await queries.countInstances({ ...study, byName: true }, source({ query_root: 'patient' }), context())).toMatchObject({ kind: 'answered', value: { numberOfInstances: 8 } });
    expect(await queries.retrieve(study, source({ query_root: 'patient', retrieve_by }), receive, context())).toMatchObject({ kind: 'answered', interaction: retrieve_by, value: { completed: 8, failed: 0 } });
    const [{ sopClassUid, sopInstanceUid }] = older.objects as [typeof older.objects[number]];
    expect(await queries.retrieve({ ...study, instances: [{ sopClassUid, sopInstanceUid, seriesInstanceUid: older.seriesInstanceUid }] }, source({ query_root: 'patient', retrieve_by }), receive, context())).toMatchObject({ kind: 'answered', value: { completed: 1 } });
    expect(arrived().slice(before).toSorted()).toEqual([...older.objects.map((object) => object.sopInstanceUid), sopInstanceUid].toSorted());
  });

  test.skipIf(isMissing)('tells the source of a C-GET that an image was not stored: it is counted as failed, never as fetched', async () => {
    let count = 0;
    const receive: Receive = async () => (++count === 1 ? { kind: 'failed', text: 'no', retryable: true, exchangeId: undefined, answered() { /* nobody looks */ } } : { kind: 'accepted', links: {}, exchangeId: undefined, answered() { /* nobody looks */ } });
    const outcome = await queries.retrieve({ studyInstanceUid: newer.studyInstanceUid }, source({ retrieve_by: 'C-GET' }), receive, context());
    expect(outcome.kind === 'answered' ? outcome.value : outcome).not.toMatchObject({ failed: 0, completed: 8 });
  });

  test.skipIf(isMissing)('the connection test asks for a study that does not exist: nothing is sent', async () => {
    const wants = { priors: {} as never };
    const before = gateway.received.length;
    const known = await testConnection(source(wants).config, context());
    expect(known.steps.map(({ step, ok }) => [step, ok])).toEqual([['TCP', true], ['A-ASSOCIATE', true], ['C-ECHO', true], ['C-FIND', true], ['C-MOVE', true]]);
    expect(gateway.received.length).toBe(before);
  });

  test.skipIf(isMissing)('stops at once when the gateway stops', async () => {
    const stopped = { ...context(), signal: AbortSignal.abort() };
    expect(await queries.findStudies({ patientId: patient.patientId, describeSeries: 0 }, source(), stopped)).toMatchObject({ kind: 'unreachable' });
  });
});
