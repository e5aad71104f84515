/** Orders as a RIS sends them: several in one message, and without the numbers that images are found by. */
import { afterEach, expect, test } from 'vitest';
import { processorMilliseconds } from '../../test/support/processor-time.ts';
import type { Listener } from '#gateway/adapter.ts';
import { Sender, fakeGateway, integration, startListener } from './testing/fake-gateway.ts';
import type { FakeGateway } from './testing/fake-gateway.ts';

let listener: Listener | undefined;
let sender: Sender | undefined;
afterEach(async () => { sender?.close(); await listener?.close(0); listener = undefined; });

async function send(segments: readonly string[], settings: Record<string, unknown> = {}): Promise<{ answer: string; gateway: FakeGateway }> {
  const gateway = fakeGateway();
  await listener?.close(0);
  listener = await startListener(gateway, [integration(settings)]);
  sender = await Sender.connect(listener.port);
  const answer = await sender.send(['MSH|^~\\&|RIS|HOSP|||20260105||ORM^O01|O1|P|2.5.1', 'PID|1||PID-1^^^ADT1^MR||Smith^Lucy', ...segments, ''].join('\r'));
  sender.close();
  return { answer: answer ?? '', gateway };
}
const order = (number: string, { control = 'NW', accession = `ACC-${number}` } = {}): string[] => [`ORC|${control}|P-${number}|F-${number}`, `OBR|1|P-${number}|F-${number}|A^CT head^L||||||||||||||${accession}||||||CT`];
const orders = (gateway: FakeGateway): unknown[] => gateway.received.map(({ normalized }) => normalized?.order);

test('three orders in one message are three scans and one answer', async () => {
  const { answer, gateway } = await send([...order('1'), ...order('2'), ...order('3')]);
  expect(answer.match(/MSA\|/g)).toHaveLength(1);
  expect(answer).toContain('MSA|AA|O1');
  expect(orders(gateway)).toMatchObject([{ accession_number: 'ACC-1' }, { accession_number: 'ACC-2' }, { accession_number: 'ACC-3' }]);
});

test('one order that cannot be taken refuses them all, and the answer says which it is', async () => {
  const { answer, gateway } = await send([...order('1'), ...order('2', { control: 'ZZ' }), ...order('3')]);
  expect(answer).toMatch(/MSA\|AE\|O1\|.*none of the 3 orders/);
  expect(answer).toMatch(/\rERR\|\|ORC\^2\^1\|/);
  expect(gateway.received.map(({ receipt }) => receipt.kind)).toEqual(['rejected', 'rejected', 'rejected']);
});

test('a hundred orders are read in time that grows with their number, not its square', async () => {
  const started = processorMilliseconds();
  const { answer } = await send(Array.from({ length: 100 }, (_, index) => order(String(index))).flat());
  expect(answer).toContain('MSA|AA|O1');
  expect(processorMilliseconds() - started).toBeLessThan(5_000);
});

test.each([
  ['accept', undefined], ['from-filler-number', 'F-1'], ['from-placer-number', 'P-1'],
] as const)('an order without accession number, %s: %s', async (missing_accession_number, accession) => {
  const { answer, gateway } = await send(order('1', { accession: '' }), { missing_accession_number });
  expect(answer).toContain('MSA|AA|O1');
  expect((orders(gateway)[0] as { accession_number?: string }).accession_number ?? undefined).toBe(accession);
});

test('an order without accession number is rejected where the setting says so; a cancellation without is not', async () => {
  const { answer } = await send(order('1', { accession: '' }), { missing_accession_number: 'reject' });
  expect(answer).toMatch(/MSA\|AE\|O1\|.*\rERR\|\|OBR\^1\^18\|101\^/s);
  expect((await send(order('1', { accession: '', control: 'CA' }), { missing_accession_number: 'reject' })).answer).toContain('MSA|AA|O1');
});

test('a Study Instance UID is generated where the setting says so: the same for the same order, another for another, and valid', async () => {
  const settings = { missing_study_instance_uid: 'generate' };
  const uidOf = async (segments: readonly string[]): Promise<string | null | undefined> => (await send(segments, settings)).gateway.received[0]?.normalized?.order?.study_instance_uid;
  const uid = await uidOf(order('1'));
  expect(uid).toMatch(/^2\.25\.[1-9]\d{20,38}$/);
  expect(await uidOf(order('1'))).toBe(uid);
  expect(await uidOf(order('2'))).not.toBe(uid);
  expect(await uidOf([...order('1'), 'ZDS|1.2.3^RIS^Application^DICOM'])).toBe('1.2.3');
  expect(await uidOf(order('1', { control: 'XO' })), 'a change keeps what is stored').toBeUndefined();
});

test('an order without Study Instance UID is rejected where the setting says so', async () => {
  const { answer } = await send(order('1'), { missing_study_instance_uid: 'reject' });
  expect(answer).toMatch(/MSA\|AE\|O1\|.*\rERR\|\|IPC\^1\^3\|101\^/s);
});

test.each([
  ['the first repetition', {}, ['A1', 'B2', 'S3']], ['the preferred authority', { identifier_authorities: ['SITE-C', 'SITE-B'] }, ['B2', 'A1', 'S3']],
  ['without ignored types', { identifier_authorities: ['GOV'], ignored_identifier_types: ['SS', 'DL'] }, ['A1', 'B2']],
] as const)('of several numbers in PID-3 %s comes first', async (_, settings, expected) => {
  const gateway = fakeGateway();
  listener = await startListener(gateway, [integration(settings)]);
  sender = await Sender.connect(listener.port);
  const answer = await sender.send(['MSH|^~\\&|RIS|HOSP|||20260105||ADT^A08|1|P|2.5.1', 'PID|1||A1^^^SITE-A^MR~B2^^^SITE-B^MR~S3^^^GOV^SS||Smith^Lucy', ''].join('\r'));
  expect(answer).toContain('MSA|AA|1');
  expect(gateway.received[0]?.normalized?.patient?.identifiers.map(({ value }) => value)).toEqual(expected);
});

test('a patient of whom only ignored numbers are known is refused', async () => {
  const gateway = fakeGateway();
  listener = await startListener(gateway, [integration({ ignored_identifier_types: ['SS'] })]);
  sender = await Sender.connect(listener.port);
  expect(await sender.send(['MSH|^~\\&|RIS|HOSP|||20260105||ADT^A08|1|P|2.5.1', 'PID|1||S3^^^GOV^SS||Smith^Lucy', ''].join('\r'))).toMatch(/MSA\|AE\|1\|.*\rERR\|\|PID\^1\^3\|101\^/s);
});
