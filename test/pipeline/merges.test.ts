/** Merges, links, and merges undone, over a real database: who has which number, which scan and which history afterwards. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inOrganization } from '../../src/db/transaction.ts';
import { lockReportSource } from '../../src/db/reports.ts';
import { undoMerge, type Unmerged } from '../../src/pipeline/index.ts';
import { applyMerge } from '../../src/pipeline/merge.ts';
import { sql, type Transaction } from '../../src/db/pool.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { PatientMerge } from '#gateway/normalized.ts';
import type { Receipt } from '#gateway/adapter.ts';
import { eventually } from '../support/gateway.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline;
let messages = 0;
beforeAll(async () => { pipeline = await testPipeline(); });
afterAll(() => pipeline.close());

const rows = <Row extends object>(sql: string, values?: unknown[]): Promise<Row[]> => pipeline.db.asOwner<Row>(sql, values);
const say = (normalized: Parameters<TestPipeline['receive']>[0]['normalized'], interaction = 'ADT^A40'): Promise<Receipt> => pipeline.receive({ interaction, controlId: `MG${++messages}`, normalized });
const image = (study: string, number: string): Promise<Receipt> => pipeline.receive({ interaction: 'C-STORE', controlId: `${study}.9`, bytes: study, normalized: { patient: patient(number), instance: instance(study, `${study}.9`) } });
const merge = (survivor: string, prior: string, more: Partial<PatientMerge> = {}): Promise<Receipt> =>
  say({ authority: 'registration', patient: patient(survivor), merges: [{ survivor: patient(survivor).identifiers, prior: patient(prior).identifiers, location: 'MRG-1', ...more }] });
const admit = (number: string, more = {}): Promise<Receipt> => say({ authority: 'registration', patient: patient(number, more) }, 'ADT^A04');
/** number -> [patient's shown number, in use] */
const numbers = async (like: string): Promise<Record<string, [string, boolean]>> => Object.fromEntries((await rows<{ value: string; shown: string; is_current: boolean }>(
  'SELECT i.value, p.patient_number AS shown, i.is_current FROM patient_identifiers i JOIN patients p USING (organization_id, patient_id) WHERE i.value LIKE $1 ORDER BY 1', [like])).map((row) => [row.value, [row.shown, row.is_current]]));
const ownerOf = async (study: string): Promise<string | undefined> => (await rows<{ patient_number: string }>('SELECT p.patient_number FROM scans s JOIN patients p USING (organization_id, patient_id) WHERE s.study_instance_uid = $1', [study]))[0]?.patient_number;
const lastMerge = async (prior: string): Promise<string> => (await rows<{ merge_id: string }>("SELECT merge_id FROM patient_merges WHERE prior_identifiers @> jsonb_build_array(jsonb_build_object('value', $1::text)) ORDER BY merge_id DESC LIMIT 1", [prior]))[0]!.merge_id;
const undo = async (prior: string, later?: readonly string[]): Promise<Unmerged> => {
  const mergeId = await lastMerge(prior);
  return inOrganization(pipeline.db.database, pipeline.integration.organizationId, (tx) => undoMerge(tx, mergeId, later, { kind: 'user', id: 'someone' }));
};
const warningsOf = async (receipt: Receipt): Promise<string> => JSON.stringify((await rows<{ warnings: unknown }>('SELECT warnings FROM sync_logs WHERE sync_id = $1', [receipt.exchangeId]))[0]?.warnings ?? []);

test.each([['accept', 'accepted'], ['reject', 'rejected']] as const)('a merge that is said again is %sed where the setting says so, and changes nothing', async (repeated, kind) => {
  const [a, b] = [`RA-${repeated}`, `RB-${repeated}`];
  await admit(a); await admit(b);
  await merge(b, a);
  const receipt = await merge(b, a, { policy: { repeated } });
  expect(receipt.kind).toBe(kind);
  if (receipt.kind === 'rejected') expect(receipt).toMatchObject({ reason: 'conflict', location: 'MRG-1' });
  expect(await numbers(`R_-${repeated}`)).toEqual({ [a]: [b, false], [b]: [b, true] });
  expect(await rows("SELECT FROM patient_merges WHERE prior_identifiers @> jsonb_build_array(jsonb_build_object('value', $1::text))", [a])).toHaveLength(1);
});

