import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkSource } from '../../src/pipeline/completeness-at-source.ts';
import { completeWhenQuiet } from '../../src/pipeline/complete.ts';
import { buryJob } from '../../src/pipeline/dead-jobs.ts';
import { forceComplete, withdrawReport } from '../../src/pipeline/index.ts';
import { report } from '../../src/pipeline/report.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { resultSeriesUid, resultSopClasses } from '#standards/dicom/result-modules.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline;
beforeAll(async () => {
  pipeline = await testPipeline();
  await pipeline.db.asOwner(`WITH m AS (INSERT INTO ai_models (organization_id, model_name, model_version, runtime, status) VALUES ($1, 'model', '1', 'onnx', 'active'))
    INSERT INTO workflow_rules (organization_id, name, actions) VALUES ($1, 'all', '[{"action": "run_model", "model_name": "model"}]')`, [pipeline.integration.organizationId]);
});
afterAll(() => pipeline.close());

const dependencies = (quietSeconds: number) => ({ database: pipeline.db.database, boss: pipeline.boss, quietSeconds, now: () => new Date() });
const somebody = { kind: 'user', id: 'somebody' } as const;

async function receivedScan(study: string, facts: Readonly<Record<string, unknown>> = {}): Promise<{ organizationId: string; scanId: string }> {
  const receipt = await pipeline.receive({ interaction: 'C-STORE', controlId: `${study}.1`, facts, normalized: { patient: patient(study), instance: instance(study, `${study}.1`) } });
  if (receipt.kind !== 'accepted') throw new Error(receipt.kind);
  return { organizationId: pipeline.integration.organizationId, scanId: receipt.links['scans']! };
}
const analyses = (scanId: string) => pipeline.db.asOwner<{ status: string; completion_run: number }>('SELECT status, completion_run FROM ai_analyses WHERE scan_id = $1', [scanId]);

test('a scan waits until no image came for the quiet time, and says so to the queue again', async () => {
  const scan = await receivedScan('20.1');
  expect(await completeWhenQuiet(dependencies(60), scan)).toBe('waiting');
  expect(await completeWhenQuiet(dependencies(0), scan)).toBe('completed');
  expect(await completeWhenQuiet(dependencies(0), scan)).toBe('nothing to do');
  expect(await analyses(scan.scanId)).toEqual([{ status: 'queued', completion_run: 1 }]);
});

test('images without Modality leave the list of modalities as it is, and their scan is completed', async () => {
  const study = '20.0', image = (number: number, modality: string | null) => ({ ...instance(study, `${study}.${number}`), series: { series_instance_uid: `${study}.1`, modality } });
  const receive = (number: number, modality: string | null) => pipeline.receive({ interaction: 'C-STORE', controlId: `${study}.${number}`, normalized: { patient: patient(study), instance: image(number, modality) } });
  const receipts = [await receive(1, null), await receive(2, null)];
  if (receipts[0]!.kind !== 'accepted') throw new Error(receipts[0]!.kind);
  const scan = { organizationId: pipeline.integration.organizationId, scanId: receipts[0]!.links['scans']! };
  const modalities = async () => (await pipeline.db.asOwner<{ modalities: unknown }>('SELECT modalities FROM scans WHERE scan_id = $1', [scan.scanId]))[0]!.modalities;
  expect([receipts[1]!.kind, await modalities()]).toEqual(['accepted', []]);
  await receive(3, 'CT');
  await receive(4, null);
  expect(await modalities()).toEqual(['CT']);
  // As earlier versions left it.
  await pipeline.db.asOwner("UPDATE scans SET modalities = '{CT,NULL}' WHERE scan_id = $1", [scan.scanId]);
  await pipeline.db.asOwner(await readFile(path.join(import.meta.dirname, '../../migrations/0043_images_without_modality.sql'), 'utf8'));
  expect(await modalities()).toEqual(['CT']);
  expect(await completeWhenQuiet(dependencies(0), scan)).toBe('completed');
});

