/** Order status messages and results for one system stand in one line: what it hears is never older than what it heard. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { sampleReport } from '../../adapters/hl7v2-mllp/testing/sample-report.ts';
import { createLog } from '../../src/log.ts';
import { drainOutbox } from '../../src/pipeline/deliver.ts';
import { operatorCommands } from '../../src/pipeline/index.ts';
import type { Adapter, DeliveryOutcome } from '#gateway/adapter.ts';
import { insertIntegration, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline;
beforeAll(async () => { pipeline = await testPipeline(); });
afterAll(() => pipeline?.close());

const actor = { kind: 'user', id: randomUUID() } as const;
const events = ['received', 'complete', 'analysed'];
let organizationId: string, integrationId: string, scanId: string;
let heard: string[], answer: (what: string) => 'delivered' | 'refused' | 'unreachable' | 'put off' | 'unconfirmed', ahead: number, meanwhile: (what: string) => Promise<void>;

const outcomeOf = (what: string): DeliveryOutcome => {
  const common = { interaction: 'test', peer: 'test' }, kind = answer(what);
  if (kind === 'delivered') return { ...common, kind, answerCode: 'AA' };
  if (kind === 'refused') return { ...common, kind, answerCode: 'AR', text: 'no' };
  if (kind === 'put off') return { ...common, kind: 'unreachable', text: 'later', answer: Buffer.from('AE 207') };
  return { ...common, kind, text: 'away' };
};
const hears = async (what: string): Promise<DeliveryOutcome> => { await meanwhile(what); const outcome = outcomeOf(what); if (outcome.kind !== 'unreachable') heard.push(what); return outcome; };
const adapter: Adapter = {
  name: 'fake', title: '', summary: '', configSchema: z.object({}), testConnection: () => Promise.resolve({ ok: true, steps: [] }),
  outbound: { interactions: ['result'], deliver: ({ document }) => hears(`result ${document.version}`), notify: ({ event }) => hears(event) },
};
const log = createLog({ logLevel: 'silent' });
const clock = (): Date => new Date(Date.now() + ahead);
const drain = () => drainOutbox({
  database: pipeline.db.database, boss: pipeline.boss, log, retrySeconds: 60, now: clock,
  destination: () => ({ adapter, integration: { organizationId, integrationId, name: 'RIS', config: { order_status_messages: events } }, context: {} as never }),
}, { organizationId, integrationId }, new AbortController().signal);
const commands = () => operatorCommands({ database: pipeline.db.database, boss: pipeline.boss, quietSeconds: 1, now: clock });
const laterOn = (): void => { ahead += 3_600_000; };

/** Milestones of the scan, written as the pipeline writes them: the database makes the notices. */
const milestone = {
  received: () => owner("UPDATE scans SET first_instance_at = now() WHERE scan_id = $1", [scanId]),
  complete: () => owner('UPDATE scans SET images_complete_at = now() WHERE scan_id = $1', [scanId]),
  reported: (version = 1, status = 'preliminary') => owner(`
    WITH r AS (INSERT INTO reports (organization_id, lineage_id, version, scan_id, status, findings_text, impression, author_kind, author_name, document)
      SELECT organization_id, medscan_uuid_v7(), $3, scan_id, $4, '', '', 'device', 'm', $5 FROM scans WHERE scan_id = $1 RETURNING organization_id, report_id)
    INSERT INTO deliveries (organization_id, integration_id, report_id) SELECT organization_id, $2, report_id FROM r`, [scanId, integrationId, version, status, JSON.stringify({ ...sampleReport, version })]),
};
const owner = (text: string, values: unknown[] = []) => pipeline.db.asOwner<Record<string, any>>(text, values);
const notices = async (): Promise<string[]> => (await owner('SELECT event, status, last_outcome FROM order_notices WHERE integration_id = $1 ORDER BY position', [integrationId])).map((row) => `${row['event']} ${row['status']}${row['status'] === 'skipped' ? ` ${row['last_outcome']}` : ''}`);
const noticeId = async (event: string): Promise<string> => (await owner('SELECT notice_id FROM order_notices WHERE integration_id = $1 AND event = $2', [integrationId, event]))[0]!['notice_id'];
const alerts = async (): Promise<string[]> => (await owner("SELECT kind || ' ' || subject AS what FROM system_alerts WHERE organization_id = $1 AND resolved_at IS NULL ORDER BY 1", [organizationId])).map((row) => row['what']);

