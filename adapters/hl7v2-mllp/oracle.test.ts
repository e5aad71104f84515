/**
 * Real messages that nobody of this project wrote, with the field values their projects or the standard say they hold. Everything our
 * reading can be asked is asked; `notRead` names the rest and why.
 */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { NormalizeError } from '#gateway/adapter.ts';
import type { Integration } from '#gateway/adapter.ts';
import { createMapper } from '#mapping/mapper.ts';
import { splitFrame } from '#standards/hl7v2/batch.ts';
import { isoDate, isoDateTime } from '#standards/hl7v2/date-time.ts';
import { hl7Reader } from '#standards/hl7v2/reader.ts';
import { parseMessage } from '#standards/hl7v2/parse.ts';
import type { Hl7Message } from '#standards/hl7v2/parse.ts';
import { hl7v2Config } from './config.ts';
import { interactionOf, inboundInteractions } from './header-check.ts';
import { normalize } from './normalize.ts';
import { orderInteractions } from './receive-orm.ts';
import { patientRow } from './rows.ts';

interface Case { readonly id: string; readonly file: string; readonly expect: Readonly<Record<string, unknown>> }

const corpus = resolve(process.env['MEDSCAN_CORPUS'] ?? '../shared/corpus', 'hl7v2');
const present = existsSync(corpus);
const cases: readonly Case[] = present ? JSON.parse(readFileSync(`${corpus}/oracle.json`, 'utf8')) as Case[] : [];
if (!present) process.stderr.write(`HL7 oracle tests skipped: no corpus at ${corpus} (set MEDSCAN_CORPUS)\n`);

const map = createMapper(resolve('mappings'));
const integration: Integration<ReturnType<typeof hl7v2Config.parse>> = { integrationId: 'i', organizationId: 'o', name: 'RIS', config: hl7v2Config.parse({}) };

/** Keys about what a FHIR server would make of a message, or fields the gateway has no use for. */
const notRead = new Set(['fhir.links', 'fhir.patientActive', 'fhir.priorIdentifierUse', 'result.fhirStatus', 'obx.fhirStatus', 'obx.fhirValueKey', 'appointment.filler', 'document.type']);

/** Keys read from the message by path. */
const paths: Readonly<Record<string, string>> = {
  'msg.type': 'MSH-9.1', 'msg.trigger': 'MSH-9.2', 'msg.controlId': 'MSH-10', 'msg.version': 'MSH-12', 'msg.charset': 'MSH-18', 'msg.encoding': 'MSH-2', 'msg.fieldSep': 'MSH-1',
  'patient.birthDateRaw': 'PID-7', 'patient.sex': 'PID-8', 'patient.accountNumber': 'PID-18', 'patient.idAuthorityOid': 'PID-3.4.2',
  'visit.number': 'PV1-19', 'visit.patientClass': 'PV1-2', 'merge.priorId': 'MRG-1', 'change.priorId': 'MRG-1',
  'order.control': 'ORC-1', 'order.status': 'ORC-5', 'order.cancelReason': 'ORC-16.2', 'order.priority': 'ORC-7.6', 'order.spsCode': 'IPC-6', 'order.stationName': 'IPC-7', 'order.stationLocation': 'IPC-8',
  'order.code': 'OBR-4.1', 'order.codeText': 'OBR-4.2', 'order.codeSystem': 'OBR-4.3', 'order.accession(OBR-18)': 'OBR-18', 'order.section(OBR-24)': 'OBR-24',
  'obr.placer': 'OBR-2', 'obr.filler': 'OBR-3', 'result.obr25': 'OBR-25', 'result.status': 'OBR-25',
  'order.referring.family': 'PV1-8.2', 'order.requesting.family': 'OBR-16.2',
  'obx.valueType': 'OBX-2', 'obx.code': 'OBX-3.1', 'obx.status': 'OBX-11', 'dtm.raw': 'PID-29', 
  // The oracle counts this one from 0 (OBX-1 is 5: 'A^Abnormal') and the other two as OBX-1 does.
  'obx[4].interpretation': 'OBX[5]-8', 'obx[8].code': 'OBX[8]-3', 'obx[8].value.code': 'OBX[8]-5',
  'ais.code': 'AIS-3.1', 'ais.text': 'AIS-3.2',
};

test.skipIf(!present)('the corpus has cases', () => { expect(cases.length).toBeGreaterThan(20); });

