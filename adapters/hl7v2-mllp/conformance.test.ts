/** The conformance statement against what messages do: every field it names is read, no other is; every event it names is taken, no other is. */
import { resolve } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { Listener } from '#gateway/adapter.ts';
import { loadMappings } from '#mapping/load.ts';
import { parseText } from '#standards/hl7v2/parse.ts';
import { hl7Reader } from '#standards/hl7v2/reader.ts';
import { conformance } from './conformance.ts';
import { fieldsSent, mappingsUsed, messagesRead } from './conformance-fields.ts';
import { hl7v2Config } from './config.ts';
import { inboundInteractions } from './header-check.ts';
import { reportToOru } from './report-to-oru.ts';
import { Sender, adt, fakeGateway, integration, map, startListener } from './testing/fake-gateway.ts';
import { sampleReport } from './testing/sample-report.ts';

let listener: Listener | undefined;
afterEach(async () => { await listener?.close(0); listener = undefined; });

const config = hl7v2Config.parse({ host: 'ris.example', port: 2575 });
const loaded = loadMappings(resolve('mappings'));
const used = mappingsUsed(config, loaded);
const fieldOf = (path: string): string => path.split('.')[0]!;
const segmentsOf = [...new Set(used.flatMap(({ fields }) => fields.map(({ path }) => path.slice(0, 3))))].filter((segment) => segment !== 'MSH');

/** A message with these values: path of a field -> text. */
function messageWith(values: Readonly<Record<string, string>>): string {
  const segments = Map.groupBy(Object.entries(values), ([path]) => path.slice(0, 3));
  const lines = [...segments].filter(([segment]) => segment !== 'MSH').map(([segment, entries]) => {
    const fields: string[] = [segment];
    for (const [path, text] of entries) fields[Number(path.slice(4))] = text;
    return Array.from(fields, (field) => field ?? '').join('|');
  });
  return [`MSH|^~\\&|A|B|||20260105||${values['MSH-9'] ?? 'XXX^X01'}|1|P|2.5.1`, ...lines, ''].join('\r');
}

/** Fields, or components, with a value that the mapping did not read. */
function unreadOf(mapping: string, values: Readonly<Record<string, string>>): Set<string> {
  const reader = hl7Reader(parseText(messageWith(values)));
  map(mapping, reader, {});
  return new Set(reader.unread().flatMap((path) => [path, fieldOf(path)]).map((path) => path.replaceAll(/\[\d+\]/g, '')));
}

/** Without these a mapping stops, or a block of it does not apply. */
const required: Readonly<Record<string, string>> = { 'ORC-1': 'NW', 'MSH-9': 'SIU^S12' };
const coded = ['ORC-1'];
const conditions: readonly Readonly<Record<string, string>>[] = [
  {}, { 'ORC-1': 'SC' }, { 'MSH-9': 'ADT^A08', 'PV1-19': 'X' }, { 'PID-3': 'X' }, { 'OBX-3': 'MODALITE_IMAGERIE' }, { 'OBX-3': 'REGION_ANATOMIQUE' }, { 'OBX-3': '113014' }, { 'PV1-19': 'X' }, { 'OBR-24': 'CT' }, { 'IPC-5': 'CT' }, { 'ORC-12': '^X' }, { 'OBR-4': 'X' }, { 'AL1-3': 'X' }, { 'DG1-3': 'X' }, { 'PR1-3': 'X' },
];

test.each(used.map((mapping) => [mapping.name, mapping] as const))('%s: every field that is stated is read', (name, { fields }) => {
  const stated = [...new Set(fields.map(({ path }) => path.split('.', 2).join('.')))].filter((path) => !path.startsWith('MSH'));
  const isRead = (path: string): boolean => {
    const [field = '', component = '1'] = path.split('.');
    const [alone, filled] = [`${'^'.repeat(Number(component) - 1)}X`, 'X^'.repeat(Number(component) - 1) + 'X'].map((text) => (coded.includes(field) ? required[field]! : text));
    return conditions.some((condition) => !(field in condition)
      && (!unreadOf(name, { ...required, ...condition, [field]: alone! }).has(field) || (component !== '1' && !unreadOf(name, { ...required, ...condition, [field]: filled! }).has(path))));
  };
  const unread = stated.filter((path) => !isRead(path));
  expect(unread).toEqual([]);
});