beforeEach(async () => {
  heard = []; answer = () => 'delivered'; ahead = 0; meanwhile = () => Promise.resolve();
  ({ organizationId, integrationId } = await insertIntegration(pipeline.db, `Order Hospital ${randomUUID()}`, 'RIS', 'fake'));
  await owner('UPDATE external_integrations SET settings = $2 WHERE integration_id = $1', [integrationId, JSON.stringify({ order_status_messages: events })]);
  const [scan] = await owner(`WITH p AS (INSERT INTO patients (organization_id, patient_number) VALUES ($1, 'P') RETURNING *)
    INSERT INTO scans (organization_id, patient_id, scan_number, scan_type, order_status) SELECT organization_id, patient_id, 'S', 'ct', 'ordered' FROM p RETURNING scan_id`, [organizationId]);
  scanId = scan!['scan_id'];
});

test('statuses and results leave in the order in which they came to be, later versions of the report too', async () => {
  await milestone.received(); await milestone.complete(); await milestone.reported();
  await drain();
  expect(heard).toEqual(['received', 'complete', 'analysed', 'result 1']);
  await milestone.reported(2);
  await drain();
  expect(heard.slice(4)).toEqual(['analysed', 'result 2']);
  expect(await owner("SELECT message_status FROM sync_logs WHERE integration_id = $1 AND message_status <> 'delivered'", [integrationId])).toEqual([]);
});

test('what comes to be while the line is drained stands in it as well', async () => {
  await milestone.received();
  meanwhile = async (what) => { if (what === 'received') { await milestone.complete(); await milestone.reported(); } if (what === 'result 1') await milestone.reported(2); };
  await drain();
  expect(heard).toEqual(['received', 'complete', 'analysed', 'result 1', 'analysed', 'result 2']);
});

test.each(['put off', 'unconfirmed'] as const)('a status that is %s does not hold up a result; once the result is told, the older statuses are not said any more', async (how) => {
  answer = (what) => (what.startsWith('result') ? 'delivered' : how);
  await milestone.received(); await milestone.complete(); await milestone.reported();
  await drain();
  expect(heard).toEqual(how === 'unconfirmed' ? ['received', 'result 1'] : ['result 1']);
  expect(await notices()).toEqual(['received skipped overtaken', 'complete skipped overtaken', 'analysed skipped overtaken']);
  expect(await alerts()).toEqual(['integration_down order status for RIS']);
  answer = () => 'delivered';
  laterOn();
  await milestone.reported(2);
  await drain();
  expect(heard.slice(how === 'unconfirmed' ? 2 : 1)).toEqual(['analysed', 'result 2']);
  expect(await alerts()).toEqual([]);
});

test('a result that may have been heard counts as told: no older status follows it', async () => {
  answer = (what) => (what.startsWith('result') ? 'unconfirmed' : 'put off');
  await milestone.received(); await milestone.reported();
  await drain();
  expect(heard).toEqual(['result 1']);
  answer = () => 'delivered';
  laterOn();
  await drain();
  expect(heard).toEqual(['result 1', 'result 1']);
  expect(await notices()).toEqual(['received skipped overtaken', 'analysed skipped overtaken']);
});

test('while the system is away statuses and results wait in their order, and "send now" hurries what stands before', async () => {
  answer = () => 'unreachable';
  await milestone.received(); await milestone.reported();
  await drain();
  await drain();
  expect(await owner('SELECT attempts FROM order_notices WHERE integration_id = $1 ORDER BY position', [integrationId])).toEqual([{ attempts: 1 }, { attempts: 0 }]);
  expect(await owner('SELECT attempts FROM deliveries WHERE integration_id = $1', [integrationId])).toEqual([{ attempts: 0 }]);
  expect(await alerts()).toEqual(['integration_down RIS']);
  answer = () => 'delivered';
  const [delivery] = await owner('SELECT delivery_id FROM deliveries WHERE integration_id = $1', [integrationId]);
  expect(await commands().resendDelivery(organizationId, delivery!['delivery_id'], actor)).toEqual({ kind: 'done' });
  await drain();
  expect(heard).toEqual(['received', 'analysed', 'result 1']);
  expect(await alerts()).toEqual([]);
});

