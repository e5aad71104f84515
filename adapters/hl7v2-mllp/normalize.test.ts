/** What a message may not do to the database: values that no index can hold, and more rows than a person ever has. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NormalizeError } from '#gateway/adapter.ts';
import type { Normalized } from '#gateway/normalized.ts';
import { normalize, rememberChecked } from './normalize.ts';
import { parseMessage } from '#standards/hl7v2/parse.ts';
import { adt, integration, map } from './testing/fake-gateway.ts';

function normalized(interaction: string, text: string, settings: Record<string, unknown> = {}): Promise<Normalized> {
  return normalize({ integration: integration(settings), interaction, controlId: 'M1', facts: {}, head: Buffer.from(text), receivedAt: new Date(0) }, map);
}
const order = (more: string): string => `MSH|^~\\&|RIS|HOSP|||20260105||ORM^O01|M1|P|2.5.1\rPID|1||P1\r${more}\r`;

test.each([
  ['a patient identifier of 300 characters', 'ADT^A08', adt('M1', [`PID|1||${'9'.repeat(300)}`]), 'PID-3'],
  ['101 patient identifiers', 'ADT^A08', adt('M1', [`PID|1||${Array.from({ length: 101 }, (_, index) => index).join('~')}`]), 'PID-3'],
  ['an accession number of 300 characters', 'ORM^O01', order(`ORC|NW|1\rOBR|1|1||A||||||||||||||${'9'.repeat(300)}`), 'OBR-18'],
])('%s is refused with its place', async (_name, interaction, text, location) => {
  await expect(normalized(interaction, text)).rejects.toMatchObject({ name: 'NormalizeError', reason: 'invalid', location });
  await expect(normalized(interaction, text)).rejects.toBeInstanceOf(NormalizeError);
});

test('a history of thousands of rows is cut and noted, the patient is taken', async () => {
  const result = await normalized('ADT^A08', adt('M1', ['PID|1||P1', ...Array.from({ length: 2000 }, (_, index) => `AL1|${index}||${index}^Allergen`)]));
  expect(result.history).toHaveLength(500);
  expect(result.warnings).toContainEqual({ location: 'AL1, DG1, PR1, PV1', text: expect.stringContaining('1500 history rows') as string });
});

test('a scheduled time that names no day is left out and noted', async () => {
  const result = await normalized('ORM^O01', order('ORC|NW|1\rTQ1|||||||2026\rOBR|1|1||A'));
  expect(result.order).not.toHaveProperty('scheduled_at');
  expect(result.warnings).toContainEqual({ location: 'TQ1-7', text: expect.any(String) as string });
});

test('no NUL character reaches a row, and that it was there is seen', async () => {
  const result = await normalized('ADT^A08', adt('M1', ['PID|1||P-1||Smi\0th^Lu\\X00\\cy']));
  expect(JSON.stringify(result)).not.toContain('\\u0000');
  expect(result.patient).toMatchObject({ family_name: 'Smi\uFFFDth', given_name: 'Lu\uFFFDcy' });
  expect(result.warnings).toContainEqual({ location: 'PID-5', text: expect.stringContaining('NUL') as string });
});

test('a stored message is read again with the settings of now: the character set of the integration wins', async () => {
  const bytes = Buffer.from(adt('M1', ['PID|1||P1||M\xfcller']), 'latin1');
  const read = (settings: Record<string, unknown>): Promise<Normalized> =>
    normalize({ integration: integration(settings), interaction: 'ADT^A08', controlId: 'M1', facts: {}, head: bytes, receivedAt: new Date(0) }, map);
  expect((await read({})).patient?.family_name).toBe('Müller');
  expect((await read({ character_set: '8859/5' })).patient?.family_name).toBe('Mќller');
});

test.each([['as the listener read it', {}], ['in the character set of the integration', { character_set: '8859/1' }]])('a message of several orders is read once, %s', async (_, settings) => {
  const head = Buffer.from(order('ORC|NW|1\rOBR|1|1||A\rORC|NW|2\rOBR|2|2||A')), to = integration(settings);
  const group = async (orderGroup: number): Promise<string | null | undefined> => (await normalize({ integration: to, interaction: 'ORM^O01', controlId: 'M1', facts: { orderGroup, orderGroups: 2 }, head, receivedAt: new Date(0) }, map)).order?.placer_order_number;
  rememberChecked(head, parseMessage(head));
  expect(await group(1)).toBe('1');
  head.write('no message any more'); // who reads the bytes again is refused
  expect(await group(2)).toBe('2');
});

test('the trace names what no rule has read', async () => {
  const result = await normalized('ADT^A08', adt('M1', ['PID|1||P1||Smith^Lucy', 'ZPI|1|local']));
  expect(result.mapping).toBe('hl7v2-adt-to-rows@1.0.0');
  expect(result.trace().filter(({ outcome }) => outcome === 'unmapped').map(({ source }) => source)).toContain('ZPI-2');
  expect(result.trace()).toContainEqual(expect.objectContaining({ source: 'PID-5[1].1.1', target: 'patients.family_name', outcome: 'mapped', value: 'Smith' }));
});

test('an order without patient is kept with a patient nobody knows yet', async () => {
  const result = await normalized('ORM^O01', 'MSH|^~\\&|RIS|HOSP|||20260105||ORM^O01|M1|P|2.5.1\rORC|NW|1\rOBR|1|1||A\r');
  expect(result).toMatchObject({ patient: { identifiers: [] }, order: { control: 'new', placer_order_number: '1' } });
});

test('property: no message makes normalizing throw anything but NormalizeError, nor a row of the wrong shape', async () => {
  const value = fc.string({ unit: fc.constantFrom('A', '1', '20260105', '^', '&', '~', '\\', '""', '\\X00\\', '\\F\\', 'é', ' ', '-', '.', 'L', 'Y'), maxLength: 12 });
  const segment = fc.tuple(fc.constantFrom('PID', 'PV1', 'AL1', 'DG1', 'PR1', 'MRG', 'ORC', 'OBR', 'OBX', 'TQ1', 'IPC', 'ZDS', 'ZZZ'), fc.array(value, { maxLength: 45 })).map(([name, fields]) => [name, ...fields].join('|'));
  const event = fc.constantFrom('ADT^A08', 'ADT^A40', 'ADT^A03', 'ORM^O01', 'OMI^O23');
  await fc.assert(fc.asyncProperty(event, fc.array(segment, { maxLength: 8 }), fc.constantFrom('NW', 'SC', 'CA'), async (interaction, segments, control) => {
    const text = ['MSH|^~\\&|RIS|HOSP|||20260105||' + interaction + '|M1|P|2.5.1', 'PID|1||P1', `ORC|${control}|1`, ...segments, ''].join('\r');
    let result: Normalized;
    try { result = await normalized(interaction, text, { time_zone: 'Europe/Berlin' }); } catch (error) { expect(error).toBeInstanceOf(NormalizeError); return; }
    expect(JSON.stringify(result)).not.toContain('\\u0000');
    for (const row of result.history ?? []) expect(typeof row.display).toBe('string');
    for (const merge of result.merges ?? []) expect([merge.survivor.length > 0, merge.prior.length > 0]).toEqual([true, true]);
    for (const contact of result.patient?.telecom ?? []) expect(contact.value).not.toBe('');
    if (result.order) expect(['new', 'change', 'cancel', 'hold', 'release']).toContain(result.order.control);
  }), { numRuns: 400 });
});