test('a person completes a scan once; again only when something of it waits for a person, and a failed analysis is then tried anew', async () => {
  const { organizationId, scanId } = await receivedScan('20.2');
  expect(await forceComplete(dependencies(60), organizationId, scanId, somebody)).toEqual({ kind: 'completed', completionRun: 1 });
  expect(await forceComplete(dependencies(60), organizationId, scanId, somebody)).toMatchObject({ kind: 'refused' });

  await pipeline.db.asOwner("UPDATE ai_analyses SET status = 'failed', error_text = 'broken' WHERE scan_id = $1", [scanId]);
  await pipeline.db.asOwner("UPDATE scan_queue SET status = 'paused' WHERE scan_id = $1", [scanId]);
  expect(await forceComplete(dependencies(60), organizationId, scanId, somebody)).toEqual({ kind: 'completed', completionRun: 2 });
  expect(await analyses(scanId)).toEqual([{ status: 'queued', completion_run: 2 }]);
  expect(await forceComplete(dependencies(60), organizationId, scanId, somebody)).toMatchObject({ kind: 'refused' });
});

test('a scan without images cannot be completed', async () => {
  await pipeline.receive({ interaction: 'ORM^O01', controlId: 'C1', normalized: { authority: 'order', patient: patient('C1'), order: { control: 'new', accession_number: 'C1' } } });
  const [row] = await pipeline.db.asOwner<{ scan_id: string }>("SELECT scan_id FROM scans WHERE accession_number = 'C1'");
  expect(await forceComplete(dependencies(0), pipeline.integration.organizationId, row!.scan_id, somebody)).toMatchObject({ kind: 'refused', reason: 'no image has arrived for this scan' });
});

test('an analysis whose job was given up ends as failed, with an alert, a reason in the queue, and can be tried anew', async () => {
  const { organizationId, scanId } = await receivedScan('20.3');
  await forceComplete(dependencies(60), organizationId, scanId, somebody);
  const [{ analysis_id: analysisId }] = await pipeline.db.asOwner<{ analysis_id: string }>("UPDATE ai_analyses SET status = 'processing', attempt = 6 WHERE scan_id = $1 RETURNING analysis_id", [scanId]) as [{ analysis_id: string }];
  await buryJob(dependencies(60), { id: uuidV7(), data: { organizationId, analysisId }, sourceName: 'analyze' });
  expect(await analyses(scanId)).toEqual([{ status: 'failed', completion_run: 1 }]);
  expect(await pipeline.db.asOwner("SELECT status FROM scan_queue WHERE scan_id = $1", [scanId])).toEqual([{ status: 'paused' }]);
  expect(await pipeline.db.asOwner("SELECT severity FROM system_alerts WHERE subject = $1", [`analysis ${analysisId}`])).toEqual([{ severity: 'critical' }]);
  expect(await forceComplete(dependencies(60), organizationId, scanId, somebody)).toMatchObject({ kind: 'completed' });
});

test('any other job that was given up opens an alert that names it', async () => {
  const { organizationId, scanId } = await receivedScan('20.4');
  await buryJob(dependencies(60), { id: uuidV7(), data: { organizationId, scanId }, sourceName: 'report' });
  expect(await pipeline.db.asOwner("SELECT kind FROM system_alerts WHERE subject = $1", [`report ${scanId}`])).toEqual([{ kind: 'job_dead' }]);
});

