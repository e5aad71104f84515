/** The HL7 v2 conformance statement of the integrations as they are configured (HL7 v2.5.1 ch. 2.12 says what belongs in one), as Markdown. */
import { resolve } from 'node:path';
import type { ConformanceSubject, Integration } from '#gateway/adapter.ts';
import { loadMappings } from '#mapping/load.ts';
import type { LoadedMappings } from '#mapping/load.ts';
import { fieldName } from '#standards/hl7v2/field-names.ts';
import type { Hl7v2Config } from './config.ts';
import { fieldsSent, mappingsUsed, messagesRead } from './conformance-fields.ts';
import type { FieldRead } from './conformance-fields.ts';
import { defaultLimits } from './listener.ts';
import { maximumOrderGroups } from './receive-orm.ts';

const mappingsDirectory = resolve(import.meta.dirname, '../../mappings');

export function conformance({ product, version, integrations }: ConformanceSubject<Hl7v2Config>): string {
  const loaded = loadMappings(mappingsDirectory);
  return [
    '# HL7 v2 conformance statement', '', `${product} ${version}. Generated from the settings and mapping files in use: \`medscan conformance hl7\`, or \`GET /adapters/{adapter}/conformance\` of the API.`,
    'HL7 v2.1 to 2.9 in ER7 encoding; field numbers are those of v2.5.1. How anything is read that is not per integration: adapters/hl7v2-mllp/README.md.', '',
    ...(integrations.length === 0 ? ['No integration of this adapter is configured.', ''] : integrations.flatMap((integration) => integrationPart(integration, loaded))),
    ...limitsPart(),
  ].join('\n');
}

function integrationPart({ name, config }: Integration<Hl7v2Config>, loaded: LoadedMappings): string[] {
  return [`## ${line(name)}`, '', ...(config.receives ? receivedPart(config, loaded) : ['Messages are not taken from this system.', '']), ...sentPart(config)];
}

function receivedPart(config: Hl7v2Config, loaded: LoadedMappings): string[] {
  return [
    '### Who sends, and how', '', ...table(['what', 'value'], [
      ['MSH-3, MSH-4', `${anyOf(config.sending_application)}; ${anyOf(config.sending_facility)}`], ['address, certificate', `${anyOf(config.addresses)}; ${anyOf(config.tls_subjects)}`],
      ['MSH-11', config.processing_ids.join(', ')], ['transport', ['MLLP', 'HL7 over HTTP (/hl7v2)', ...(config.folder === undefined ? [] : [`files in the folder ${config.folder}`])].join(', ')],
      ['character set', config.character_set ?? 'MSH-18; valid UTF-8 is read as UTF-8'], ['times without offset', config.time_zone ?? 'as sent, without offset'], ['numbers without authority', config.assigning_authority ?? 'without authority'],
      ['which number in PID-3', `${config.identifier_authorities.length > 0 ? `of ${config.identifier_authorities.join(', then ')}` : 'the first'}${config.ignored_identifier_types.length > 0 ? `; not of type ${config.ignored_identifier_types.join(', ')}` : ''}`],
    ]),
    '### Messages taken', '', ...table(['message', 'events', 'effect', 'mapping'], messagesRead(config).map(({ kind, interactions, effect, mappings }) => [kind, interactions.join(' '), effect, mappings.join(', ')])),
    `Any other event: ${config.unknown_events === 'accept' ? 'AA, kept without effect' : 'AR with condition 200 (type) or 201 (event), kept'}.`, '',
    '### Decisions', '', ...table(['case', 'answer'], [
      ['a merge said before', config.repeated_merge === 'accept' ? 'AA, no second effect' : 'AE 205'], ['a merge the other way round', decision(config.inverse_merge)], ['a merge that closes a circle', decision(config.circular_merge)],
      ['an order without accession number', { 'accept': 'AA', 'reject': 'AE 101', 'from-filler-number': 'AA; its filler number counts as one', 'from-placer-number': 'AA; its placer number counts as one' }[config.missing_accession_number]],
      ['an order without Study Instance UID', { accept: 'AA; images are linked by accession number', reject: 'AE 101', generate: 'AA; one is generated' }[config.missing_study_instance_uid]],
      ['several orders in a message', `one answer; at most ${maximumOrderGroups}, and one that cannot be taken refuses all`],
    ]),
    '### Acknowledgment', '', `Mode \`${config.acknowledgment}\`: ${acknowledgmentWords[config.acknowledgment]}`, '', ...table(['MSA-1', 'when'], [
      ['AA, CA', 'after the commit; again for the same MSH-10 with the same bytes'], ['AR, CR with 100, 101, 103, 200 to 203', 'the header decides'], ['AE, CE with 100 to 103, 205', 'the content decides; ERR-2 has segment, sequence, field'], ['AE, CE with 207', 'not stored: send it again'],
    ]),
    ...mappingsUsed(config, loaded).flatMap(({ name, version, title, fields }) => [`### Fields of ${name} ${version}`, '', title, '', ...table(['field', 'name', 'use', 'goes to', 'by'], fields.map(fieldRow))]),
  ];
}

