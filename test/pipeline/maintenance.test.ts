/** What the maintenance round ends: alerts whose cause is gone, and logs that are old enough. */
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { endSettledAlerts } from '../../src/db/alert-causes.ts';
import { raiseAlert } from '../../src/db/alerts.ts';
import { saveAssociations } from '../../src/db/associations.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { tidyAssociations } from '../../src/pipeline/associations.ts';
import { judgeQueues, watchCongestion } from '../../src/pipeline/congestion.ts';
import { createLog } from '../../src/log.ts';
import { recoverObjects } from '../../src/pipeline/index.ts';
import { endFoundFiles } from '../../src/pipeline/missing-files.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { eventually } from '../support/gateway.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline, organizationId: string;
beforeAll(async () => {
  pipeline = await testPipeline();
  ({ organizationId } = pipeline.integration);
});
afterAll(() => pipeline.close());
beforeEach(() => pipeline.db.asOwner('DELETE FROM system_alerts'));

const own = (text: string, values: unknown[] = []) => pipeline.db.asOwner<{ id: string }>(text, values);
const one = async (text: string, values: unknown[] = []): Promise<string> => (await own(text, values))[0]!.id;
const settle = () => inOrganization(pipeline.db.database, organizationId, endSettledAlerts);
async function opened(kind: string, subject: string, message = 'x'): Promise<void> {
  await own("INSERT INTO system_alerts (organization_id, kind, severity, subject, message) VALUES ($1, $2, 'warning', $3, $4)", [organizationId, kind, subject, message]);
}
let studies = 0;
async function scan(): Promise<{ scanId: string; study: string }> {
  const study = `21.${studies += 1}`;
  const receipt = await pipeline.receive({ interaction: 'C-STORE', controlId: `${study}.1`, normalized: { patient: patient(study), instance: instance(study, `${study}.1`) } });
  return { study, scanId: receipt.kind === 'accepted' ? receipt.links['scans']! : '' };
}
const model = (name: string, status = 'active') => one("INSERT INTO ai_models (organization_id, model_name, model_version, runtime, status) VALUES ($1, $2, '1', 'onnx', $3) RETURNING model_id AS id", [organizationId, name, status]);
const analysis = (scanId: string, modelId: string, status: string) =>
  one('INSERT INTO ai_analyses (organization_id, analysis_id, scan_id, model_id, input_digest, completion_run, status) VALUES ($1, $2, $3, $4, $6, 1, $5) RETURNING analysis_id AS id', [organizationId, uuidV7(), scanId, modelId, status, uuidV7()]);

/** An order of another patient, by the scan's accession number or its Study Instance UID. */
async function namedByOrderOf(who: string, by: 'number' | 'study' = 'number', scanId?: string): Promise<{ scanId: string; other: string; order(control: 'new' | 'cancel'): Promise<unknown> }> {
  const named = scanId ?? (await scan()).scanId;
  const [{ study_instance_uid: study }] = await pipeline.db.asOwner<{ study_instance_uid: string }>("UPDATE scans SET accession_number = coalesce(accession_number, 'ACC-' || study_instance_uid) WHERE scan_id = $1 RETURNING study_instance_uid", [named]) as [{ study_instance_uid: string }];
  const reference = by === 'number' ? { accession_number: `ACC-${study}` } : { study_instance_uid: study };
  const order = (control: 'new' | 'cancel') => pipeline.receive({ interaction: 'ORM^O01', controlId: uuidV7(), normalized: { authority: 'order', patient: patient(`${study}-${who}`), order: { ...reference, scan_type: 'ct', control } } });
  await order('new');
  expect(await own("SELECT about FROM system_alerts WHERE kind = 'identity_conflict' AND subject = $1 AND resolved_at IS NULL", [`scan ${named}`])).toHaveLength(1);
  return { scanId: named, other: `${study}-${who}`, order };
}
const numbersOf = async (value: string) => (await pipeline.db.asOwner<{ value: string }>('SELECT value FROM patient_identifiers WHERE value = $1', [value]))[0]!;

