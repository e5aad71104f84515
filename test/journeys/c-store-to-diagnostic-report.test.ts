/**
 * The main job: ADT^A04, ORM^O01 and a synthetic CT by C-STORE become a DiagnosticReport at the EMR, an ORU^R01 at the RIS and a DICOM SR at the
 * PACS. The findings are compared with the phantom the images were made of, the results with the rows, and the record with what was sent.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { generatePhantom } from '../../src/ai/phantom.ts';
import { QUEUES } from '../../src/queue/queues.ts';
import { part10File, syntheticStudy, type SyntheticStudy } from '../../src/simulator/synthetic-study.ts';
import { samplePatients } from '../../src/simulator/sample-patients.ts';
import { eventually } from '../support/gateway.ts';
import { answered, anOrder, counts, delivered, exchanges, expectAudited, scanOf, startJourney, type Journey, type ScanRow } from '../support/journey.ts';

// Without vessels: every ball that is there is a lesion, so that what the model says can be compared one for one.
const phantom = generatePhantom({
  seed: 24, slices: 24, rows: 256, columns: 256, pixelSpacingMillimetres: 1.3, sliceSpacingMillimetres: 2.5, vesselTreesPerLung: 0,
  lesions: [{ diameterMillimetres: 26, contrastHounsfield: 880 }, { diameterMillimetres: 12, contrastHounsfield: 860 }, { diameterMillimetres: 6, contrastHounsfield: 840 }],
});
const patient = samplePatients.plain;
const order = anOrder();
const RESULTS = ['scans', 'scan_files', 'ai_analyses', 'findings', 'reports', 'deliveries', 'patients', 'patient_medical_history'] as const;
const hasDsrdump = spawnSync('dsrdump', ['--version']).status === 0;
if (!hasDsrdump) console.log('skipped: DCMTK (dsrdump) is not installed');

let journey: Journey;
let study: SyntheticStudy;
let scan: ScanRow;
const queueStates: string[] = [];

beforeAll(async () => {
  journey = await startJourney();
  const { gateway, hospital } = journey;
  study = syntheticStudy({ patient, accessionNumber: order.accessionNumber, phantom });
  expect((await hospital.ris.register(patient)).code).toBe('AA');
  expect((await hospital.ris.order(patient, order)).code).toBe('AA');
  const note = async (): Promise<void> => {
    const [row] = await gateway.db.asOwner<{ status: string; why_waiting: string | null }>('SELECT status, why_waiting FROM scan_queue');
    const state = `${row?.status}: ${row?.why_waiting}`;
    if (row && queueStates.at(-1) !== state) queueStates.push(state);
  };
  await note();
  const answers = await hospital.pacs.store(study.objects);
  expect(answers.map((answer) => answer.status)).toEqual(study.objects.map(() => 0));
  await note();
  await eventually(async () => {
    await note();
    return (await gateway.db.asOwner("SELECT FROM deliveries WHERE status <> 'delivered'")).length === 0 && (await gateway.db.asOwner('SELECT FROM deliveries')).length === 3;
  }, 30_000);
  await delivered(gateway, study.studyInstanceUid);
  scan = await scanOf(gateway, study.studyInstanceUid);
});
afterAll(() => journey?.stop());

test('the images are one scan of the registered patient, linked to the order, and the queue says what it waits for', () => {
  expect(scan).toMatchObject({
    instance_count: 24, series_count: 1, status: 'completed', completeness_proof: 'quiet_time', completion_run: 1, accession_number: order.accessionNumber, placer_order_number: order.placerOrderNumber,
    priority: 'stat', patient_number: patient.patientId, family_name: patient.familyName,
  });
  expect(queueStates[0]).toBe('pending: Ordered; waiting for images.');
  expect(queueStates[1]).toMatch(/^pending: Images are arriving/);
  expect(queueStates.some((state) => state.startsWith('in_progress: medscan-blob-detector')), queueStates.join('\n')).toBe(true);
  // The sample hospital's rule gives CT to the radiologist on duty: when the report is there the scan waits for that person.
  expect(queueStates.at(-1)).toBe('assigned: null');
});

test('the findings are the lesions of the phantom: place and size, one for one', async () => {
  const rows = await journey.gateway.db.asOwner<{ location: { centre3d: [number, number, number]; sopInstanceUid: string }; measurements: { type: { display: string }; value: number; unit: string }[]; severity: string }>('SELECT * FROM findings');
  expect(rows).toHaveLength(phantom.lesions.length);
  for (const lesion of phantom.lesions) {
    const nearest = rows.toSorted((a, b) => distance(a.location.centre3d, lesion.centre) - distance(b.location.centre3d, lesion.centre))[0]!;
    expect(distance(nearest.location.centre3d, lesion.centre)).toBeLessThan(3);
    const diameter = nearest.measurements.find((measurement) => measurement.type.display === 'Diameter')!;
    expect(diameter.unit).toBe('mm');
    expect(Math.abs(diameter.value - lesion.diameterMillimetres) / lesion.diameterMillimetres).toBeLessThan(0.25);
    const slice = phantom.imagePositions.findIndex((position) => Math.abs(position[2] - nearest.location.centre3d[2]) <= phantom.sliceSpacingMillimetres / 2 + 1e-6);
    expect(nearest.location.sopInstanceUid).toBe(study.objects[slice]!.sopInstanceUid);
  }
  expect(rows.map((row) => row.severity).toSorted()).toEqual(['critical', 'high', 'medium']);
});

test('the EMR has one DiagnosticReport with an Observation per finding, the study, the model and where it comes from', () => {
  const { emr } = journey.hospital;
  const [report, ...others] = emr.list('DiagnosticReport') as readonly Record<string, any>[];
  expect(others).toEqual([]);
  expect(report).toMatchObject({ status: 'preliminary' });
  const findings = emr.list('Observation').filter((observation) => JSON.stringify(observation['code']).includes('"27925004"'));
  expect(findings.map((observation) => (observation as Record<string, any>)['interpretation'][0].text as string).toSorted()).toEqual(['critical', 'high', 'medium']);
  expect(report!['result'].map((reference: { reference: string }) => reference.reference).toSorted()).toEqual(emr.list('Observation').map((observation) => `Observation/${observation.id}`).toSorted());
  expect(emr.list('Patient')).toMatchObject([{ name: [{ family: patient.familyName, given: [patient.givenName, patient.middleName] }], birthDate: '1958-03-11', gender: 'female' }]);
  expect(JSON.stringify(emr.list('ImagingStudy'))).toContain(study.studyInstanceUid);
  expect(JSON.stringify(emr.list('Device'))).toContain('medscan-blob-detector');
  expect(JSON.stringify(emr.list('Provenance'))).toContain(`DiagnosticReport/${report!['id']}`);
  expect(JSON.stringify(report)).toContain(order.accessionNumber);
});

test('the RIS has one ORU^R01 for the order, about the same patient and findings', () => {
  expect(journey.hospital.ris.received.items).toHaveLength(1);
  const { text, answered: code } = journey.hospital.ris.received.items[0]!;
  expect(code).toBe('AA');
  const segments = text.split('\r').map((line) => line.split('|'));
  const field = (name: string, index: number): string => segments.find(([segment]) => segment === name)?.[index] ?? '';
  expect(field('PID', 3)).toContain(patient.patientId);
  expect(field('PID', 5)).toContain(patient.familyName);
  expect(field('OBR', 2)).toContain(order.placerOrderNumber);
  expect(field('OBR', 3)).toContain(order.fillerOrderNumber);
  expect(text).toContain(study.studyInstanceUid);
  expect(text).toContain('critical');
});

describe('the PACS', () => {
  test('has one SR of the same patient and study, whose references are images of it', async () => {
    const received = journey.hospital.pacs.received.items;
    expect(received).toHaveLength(1);
    expect(received[0]!.sopClassUid).toBe('1.2.840.10008.5.1.4.1.1.88.34');
    const text = received[0]!.dataset.toString('latin1');
    expect(text).toContain(study.studyInstanceUid);
    expect(text).toContain(patient.patientId);
    const sops = new Set(study.objects.map((object) => object.sopInstanceUid));
    const locations = await journey.gateway.db.asOwner<{ sop: string }>("SELECT DISTINCT location->>'sopInstanceUid' AS sop FROM findings");
    for (const { sop } of locations) {
      expect(sops.has(sop)).toBe(true);
      expect(text).toContain(sop);
    }
  });

  test.skipIf(!hasDsrdump)('has an SR that DCMTK dsrdump reads without an error or a warning', () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'medscan-sr-'));
    try {
      const file = path.join(directory, 'report.dcm');
      writeFileSync(file, part10File(journey.hospital.pacs.received.items[0]!));
      const result = spawnSync('dsrdump', [file], { encoding: 'utf8' });
      // dsrdump's own VR checker knows no UTF-8 and says so; nothing else may be said.
      expect(result.stderr.split('\n').filter((line) => line !== '' && !line.includes('VR checker does not support this Specific Character Set: ISO_IR 192'))).toEqual([]);
      expect(result.status).toBe(0);
      expect(result.stdout).toContain('Comprehensive 3D SR Document');
      expect(result.stdout).toContain(`${patient.familyName}^${patient.givenName}^${patient.middleName} (F, 1958-03-11, #${patient.patientId}:NORTH)`);
      expect(result.stdout.match(/"Measurement Group"/g)).toHaveLength(phantom.lesions.length);
      const diameters = [...result.stdout.matchAll(/"Diameter"\)="([\d.]+)" \(mm/g)].map(([, value]) => Number(value)).toSorted((a, b) => b - a);
      expect(diameters.map((value, index) => Math.abs(value - phantom.lesions[index]!.diameterMillimetres) < 1.5)).toEqual([true, true, true]);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

test('the record: one row per message and attempt with both legs, and audit rows for each', async () => {
  const { gateway } = journey;
  const inbound = await answered(gateway, "direction = 'inbound'");
  expect(Map.groupBy(inbound, (row) => `${row.interaction} ${row.message_status} ${row.answer_code}`).entries().map(([kind, rows]) => `${kind} x${rows.length}`).toArray().toSorted())
    .toEqual(['ADT^A04 accepted AA x1', 'C-STORE accepted 0000 x24', 'ORM^O01 accepted AA x1']);
  expect(new Set(inbound.filter((row) => row.interaction === 'C-STORE').map((row) => row.control_id))).toEqual(new Set(study.objects.map((object) => object.sopInstanceUid)));
  const outbound = await exchanges(gateway, "direction = 'outbound'");
  expect(outbound.map((row) => `${row.adapter} ${row.message_status} ${row.answer_status} attempt ${row.attempt}`).toSorted())
    .toEqual(['dicom-dimse delivered answered attempt 1', 'fhir-rest delivered answered attempt 1', 'hl7v2-mllp delivered answered attempt 1']);
  for (const row of outbound) {
    expect(row.report_id).not.toBeNull();
    expect(row.payload_location).toBe('database');
    expect(row.scan_id).toBe(scan.scan_id);
  }
  await expectAudited(gateway, [...inbound, ...outbound]);
  const procedure = await gateway.db.asOwner<{ object_type: string; n: number }>("SELECT object_type, count(*)::int AS n FROM audit_logs WHERE actor_kind = 'system' AND object_type IN ('scan', 'ai_analysis') GROUP BY 1 ORDER BY 1");
  expect(procedure).toEqual([{ object_type: 'ai_analysis', n: 1 }, { object_type: 'scan', n: 1 }]);
});

test('when every job runs again nothing is there twice, and nothing is sent', async () => {
  const { gateway, hospital, seeded: { organizationId } } = journey;
  const before = await counts(gateway, RESULTS);
  const exchangesBefore = (await exchanges(gateway, 'true')).length;
  const [analysis] = await gateway.db.asOwner<{ analysis_id: string }>('SELECT analysis_id FROM ai_analyses');
  const integrations = await gateway.db.asOwner<{ integration_id: string }>('SELECT integration_id FROM external_integrations');
  const jobs = [
    [QUEUES.completeScan.name, { organizationId, scanId: scan.scan_id }], [QUEUES.analyze.name, { organizationId, analysisId: analysis!.analysis_id }],
    [QUEUES.report.name, { organizationId, scanId: scan.scan_id }], ...integrations.map((row) => [QUEUES.deliver.name, { organizationId, integrationId: row.integration_id }] as const),
  ] as const;
  const ids = await Promise.all(jobs.map(async ([queue, data]) => [queue, await gateway.boss.send(queue, data, 'integrationId' in data ? { singletonKey: data.integrationId } : {})] as const));
  for (const [queue, id] of ids) await eventually(async () => (await gateway.db.asOwner('SELECT FROM pgboss.job WHERE name = $1 AND id = $2 AND state = $3', [queue, id, 'completed'])).length === 1);
  expect(await counts(gateway, RESULTS)).toEqual(before);
  expect((await exchanges(gateway, 'true')).length).toBe(exchangesBefore);
  expect([hospital.emr.reports.items.length, hospital.ris.received.items.length, hospital.pacs.received.items.length]).toEqual([1, 1, 1]);
});

const distance = (a: readonly number[], b: readonly number[]): number => Math.hypot(...a.map((value, index) => value - b[index]!));
