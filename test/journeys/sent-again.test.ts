/** The same study again, from four associations at once, and late images: what is stored, analysed and reported once stays once. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { generatePhantom } from '../../src/ai/phantom.ts';
import { syntheticStudy } from '../../src/simulator/synthetic-study.ts';
import { anOrder, answered, delivered, expectAudited, exchanges, scanOf, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';
import { eventually } from '../support/gateway.ts';

let journey: Journey;
beforeAll(async () => { journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '3' }); });
afterAll(() => journey?.stop());

const patient = somebody(), { accessionNumber } = anOrder(), study = smallStudy({ patient, accessionNumber });
const size = study.objects.length;
const analyses = (): Promise<{ status: string; completion_run: number; supersedes_analysis_id: string | null; analysis_id: string }[]> => journey.gateway.db.asOwner('SELECT * FROM ai_analyses ORDER BY created_at');

test('four associations that bring one new study at the same moment make one patient, one scan and one file per instance', async () => {
  const { gateway, hospital: { pacs } } = journey;
  const answers = await Promise.all([0, 1, 2, 3].map((turn) => pacs.store(turn % 2 === 0 ? study.objects : study.objects.toReversed())));
  expect(answers.flat().map((answer) => answer.status)).toEqual(Array(4 * size).fill(0));
  expect(await scanOf(gateway, study.studyInstanceUid)).toMatchObject({ instance_count: size, series_count: 1 });
  expect(await gateway.db.asOwner('SELECT sop_instance_uid FROM scan_files')).toHaveLength(size);
  expect(await gateway.db.asOwner('SELECT FROM patients')).toHaveLength(1);
  await delivered(gateway, study.studyInstanceUid);
  expect(await analyses()).toMatchObject([{ status: 'completed', completion_run: 1 }]);
});

test('the whole study sent a second time is answered with Success and changes nothing', async () => {
  const { gateway, hospital: { pacs, emr } } = journey;
  const before = await scanOf(gateway, study.studyInstanceUid);
  const answers = await pacs.store(study.objects);
  expect(answers.map((answer) => answer.status)).toEqual(Array(size).fill(0));
  const after = await scanOf(gateway, study.studyInstanceUid);
  expect(after).toEqual(before);
  expect(await gateway.db.asOwner("SELECT FROM pgboss.job WHERE state IN ('created', 'retry', 'active') AND name IN ('complete-scan', 'analyze', 'report')")).toEqual([]);
  expect([await analyses(), emr.reports.items]).toMatchObject([{ length: 1 }, { length: 1 }]);
});

test('late images after completion make exactly one superseding analysis, and version 2 of the same DiagnosticReport', async () => {
  const { gateway, hospital: { pacs, emr, ris } } = journey;
  const [first] = await analyses();
  const phantom = generatePhantom({ seed: 24, slices: 10, rows: 80, columns: 80, sliceSpacingMillimetres: 5, vesselTreesPerLung: 0, lesions: [{ diameterMillimetres: 20, contrastHounsfield: 880, centre: [-90, 0, 17.5] }] });
  const late = syntheticStudy({ patient, accessionNumber, studyInstanceUid: study.studyInstanceUid, seriesInstanceUid: study.seriesInstanceUid, phantom }).objects.slice(8);
  await pacs.store(late);
  expect(await scanOf(gateway, study.studyInstanceUid)).toMatchObject({ status: 'in_progress', images_complete_at: null, instance_count: size + 2 });
  await Promise.all([pacs.store(late), pacs.store(study.objects)]);
  const second = await delivered(gateway, study.studyInstanceUid, 2);
  expect(second.version).toBe(2);
  const all = await analyses();
  expect(all).toHaveLength(2);
  expect(all[1]).toMatchObject({ status: 'completed', completion_run: 2, supersedes_analysis_id: first!.analysis_id });
  expect(emr.list('DiagnosticReport')).toMatchObject([{ meta: { versionId: '2' } }]);
  expect(emr.reports.items.map((report) => report.id)).toEqual([emr.list('DiagnosticReport')[0]!.id, emr.list('DiagnosticReport')[0]!.id]);
  expect(ris.received.items).toHaveLength(2);
  expect(pacs.received.items).toHaveLength(2);
  expect(new Set(pacs.received.items.map((object) => object.sopInstanceUid)).size, 'each version is an SR of its own').toBe(2);
});

test('the record: every C-STORE has its row, the repeats say that they are repeats, and each is audited', async () => {
  const { gateway } = journey;
  const inbound = await answered(gateway, "direction = 'inbound'");
  const count = (status: string): number => inbound.filter((row) => row.message_status === status && row.answer_code === '0000').length;
  expect({ accepted: count('accepted'), duplicate: count('duplicate') }).toEqual({ accepted: size + 2, duplicate: 5 * size - size + 2 + size });
  expect(inbound.filter((row) => row.message_status === 'duplicate' && row.payload_location !== null)).toEqual([]);
  const outbound = await eventually(async () => { const rows = await exchanges(gateway, "direction = 'outbound'"); return rows.length === 6 && rows; });
  await expectAudited(gateway, [...inbound, ...outbound]);
  const repeats = await gateway.db.asOwner<{ n: number }>("SELECT count(*)::int AS n FROM audit_logs WHERE detail->>'repeat' = 'true'");
  expect(repeats[0]!.n).toBe(count('duplicate'));
});
