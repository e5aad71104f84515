/**
 * Which fields the gateway reads of which message, from the mapping files that an integration uses, and which it writes in a result. The conformance
 * statement is made of this, and conformance.test.ts holds it against what messages with these fields do.
 */
import type { BlockSpec, FieldSpec, MappingFile } from '#mapping/format.ts';
import type { LoadedMappings } from '#mapping/load.ts';
import type { Hl7v2Config } from './config.ts';
import { adtInteractions, linkEvents, mergeEvents } from './receive-adt.ts';
import { orderInteractions } from './receive-orm.ts';
import { reportInteractions } from './receive-report.ts';
import { scheduleInteractions } from './receive-siu.ts';

/** `path` as in PID-3.4.1. `use`: required, or only its row is left out without it, or optional. */
export interface FieldRead { readonly path: string; readonly targets: readonly string[]; readonly rules: readonly string[]; readonly use: 'required' | 'row' | 'optional' }
export interface MappingUsed { readonly name: string; readonly version: string; readonly title: string; readonly fields: readonly FieldRead[] }
export interface MessagesRead { readonly kind: string; readonly interactions: readonly string[]; readonly effect: string; readonly mappings: readonly string[] }

export function messagesRead(config: Hl7v2Config): readonly MessagesRead[] {
  const events = (names: readonly string[]): string[] => names.map((event) => `ADT^${event}`);
  const [merges, links] = [events(mergeEvents), events(linkEvents)];
  return [
    { kind: 'Registration', interactions: adtInteractions.filter((name) => !merges.includes(name) && !links.includes(name)), effect: 'sets the patient as PID states it; AL1, DG1, PR1 and a numbered PV1 go to the history', mappings: [config.adt_mapping] },
    { kind: 'Merge', interactions: merges, effect: 'as a registration; and for each pair of PID and MRG, MRG-1 was an earlier number of PID-3', mappings: [config.adt_mapping, mergeMapping] },
    { kind: 'Link', interactions: links, effect: 'A24: the two PIDs are one person and stay two records; A37: they are not', mappings: [config.adt_mapping, mergeMapping] },
    { kind: 'Order', interactions: orderInteractions, effect: 'each ORC group is an order: new, changed, held, released or cancelled', mappings: [config.order_mapping] },
    { kind: 'Appointment', interactions: scheduleInteractions, effect: 'sets or clears the time of an ordered study', mappings: [config.adt_mapping, config.schedule_mapping] },
    { kind: 'Report', interactions: reportInteractions, effect: 'each OBR group, or the document, is a report of a study; OBX are its text', mappings: [config.adt_mapping, config.report_mapping] },
  ];
}
const mergeMapping = 'hl7v2-merge-to-rows';

export function mappingsUsed(config: Hl7v2Config, { files }: LoadedMappings): readonly MappingUsed[] {
  const names = [...new Set(messagesRead(config).flatMap(({ mappings }) => mappings))];
  return names.flatMap((name) => {
    const file = files.get(name);
    return file ? [{ name, version: file.version, title: file.title, fields: fieldsOf(file) }] : [];
  });
}

interface Rule { readonly path: string; readonly target: string; readonly words: string; readonly use: FieldRead['use'] }

function fieldsOf({ rows }: MappingFile): FieldRead[] {
  const rules = [...rows].flatMap(([table, rule]) => ('fields' in rule ? rule.fields.flatMap((field) => rulesOf(table, field, undefined)) : rule.blocks.flatMap((block) => blockRules(table, block))));
  return [...Map.groupBy(rules, ({ path }) => path)].map(([path, same]) => ({
    path, targets: distinct(same.map(({ target }) => target)), rules: distinct(same.map(({ words }) => words)),
    use: same.some(({ use }) => use === 'required') ? 'required' as const : same.some(({ use }) => use === 'row') ? 'row' as const : 'optional' as const,
  })).toSorted((a, b) => comparePaths(a.path, b.path));
}

function blockRules(table: string, block: BlockSpec): Rule[] {
  const conditions = (block.when ?? []).map((condition) => ({ path: inEach(condition.from, block.each), target: table, words: 'decides whether', use: 'optional' as const }));
  return [...conditions, ...block.fields.flatMap((field) => rulesOf(table, field, block.each))];
}

