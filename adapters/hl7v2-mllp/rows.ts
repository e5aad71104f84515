/** From the rows of a mapping to the rows of Normalized: several rules may write one row (a preferred name, a fallback), first come first kept. */
import { NormalizeError } from '#gateway/adapter.ts';
import type { HistoryRow, MapSettings, MappedRows, OrderRow, PatientIdentifier, PatientRow, PostalAddress, Telecom } from '#gateway/normalized.ts';
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

export function identifiers(rows: unknown): PatientIdentifier[] {
  const seen = new Set<string>();
  return list(rows).flatMap((row) => {
    const { value, assigning_authority: authority, type_code: type } = row;
    if (typeof value !== 'string' || value === '') return [];
    const identifier = { value, assigning_authority: typeof authority === 'string' ? authority : '', ...(typeof type === 'string' ? { type_code: type } : {}) };
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

export function historyRows({ rows }: MappedRows): HistoryRow[] {
  return list(rows['patient_medical_history']).filter((row) => typeof row['display'] === 'string' && row['display'] !== '') as unknown as HistoryRow[];
}

export function orderRow({ rows }: MappedRows): OrderRow {
  const order: Record<string, unknown> = {};
  for (const part of list(rows['scans'])) for (const [key, value] of Object.entries(part)) if (!(key in order)) order[key] = value;
  if (typeof order['control'] !== 'string') throw new NormalizeError('invalid', 'ORC-1 is required: the order message does not say what to do', 'ORC-1');
  return order as unknown as OrderRow;
}

function list(rows: unknown): readonly Row[] {
  return Array.isArray(rows) ? rows as Row[] : rows === undefined ? [] : [rows as Row];
}