test.each(used.map((mapping) => [mapping.name, mapping] as const))('%s: a field that is not stated is not read', (name, { fields }) => {
  const stated = new Set(fields.map(({ path }) => fieldOf(path)));
  for (const segment of [...segmentsOf, 'ZXY', 'NK1']) {
    const values = Object.fromEntries(Array.from({ length: 45 }, (_, index) => [`${segment}-${index + 1}`, 'X'] as const).filter(([field]) => !stated.has(field)));
    const unread = unreadOf(name, { ...required, ...values });
    expect(Object.keys(values).filter((field) => !unread.has(field) && !(field in required)), segment).toEqual([]);
  }
});

test('every event that is stated is taken, and the statement leaves none out', () => {
  expect(messagesRead(config).flatMap(({ interactions }) => interactions).toSorted()).toEqual(inboundInteractions.toSorted());
});

test.each(['ADT^A09', 'ADT^A42', 'ADT^A99', 'ORU^R40', 'MDM^T11', 'QBP^Q22', 'XXX^Y01'])('%s, which is not stated, is answered as stated', async (interaction) => {
  for (const [unknown_events, code] of [['reject', 'AR'], ['accept', 'AA']] as const) {
    const gateway = fakeGateway();
    listener = await startListener(gateway, [integration({ unknown_events })]);
    const sender = await Sender.connect(listener.port);
    expect(await sender.send(adt('M1').replace('ADT^A08', interaction))).toContain(`MSA|${code}|M1`);
    sender.close();
    await listener.close(0);
    expect(conformance({ product: 'P', version: '1', integrations: [integration({ unknown_events })] })).toContain(`Any other event: ${code}`);
  }
});

test('a result has the fields that are stated and no others, whatever it carries', () => {
  const everything = hl7v2Config.parse({ ...config, own_facility: 'F', receiving_application: 'R', receiving_facility: 'RF', request_acknowledgment: 'enhanced', deliver_content: ['text', 'findings', 'measurements', 'pdf', 'link'], link_address: 'https://viewer.example' });
  const written = new Set<string>();
  for (const version of [1, 2]) {
    for (const { name, fields } of parseText(reportToOru({ ...sampleReport, version }, 'ID', everything, new Date(0), Buffer.from('%PDF'))).segments) {
      fields.forEach((field, number) => { if (number > 0 && field !== '') written.add(`${name}-${number}`); });
    }
  }
  const stated = Object.entries(fieldsSent).flatMap(([segment, fields]) => Object.keys(fields).map((field) => `${segment}-${field}`));
  expect([...written].toSorted()).toEqual(stated.toSorted());
});

test('the statement follows the settings, breaks in no table, and holds no secret', () => {
  const settings = {
    host: 'h', port: 1, tls: true, tls_key: 'SECRET KEY', folder: 'ris', sending_application: ['A|B'], addresses: ['10.0.0.1'], inverse_merge: 'reject', missing_accession_number: 'reject', acknowledgment: 'enhanced', identifier_authorities: ['MASTER'],
    deliver_content: ['text', 'pdf'], deliver_character_set: '8859/1', resend_on: ['AE'], resend_attempts: 5,
  };
  const text = conformance({ product: 'P', version: '1', integrations: [{ ...integration(settings), name: 'RIS |\n# north' }] });
  for (const stated of ['## RIS \\| # north', 'A\\|B; any', '10.0.0.1; any', 'files in the folder ris', 'a merge the other way round | AE 205', 'an order without accession number | AE 101', 'Mode `enhanced`', 'of MASTER', 'text, pdf', '8859/1;', 'AE up to 5 times', 'AR, CE, CR']) expect(text).toContain(stated);
  expect(text).not.toContain('SECRET');
  for (const table of text.split('\n\n').filter((part) => part.startsWith('|'))) {
    const widths = table.trimEnd().split('\n').map((row) => row.replaceAll(/\\./g, '').split('|').length);
    expect(new Set(widths).size, table.slice(0, 80)).toBe(1);
  }
  expect(conformance({ product: 'P', version: '1', integrations: [integration({ receives: false })] })).toContain('Messages are not taken from this system');
});