test('results that an archive sends back are kept, and are no reason for another analysis', async () => {
  const scan = await receivedScan('20.5');
  await completeWhenQuiet(dependencies(0), scan);
  await pipeline.db.asOwner("UPDATE ai_analyses SET status = 'completed' WHERE scan_id = $1", [scan.scanId]);
  const [report] = await pipeline.db.asOwner<{ report_id: string }>(`
    INSERT INTO reports (organization_id, report_id, lineage_id, version, scan_id, status, findings_text, impression, author_kind, author_name, document)
    SELECT $1, id, id, 1, $2, 'preliminary', '', '', 'device', 'model 1', jsonb_build_object('reportId', id, 'scan', jsonb_build_object('studyInstanceUid', '20.5'), 'models', '[]'::jsonb) FROM medscan_uuid_v7() id RETURNING report_id`, [scan.organizationId, scan.scanId]);
  const arrives = (sop: string, series = '20.5.1', sopClass = '1.2.840.10008.5.1.4.1.1.2') => {
    const row = instance('20.5', sop, { series });
    return pipeline.receive({ interaction: 'C-STORE', controlId: sop, normalized: { patient: patient('20.5'), instance: { ...row, file: { ...row.file, sop_class_uid: sopClass } } } });
  };
  for (const [kind, name] of [['sr', 'structured-report'], ['sc', 'secondary-capture'], ['pdf', 'encapsulated-pdf']] as const) {
    expect(await arrives(`20.5.9.${kind}`, resultSeriesUid(kind, { reportId: report!.report_id, scan: { studyInstanceUid: '20.5' } }), resultSopClasses[name])).toMatchObject({ kind: 'accepted' });
  }
  const [kept] = await pipeline.db.asOwner('SELECT status, completion_run, completeness_proof, instance_count, last_instance_at = first_instance_at AS is_unmoved FROM scans WHERE scan_id = $1', [scan.scanId]);
  expect(kept, 'the scan is not opened again, not even for a moment').toEqual({ status: 'completed', completion_run: 1, completeness_proof: 'quiet_time', instance_count: 4, is_unmoved: true });
  expect(await completeWhenQuiet(dependencies(0), scan)).toBe('nothing to do');
  await arrives('20.5.9.other', '20.5.99', resultSopClasses['secondary-capture']);
  expect(await completeWhenQuiet(dependencies(0), scan), 'any other series of these classes is the modality\'s').toBe('completed');
  expect(await analyses(scan.scanId)).toHaveLength(2);
  await pipeline.db.asOwner("UPDATE ai_analyses SET status = 'completed' WHERE scan_id = $1", [scan.scanId]);
  await arrives('20.5.2');
  expect(await completeWhenQuiet(dependencies(0), scan)).toBe('completed');
  expect(await analyses(scan.scanId)).toHaveLength(3);
});

test('after a withdrawal nothing is made of the scan until a person wants it: late images are kept and told of, what was under way is dropped', async () => {
  const scan = await receivedScan('20.31');
  const { organizationId, scanId } = scan;
  await completeWhenQuiet(dependencies(0), scan);
  await pipeline.db.asOwner("UPDATE ai_analyses SET status = 'completed', processing_end_time = now() WHERE scan_id = $1", [scanId]);
  const first = await report(dependencies(0), { organizationId, scanId });
  const sends = (number: number) => pipeline.receive({ interaction: 'C-STORE', controlId: `20.31.${number}`, normalized: { patient: patient('20.31'), instance: instance('20.31', `20.31.${number}`) } });
  const queue = async () => (await pipeline.db.asOwner<{ status: string; why_waiting: string }>('SELECT status, why_waiting FROM scan_queue WHERE scan_id = $1', [scanId]))[0];
  const openAlerts = () => pipeline.db.asOwner("SELECT severity FROM system_alerts WHERE kind = 'images_after_withdrawal' AND subject = $1 AND resolved_at IS NULL", [`scan ${scanId}`]);
  const versions = async () => (await pipeline.db.asOwner<{ status: string }>('SELECT status FROM reports WHERE scan_id = $1 ORDER BY version', [scanId])).map(({ status }) => status);

  // An analysis of later images is under way, and another has ended without its report, when somebody withdraws.
  await sends(2);
  await completeWhenQuiet(dependencies(0), scan);
  await pipeline.db.asOwner("UPDATE ai_analyses SET status = 'processing', attempt = 1 WHERE scan_id = $1 AND status = 'queued'", [scanId]);
  expect(await withdrawReport(dependencies(0), organizationId, first!, 'wrong patient', somebody)).toMatchObject({ kind: 'withdrawn', version: 2 });
  expect((await analyses(scanId)).map(({ status }) => status)).toEqual(['completed', 'cancelled']);
  expect(await queue()).toMatchObject({ status: 'paused', why_waiting: expect.stringContaining('withdrawn while') as string });
  expect(await openAlerts()).toEqual([]);

  await sends(3);
  expect(await completeWhenQuiet(dependencies(0), scan)).toBe('completed');
  expect(await analyses(scanId), 'no new one').toHaveLength(2);
  expect(await queue()).toMatchObject({ status: 'paused', why_waiting: expect.stringContaining('a person decides') as string });
  expect(await openAlerts()).toEqual([{ severity: 'warning' }]);
  expect((await pipeline.db.asOwner("SELECT FROM scan_files WHERE scan_id = $1 AND status = 'stored'", [scanId]))).toHaveLength(3);

  // Ended before the withdrawal, reported after it: a race that must not bring the report back.
  await pipeline.db.asOwner("UPDATE ai_analyses SET status = 'completed', processing_end_time = now() WHERE scan_id = $1", [scanId]);
  expect(await report(dependencies(0), { organizationId, scanId })).toBeUndefined();
  expect(await versions()).toEqual(['preliminary', 'entered-in-error']);

  expect(await forceComplete(dependencies(60), organizationId, scanId, somebody)).toMatchObject({ kind: 'completed' });
  expect(await openAlerts()).toEqual([]);
  expect(await analyses(scanId)).toHaveLength(3);
  await pipeline.db.asOwner("UPDATE ai_analyses SET status = 'completed', processing_end_time = now() WHERE scan_id = $1", [scanId]);
  expect(await report(dependencies(0), { organizationId, scanId })).toBeTypeOf('string');
  expect(await versions()).toEqual(['preliminary', 'entered-in-error', 'preliminary']);
  await sends(4);
  expect(await completeWhenQuiet(dependencies(0), scan), 'and from then on by itself').toBe('completed');
  expect(await analyses(scanId)).toHaveLength(4);
});