const acknowledgmentWords: Readonly<Record<Hl7v2Config['acknowledgment'], string>> = {
  'one-answer': 'one answer to each message, CA, CE or CR where MSH-15 asks for one, else AA, AE or AR.', 'original': 'AA, AE or AR always.', 'enhanced': 'CA, CE or CR by MSH-15, then AA, AE or AR by MSH-16.',
};
const decision = (choice: 'accept' | 'ignore' | 'reject'): string => ({ accept: 'AA, taken', ignore: 'AA, no effect', reject: 'AE 205' })[choice];

function fieldRow({ path, targets, rules, use }: FieldRead): string[] {
  const [segment = '', field = ''] = path.split('-');
  return [path, fieldName(segment, Number.parseInt(field, 10)) ?? '', { required: 'R', row: 'C: without it the row is left out', optional: 'O' }[use], targets.join(', '), rules.join('; ')];
}

function sentPart(config: Hl7v2Config): string[] {
  const where = config.deliver_folder === undefined ? config.host === undefined ? undefined : `MLLP${config.tls ? ' over TLS' : ''} to the configured host and port` : `files in the folder ${config.deliver_folder}`;
  if (where === undefined) return ['### Results', '', 'None are sent to this system.', ''];
  return [
    '### Results', '', `ORU^R01 v2.5.1: MSH PID [PV1] ORC OBR [NTE] {OBX}, as ${where}.`, '', ...table(['what', 'value'], [
      ['content', config.deliver_content.join(', ')], ['character set', `${config.deliver_character_set}; a report that does not fit is refused`], ['acknowledgment', { original: 'original mode: AA', enhanced: 'MSH-15 AL, MSH-16 NE: CA is enough', both: 'MSH-15 AL, MSH-16 AL: CA, then AA' }[config.request_acknowledgment]],
      ['sent again', `AE and CE with 206 or 207; no answer within ${config.acknowledgment_timeout_milliseconds} ms; another MSA-2${config.resend_on.length > 0 ? `; ${config.resend_on.join(', ')} up to ${config.resend_attempts} times` : ''}`],
      ['order status', config.order_status_messages.length === 0 ? 'not told' : `${config.order_status_type} with ORC-1 SC when ${config.order_status_messages.map((event) => ({ received: 'the first image is here (ORC-5 IP, OBR-25 I)', complete: 'all images are here (CM, I)', analysed: 'the AI result is made (CM, R)' })[event]).join(', ')}`],
      ['parked for a person', ['AE', 'AR', 'CE', 'CR'].filter((code) => !(config.resend_on as readonly string[]).includes(code)).join(', ') || 'what was sent often enough'],
    ]),
    ...table(['field', 'name', 'value'], Object.entries(fieldsSent).flatMap(([segment, fields]) => Object.entries(fields).map(([field, text]) => [`${segment}-${field}`, fieldName(segment, Number(field)) ?? '', text]))),
  ];
}

function limitsPart(): string[] {
  const { frameBytes, framePauseMilliseconds, frameMilliseconds, idleMilliseconds, connections, connectionsPerAddress } = defaultLimits;
  return ['## Limits', '', ...table(['what', 'value'], [
    ['message', `${frameBytes} bytes`], ['pause inside a block, whole block', `${framePauseMilliseconds / 1000} s, ${frameMilliseconds / 1000} s`], ['silent connection', `${idleMilliseconds / 1000} s`], ['connections, from one address', `${connections}, ${connectionsPerAddress}`],
  ])];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const cells = (row: readonly string[]): string => `| ${row.map((cell) => line(cell)).join(' | ')} |`;
  return [cells(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(cells), ''];
}
/** One line of a table, whatever a setting holds. */
const line = (text: string): string => text.replaceAll(/\s+/g, ' ').replaceAll(/(?<!\\)\|/g, '\\|');
const anyOf = (names: readonly string[]): string => (names.length === 0 ? 'any' : names.join(', '));
