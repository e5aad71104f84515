/** From the rows of a mapping to the rows of Normalized: several rules may write one row (a preferred name, a fallback), first come first kept. */
import { NormalizeError } from '#gateway/adapter.ts';
import type { HistoryRow, MapSettings, MappedRows, MappingWarning, OrderRow, PatientIdentifier, PatientRow, PostalAddress, ScanReference, Telecom } from '#gateway/normalized.ts';
import type { Hl7v2Config } from './config.ts';

type Row = Readonly<Record<string, unknown>>;

export function mapSettings(config: Hl7v2Config): MapSettings {
  return { assigning_authority: config.assigning_authority, time_zone: config.time_zone };
}

export function patientRow({ rows }: MappedRows): PatientRow {
  const names = foldNames(list(rows['patients']));
  const address = elements(rows['patients.address']);
  const telecom = elements(list(rows['patients.telecom']).filter((row) => 'value' in row).map((row) => (row['value'] === null ? {} : row)));
  const deceased = names['deceased_at'] && names['deceased'] === undefined ? { deceased: true } : {};
  return {
    ...names, ...deceased,
    ...(address === undefined ? {} : { address: address as PostalAddress[] | null }),
    ...(telecom === undefined ? {} : { telecom: telecom as unknown as Telecom[] | null }),
    identifiers: identifiers(rows['patient_identifiers']),
  };
}

/** Name parts come from one repetition of PID-5 or none: a middle name of the maiden name does not complete the legal name. */
const nameParts = ['family_name', 'given_name', 'middle_name', 'name_prefix', 'name_suffix'];
function foldNames(parts: readonly Row[]): Row {
  const folded: Record<string, unknown> = {};
  let named = false;
  for (const part of parts) {
    const hasName = nameParts.some((key) => key in part);
    for (const [key, value] of Object.entries(part)) {
      if (!(key in folded) && !(named && nameParts.includes(key))) folded[key] = value;
    }
    named ||= hasName;
  }
  return folded;
}

/** Keys are indexed, and an index entry has a size: what is longer is no identifier of any system (HL7 v2.9 CX-1 has 15 characters, CX-4 227). */
const maximumKeyLength = 255;
const maximumIdentifiers = 100;
const maximumHistoryRows = 500;

export function identifiers(rows: unknown): PatientIdentifier[] {
  const given = list(rows);
  if (given.length > maximumIdentifiers) throw new NormalizeError('invalid', `PID-3 has more than ${maximumIdentifiers} repetitions`, 'PID-3');
  const seen = new Set<string>();
  return given.flatMap((row) => {
    const { value, assigning_authority: authority, type_code: type } = row;
    if (typeof value !== 'string' || value === '') return [];
    const identifier = { value, assigning_authority: typeof authority === 'string' ? authority : '', ...(typeof type === 'string' ? { type_code: type } : {}) };
    if (Object.values(identifier).some((part) => part.length > maximumKeyLength)) throw new NormalizeError('invalid', `A patient identifier is longer than ${maximumKeyLength} characters`, 'PID-3');
    const key = `${identifier.value}\n${identifier.assigning_authority}`;
    return seen.has(key) ? [] : (seen.add(key), [identifier]);
  });
}

/** A list of JSON elements without their nulls; null when the sender cleared the field ("" in HL7), undefined when it said nothing. */
function elements(rows: unknown): Row[] | null | undefined {
  const given = list(rows);
  if (given.length === 0) return undefined;
  const filled = given.map((row) => Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null))).filter((row) => Object.keys(row).length > 0);
  return filled.length > 0 ? filled : null;
}

/** Rows that cannot be kept are left out and noted in `warnings`: a history never stops a message. */
export function historyRows({ rows }: MappedRows, warnings: MappingWarning[]): HistoryRow[] {
  const given = list(rows['patient_medical_history']).filter((row) => typeof row['display'] === 'string' && row['display'] !== '');
  const kept = given.filter((row) => ['code', 'code_system', 'onset'].every((key) => String(row[key] ?? '').length <= maximumKeyLength)).slice(0, maximumHistoryRows);
  if (kept.length < given.length) warnings.push({ location: 'AL1, DG1, PR1, PV1', text: `${given.length - kept.length} history rows were left out: more than ${maximumHistoryRows}, or a code of more than ${maximumKeyLength} characters` });
  return kept as unknown as HistoryRow[];
}

const orderKeys = { accession_number: 'OBR-18', placer_order_number: 'ORC-2', filler_order_number: 'ORC-3', procedure_code: 'OBR-4' } as const;

export function orderRow({ rows }: MappedRows, warnings: MappingWarning[]): OrderRow {
  const { scheduled_at: scheduledAt, ...order } = foldRows(rows['scans']);
  if (typeof order['control'] !== 'string') throw new NormalizeError('invalid', 'ORC-1 is required: the order message does not say what to do', 'ORC-1');
  for (const [key, location] of Object.entries(orderKeys)) {
    if (String(order[key] ?? '').length > maximumKeyLength) throw new NormalizeError('invalid', `${location} is longer than ${maximumKeyLength} characters`, location);
  }
  return { ...order, ...fullDate(scheduledAt, warnings) } as unknown as OrderRow;
}

/** The parts of one row; what comes first is kept. */
export function foldRows(rows: unknown): Record<string, unknown> {
  const folded: Record<string, unknown> = {};
  for (const part of list(rows)) for (const [key, value] of Object.entries(part)) if (!(key in folded)) folded[key] = value;
  return folded;
}

/** The numbers of a study that can be looked up: texts that an index takes. */
export function scanReference(row: Row): ScanReference {
  const keys = ['accession_number', 'placer_order_number', 'filler_order_number', 'study_instance_uid'];
  return Object.fromEntries(keys.flatMap((key) => (typeof row[key] === 'string' && row[key] !== '' && row[key].length <= maximumKeyLength ? [[key, row[key]]] : [])));
}

/** A time that says at least the day, or null; else it is left out. */
export function fullDate(scheduledAt: unknown, warnings: MappingWarning[]): Pick<OrderRow, 'scheduled_at'> {
  if (scheduledAt === null) return { scheduled_at: null };
  if (typeof scheduledAt !== 'string') return {};
  if (scheduledAt.length >= 'YYYY-MM-DD'.length) return { scheduled_at: scheduledAt };
  warnings.push({ location: 'TQ1-7', text: 'The scheduled time names no day and was left out' });
  return {};
}

function list(rows: unknown): readonly Row[] {
  return Array.isArray(rows) ? rows as Row[] : rows === undefined ? [] : [rows as Row];
}