test('whoever completes by force after a withdrawal has a next version made, also where only an image came that is kept out of use', async () => {
  const scan = await receivedScan('20.32'), { organizationId, scanId } = scan;
  const make = async () => {
    await pipeline.db.asOwner("UPDATE ai_analyses SET status = 'completed', processing_end_time = now() WHERE scan_id = $1", [scanId]);
    return report(dependencies(0), { organizationId, scanId });
  };
  await completeWhenQuiet(dependencies(0), scan);
  const first = await make();
  await withdrawReport(dependencies(0), organizationId, first!, 'wrong patient', somebody);
  expect(await make(), 'a job that comes twice makes nothing').toBeUndefined();
  expect(await pipeline.db.asOwner("SELECT FROM system_alerts WHERE kind = 'images_after_withdrawal' AND subject = $1", [`scan ${scanId}`]), 'nor tells of images that did not come').toEqual([]);
  await pipeline.receive({ interaction: 'C-STORE', controlId: '20.32.2', normalized: { patient: patient('SOMEBODY ELSE'), instance: instance('20.32', '20.32.2') } });
  expect(await completeWhenQuiet(dependencies(0), scan)).toBe('completed');
  expect(await forceComplete(dependencies(60), organizationId, scanId, somebody)).toMatchObject({ kind: 'completed' });
  expect(await analyses(scanId)).toHaveLength(1);
  expect(await make()).toBeTypeOf('string');
  expect(await make()).toBeUndefined();
});

const isFetched = { retrieved: 'C-MOVE' };
/** As priors.ts wants it; returns the retrieval. */
async function wantedAsPrior(scan: { organizationId: string; scanId: string }, study: string): Promise<string> {
  const [row] = await pipeline.db.asOwner<{ id: string }>("INSERT INTO study_retrievals (organization_id, integration_id, study_instance_uid, purpose, for_scan_id) VALUES ($1, $2, $3, 'prior', $4) RETURNING retrieval_id AS id",
    [scan.organizationId, pipeline.integration.integrationId, study, scan.scanId]);
  return row!.id;
}

test('an earlier study that was fetched is not analysed, unless it was ordered for itself about then', async () => {
  const fetched = async (study: string, order = ''): Promise<unknown[]> => {
    const scan = await receivedScan(study, isFetched);
    await wantedAsPrior(scan, study);
    if (order) await pipeline.db.asOwner(`UPDATE scans SET order_status = 'ordered', scheduled_at = ${order} WHERE scan_id = $1`, [scan.scanId]);
    expect(await completeWhenQuiet(dependencies(0), scan)).toBe('completed');
    return analyses(scan.scanId);
  };
  expect(await fetched('20.6')).toEqual([]);
  expect(await fetched('20.7', 'NULL')).toHaveLength(1);
  expect(await fetched('20.8', "now() - interval '1 month'")).toEqual([]);
});