test.each([['accept', 'accepted', 'a'], ['ignore', 'accepted', 'b'], ['reject', 'rejected', 'b']] as const)('a merge the other way round, %s: %s, and %s is the number in use', async (inverse, kind, inUse) => {
  const [a, b, study] = [`IA-${inverse}`, `IB-${inverse}`, `1.31.${['accept', 'ignore', 'reject'].indexOf(inverse)}`];
  await image(study, a); await admit(b);
  await merge(b, a);
  const receipt = await merge(a, b, { policy: { inverse } });
  expect(receipt.kind).toBe(kind);
  if (receipt.kind === 'rejected') expect(receipt).toMatchObject({ reason: 'conflict', location: 'MRG-1', text: expect.stringContaining('the other way round') as string });
  else expect(await warningsOf(receipt)).toContain('the other way round');
  const shown = inUse === 'a' ? a : b;
  expect(await numbers(`I_-${inverse}`)).toEqual({ [a]: [shown, inUse === 'a'], [b]: [shown, inUse === 'b'] });
  expect(await ownerOf(study)).toBe(shown);
});

test.each([['accept', 'accepted', 'a'], ['ignore', 'accepted', 'c'], ['reject', 'rejected', 'c']] as const)('merges in a circle, %s: %s, and %s is the number in use', async (circular, kind, inUse) => {
  const [a, b, c] = [`CA-${circular}`, `CB-${circular}`, `CC-${circular}`];
  for (const number of [a, b, c]) await admit(number);
  await merge(b, a); await merge(c, b);
  const receipt = await merge(a, c, { policy: { circular, inverse: 'reject' } });
  expect(receipt.kind).toBe(kind);
  if (receipt.kind === 'rejected') expect(receipt).toMatchObject({ text: expect.stringContaining('circle') as string });
  const shown = inUse === 'a' ? a : c;
  expect(await numbers(`C_-${circular}`)).toEqual({ [a]: [shown, inUse === 'a'], [b]: [shown, false], [c]: [shown, inUse === 'c'] });
  expect(new Set((await rows<{ to: string }>("SELECT coalesce(merged_into_patient_id, patient_id) AS to FROM patients WHERE patient_number LIKE $1", [`C_-${circular}`])).map(({ to }) => to)).size, 'one person').toBe(1);
});

test('a rejected merge keeps nothing of its message, and its neighbours in the batch are kept', async () => {
  await admit('JA'); await admit('JB'); await merge('JB', 'JA');
  const receipts = await Promise.all([admit('J1'), merge('JA', 'JB', { policy: { inverse: 'reject' } }), say({ authority: 'registration', patient: patient('J2', { family_name: 'Kept' }) }, 'ADT^A08')]);
  expect(receipts.map(({ kind }) => kind)).toEqual(['accepted', 'rejected', 'accepted']);
  expect(await numbers('J_')).toEqual({ J1: ['J1', true], J2: ['J2', true], JA: ['JB', false], JB: ['JB', true] });
});

test('a merge into a number that was retired goes to whom it belongs now', async () => {
  for (const number of ['KA', 'KB', 'KC']) await admit(number);
  await merge('KB', 'KA'); await merge('KA', 'KC');
  expect(await numbers('K_')).toEqual({ KA: ['KB', false], KB: ['KB', true], KC: ['KB', false] });
});

test('a merge of two numbers of one patient retires the earlier one', async () => {
  await say({ authority: 'registration', patient: { identifiers: [...patient('L1').identifiers, ...patient('L2').identifiers] } }, 'ADT^A04');
  await merge('L2', 'L1');
  expect(await numbers('L_')).toEqual({ L1: ['L2', false], L2: ['L2', true] });
  expect(await undo('L1')).toMatchObject({ kind: 'undone' });
  expect(await numbers('L_')).toEqual({ L1: ['L2', true], L2: ['L2', true] });
});