function rulesOf(table: string, field: FieldSpec, each: string | undefined): Rule[] {
  const target = `${table}.${field.target}`;
  const sources = [...field.from ?? [], ...field.concat ?? [], ...field.all === undefined ? [] : [field.all]];
  const use: FieldRead['use'] = field.required === true ? 'required' : field.required === 'row' ? 'row' : 'optional';
  const words = [...(field.transform ?? []).map(({ name }) => name), ...(field.codes === undefined ? [] : [`table ${field.codes}`])].join(', ');
  return [
    // Of several places the first that has a value counts: none of them alone is required.
    ...sources.map((path) => ({ path: inEach(path, each), target, words, use: (field.from?.length ?? 0) > 1 && use === 'required' ? 'optional' as const : use })),
    ...(field.when ?? []).map((condition) => ({ path: inEach(condition.from, each), target, words: 'decides whether', use: 'optional' as const })),
  ];
}

/** '4.1' in each PID-3 is PID-3.4.1, '3.2' in each AL1 is AL1-3.2; '/PV1-3' and 'PV1-3' stand for themselves. */
function inEach(path: string, each: string | undefined): string {
  const bare = path.replace(/^\//, '');
  if (each === undefined || !/^\d/.test(path)) return bare;
  const base = each.replace(/^\//, '');
  return base.includes('-') ? `${base}.${bare}` : `${base}-${bare}`;
}

const distinct = (texts: readonly string[]): string[] => [...new Set(texts.filter(Boolean))];

const segmentOrder = ['MSH', 'PID', 'MRG', 'PV1', 'AL1', 'DG1', 'PR1', 'ORC', 'TQ1', 'OBR', 'IPC', 'ZDS', 'SCH', 'AIS', 'AIG', 'AIL', 'AIP', 'TXA', 'OBX'];
function comparePaths(a: string, b: string): number {
  const rank = (path: string): number => { const at = segmentOrder.indexOf(path.slice(0, 3)); return at < 0 ? segmentOrder.length : at; };
  const numbers = (path: string): number[] => path.slice(4).split('.').map(Number);
  if (a.slice(0, 3) !== b.slice(0, 3)) return rank(a) - rank(b) || a.localeCompare(b);
  const [left, right] = [numbers(a), numbers(b)];
  for (let index = 0; index < Math.max(left.length, right.length); index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** What a result holds, by segment: field -> what stands there. */
export const fieldsSent: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  MSH: { 1: '\\|', 2: '^~\\\\&', 3: 'own_application', 4: 'own_facility', 5: 'receiving_application', 6: 'receiving_facility', 7: 'time of sending', 9: 'ORU^R01^ORU_R01', 10: 'the same at each attempt, at most 20 characters', 11: 'processing_id', 12: '2.5.1', 15: 'AL where request_acknowledgment is enhanced or both', 16: 'NE where it is enhanced, AL where it is both', 18: 'deliver_character_set' },
  PID: { 1: '1', 3: 'the patient\'s first number in use, with authority and type', 5: 'name', 7: 'birth date, as precise as known', 8: 'sex (table 0001)' },
  PV1: { 1: '1', 2: 'U', 8: 'referring physician; the segment is left out without one' },
  ORC: { 1: 'RE', 2: 'placer order number', 3: 'filler order number, or the report\'s id' },
  OBR: { 1: '1', 2: 'as ORC-2', 3: 'as ORC-3: the same for every version of the report', 4: 'procedure as ordered, else 18748-4 LN', 7: 'time of the study', 18: 'accession number', 22: 'time of the report', 24: 'RAD', 25: 'P, F, C (amended, corrected) or X (cancelled, entered in error)' },
  NTE: { 1: '1', 2: 'L', 3: 'which version of which report this is, or that it is withdrawn; from the second version on' },
  OBX: { 1: 'counts', 2: 'ST, TX, FT, CWE, NM, ED, RP by deliver_content', 3: 'what it is (LOINC, SNOMED CT, DICOM)', 4: 'ties what belongs to one finding', 5: 'the value', 6: 'unit (UCUM)', 8: 'AA, A or N by severity', 11: 'as OBR-25; W for entered in error', 14: 'time of the study', 17: 'model', 18: 'model and manufacturer', 20: 'body site' },
};
