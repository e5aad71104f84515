/**
 * Receivers as they are: switched off, overloaded, hanging, refusing. Each destination keeps its own order and waits for nobody else's; every
 * attempt is a row; a repeat has no second effect; and when the receiver is back everything arrives.
 */
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { anOrder, changeSettings, delivered, exchanges, expectAudited, scanOf, smallStudy, somebody, startJourney, type Exchange, type Journey } from '../support/journey.ts';
import { eventually } from '../support/gateway.ts';

let journey: Journey;
beforeAll(async () => {
  journey = await startJourney();
  const { gateway } = journey;
  await changeSettings(gateway, 'EMR', { request_timeout_milliseconds: 2500 });
  await changeSettings(gateway, 'RIS', { acknowledgment_timeout_milliseconds: 2500 });
  await changeSettings(gateway, 'PACS', { destination: { response_timeout_milliseconds: 2500 } });
});
/** What one test leaves switched off is no reason for the next one to fail. */
afterEach(async () => {
  const { emr, ris, pacs } = journey.hospital;
  await Promise.all([emr.behaviour.set('accept'), ris.behaviour.set('accept'), pacs.behaviour.set('accept')]);
});
afterAll(() => journey?.stop());

type Kind = 'pacs' | 'ris' | 'emr';
type Sent = { readonly studyInstanceUid: string; readonly accessionNumber: string };

async function sendStudy(): Promise<Sent> {
  const patient = somebody(), { accessionNumber } = anOrder(), study = smallStudy({ patient, accessionNumber });
  await journey.hospital.pacs.store(study.objects);
  return { studyInstanceUid: study.studyInstanceUid, accessionNumber };
}

/** The attempts to bring this study's report to one system, in order. */
async function attempts(sent: Sent, kind: Kind): Promise<Exchange[]> {
  const scan = await scanOf(journey.gateway, sent.studyInstanceUid);
  return exchanges(journey.gateway, "direction = 'outbound' AND scan_id = $1 AND integration_id IN (SELECT integration_id FROM external_integrations WHERE kind = $2)", [scan.scan_id, kind]);
}

const settled = (sent: Sent, kind: Kind, status: string, milliseconds = 15_000): Promise<Exchange[]> => eventually(async () => {
  const rows = await attempts(sent, kind);
  return rows.at(-1)?.message_status === status && rows;
}, milliseconds);

/** Rows of one delivery: attempts numbered without a gap under one control id, none left open, each audited. */
async function expectAttempts(rows: readonly Exchange[], statuses: readonly (string | RegExp)[]): Promise<void> {
  expect(rows.map((row) => row.attempt)).toEqual(rows.map((_row, index) => index + 1));
  expect(new Set(rows.map((row) => row.control_id)).size).toBe(1);
  statuses.forEach((status, index) => { expect(rows[index]!.message_status).toMatch(status); });
  for (const row of rows.filter(({ message_status: status }) => status !== 'delivered')) expect(row.error_text).toMatch(/\w{4,}/);
  await expectAudited(journey.gateway, rows);
}

const reportsInEmr = (sent: Sent): readonly unknown[] => journey.hospital.emr.list('DiagnosticReport').filter((report) => JSON.stringify(report).includes(sent.accessionNumber));
const alert = (kind: string, subject: string) => journey.gateway.db.asOwner<{ resolved_at: Date | null; message: string }>('SELECT resolved_at, message FROM system_alerts WHERE kind = $1 AND subject LIKE $2 ORDER BY opened_at DESC', [kind, subject]);

test('an EMR that is switched off keeps nobody else waiting, and gets everything in order when it is back', async () => {
  const { hospital: { emr, ris, pacs }, gateway } = journey;
  await emr.behaviour.set('down');
  // The outbox has the order of the reports, and of two studies sent at once either may be analysed first.
  const first = await sendStudy();
  await eventually(async () => (await attempts(first, 'emr')).length > 0);
  const second = await sendStudy();
  for (const sent of [first, second]) for (const kind of ['ris', 'pacs'] as const) await settled(sent, kind, 'delivered');
  expect(ris.received.items.filter((received) => [first, second].some((sent) => received.text.includes(sent.studyInstanceUid)))).toHaveLength(2);
  expect(pacs.received.items.length).toBeGreaterThanOrEqual(2);
  await eventually(async () => (await attempts(first, 'emr')).length >= 2);
  expect(await attempts(second, 'emr'), 'nothing overtakes the first').toEqual([]);
  expect((await alert('integration_down', 'EMR'))[0]).toMatchObject({ resolved_at: null });
  expect(await gateway.db.asOwner("SELECT health_status FROM external_integrations WHERE name = 'EMR'")).toEqual([{ health_status: 'down' }]);

  await emr.behaviour.set('accept');
  await delivered(gateway, first.studyInstanceUid);
  await delivered(gateway, second.studyInstanceUid);
  const rows = await settled(first, 'emr', 'delivered');
  await expectAttempts(rows, ['unreachable', 'unreachable']);
  await expectAttempts(await settled(second, 'emr', 'delivered'), ['delivered']);
  expect([reportsInEmr(first).length, reportsInEmr(second).length]).toEqual([1, 1]);
  expect(rows.at(-1)!.started_at.getTime()).toBeLessThan((await attempts(second, 'emr'))[0]!.started_at.getTime());
  expect((await alert('integration_down', 'EMR'))[0]!.resolved_at).not.toBeNull();
});