test('a refused status is parked and does not stop the line; sent again it keeps its place, and is refused when more was told since', async () => {
  answer = (what) => (what === 'received' ? 'refused' : 'delivered');
  await milestone.received();
  await drain();
  expect(await notices()).toEqual(['received refused']);
  expect(await alerts()).toEqual(['delivery_refused order status for RIS']);
  answer = () => 'delivered';
  expect(await commands().resendParkedNotices(organizationId, undefined, actor)).toMatchObject({ resent: [await noticeId('received')], leftOut: [] });
  await drain();
  expect(await notices()).toEqual(['received delivered']);
  expect(await alerts()).toEqual([]);
  expect(await commands().resendNotice(organizationId, await noticeId('received'), actor)).toMatchObject({ kind: 'refused', reason: expect.stringContaining('delivered already') as string });

  answer = (what) => (what === 'complete' ? 'refused' : 'delivered');
  await milestone.complete(); await milestone.reported();
  await drain();
  expect(heard).toEqual(['received', 'received', 'complete', 'analysed', 'result 1']);
  expect(await commands().resendNotice(organizationId, await noticeId('complete'), actor)).toMatchObject({ kind: 'refused', reason: expect.stringContaining('told more of this order since') as string });
  expect(await commands().resendParkedNotices(organizationId, integrationId, actor)).toMatchObject({ resent: [], leftOut: [{ noticeId: await noticeId('complete') }] });
  expect(await commands().discardNotice(organizationId, await noticeId('complete'), 'told by telephone', actor)).toEqual({ kind: 'done' });
  expect(await notices()).toEqual(['received delivered', 'complete skipped discarded', 'analysed delivered']);
  expect(await alerts()).toEqual([]);
  expect((await owner("SELECT action FROM audit_logs WHERE object_type = 'order_notice' AND organization_id = $1 ORDER BY audit_id", [organizationId])).map((row) => row['action'])).toEqual(['E', 'D']);
});

test('a status of an order that was cancelled, and the announcement of a report that was withdrawn, are not said', async () => {
  await milestone.received();
  await owner("UPDATE scans SET order_status = 'cancelled' WHERE scan_id = $1", [scanId]);
  await drain();
  expect(heard).toEqual([]);
  await owner("UPDATE scans SET order_status = 'ordered' WHERE scan_id = $1", [scanId]);
  await milestone.reported();
  await owner("UPDATE deliveries SET status = 'skipped' WHERE integration_id = $1", [integrationId]); // it had not begun to leave
  await milestone.reported(2, 'entered-in-error');
  await owner("DELETE FROM deliveries d USING reports r WHERE r.report_id = d.report_id AND r.version = 2 AND d.integration_id = $1", [integrationId]);
  await drain();
  expect(heard).toEqual([]);
  expect((await owner('SELECT last_text FROM order_notices WHERE integration_id = $1 ORDER BY position', [integrationId])).map((row) => row['last_text'])).toEqual(['The order was cancelled.', 'The report that it announces was withdrawn.']);
});

test('what a person gives up while it is under way stays given up', async () => {
  await milestone.received();
  const id = await noticeId('received');
  meanwhile = async () => { expect(await commands().discardNotice(organizationId, id, 'not wanted', actor)).toEqual({ kind: 'done' }); };
  await drain();
  expect(await notices()).toEqual(['received skipped discarded']);
});

test('a try that the end of the gateway cut off is on record as unconfirmed, and is made again', async () => {
  await milestone.received();
  const id = await noticeId('received');
  await owner('UPDATE order_notices SET attempts = 1 WHERE notice_id = $1', [id]);
  await owner("INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at) VALUES ($1, medscan_uuid_v7(), $2, 'fake', 'outbound', 'order status', $3, 'sending', now())", [organizationId, integrationId, id]);
  await drain();
  expect(heard).toEqual(['received']);
  expect((await owner('SELECT message_status FROM sync_logs WHERE control_id = $1 ORDER BY started_at', [id])).map((row) => row['message_status'])).toEqual(['unconfirmed', 'delivered']);
});

test('nothing is told while delivering is paused', async () => {
  await milestone.received();
  await commands().pauseIntegration(organizationId, integrationId, { deliver: true }, actor);
  await drain();
  expect(heard).toEqual([]);
  await commands().pauseIntegration(organizationId, integrationId, { deliver: false }, actor);
  await drain();
  expect(heard).toEqual(['received']);
});