test('undone, the earlier patient has its numbers, scans and history again, and the survivor keeps its own', async () => {
  await image('1.32.1', 'UA'); await image('1.32.2', 'UB');
  await say({ authority: 'registration', patient: patient('UA', { family_name: 'Prior' }), history: [{ kind: 'allergy', code: 'PEN', display: 'Penicillin' }] }, 'ADT^A08');
  await say({ authority: 'registration', patient: patient('UB', { family_name: 'Survivor' }), history: [{ kind: 'allergy', code: 'LAT', display: 'Latex' }] }, 'ADT^A08');
  await merge('UB', 'UA');
  expect([await ownerOf('1.32.1'), await ownerOf('1.32.2')]).toEqual(['UB', 'UB']);
  const undone = await undo('UA');
  expect(undone).toMatchObject({ kind: 'undone', reportIds: [] });
  expect([await ownerOf('1.32.1'), await ownerOf('1.32.2')]).toEqual(['UA', 'UB']);
  expect(await numbers('U_')).toEqual({ UA: ['UA', true], UB: ['UB', true] });
  expect(await rows("SELECT p.patient_number, p.family_name, p.is_active, p.merged_into_patient_id AS into, h.display FROM patients p JOIN patient_medical_history h USING (organization_id, patient_id) WHERE p.patient_number LIKE 'U_' ORDER BY 1"))
    .toEqual([{ patient_number: 'UA', family_name: 'Prior', is_active: true, into: null, display: 'Penicillin' }, { patient_number: 'UB', family_name: 'Survivor', is_active: true, into: null, display: 'Latex' }]);
  expect(await undo('UA')).toMatchObject({ kind: 'refused', reason: expect.stringContaining('was undone at') as string });
  const audited = await rows<{ action: string; actor_id: string; detail: { scan_ids: string[] } }>("SELECT action, actor_id, detail FROM audit_logs WHERE object_type = 'patient_merge'");
  expect(audited.find(({ detail }) => detail.scan_ids.length === 1)).toMatchObject({ action: 'U', actor_id: 'someone' });
  await image('1.32.3', 'UA'); // late images of each arrive at each again
  expect(await ownerOf('1.32.3')).toBe('UA');
  expect((await merge('UB', 'UA')).kind, 'and they can be merged again').toBe('accepted');
  expect(await ownerOf('1.32.3')).toBe('UB');
});

test('scans that came after the merge wait for a person to say whose they are', async () => {
  await image('1.33.1', 'VA'); await image('1.33.2', 'VB'); await merge('VB', 'VA');
  await image('1.33.3', 'VA'); await image('1.33.4', 'VB');
  const asked = await undo('VA');
  expect(asked).toMatchObject({ kind: 'undecided', scans: [{}, {}] });
  const [{ scan_id: strange }] = await rows<{ scan_id: string }>("SELECT scan_id FROM scans WHERE study_instance_uid = '1.33.2'") as [{ scan_id: string }];
  expect(await undo('VA', [strange])).toMatchObject({ kind: 'refused' });
  const [{ scan_id: late }] = await rows<{ scan_id: string }>("SELECT scan_id FROM scans WHERE study_instance_uid = '1.33.3'") as [{ scan_id: string }];
  expect(await undo('VA', [late])).toMatchObject({ kind: 'undone' });
  expect(await Promise.all(['1.33.1', '1.33.2', '1.33.3', '1.33.4'].map(ownerOf))).toEqual(['VA', 'VB', 'VA', 'VB']);
});