/** Each receiver misbehaves in its own way at the same time: what is expected of its first attempt, after which it is normal again. */
const rounds = [
  { emr: '503', ris: 'silent', pacs: 'refuse', first: { emr: 'unreachable', ris: 'unconfirmed', pacs: 'unreachable' } },
  { emr: 'html-502', ris: 'hang-up', pacs: 'A700', first: { emr: 'unreachable', ris: 'unconfirmed', pacs: 'unreachable' } },
  { emr: 'hang', ris: 'accept', pacs: 'silent', first: { emr: 'unconfirmed', ris: 'delivered', pacs: 'unconfirmed' } },
  { emr: 'hang-after-commit', ris: 'late', pacs: 'abort', first: { emr: 'unconfirmed', ris: 'unconfirmed', pacs: 'unconfirmed' } },
] as const;

test.each(rounds)('after an EMR that answers $emr, a RIS that does $ris and a PACS that does $pacs, everything is there once', async ({ first, ...modes }) => {
  const { emr, ris, pacs } = journey.hospital;
  const types = ['DiagnosticReport', 'ImagingStudy', 'Patient', 'Device'];
  const before = types.map((type) => emr.list(type).length);
  await Promise.all([emr.behaviour.set(modes.emr, 1), ris.behaviour.set(modes.ris, 1), pacs.behaviour.set(modes.pacs, 1)]);
  const sent = await sendStudy();
  for (const kind of ['emr', 'ris', 'pacs'] as const) {
    const rows = await settled(sent, kind, 'delivered');
    await expectAttempts(rows, first[kind] === 'delivered' ? ['delivered'] : [first[kind], 'delivered']);
    if (first[kind] === 'unconfirmed') expect(rows[0]).toMatchObject({ error_class: 'ambiguous', answer_status: 'unanswered' });
    if (first[kind] === 'unreachable') expect(rows[0]).toMatchObject({ error_class: 'transient' });
  }
  expect(reportsInEmr(sent)).toMatchObject([{ meta: { versionId: '1' } }]);
  expect(types.map((type, index) => emr.list(type).length - before[index]!)).toEqual([1, 1, 1, 0]);
  const results = ris.received.items.filter((each) => each.text.includes(sent.studyInstanceUid));
  expect(new Set(results.map((each) => each.controlId)).size, 'one MSH-10').toBe(1);
  const objects = pacs.received.items.filter((object) => object.dataset.includes(sent.studyInstanceUid));
  expect(new Set(objects.map((object) => object.sopInstanceUid)).size, 'one SOP Instance UID').toBe(1);
});

test('429 is left alone for as long as Retry-After says, while a PACS that is switched off comes back on its own', async () => {
  const { emr, pacs } = journey.hospital;
  await Promise.all([emr.behaviour.set('429', 1), pacs.behaviour.set('down')]);
  const sent = await sendStudy();
  const rows = await settled(sent, 'emr', 'delivered');
  await expectAttempts(rows, ['unreachable', 'delivered']);
  expect(rows[1]!.started_at.getTime() - rows[0]!.started_at.getTime()).toBeGreaterThanOrEqual(1000);
  await eventually(async () => (await attempts(sent, 'pacs'))[0]?.message_status === 'unreachable');
  await pacs.behaviour.set('accept');
  await expectAttempts(await settled(sent, 'pacs', 'delivered'), ['unreachable']);
});

test('a report that is refused (422, AR, C000) is parked with an alert, and the next one goes on', async () => {
  const { emr, ris, pacs } = journey.hospital;
  await Promise.all([emr.behaviour.set('422', 1), ris.behaviour.set('AR', 1), pacs.behaviour.set('C000', 1)]);
  const refused = await sendStudy();
  for (const [kind, code] of [['emr', '422'], ['ris', 'AR'], ['pacs', 'C000']] as const) {
    const rows = await settled(refused, kind, 'refused');
    await expectAttempts(rows, ['refused']);
    expect(rows[0]).toMatchObject({ error_class: 'permanent', answer_status: 'answered', answer_code: code });
    expect((await alert('delivery_refused', `delivery ${rows[0]!.delivery_id}`))[0]).toMatchObject({ resolved_at: null });
  }
  const next = await sendStudy();
  for (const kind of ['emr', 'ris', 'pacs'] as const) {
    await expectAttempts(await settled(next, kind, 'delivered'), ['delivered']);
    expect(await attempts(refused, kind)).toHaveLength(1);
  }
});

test('in the end nothing waits: every report was delivered or is parked, and the record has no attempt without its outcome', async () => {
  const { gateway } = journey;
  await eventually(async () => (await gateway.db.asOwner("SELECT FROM deliveries WHERE status IN ('queued', 'sending')")).length === 0, 10_000);
  expect(await gateway.db.asOwner("SELECT FROM sync_logs WHERE message_status = 'sending'")).toEqual([]);
  await expectAudited(gateway, await exchanges(gateway, "direction = 'outbound'"));
  const perDelivery = await gateway.db.asOwner<{ attempts: number; rows: number }>('SELECT d.attempts, (SELECT count(*)::int FROM sync_logs l WHERE l.delivery_id = d.delivery_id) AS rows FROM deliveries d');
  expect(perDelivery.filter((row) => row.attempts !== row.rows)).toEqual([]);
});

test('a RIS in trouble (AE, condition 207) keeps its result waiting and nobody else', async () => {
  const { emr, ris, pacs } = journey.hospital;
  await ris.behaviour.set('AE', 1);
  const sent = await sendStudy();
  const rows = await settled(sent, 'ris', 'unreachable');
  await expectAttempts(rows, ['unreachable']);
  for (const kind of ['emr', 'pacs'] as const) await expectAttempts(await settled(sent, kind, 'delivered'), ['delivered']);
  expect(await journey.gateway.db.asOwner('SELECT status, next_attempt_at > now() AS later FROM deliveries WHERE delivery_id = $1', [rows[0]!.delivery_id])).toEqual([{ status: 'queued', later: true }]);
  expect([emr.behaviour.mode, pacs.behaviour.mode]).toEqual(['accept', 'accept']);
});