test('an image that a modality sends of a fetched study has it analysed: a new one, one that is here already, and none that was asked for', async () => {
  const sends = (study: string, number: number, facts: Readonly<Record<string, unknown>> = {}) =>
    pipeline.receive({ interaction: 'C-STORE', controlId: `${study}.${number}`, facts, normalized: { patient: patient(study), instance: instance(study, `${study}.${number}`) } });
  const fetched = async (study: string): Promise<{ organizationId: string; scanId: string }> => {
    const scan = await receivedScan(study, isFetched);
    await wantedAsPrior(scan, study);
    expect(await completeWhenQuiet(dependencies(0), scan)).toBe('completed');
    expect(await analyses(scan.scanId)).toEqual([]);
    return scan;
  };
  const isOpen = async (scanId: string): Promise<boolean> => (await pipeline.db.asOwner<{ open: boolean }>('SELECT images_complete_at IS NULL AS open FROM scans WHERE scan_id = $1', [scanId]))[0]!.open;

  const withNew = await fetched('20.21');
  await sends('20.21', 2);
  expect(await completeWhenQuiet(dependencies(0), withNew)).toBe('completed');
  expect(await analyses(withNew.scanId)).toHaveLength(1);

  const repeated = await fetched('20.22');
  expect(await sends('20.22', 1, isFetched)).toMatchObject({ kind: 'duplicate' });
  expect(await isOpen(repeated.scanId), 'a repeat of the source that was asked is no news').toBe(false);
  expect(await sends('20.22', 1)).toMatchObject({ kind: 'duplicate' });
  expect(await isOpen(repeated.scanId)).toBe(true);
  expect(await pipeline.db.asOwner("SELECT state FROM pgboss.job WHERE name = 'complete-scan' AND singleton_key = $1 AND state = 'created'", [repeated.scanId])).toHaveLength(1);
  expect(await completeWhenQuiet(dependencies(0), repeated)).toBe('completed');
  expect(await analyses(repeated.scanId)).toHaveLength(1);
  expect(await sends('20.22', 1)).toMatchObject({ kind: 'duplicate' });
  expect(await isOpen(repeated.scanId), 'once is enough').toBe(false);

  const more = await fetched('20.23');
  await sends('20.23', 2, isFetched);
  expect(await completeWhenQuiet(dependencies(0), more)).toBe('completed');
  expect(await analyses(more.scanId)).toEqual([]);

  const sentFirst = await receivedScan('20.24');
  await sends('20.24', 2, isFetched);
  await wantedAsPrior(sentFirst, '20.24');
  expect(await completeWhenQuiet(dependencies(0), sentFirst)).toBe('completed');
  expect(await analyses(sentFirst.scanId)).toHaveLength(1);
});

test('what a source sends that never names who asked is known by when it was asked', async () => {
  const arrivesAt = async (study: string, minutesAfter: number): Promise<unknown[]> => {
    const scan = await receivedScan(study);
    const retrievalId = await wantedAsPrior(scan, study);
    await pipeline.db.asOwner(`INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at, finished_at)
      VALUES ($1, medscan_uuid_v7(), $2, 'fake', 'outbound', 'C-MOVE', 'retrieve ' || $3::text, 'delivered', now() - make_interval(mins => $4::int) - interval '1 minute', now() - make_interval(mins => $4::int))`,
      [scan.organizationId, pipeline.integration.integrationId, retrievalId, minutesAfter]);
    await completeWhenQuiet(dependencies(0), scan);
    return analyses(scan.scanId);
  };
  expect(await arrivesAt('20.25', 0)).toEqual([]);
  expect(await arrivesAt('20.26', 5)).toHaveLength(1);
});

test('a source that counts no image of a study that came from it proves nothing', async () => {
  const scan = await receivedScan('20.9');
  const answers = (numberOfInstances: number) => {
    const source = {
      adapter: { name: 'fake' }, integration: pipeline.integration, wanted: { assigningAuthority: 'HOSP', completeness: { whenMissing: 'wait', lookAgainSeconds: 0, giveUpMinutes: 60, withoutProof: 'complete' } },
      queries: { interactions: { countInstances: 'C-FIND STUDY' }, countInstances: () => Promise.resolve({ kind: 'answered', answerCode: '0000', interaction: 'C-FIND STUDY', peer: 'PACS', value: { numberOfInstances } }) },
    };
    return { ...dependencies(0), sources: { of: () => [source], find: () => source, organizations: () => [] } as never };
  };
  expect(await completeWhenQuiet(answers(0), scan)).toBe('waiting');
  expect(await checkSource(answers(0), scan)).toBe('waiting');
  expect(await pipeline.db.asOwner('SELECT status FROM source_counts WHERE scan_id = $1', [scan.scanId])).toEqual([{ status: 'unknown_study' }]);
  expect(await checkSource(answers(1), scan)).toBe('completed');
});