test('a number that was unknown when it was merged becomes a patient when that is undone', async () => {
  await admit('WB'); await merge('WB', 'WA'); await image('1.34.1', 'WA');
  expect(await ownerOf('1.34.1')).toBe('WB');
  const [{ scan_id: late }] = await rows<{ scan_id: string }>("SELECT scan_id FROM scans WHERE study_instance_uid = '1.34.1'") as [{ scan_id: string }];
  expect(await undo('WA', [late])).toMatchObject({ kind: 'undone', scanIds: [late] });
  expect(await ownerOf('1.34.1')).toBe('WA');
  expect(await numbers('W_')).toEqual({ WA: ['WA', true], WB: ['WB', true] });
});

test('a chain of merges is undone from its end; in between it is refused', async () => {
  for (const [index, number] of ['XA', 'XB', 'XC'].entries()) await image(`1.35.${index}`, number);
  await merge('XB', 'XA'); await merge('XC', 'XB');
  const owners = (): Promise<(string | undefined)[]> => Promise.all(['1.35.0', '1.35.1', '1.35.2'].map(ownerOf));
  expect(await owners()).toEqual(['XC', 'XC', 'XC']);
  expect(await undo('XA')).toMatchObject({ kind: 'refused', reason: expect.stringContaining('merged into') as string });
  expect(await undo('XB')).toMatchObject({ kind: 'undone' });
  expect(await owners()).toEqual(['XB', 'XB', 'XC']);
  expect(await numbers('X_')).toEqual({ XA: ['XB', false], XB: ['XB', true], XC: ['XC', true] });
  expect(await undo('XA')).toMatchObject({ kind: 'undone' });
  expect(await owners()).toEqual(['XA', 'XB', 'XC']);
});

test('a merge is undone after it was turned round: each has its own number again', async () => {
  await image('1.36.1', 'YA'); await image('1.36.2', 'YB');
  await merge('YB', 'YA'); await merge('YA', 'YB');
  expect(await undo('YB')).toMatchObject({ kind: 'refused', reason: expect.stringContaining('changed places') as string });
  expect(await undo('YA')).toMatchObject({ kind: 'undone' });
  expect(await numbers('Y_')).toEqual({ YA: ['YA', true], YB: ['YB', true] });
  expect([await ownerOf('1.36.1'), await ownerOf('1.36.2')]).toEqual(['YA', 'YB']);
});

test('a report made while the merge stood is named to a person when it is undone', async () => {
  await image('1.37.1', 'ZA'); await admit('ZB'); await merge('ZB', 'ZA');
  await rows(`INSERT INTO reports (organization_id, lineage_id, scan_id, status, findings_text, impression, author_kind, author_name, document)
    SELECT organization_id, medscan_uuid_v7(), scan_id, 'preliminary', '', '', 'device', 'm', '{}' FROM scans WHERE study_instance_uid = '1.37.1'`);
  await rows("INSERT INTO deliveries (organization_id, integration_id, report_id) SELECT organization_id, $1, report_id FROM reports WHERE author_name = 'm'", [pipeline.integration.integrationId]);
  expect(await undo('ZA'), 'nothing may leave afterwards that names the other').toMatchObject({ kind: 'refused', reason: expect.stringContaining('have not ended') as string });
  await rows("UPDATE deliveries SET status = 'delivered'");
  const undone = await undo('ZA');
  expect(undone).toMatchObject({ kind: 'undone', reportIds: [expect.any(String)] });
  expect(await rows("SELECT severity FROM system_alerts WHERE kind = 'identity_conflict' AND message LIKE 'A merge was undone.%'")).toEqual([{ severity: 'critical' }]);
});

test('what is remembered of a patient between messages follows merges and their undoing', async () => {
  const named = async (number: string, family: string): Promise<void> => { await say({ authority: 'registration', patient: patient(number, { family_name: family }) }, 'ADT^A08'); };
  const names = (): Promise<{ patient_number: string; family_name: string }[]> => rows("SELECT patient_number, family_name FROM patients WHERE patient_number LIKE 'M_' AND is_active ORDER BY 1");
  await named('MA', 'A1'); await named('MB', 'B1'); await named('MA', 'A2');
  await merge('MB', 'MA');
  await named('MA', 'B2'); await named('MB', 'B3'); await named('MA', 'B4');
  expect(await names()).toEqual([{ patient_number: 'MB', family_name: 'B4' }]);
  expect(await undo('MA')).toMatchObject({ kind: 'undone' });
  await named('MA', 'A3'); await named('MB', 'B5');
  expect(await names()).toEqual([{ patient_number: 'MA', family_name: 'A3' }, { patient_number: 'MB', family_name: 'B5' }]);
});

