/**
 * Reading for other systems: the implementation of src/gateway/records.ts. One transaction a call, under row level security, with its audit row:
 *
 *   rows (db/records.ts) -> documents in our words -> audit: who read which kind, by the names of which criteria, of which patients
 *
 * `next` is sealed with the installation's key: it holds the criteria, which may name a patient, and is good for the same organization only.
 */
import { auditEvents, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { countRecords, findChanges, findRecords, findVersions, limitStatement, type AuditRecordRow, type FindingRecordRow, type ModelRecordRow, type PatientRecordRow, type ReportRecordRow, type ScanRecordRow, type StatementRecordRow, type TaskRecordRow, type RecordPosition } from '../db/records.ts';
import { isStopped } from '../db/errors.ts';
import type { Database } from '../db/pool.ts';
import type { Keys } from '../db/secrets.ts';
import { inOrganization as inOrganizationFor, type Transaction } from '../db/transaction.ts';
import type { Coded, ReportDocument, ReportPatient, ReportScan } from '#domain/report-document.ts';
import type { Criteria, Reader, RecordKind, RecordPage, RecordQuery, RecordRow, Records, StudyRecord } from '#gateway/records.ts';
import { TooCostlyError } from '#gateway/records.ts';
import { present, reportFinding } from './report-document.ts';

const STATEMENT_MILLISECONDS = 5_000;

interface Resumed extends RecordQuery { readonly after: { readonly id: string; readonly key?: string | undefined } | undefined }

export function createRecords({ database, keys }: { readonly database: Database; readonly keys: Keys }): Records {
  const inOrganization: typeof inOrganizationFor = (...call) => inOrganizationFor(...call).catch((error: unknown) => { throw isStopped(error) ? new TooCostlyError({ cause: error }) : error; });
  const page = (reader: Reader, query: Resumed): Promise<RecordPage> => inOrganization(database, reader.organizationId, async (tx) => {
    await limitStatement(tx, STATEMENT_MILLISECONDS);
    const rows = query.count === 0 ? [] : await findRecords(tx, query.kind, query.criteria, { after: query.after, limit: query.count + 1, sort: query.sort });
    const shown = rows.slice(0, query.count), records = shown.filter(isWhole).map((row) => recordOf(query.kind, row));
    const total = query.total ? await countRecords(tx, query.kind, query.criteria) : undefined;
    await onRecord(tx, reader, query.kind, records, { criteria: Object.keys(query.criteria).toSorted(), matches: records.length, ...(total === undefined ? {} : { total }) });
    const last = rows.length > query.count ? shown.at(-1) : undefined;
    return { kind: query.kind, records, total, memo: query.memo, next: last && keys.seal(placeOf(reader), JSON.stringify({ ...query, total: false, after: { id: last.id, key: last.sort_key } })) };
  });
  return {
    search: (reader, query) => page(reader, { ...query, after: undefined }),
    async next(reader, kind, next) {
      const query = opened(keys, reader, next);
      return query?.kind === kind ? page(reader, query) : undefined;
    },
    read: (reader, kind, id) => inOrganization(database, reader.organizationId, async (tx) => {
      await limitStatement(tx, STATEMENT_MILLISECONDS);
      const [row] = await findRecords(tx, kind, { ids: [id] }, { after: undefined, limit: 1 });
      const record = row && isWhole(row) ? recordOf(kind, row) : undefined;
      await onRecord(tx, reader, kind, record ? [record] : [], { id: /^[A-Za-z0-9.-]{1,64}$/.test(id) ? id : '?' });
      return record;
    }),
    history: (reader, kind, id) => inOrganization(database, reader.organizationId, async (tx) => {
      await limitStatement(tx, STATEMENT_MILLISECONDS);
      const versions = (await versionsOf(tx, kind, id)).slice(0, MOST_VERSIONS);
      await onRecord(tx, reader, kind, versions, { id, versions: versions.length });
      return versions;
    }),
    async changes(reader, kind, from) {
      const place = `records/${reader.organizationId}/changes`;
      const asked = 'next' in from ? openedChanges(keys, place, from.next) : { kind, since: from.since, count: from.count, after: undefined };
      if (asked?.kind !== kind) return undefined;
      return inOrganization(database, reader.organizationId, async (tx) => {
        await limitStatement(tx, STATEMENT_MILLISECONDS);
        const { records, last } = await changesOf(tx, asked);
        await onRecord(tx, reader, kind, records, { changes: records.length });
        return { records, next: last && keys.seal(place, JSON.stringify({ ...asked, after: last })) };
      });
    },
  };
}

const MOST_VERSIONS = 1000;

interface Changes { readonly kind: RecordKind; readonly since: number | undefined; readonly count: number; readonly after: RecordPosition['after'] }

/** One page, and where it ended. */
async function changesOf(tx: Transaction, { kind, since, count, after }: Changes): Promise<{ records: readonly RecordRow[]; last: RecordPosition['after'] }> {
  if (kind === 'patient' || kind === 'order') {
    const rows = await findChanges(tx, kind, since, { after, limit: count + 1 }), shown = rows.slice(0, count), last = shown.at(-1);
    return { records: shown.map((row) => recordOf(kind, row)), last: rows.length > count && last ? { id: last.key, key: last.sort_key } : undefined };
  }
  const stored = kind === 'report' ? 'version' : kind;
  const rows = await findRecords(tx, stored, since === undefined ? {} : { updated: [{ from: since }] }, { after, limit: count + 1, sort: { by: 'updated', isDescending: true } });
  const shown = rows.slice(0, count), last = shown.at(-1);
  const records = shown.filter(isWhole).map((row) => recordOf(stored, row));
  return { records: kind === 'report' ? records.flatMap(asReport) : records, last: rows.length > count && last ? { id: last.id, key: last.sort_key } : undefined };
}

/** A version is told under the id that its report keeps. */
const asReport = (record: RecordRow): RecordRow[] => (record.kind === 'version' ? [{ ...record, kind: 'report', id: record.document.reportId }] : []);

async function versionsOf(tx: Transaction, kind: RecordKind, id: string): Promise<readonly RecordRow[]> {
  if (kind !== 'report') {
    const current = await recordsWithin(tx, kind, { ids: [id] }, 1);
    return kind === 'patient' || kind === 'order' ? [...current, ...(await findVersions(tx, kind, id, MOST_VERSIONS)).map((row) => recordOf(kind, row))] : current;
  }
  // The newest is told as a read tells it; ids of versions are made in time order.
  return (await recordsWithin(tx, 'version', { reportIds: [id] }, MOST_VERSIONS)).flatMap(asReport).map((record) => ({ ...record, id }));
}

/** Records as they are inside a transaction; who is told of them is put on record by who tells (recordRead). */
export async function recordsWithin(tx: Transaction, kind: RecordKind, criteria: Criteria, limit: number): Promise<readonly RecordRow[]> {
  return (await findRecords(tx, kind, criteria, { after: undefined, limit })).filter(isWhole).map((row) => recordOf(kind, row));
}
export const recordRead = (tx: Transaction, reader: Reader, record: RecordRow): Promise<void> => onRecord(tx, reader, record.kind, [record], { id: record.id });

const placeOf = ({ organizationId }: Reader): string => `records/${organizationId}/next`;

function opened(keys: Keys, reader: Reader, next: string): Resumed | undefined {
  try {
    return JSON.parse(keys.open(placeOf(reader), next)) as Resumed;
  } catch {
    return undefined;
  }
}

function openedChanges(keys: Keys, place: string, next: string): Changes | undefined {
  try {
    return JSON.parse(keys.open(place, next)) as Changes;
  } catch {
    return undefined;
  }
}

async function onRecord(tx: Transaction, reader: Reader, kind: RecordKind, records: readonly RecordRow[], detail: Readonly<Record<string, unknown>>): Promise<void> {
  const patients = [...new Set(records.flatMap((record) => record.kind === 'patient' ? [record.id] : 'patientId' in record && record.patientId !== undefined ? [record.patientId] : []))];
  const actor: AuditActor = { kind: 'application', id: reader.userId, role: reader.role, address: reader.address };
  const event = kind === 'audit' ? auditEvents.auditLogUsed : 'id' in detail && records.length > 0 ? { patient: auditEvents.patientRecord, order: auditEvents.orderRecord }[kind as string] ?? auditEvents.query : auditEvents.query;
  const [only] = records;
  await recordAudit(tx, {
    ...event, action: 'R', outcome: 'id' in detail && records.length === 0 ? 'minor_failure' : 'success', actor,
    ...(records.length === 1 && only ? { object: { type: kind, id: only.id } } : {}), ...(patients.length === 1 ? { patientId: patients[0] } : {}),
    detail: { kind, ...detail, ...(patients.length > 1 ? { patient_ids: patients } : {}) },
  });
}

/** A report whose document was written by something older than this cannot be shown; to ask for that in SQL would read every document. */
function isWhole(row: object): boolean {
  return !('document' in row) || ['scan', 'patient', 'models', 'findings', 'sections'].every((name) => name in (row.document as object));
}

function recordOf(kind: RecordKind, row: object): RecordRow {
  switch (kind) {
    case 'patient': return patientRecord(row as PatientRecordRow);
    case 'order': return orderRecord(row as ScanRecordRow);
    case 'study': return studyRecord(row as ScanRecordRow);
    case 'report': case 'version': return { kind, ...reportRecord(row as ReportRecordRow) } as RecordRow;
    case 'finding': return findingRecord(row as FindingRecordRow);
    case 'model': return modelRecord(row as ModelRecordRow);
    case 'audit': return auditRecord(row as AuditRecordRow);
    case 'condition': case 'allergy': return statementRecord(kind, row as StatementRecordRow);
    case 'task': return taskRecord(row as TaskRecordRow);
  }
}

const stored = (row: { id: string; updated_at: Date }): { id: string; updatedAt: string } => ({ id: row.id, updatedAt: row.updated_at.toISOString() });

function patientRecord(row: PatientRecordRow): RecordRow {
  return {
    kind: 'patient', ...stored(row), isActive: row.is_active, mergedInto: row.merged_into_patient_id ?? undefined, deceased: row.deceased ?? undefined, oldIdentifiers: identifiersOf(row, false),
    deceasedAt: row.deceased_at ?? undefined, addresses: row.address ?? [], contacts: row.telecom ?? [],
    patient: {
      patientId: row.id, patientNumber: row.patient_number,
      identifiers: identifiersOf(row, true),
      ...present({
        familyName: row.family_name, givenName: row.given_name, middleName: row.middle_name, namePrefix: row.name_prefix, nameSuffix: row.name_suffix,
        ideographicName: row.ideographic_name, phoneticName: row.phonetic_name, birthDate: row.birth_date, sex: row.sex,
      }),
    },
  };
}

function identifiersOf(row: PatientRecordRow, isCurrent: boolean): ReportPatient['identifiers'] {
  return row.identifiers.filter((each) => each.is_current === isCurrent).map((each) => ({ value: each.value, assigningAuthority: each.assigning_authority, ...present({ typeCode: each.type_code }) }));
}

function scanOf(row: ScanRecordRow): Omit<ReportScan, 'series'> {
  const procedureCode: Coded | undefined = row.procedure_code ? { system: row.procedure_system ?? '', code: row.procedure_code, display: row.procedure_description ?? row.procedure_code } : undefined;
  return {
    scanId: row.id, scanNumber: row.scan_number, studyInstanceUid: row.study_instance_uid ?? '', modalities: row.modalities,
    ...present({
      accessionNumber: row.accession_number, placerOrderNumber: row.placer_order_number, fillerOrderNumber: row.filler_order_number, procedureCode,
      studyDescription: row.study_description ?? row.procedure_description, studyAt: row.study_at?.toISOString(), studyId: row.study_id, referringPhysician: row.referring_physician, bodyPart: row.body_part,
    }),
  };
}

function orderRecord(row: ScanRecordRow): RecordRow {
  return {
    kind: 'order', ...stored(row), patientId: row.patient_id, scan: { ...scanOf(row), series: [] }, orderStatus: row.order_status ?? 'ordered', isDone: row.images_complete_at !== null,
    priority: row.priority, reason: row.reason ?? undefined, scheduledAt: row.scheduled_at?.toISOString(), createdAt: row.created_at.toISOString(),
  };
}

function studyRecord(row: ScanRecordRow): StudyRecord {
  const series = row.series.map((each) => ({
    seriesInstanceUid: each.series_instance_uid, ...present({ seriesNumber: each.series_number, modality: each.modality, description: each.series_description }), instanceCount: each.instance_count,
    instances: each.instances.map((instance) => ({ sopInstanceUid: instance.sop_instance_uid, sopClassUid: instance.sop_class_uid, ...present({ instanceNumber: instance.instance_number }) })),
  }));
  return { kind: 'study', ...stored(row), patientId: row.patient_id, scan: { ...scanOf(row), series }, hasOrder: row.order_status !== null, isAnnounced: series.length === 0, isCancelled: row.status === 'cancelled' };
}

function reportRecord(row: ReportRecordRow): { id: string; updatedAt: string; patientId: string; hasOrder: boolean; document: ReportDocument } {
  return { ...stored(row), patientId: row.patient_id, hasOrder: row.has_order, document: row.document as unknown as ReportDocument };
}

function findingRecord(row: FindingRecordRow): RecordRow {
  return { kind: 'finding', ...reportRecord(row), finding: reportFinding(row), isCurrent: row.is_current };
}

function modelRecord(row: ModelRecordRow): RecordRow {
  return {
    kind: 'model', ...stored(row), isActive: row.status === 'active',
    model: { analysisId: row.id, modelId: row.id, name: row.model_name, version: row.model_version, manufacturer: row.manufacturer, notForClinicalUse: row.not_for_clinical_use },
  };
}

function auditRecord(row: AuditRecordRow): RecordRow {
  return {
    kind: 'audit', ...stored(row), eventCode: row.event_code, eventName: row.event_name, action: row.action, outcome: row.outcome,
    actor: { kind: row.actor_kind, id: row.actor_id, ...present({ role: row.actor_role, address: row.network_address }) },
    ...(row.object_type && row.object_id ? { object: { type: row.object_type, id: row.object_id } } : {}), ...present({ patientId: row.patient_id }),
  };
}

function statementRecord(kind: 'condition' | 'allergy', row: StatementRecordRow): RecordRow {
  return {
    kind, ...stored(row), patientId: row.patient_id, display: row.display, code: row.code ?? undefined, codeSystem: row.code_system ?? undefined, onset: row.onset ?? undefined,
    status: row.status ?? undefined, severity: row.severity ?? undefined, createdAt: row.created_at.toISOString(),
  };
}

function taskRecord(row: TaskRecordRow): RecordRow {
  return {
    kind: 'task', ...stored(row), patientId: row.patient_id, accessionNumber: row.accession_number ?? undefined, hasOrder: row.has_order, hasImages: row.has_images, status: row.status, priority: row.priority,
    whyWaiting: row.why_waiting ?? undefined, enteredAt: row.queue_entered_at.toISOString(), startedAt: row.started_at?.toISOString(), completedAt: row.completed_at?.toISOString(),
  };
}