test.skipIf(!present).for(cases)('reads every expected field of $id', async ({ file, expect: expected }) => {
  const bytes = readFileSync(`${corpus}/${file}`);
  const content = splitFrame(bytes);
  const message = parseMessage(content.messages[0] ?? Buffer.alloc(0));
  const reader = hl7Reader(message);
  const patient = patientRow(map('hl7v2-adt-to-rows', hl7Reader(message)));
  const order = await orderOf(message, content.messages[0] ?? Buffer.alloc(0));
  const merges = await mergesOf(message, content.messages[0] ?? Buffer.alloc(0));
  const computed: Readonly<Record<string, () => unknown>> = {
    'patient.id': () => patient.identifiers[0]?.value, 'patient.ids': () => patient.identifiers.map(({ value }) => value),
    'patient.idAuthority': () => patient.identifiers[0]?.assigning_authority, 'patient.idType': () => patient.identifiers[0]?.type_code,
    'patient.family': () => patient.family_name, 'patient.given': () => patient.given_name, 'patient.middle': () => patient.middle_name,
    'patient.birthDate': () => patient.birth_date, 'patient.gender': () => patient.sex,
    'order.accession': () => order?.['accession_number'] ?? reader.first('OBR-18'), 'order.modality': () => order?.['modality'] ?? reader.first('OBR-24'),
    'order.studyUid': () => order?.['study_instance_uid'] ?? reader.first('ZDS-1') ?? obxValue(message, '113014'), 'order.scheduled': () => order?.['scheduled_at'],
    'order.requestedProcedureId': () => reader.first('IPC-2') ?? reader.first('OBR-19'), 'order.spsId': () => reader.first('IPC-4') ?? reader.first('OBR-20'),
    // Results, which the gateway does not take in: OBR-53 (v2.8 alternate placer number) is what the CDC's mapping calls the placer's.
    'order.placer': () => order?.['placer_order_number'] ?? (reader.first('OBR-53') || reader.first('ORC-2') || reader.first('OBR-2')), 'order.filler': () => order?.['filler_order_number'] ?? (reader.first('ORC-3') || reader.first('OBR-3')),
    'order.cancelled': () => order?.['control'] === 'cancel', 'order.bodySiteSct': () => obxValues(message, 'REGION_ANATOMIQUE'), 'order.stationAETs': () => reader.all('IPC-9'),
    'patient.heightCm': () => Number(obxValue(message, '8302-2')), 'patient.weightKg': () => Number(obxValue(message, '29463-7')),
    'merge.count': () => merges.length, 'merge.pairs': () => merges, 'result.obxCount': () => reader.each('OBX').length, 'obx.raw5': () => message.segment('OBX')?.fields[5] ?? '',
    'batch.messages': () => content.messages.length, // Messages one after the other without BHS count as one batch in python-hl7.
    'batch.batches': () => content.batchCount || (content.messages.length > 1 ? 1 : 0), 'batch.isFile': () => content.isFile, 'batch.declared': () => content.declaredCount,
    'dtm.fhir': () => `${isoDateTime(String(reader.first('PID-29')))?.replace(/T(\d\d:\d\d)([+-])/, 'T$1:00$2')}`, 'ais.start': () => isoDateTime(String(reader.first('AIS-4'))),
  };
  const read: Record<string, unknown> = {};
  const wanted: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(expected)) {
    if (notRead.has(key)) continue;
    const path = paths[key];
    const compute = computed[key];
    if (!path && !compute) throw new Error(`The oracle asks for '${key}', which this test does not know`);
    wanted[key] = value;
    read[key] = compute ? compute() : (reader.first(path ?? '') ?? '');
  }
  expect(read).toEqual(wanted);
  if (typeof expected['patient.birthDateRaw'] === 'string' && isoDate(expected['patient.birthDateRaw'])) expect(patient.birth_date).toBe(isoDate(expected['patient.birthDateRaw']));
});

/** As normalized: each merge by its first identifiers. */
async function mergesOf(message: Hl7Message, head: Buffer): Promise<object[]> {
  const interaction = interactionOf(message);
  if (!interaction.startsWith('ADT') || !inboundInteractions.includes(interaction) || !message.segment('MRG')) return [];
  const { merges = [] } = await normalize({ integration, interaction, controlId: 'x', facts: {}, head, receivedAt: new Date() }, map);
  return merges.map(({ survivor: [survivor], prior: [prior] }) => ({
    survivingId: survivor?.value, survivingAuthority: survivor?.assigning_authority, priorId: prior?.value, priorAuthority: prior?.assigning_authority,
  }));
}

async function orderOf(message: Hl7Message, head: Buffer): Promise<Readonly<Record<string, unknown>> | undefined> {
  const interaction = interactionOf(message);
  if (!orderInteractions.includes(interaction)) return undefined;
  if (!message.segment('ORC')) return undefined;
  try {
    const { order } = await normalize({ integration, interaction, controlId: 'x', facts: {}, head, receivedAt: new Date() }, map);
    return order as Readonly<Record<string, unknown>> | undefined;
  } catch (error) {
    // Medication orders (ORC-1 OP) are no imaging orders: the fields are still read by path.
    if (error instanceof NormalizeError && error.location?.endsWith('ORC-1')) return undefined;
    throw error;
  }
}

function obxValues(message: Hl7Message, code: string): string[] {
  return message.segments.filter((segment) => segment.name === 'OBX' && message.component(segment.fields[3] ?? '', 1) === code).map((segment) => message.component(segment.fields[5] ?? '', 1));
}
function obxValue(message: Hl7Message, code: string): string | undefined { return obxValues(message, code)[0]; }
