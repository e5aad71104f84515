/** Matching keys as SQL conditions (PS3.4 C.2.2.2). Values are bound, never written into the statement; patterns are escaped for LIKE. */
import type { Match, StudyKey } from '#gateway/holdings.ts';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

export type Condition = ReturnType<typeof sql.fragment>;
export type Matches = { readonly [key: string]: Match | undefined };

export const allOf = (conditions: readonly Condition[]): Condition => (conditions.length === 0 ? sql.fragment`true` : sql.fragment`${sql.join([...conditions], sql.fragment` AND `)}`);
const anyOf = (conditions: readonly Condition[]): Condition => sql.fragment`(${sql.join([...conditions], sql.fragment` OR `)})`;

/** `*` and `?` as LIKE has them; what LIKE takes for special is escaped. */
export const likePattern = (pattern: string): string => pattern.replace(/[\\%_]/g, String.raw`\$&`).replaceAll('*', '%').replaceAll('?', '_');

export function textCondition(column: Condition, match: Match): Condition {
  switch (match.kind) {
    case 'exact': return sql.fragment`${column} = ${match.value}`;
    case 'list': return sql.fragment`${column} = ANY(${sql.array([...match.values], 'text')})`;
    case 'wildcard': return sql.fragment`${column} LIKE ${likePattern(match.pattern)}`;
    case 'range': return allOf([...(match.from ? [sql.fragment`${column} >= ${match.from}`] : []), ...(match.to ? [sql.fragment`${column} <= ${match.to}`] : [])]);
  }
}

export function numberCondition(column: Condition, match: Match): Condition {
  const values = match.kind === 'exact' ? [match.value] : match.kind === 'list' ? match.values : [];
  return sql.fragment`${column} = ANY(${sql.array(values.map(Number), 'int4')})`;
}

/** Day or moment ranges of a timestamptz, as the zone's clock showed it. */
export function dateCondition(column: Condition, match: Match, zone: string): Condition {
  const [from, to] = ends(match);
  return allOf([
    ...(from ? [sql.fragment`${column} >= (${dayOf(from, 0)}::timestamp AT TIME ZONE ${zone})`] : []),
    ...(to ? [sql.fragment`${column} < (${dayOf(to, 1)}::timestamp AT TIME ZONE ${zone})`] : []),
  ]);
}
export function timeCondition(column: Condition, match: Match, zone: string): Condition {
  const [from, to] = ends(match);
  return allOf([
    ...(from ? [sql.fragment`(${column} AT TIME ZONE ${zone})::time >= ${timeOf(from, '00')}::time`] : []),
    ...(to ? [sql.fragment`(${column} AT TIME ZONE ${zone})::time <= ${timeOf(to, '59')}::time`] : []),
  ]);
}
/** A DA that is kept as ISO text, cut to its precision. In "C" order all that begin alike lie together, and an index serves (migrations/0035). */
export function isoDateCondition(column: Condition, match: Match): Condition {
  const [from, to] = ends(match);
  return allOf([...(from ? [sql.fragment`${column} COLLATE "C" >= ${isoOf(from)}`] : []), ...(to ? [sql.fragment`${column} COLLATE "C" < ${`${isoOf(to)}\u{10ffff}`}`] : [])]);
}
const isoOf = (da: string): string => [da.slice(0, 4), da.slice(4, 6), da.slice(6, 8)].filter((part) => part !== '').join('-');

function ends(match: Match): readonly [string | undefined, string | undefined] {
  if (match.kind === 'range') return [match.from, match.to];
  return match.kind === 'exact' ? [match.value, match.value] : [undefined, undefined];
}
/** First day of the period that a DA of any precision names, or (1) the first day after it. */
function dayOf(da: string, after: 0 | 1): string {
  const [year, month, day] = [Number(da.slice(0, 4)), Number(da.slice(4, 6) || '1'), Number(da.slice(6, 8) || '1')];
  const date = new Date(0);
  date.setUTCFullYear(year + (da.length === 4 ? after : 0), month - 1 + (da.length === 6 ? after : 0), day + (da.length === 8 ? after : 0));
  return date.toISOString().slice(0, 10);
}
function timeOf(tm: string, rest: '00' | '59'): string {
  const [hour, minute, second] = [tm.slice(0, 2), tm.slice(2, 4) || rest, tm.slice(4, 6) || rest];
  const fraction = tm.slice(7) || (rest === '59' ? '999999' : '0');
  return `${hour}:${minute}:${second}.${fraction.padEnd(6, rest === '59' ? '9' : '0')}`;
}

const group = (columns: readonly string[]): Condition =>
  sql.fragment`rtrim(concat_ws('^', ${sql.join(columns.map((column) => sql.fragment`coalesce(${sql.identifier(['p', column])}, '')`), sql.fragment`, `)}), '^')`;
export const ALPHABETIC_NAME = group(['family_name', 'given_name', 'middle_name', 'name_prefix', 'name_suffix']);

/** Any group of the name, without regard to case. The alphabetic one is kept in small letters (patients.name_key). */
function patientNameCondition(match: Match): Condition {
  const lowered = lowerCase(match);
  return anyOf([alphabeticCondition(lowered), otherNameCondition(lowered)]);
}