test('linked patients stay two, said twice they are linked once, and unlinked they are not', async () => {
  await image('1.38.1', 'NA'); await image('1.38.2', 'NB');
  const link = (kind: 'link' | 'unlink', one: string, other: string): Promise<Receipt> => say({ authority: 'registration', patient: patient(one), merges: [{ kind, survivor: patient(one).identifiers, prior: patient(other).identifiers }] }, kind === 'link' ? 'ADT^A24' : 'ADT^A37');
  const open = async (): Promise<number> => (await rows("SELECT FROM patient_links l JOIN patients p ON p.patient_id IN (l.patient_id, l.other_patient_id) WHERE p.patient_number = 'NA' AND l.unlinked_at IS NULL")).length;
  await link('link', 'NA', 'NB');
  expect(await warningsOf(await link('link', 'NB', 'NA'))).toContain('linked already');
  expect([await open(), await ownerOf('1.38.1'), await ownerOf('1.38.2')]).toEqual([1, 'NA', 'NB']);
  await link('unlink', 'NB', 'NA');
  expect(await open()).toBe(0);
  expect(await warningsOf(await link('unlink', 'NA', 'NB'))).toContain('not linked');
  expect(await warningsOf(await link('unlink', 'NA', 'NOBODY'))).toContain('not known');
  expect((await rows("SELECT FROM patients WHERE patient_number = 'NOBODY'")), 'an unlink makes nobody').toEqual([]);
  await link('link', 'NA', 'NC');
  expect((await rows("SELECT FROM patients WHERE patient_number = 'NC'")), 'a link may name somebody new').toHaveLength(1);
});

test('merges of one pair from many senders at once leave one patient and one journal row', async () => {
  await image('1.39.1', 'QA'); await image('1.39.2', 'QB');
  const receipts = await Promise.all(Array.from({ length: 12 }, () => merge('QB', 'QA')));
  expect(new Set(receipts.map(({ kind }) => kind))).toEqual(new Set(['accepted']));
  expect(await rows("SELECT FROM patient_merges WHERE prior_identifiers @> '[{\"value\": \"QA\"}]'")).toHaveLength(1);
  expect([await ownerOf('1.39.1'), await ownerOf('1.39.2')]).toEqual(['QB', 'QB']);
});

/** A transaction that has done `work` and commits when `commit` is called. */
async function openWith(work: (tx: Transaction) => Promise<unknown>): Promise<{ commit(): Promise<void> }> {
  const done = Promise.withResolvers<void>(), go = Promise.withResolvers<void>();
  const transaction = inOrganization(pipeline.db.database, pipeline.integration.organizationId, async (tx) => { await work(tx); done.resolve(); await go.promise; });
  await Promise.race([done.promise, transaction]);
  return { commit: () => { go.resolve(); return transaction; } };
}
const somebodyWaits = (): Promise<unknown> => eventually(async () => (await rows('SELECT FROM pg_locks WHERE NOT granted')).length > 0, 5_000);

test('an image that waits for a merge goes to the patient who remains, and one that waits for its undoing to the earlier one', async () => {
  await admit('GA'); await admit('GB');
  const merging = await openWith((tx) => applyMerge(tx, { survivor: patient('GB').identifiers, prior: patient('GA').identifiers }, { authority: 'registration', syncId: uuidV7(), at: new Date(), warnings: [] }));
  const first = image('1.40.1', 'GA');
  await somebodyWaits();
  await merging.commit();
  expect((await first).kind).toBe('accepted');
  expect(await ownerOf('1.40.1')).toBe('GB');

  const mergeId = await lastMerge('GA'), [{ scan_id: late }] = await rows<{ scan_id: string }>("SELECT scan_id FROM scans WHERE study_instance_uid = '1.40.1'") as [{ scan_id: string }];
  const undoing = await openWith((tx) => undoMerge(tx, mergeId, [late], { kind: 'user', id: 'someone' }));
  const second = image('1.40.2', 'GA');
  await somebodyWaits();
  await undoing.commit();
  expect((await second).kind).toBe('accepted');
  expect([await ownerOf('1.40.1'), await ownerOf('1.40.2')]).toEqual(['GA', 'GA']);
});