/** Each: an alert with its cause, then the end of the cause. */
const causes: Readonly<Record<string, () => Promise<() => Promise<unknown>>>> = {
  'an analysis that failed, then a later one of the scan by the same model that did not': async () => {
    const { scanId } = await scan(), modelId = await model('later'), other = await model('other');
    await opened('analysis_failed', `analysis ${await analysis(scanId, modelId, 'failed')}`);
    await analysis(scanId, other, 'completed');
    return () => analysis(scanId, modelId, 'completed');
  },
  'an analysis that failed, tried anew': async () => {
    const { scanId } = await scan(), id = await analysis(scanId, await model('anew'), 'timeout');
    await opened('analysis_failed', `analysis ${id}`);
    return () => own("UPDATE ai_analyses SET status = 'completed' WHERE analysis_id = $1", [id]);
  },
  'a model that a rule names and that is not there, then installed': async () => {
    const id = await model('missing', 'retired');
    await own(`INSERT INTO workflow_rules (organization_id, name, actions) VALUES ($1, 'names it', '[{"action": "run_model", "model_name": "missing", "model_version": "1"}]')`, [organizationId]);
    await opened('analysis_failed', 'model missing');
    return () => own("UPDATE ai_models SET status = 'active' WHERE model_id = $1", [id]);
  },
  'a rule that cannot be read, then corrected': async () => {
    await own("INSERT INTO workflow_rules (organization_id, name, actions) VALUES ($1, 'broken', '[{}]')", [organizationId]);
    await opened('analysis_failed', 'workflow rule broken');
    return () => own("UPDATE workflow_rules SET actions = '[]' WHERE name = 'broken'");
  },
  'a conflict of two versions, then decided': async () => {
    const { study, scanId } = await scan();
    await pipeline.receive({ interaction: 'C-STORE', controlId: `${study}.1`, bytes: 'other bytes', normalized: { patient: patient(study), instance: instance(study, `${study}.1`) } });
    return () => own("UPDATE scan_files SET status = 'deleted' WHERE scan_id = $1 AND conflict_of IS NOT NULL", [scanId]);
  },
  'a patient without identifier, then established': async () => {
    const study = `21.${studies += 1}`;
    const receipt = await pipeline.receive({ interaction: 'C-STORE', controlId: `${study}.1`, normalized: { patient: { identifiers: [] }, instance: instance(study, `${study}.1`) } });
    return () => own("UPDATE patients SET identity_status = 'established' WHERE patient_id = $1", [receipt.kind === 'accepted' ? receipt.links['patients'] : '']);
  },
  'an order that names the scan of another patient, then the two are one': async () => {
    const { other } = await namedByOrderOf('another');
    const { value } = await numbersOf(other);
    return () => pipeline.receive({ interaction: 'ADT^A40', controlId: uuidV7(), normalized: { authority: 'registration', merges: [{ survivor: patient(value.replace('-another', '')).identifiers, prior: patient(value).identifiers }] } });
  },
  'an order that names the scan of another patient, then cancelled': async () => {
    const { order } = await namedByOrderOf('cancelled');
    return () => order('cancel');
  },
  'an order that names the scan of another patient by its study alone, then the scan is given up': async () => {
    const { scanId } = await namedByOrderOf('study', 'study');
    return () => own("UPDATE scans SET order_status = 'cancelled' WHERE scan_id = $1", [scanId]);
  },
  'two orders of two patients that name a scan, then both cancelled': async () => {
    const { order, scanId } = await namedByOrderOf('first');
    const { order: second } = await namedByOrderOf('second', 'number', scanId);
    await order('cancel');
    return () => second('cancel');
  },
  'an order that names the study of another scan of its patient, then cancelled; one of another patient beside it, cancelled before': async () => {
    const study = `21.${studies += 1}`;
    const order = (control: 'new' | 'change' | 'cancel', named = {}) => pipeline.receive({ interaction: 'ORM^O01', controlId: uuidV7(), normalized: { authority: 'order', patient: patient(study), order: { placer_order_number: `PL-${study}`, scan_type: 'ct', control, ...named } } });
    await order('new');
    const receipt = await pipeline.receive({ interaction: 'C-STORE', controlId: `${study}.1`, normalized: { patient: patient(study), instance: instance(study, `${study}.1`) } });
    const other = await namedByOrderOf('beside', 'number', receipt.kind === 'accepted' ? receipt.links['scans'] : '');
    await order('change', { study_instance_uid: study });
    await other.order('cancel');
    return () => order('cancel');
  },
  'a report that names the scan of another patient, then the scan is his': async () => {
    const { scanId, study } = await scan();
    await pipeline.receive({ interaction: 'ORU^R01', controlId: uuidV7(), normalized: { authority: 'order', patient: patient(`${study}-report`), reports: [{ report_identifier: 'R', status: 'final', study_instance_uid: study, findings_text: 'x', impression: '' }] } });
    return () => own("UPDATE scans SET patient_id = (SELECT patient_id FROM patient_identifiers WHERE value = $2) WHERE scan_id = $1", [scanId, `${study}-report`]);
  },
  'images that are missing at the source, then proven': async () => {
    const { scanId } = await scan();
    await own("UPDATE scans SET images_complete_at = now(), completeness_proof = 'quiet_time' WHERE scan_id = $1", [scanId]);
    await opened('images_missing', `scan ${scanId}`);
    return () => own("UPDATE scans SET completeness_proof = 'forced' WHERE scan_id = $1", [scanId]);
  },
  'an earlier study that could not be fetched, then was': async () => {
    const { scanId, study } = await scan();
    const id = await one("INSERT INTO study_retrievals (organization_id, integration_id, study_instance_uid, purpose, for_scan_id, status) VALUES ($1, $2, $3, 'prior', $4, 'failed') RETURNING retrieval_id AS id", [organizationId, pipeline.integration.integrationId, study, scanId]);
    await opened('priors_not_fetched', `scan ${scanId}`);
    return () => own("UPDATE study_retrievals SET status = 'retrieved' WHERE retrieval_id = $1", [id]);
  },
  'a result that is late, then there': async () => {
    const { scanId } = await scan();
    await opened('sla_breach', `scan ${scanId}`);
    return () => own("UPDATE scan_queue SET status = 'completed' WHERE scan_id = $1", [scanId]);
  },
};