/** Under row level security an index serves = and <, never LIKE: a pattern's beginning is a range, and the pattern is judged within it. */
function alphabeticCondition(lowered: Match): Condition {
  const column = sql.fragment`p.name_key`;
  if (lowered.kind !== 'wildcard') return textCondition(column, lowered);
  const beginning = /^[^*?]*/.exec(lowered.pattern)![0];
  const range = beginning === '' ? [] : [sql.fragment`${column} >= ${beginning} AND ${column} < ${`${beginning}\u{10ffff}`}`];
  return allOf(lowered.pattern === `${beginning}*` ? range.length > 0 ? range : [sql.fragment`true`] : [...range, textCondition(column, lowered)]);
}
const otherNameCondition = (lowered: Match): Condition => sql.fragment`((p.ideographic_name IS NOT NULL OR p.phonetic_name IS NOT NULL)
  AND ${anyOf([sql.fragment`p.ideographic_name`, sql.fragment`p.phonetic_name`].map((column) => textCondition(sql.fragment`lower(${column})`, lowered)))})`;

/** What finds patients in their indexes alone: any of them holds. Empty: neither name nor birth date is asked for, or a number finds what is meant. `byPart`: no index serves it. */
export function candidateConditions(matches: Matches): readonly { readonly condition: Condition; readonly byPart: boolean }[] {
  const { patientName, patientBirthDate } = matches;
  const birthDate = patientBirthDate ? [isoDateCondition(sql.fragment`p.birth_date`, patientBirthDate)] : [];
  if (!patientName) return birthDate.length > 0 ? [{ condition: allOf(birthDate), byPart: false }] : [];
  const lowered = lowerCase(patientName), byPart = birthDate.length === 0 && lowered.kind === 'wildcard' && /^[*?]/.test(lowered.pattern);
  if (byPart && isNumbered(matches)) return [];
  return [{ condition: allOf([alphabeticCondition(lowered), ...birthDate]), byPart }, { condition: otherNameCondition(lowered), byPart: false }];
}

/** A number is named that an index finds: few patients or studies have it. */
const isNumbered = ({ patientId, accessionNumber, studyInstanceUid }: Matches): boolean => [patientId, accessionNumber, studyInstanceUid].some((match) => match?.kind === 'exact' || match?.kind === 'list');

/** Trailing delimiters mean nothing (PS3.5 6.2.1.1); a name of several groups is looked for by its first. */
const plainName = (text: string): string => (text.split('=').find((part) => part !== '') ?? '').replace(/[\^ ]+$/, '').toLowerCase();
function lowerCase(match: Match): Match {
  if (match.kind === 'exact') return { kind: 'exact', value: plainName(match.value) };
  if (match.kind === 'list') return { kind: 'list', values: match.values.map(plainName) };
  return match.kind === 'wildcard' ? { kind: 'wildcard', pattern: plainName(match.pattern) } : match;
}

export const SEX = sql.fragment`CASE p.sex WHEN 'male' THEN 'M' WHEN 'female' THEN 'F' WHEN 'other' THEN 'O' ELSE '' END`;

export function patientConditions(matches: Matches): Condition[] {
  const { patientName, patientId, issuerOfPatientId, patientBirthDate, patientSex } = matches;
  const identifier = [...(patientId ? [textCondition(sql.fragment`i.value_index`, patientId)] : []), ...(issuerOfPatientId ? [textCondition(sql.fragment`i.assigning_authority`, issuerOfPatientId)] : [])];
  return [
    ...(patientName ? [patientNameCondition(patientName)] : []),
    ...(identifier.length > 0 ? [sql.fragment`p.patient_id IN (SELECT i.patient_id FROM patient_identifiers i WHERE i.organization_id = ${ORGANIZATION} AND ${allOf(identifier)})`] : []),
    ...(patientBirthDate ? [isoDateCondition(sql.fragment`p.birth_date`, patientBirthDate)] : []),
    ...(patientSex ? [textCondition(SEX, patientSex)] : []),
  ];
}

const studyText = { studyInstanceUid: 'study_instance_uid', accessionNumber: 'accession_number', studyId: 'study_id', studyDescription: 'study_description', institutionName: 'institution_name' } as const satisfies Partial<Record<StudyKey, string>>;

export function studyConditions(matches: Matches, zone: string): Condition[] {
  const { studyDate, studyTime, referringPhysicianName, modalitiesInStudy } = matches;
  return [
    ...patientConditions(matches),
    ...columnConditions('s', studyText, matches),
    ...(studyDate ? [dateCondition(sql.fragment`s.study_at`, studyDate, zone)] : []),
    ...(studyTime ? [timeCondition(sql.fragment`s.study_at`, studyTime, zone)] : []),
    ...(referringPhysicianName ? [textCondition(sql.fragment`lower(s.referring_physician)`, lowerCase(referringPhysicianName))] : []),
    ...(modalitiesInStudy ? [sql.fragment`EXISTS (SELECT 1 FROM unnest(s.modalities) m WHERE ${textCondition(sql.fragment`m`, modalitiesInStudy)})`] : []),
  ];
}

const seriesText = { seriesInstanceUid: 'series_instance_uid', modality: 'modality', seriesDescription: 'series_description', bodyPartExamined: 'body_part' } as const;
const instanceText = { sopInstanceUid: 'sop_instance_uid', sopClassUid: 'sop_class_uid' } as const;

/** Conditions on scan_files f, for series and instances alike. */
export function fileConditions(matches: Matches): Condition[] {
  return [
    ...columnConditions('f', { ...seriesText, ...instanceText }, matches),
    ...(matches['seriesNumber'] ? [numberCondition(sql.fragment`f.series_number`, matches['seriesNumber'])] : []),
    ...(matches['instanceNumber'] ? [numberCondition(sql.fragment`f.instance_number`, matches['instanceNumber'])] : []),
  ];
}

export function columnConditions(table: string, columns: Readonly<Record<string, string>>, matches: Matches): Condition[] {
  return Object.entries(columns).flatMap(([key, column]) => {
    const match = matches[key];
    return match ? [textCondition(sql.fragment`${sql.identifier([table, column])}`, match)] : [];
  });
}