test('a merge is not undone behind the back of a report that is being made', async () => {
  await image('1.41.1', 'HA'); await admit('HB'); await merge('HB', 'HA');
  const [{ scan_id: scanId }] = await rows<{ scan_id: string }>("SELECT scan_id FROM scans WHERE study_instance_uid = '1.41.1'") as [{ scan_id: string }];
  const reporting = await openWith(async (tx) => {
    await lockReportSource(tx, scanId);
    await tx.query(sql.unsafe`WITH r AS (INSERT INTO reports (organization_id, lineage_id, scan_id, status, findings_text, impression, author_kind, author_name, document)
      SELECT organization_id, medscan_uuid_v7(), scan_id, 'preliminary', '', '', 'device', 'h', '{}' FROM scans WHERE scan_id = ${scanId} RETURNING organization_id, report_id)
      INSERT INTO deliveries (organization_id, integration_id, report_id) SELECT organization_id, ${pipeline.integration.integrationId}, report_id FROM r`);
  });
  const undoing = undo('HA');
  await somebodyWaits();
  await reporting.commit();
  expect(await undoing).toMatchObject({ kind: 'refused', reason: expect.stringContaining('have not ended') as string });
  expect(await ownerOf('1.41.1')).toBe('HB');
});

test('a report that waits for a merge is made of the patient who remains', async () => {
  await image('1.42.1', 'EA'); await admit('EB');
  const [{ scan_id: scanId }] = await rows<{ scan_id: string }>("SELECT scan_id FROM scans WHERE study_instance_uid = '1.42.1'") as [{ scan_id: string }];
  const merging = await openWith((tx) => applyMerge(tx, { survivor: patient('EB').identifiers, prior: patient('EA').identifiers }, { authority: 'registration', syncId: uuidV7(), at: new Date(), warnings: [] }));
  const source = inOrganization(pipeline.db.database, pipeline.integration.organizationId, (tx) => lockReportSource(tx, scanId));
  await somebodyWaits();
  await merging.commit();
  expect(await source).toMatchObject({ patient_number: 'EB' });
});

test('a report that is made after a merge is told to whoever undoes it, however early its transaction began', async () => {
  await image('1.43.1', 'VA'); await admit('VB');
  const [{ scan_id: scanId }] = await rows<{ scan_id: string }>("SELECT scan_id FROM scans WHERE study_instance_uid = '1.43.1'") as [{ scan_id: string }];
  const begun = Promise.withResolvers<void>(), merged = Promise.withResolvers<void>();
  const reporting = inOrganization(pipeline.db.database, pipeline.integration.organizationId, async (tx) => {
    begun.resolve();
    await merged.promise;
    await tx.query(sql.unsafe`INSERT INTO reports (organization_id, lineage_id, scan_id, status, findings_text, impression, author_kind, author_name, document)
      SELECT organization_id, medscan_uuid_v7(), scan_id, 'preliminary', '', '', 'external', 'v', '{}' FROM scans WHERE scan_id = ${scanId}`);
  });
  await begun.promise;
  await merge('VB', 'VA');
  merged.resolve();
  await reporting;
  expect(await undo('VA')).toMatchObject({ kind: 'undone', reportIds: [expect.any(String)] });
});