test.each(Object.keys(causes))('an alert ends with its cause: %s', async (name) => {
  const end = await causes[name]!();
  await own("UPDATE system_alerts SET opened_at = now(), last_seen_at = now()");
  expect(await settle(), 'while the cause is there').toBe(0);
  await end();
  expect(await settle()).toBe(1);
  expect(await own('SELECT FROM system_alerts WHERE resolved_at IS NULL')).toEqual([]);
});

test('an order of another patient that comes again is as critical as before', async () => {
  const { scanId, order } = await namedByOrderOf('again', 'study');
  const study = (await pipeline.db.asOwner<{ study: string }>('SELECT study_instance_uid AS study FROM scans WHERE scan_id = $1', [scanId]))[0]!.study;
  const numbered = (control: 'new' | 'change') => pipeline.receive({ interaction: 'ORM^O01', controlId: uuidV7(), normalized: { authority: 'order', patient: patient(`${study}-again`), order: { placer_order_number: `PL-${study}`, study_instance_uid: study, scan_type: 'ct', control } } });
  await numbered('new');
  await numbered('change');
  expect(await pipeline.db.asOwner("SELECT severity, message LIKE '%another patient%' AS says FROM system_alerts WHERE subject = $1", [`scan ${scanId}`])).toEqual([{ severity: 'critical', says: true }]);
  await order('cancel');
  expect(await settle(), 'one order is left').toBe(0);
});

test('an alert that is raised again while its cause is looked at stays', async () => {
  await opened('instance_conflict', 'study 21.none');
  const ended = await inOrganization(pipeline.db.database, organizationId, (tx) => endSettledAlerts({
    any: (query) => tx.any(query), anyFirst: (query) => tx.anyFirst(query),
    query: async (query) => { await own("UPDATE system_alerts SET occurrences = occurrences + 1"); return tx.query(query); },
  } as typeof tx));
  expect(ended).toBe(0);
  expect(await settle()).toBe(1);
});

test('an alert that only a person can judge stays, and so do those of another organization', async () => {
  await opened('identity_conflict', `scan ${(await scan()).scanId}`, 'An order names this scan but another patient.');
  await opened('files_missing', 'somewhere');
  await own("INSERT INTO system_alerts (organization_id, kind, severity, subject, message) SELECT organization_id, 'sla_breach', 'warning', 'scan x', 'x' FROM organizations WHERE organization_id <> $1 LIMIT 1", [organizationId]);
  expect(await settle()).toBe(0);
});

const filesOf = (scanId: string) => pipeline.db.asOwner<{ scan_file_id: string; storage_location: string }>('SELECT scan_file_id, storage_location FROM scan_files WHERE scan_id = $1', [scanId]);
const openMissing = () => own("SELECT FROM system_alerts WHERE kind = 'files_missing' AND resolved_at IS NULL");
const endFound = () => endFoundFiles({ database: pipeline.db.database, store: pipeline.store }, organizationId);
const log = createLog({ logLevel: 'silent' });

test('an alert about files that are gone ends when they came again or were restored, all of them, and a start finds none then', async () => {
  const one = await scan(), two = await scan(), [first] = await filesOf(one.scanId), [second] = await filesOf(two.scanId);
  const at = (file: { storage_location: string } | undefined): string => pipeline.store.resolve(file!.storage_location);
  const kept = await readFile(at(second));
  await rm(at(first)); await rm(at(second));
  expect(await recoverObjects({ database: pipeline.db.database, store: pipeline.store, log })).toMatchObject({ missing: 2 });
  expect(await endFound()).toBe(0);
  await pipeline.receive({ interaction: 'C-STORE', controlId: `${one.study}.1`, normalized: { patient: patient(one.study), instance: instance(one.study, `${one.study}.1`) } });
  await endFound();
  expect((await openMissing()).length, 'one is missing still').toBe(1);
  await writeFile(at(second), kept);
  expect([await endFound(), (await openMissing()).length]).toEqual([1, 0]);
  expect(await recoverObjects({ database: pipeline.db.database, store: pipeline.store, log }), 'the exchange names the place where it was first').toMatchObject({ missing: 0 });
  expect(await openMissing()).toEqual([]);
});