/** As a message that was refused at first and is received again: it was said before all that the test said since `at`. */
const sayAgain = (survivor: string, prior: string, at: Date, more: Partial<PatientMerge> = {}): Promise<Receipt> => pipeline.receive({
  interaction: 'ADT^A40', controlId: `MG${++messages}`, facts: { firstReceivedAt: at.toISOString() },
  normalized: { authority: 'registration', patient: patient(survivor, { family_name: 'Older' }), history: [{ kind: 'allergy', statement_key: 'old', display: 'Older', status: 'active' } as never], merges: [{ survivor: patient(survivor).identifiers, prior: patient(prior).identifiers, location: 'MRG-1', ...more }] },
});
/** The database's clock: all rows of before are older, all of after are younger. */
const timeNow = async (): Promise<Date> => { await rows('SELECT pg_sleep(0.005)'); const [row] = await rows<{ at: Date }>('SELECT clock_timestamp() AS at'); await rows('SELECT pg_sleep(0.005)'); return row!.at; };
const nameOfPatient = async (number: string): Promise<string | null> => (await rows<{ family_name: string | null }>('SELECT p.family_name FROM patient_identifiers i JOIN patients p USING (organization_id, patient_id) WHERE i.value = $1', [number]))[0]!.family_name;

test('a merge that is received again after a later update of the patient is done, and leaves the later values', async () => {
  await image('1.51.1', 'LA1'); await admit('LB1');
  const at = await timeNow();
  await admit('LB1', { family_name: 'Newer' });
  const receipt = await sayAgain('LB1', 'LA1', at);
  expect(receipt.kind).toBe('accepted');
  expect(await warningsOf(receipt)).toContain('only the merge is taken');
  expect([await numbers('L_1'), await nameOfPatient('LB1'), await ownerOf('1.51.1')]).toEqual([{ LA1: ['LB1', false], LB1: ['LB1', true] }, 'Newer', 'LB1']);
  expect(await rows("SELECT FROM patient_medical_history WHERE statement_key = 'old'")).toEqual([]);
});

test('... one that was done meanwhile is an accepted repeat, also when the patient was updated since, and where repeats are rejected it is rejected', async () => {
  await admit('LA2'); await admit('LB2');
  const at = await timeNow();
  await merge('LB2', 'LA2'); await admit('LB2', { family_name: 'Newer' });
  const receipt = await sayAgain('LB2', 'LA2', at);
  expect(receipt.kind).toBe('accepted');
  expect(await warningsOf(receipt)).toContain('said before');
  expect([await numbers('L_2'), await nameOfPatient('LB2')]).toEqual([{ LA2: ['LB2', false], LB2: ['LB2', true] }, 'Newer']);
  expect(await rows("SELECT FROM patient_merges WHERE prior_identifiers @> jsonb_build_array(jsonb_build_object('value', 'LA2'))")).toHaveLength(1);
  expect(await sayAgain('LB2', 'LA2', at, { policy: { repeated: 'reject' } })).toMatchObject({ kind: 'rejected', text: expect.stringContaining('said before') as string });
});

test.each([
  ['the sender used the earlier number since', (n: number) => admit(`LA${n}`), 'the number is in use'], ['the merge was undone by a person', async (n: number) => { await merge(`LB${n}`, `LA${n}`); await undo(`LA${n}`); }, 'merged with others, or parted, since'],
  ['a merge said the other way round', async (n: number) => { await merge(`LB${n}`, `LA${n}`); await merge(`LA${n}`, `LB${n}`); }, 'merged with others, or parted, since'], ['the survivor was merged into another one', async (n: number) => { await admit(`LC${n}`); await merge(`LC${n}`, `LB${n}`); }, 'merged with others, or parted, since'],
] as const)('... but not when %s', async (_, since, text) => {
  const n = 10 + messages;
  await admit(`LA${n}`); await admit(`LB${n}`);
  const at = await timeNow();
  await since(n);
  const before = await numbers(`L_${n}`);
  expect(await sayAgain(`LB${n}`, `LA${n}`, at)).toMatchObject({ kind: 'rejected', reason: 'conflict', text: expect.stringContaining(text) as string });
  expect(await numbers(`L_${n}`)).toEqual(before);
});