test('an alert about a damaged file stays while the file has the right length and other bytes, and ends with its row', async () => {
  const { scanId } = await scan(), [file] = await filesOf(scanId) as [{ scan_file_id: string; storage_location: string }];
  await inOrganization(pipeline.db.database, organizationId, (tx) => raiseAlert(tx, { kind: 'files_missing', severity: 'critical', subject: `scan ${scanId}`, message: 'x', about: [file.scan_file_id] }));
  const at = pipeline.store.resolve(file.storage_location), bytes = await readFile(at);
  await own("UPDATE scan_files SET sha256 = $2 WHERE scan_file_id = $1", [file.scan_file_id, createHash('sha256').update(bytes).digest('hex')]);
  await writeFile(at, Buffer.from(bytes).fill(0x20, 0, 1));
  expect(await endFound()).toBe(0);
  await own("UPDATE scan_files SET status = 'deleted' WHERE scan_file_id = $1", [file.scan_file_id]);
  expect([await endFound(), await openMissing()]).toEqual([1, []]);
});

test('more waiting jobs than the limit are one alert of the installation, which ends when there have been fewer for a minute', async () => {
  await scan();
  const alerts = () => pipeline.db.asOwner("SELECT severity, occurrences, resolved_at IS NULL AS is_open, message LIKE '%MEDSCAN_QUEUE_LIMIT%' AS says FROM system_alerts a JOIN organizations o USING (organization_id) WHERE kind = 'queue_full' AND o.name = 'Unassigned'");
  await judgeQueues(pipeline.db.database, 1_000);
  expect(await alerts()).toEqual([]);
  await judgeQueues(pipeline.db.database, 0);
  await judgeQueues(pipeline.db.database, 0);
  expect(await alerts()).toEqual([{ severity: 'critical', occurrences: 2, is_open: true, says: true }]);
  await judgeQueues(pipeline.db.database, 1_000);
  expect(await alerts()).toMatchObject([{ is_open: true }]);
  await own("UPDATE system_alerts SET last_seen_at = now() - interval '2 minutes'");
  await judgeQueues(pipeline.db.database, 1_000);
  expect(await alerts()).toMatchObject([{ is_open: false }]);
});

test('whoever turns a sender away says so, where no worker runs that would look', async () => {
  await scan();
  const store = { reserveBytes: 0, freeBytes: async () => 1 };
  const look = watchCongestion({ store, database: pipeline.db.database, queueLimit: 0 });
  expect(await look()).toContain('MEDSCAN_QUEUE_LIMIT');
  const row = await eventually(async () => (await own("SELECT occurrences FROM system_alerts WHERE kind = 'queue_full' AND resolved_at IS NULL"))[0]);
  expect(row).toEqual({ occurrences: 1 });
  expect(await watchCongestion({ store, database: pipeline.db.database, queueLimit: 1_000 })()).toBeUndefined();
});

test('associations older than the organization\'s setting leave the log, with an audit row; the others stay', async () => {
  const row = (daysAgo: number) => ({
    association_id: uuidV7(), started_at: new Date(Date.now() - daysAgo * 86_400_000).toISOString(), finished_at: new Date().toISOString(), duration_ms: 1, peer_address: '127.0.0.1', peer_port: 1, contexts: [], contexts_accepted: 0,
    outcome: 'released', bytes_received: 0, bytes_sent: 0, requests: {}, objects: {}, repeats: 0,
  });
  await inOrganization(pipeline.db.database, organizationId, (tx) => saveAssociations(tx, [row(400), row(91), row(89), row(8), row(0)]));
  expect(await tidyAssociations(pipeline.db.database, organizationId)).toBe(2);
  expect(await tidyAssociations(pipeline.db.database, organizationId)).toBe(0);
  await own("INSERT INTO system_settings (organization_id, setting_key, version, value, changed_by) VALUES ($1, 'association_log_days', 1, '7', 'somebody')", [organizationId]);
  expect(await tidyAssociations(pipeline.db.database, organizationId)).toBe(2);
  expect(await own('SELECT FROM association_logs')).toHaveLength(1);
  expect(await own("SELECT detail->'deleted' AS deleted, detail->'association_log_days' AS days FROM audit_logs WHERE object_type = 'association_log' AND action = 'D' ORDER BY audit_id")).toEqual([{ deleted: 2, days: 90 }, { deleted: 2, days: 7 }]);
});
