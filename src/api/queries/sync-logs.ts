import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { findsByNumber, seesPatients, type Seeing } from '../permissions.ts';
import { id, instant, json, optionalTimestamp, text, timestamp } from '../fields.ts';
import { idsBefore, idsFrom, keyAfter, maximumLimit, pageQuery } from '../pagination.ts';

export const messageStatuses = ['received', 'accepted', 'duplicate', 'rejected', 'failed', 'queued', 'sending', 'delivered', 'refused', 'unreachable', 'unconfirmed'] as const;

export const SyncLog = z.object({
  sync_id: id, integration_id: id.nullable(), integration_name: text, adapter: z.string(), direction: z.enum(['inbound', 'outbound']), interaction: z.string(), control_id: z.string(),
  message_status: z.enum(messageStatuses), answer_status: z.enum(['answered', 'unanswered']), answer_code: text, answer_text: text, attempt: z.int(),
  started_at: timestamp, finished_at: optionalTimestamp, duration_ms: z.number().nullable(), byte_size: z.int().nullable(), sha256: text, has_payload: z.boolean(),
  correlation_id: id.nullable(), peer_address: text, peer_application: text, error_class: text, error_text: text, error_location: text,
  patient_id: id.nullable(), scan_id: id.nullable(), report_id: id.nullable(), delivery_id: id.nullable(), mapping_version: text,
  warnings: z.array(json).nullable(), facts: json.nullable(),
}).openapi('SyncLog');

const filters = {
  direction: z.enum(['inbound', 'outbound']).optional(), message_status: z.enum(messageStatuses).optional(), integration_id: id.optional(), scan_id: id.optional(), patient_id: id.optional(),
  adapter: z.string().max(100).optional().openapi({ description: 'The protocol, by the adapter that speaks it: hl7v2-mllp' }), interaction: z.string().max(100).optional(),
  control_id: z.string().max(250).optional().openapi({ description: 'MSH-10, SOP Instance UID, or resource and identifier; exactly' }), delivery_id: id.optional(),
  started_from: instant.optional(), started_before: instant.optional(),
};
export const syncLogQuery = pageQuery.extend(filters);
export type SyncLogQuery = z.output<typeof syncLogQuery>;

export const SyncLogSearch = z.strictObject({
  text: z.string().trim().min(2).max(200).describe('A control id, patient number, accession number, scan number or Study Instance UID, exactly; when nothing has it, part of a control id, an error or a sender\'s name among the newest 100,000 exchanges (before `started_before`, when it is given)'),
  ...filters, limit: z.int().min(1).max(maximumLimit).default(50), cursor: z.string().max(200).optional(),
}).openapi('SyncLogSearch');

const columns = sql.fragment`l.sync_id, l.integration_id, i.name AS integration_name, l.adapter, l.direction, l.interaction, l.control_id, l.message_status, l.answer_status, l.answer_code,
  l.answer_text, l.attempt, l.started_at, l.finished_at, l.duration_ms, l.byte_size, l.sha256, l.payload_location IS NOT NULL AS has_payload, l.correlation_id, l.peer_address,
  l.peer_application, l.error_class, l.error_text, l.error_location, l.patient_id, l.scan_id, l.report_id, l.delivery_id, l.mapping_version, l.warnings, l.facts`;
const source = sql.fragment`sync_logs l LEFT JOIN external_integrations i ON i.organization_id = l.organization_id AND i.integration_id = l.integration_id`;

/** Only what is asked for is in the statement: one that says "or not asked" of everything gets one plan for all, and that walks the whole log. */
function conditions(query: SyncLogQuery) {
  const before = keyAfter(query);
  return [
    sql.fragment`l.organization_id = ${ORGANIZATION}`,
    ...(before === null ? [] : [sql.fragment`l.sync_id < ${before}::uuid`]),
    ...(query.direction === undefined ? [] : [sql.fragment`l.direction = ${query.direction}`]),
    // Written into the statement, so that the index of what went wrong is used.
    ...(query.message_status === undefined ? [] : [sql.fragment`l.message_status = ${sql.literalValue(query.message_status)}`]),
    ...(query.interaction === undefined ? [] : [sql.fragment`l.interaction = ${query.interaction}`]),
    ...(query.adapter === undefined ? [] : [sql.fragment`l.adapter = ${query.adapter}`]),
    ...(query.control_id === undefined ? [] : [sql.fragment`l.control_id = ${query.control_id}`]),
    ...(query.integration_id === undefined ? [] : [sql.fragment`l.integration_id = ${query.integration_id}::uuid`]),
    ...(query.scan_id === undefined ? [] : [sql.fragment`l.scan_id = ${query.scan_id}::uuid`]),
    ...(query.patient_id === undefined ? [] : [sql.fragment`l.patient_id = ${query.patient_id}::uuid`]),
    ...(query.delivery_id === undefined ? [] : [sql.fragment`l.delivery_id = ${query.delivery_id}::uuid`]),
    ...(query.started_from === undefined ? [] : [sql.fragment`l.started_at >= ${query.started_from}::timestamptz`, sql.fragment`l.sync_id >= ${idsFrom(query.started_from)}::uuid`]),
    ...(query.started_before === undefined ? [] : [sql.fragment`l.started_at < ${query.started_before}::timestamptz`, sql.fragment`l.sync_id < ${idsBefore(query.started_before)}::uuid`]),
  ];
}

function rowsOf(tx: Transaction, all: readonly ReturnType<typeof sql.fragment>[], limit: number) {
  return tx.any(sql.type(SyncLog)`SELECT ${columns} FROM ${source} WHERE ${sql.join([...all], sql.fragment` AND `)} ORDER BY l.sync_id DESC LIMIT ${limit + 1}`);
}

export async function listSyncLogs(tx: Transaction, query: SyncLogQuery, eyes: Seeing) {
  if (!findsByNumber(eyes) && query.control_id !== undefined && naming.test(query.control_id)) return [];
  // A busy system's exchanges are met on the way from the newest on, a quiet one's are found by its stretches of the log: that is planned for the system.
  if (query.integration_id !== undefined) await tx.query(sql.typeAlias('void')`SELECT set_config('plan_cache_mode', 'force_custom_plan', true)`);
  return shownTo(eyes, await rowsOf(tx, conditions(query), query.limit));
}

/** 'Patient/urn:oid:1.2.3|4711#2': a FHIR resource with the identifier by which its sender knows it. */
const naming = /^([A-Z][A-Za-z]+)\/.*(#[^#]*)$/s;

/** A patient's number may stand in a control id, and in the id that a sender gave a resource. */
const shownTo = (eyes: Seeing, rows: readonly z.output<typeof SyncLog>[]): z.output<typeof SyncLog>[] => rows.map((row) => (seesPatients(eyes) ? row : withoutNames(row)));
export const shownControlId = (eyes: Seeing, controlId: string): string => (seesPatients(eyes) ? controlId : controlId.replace(naming, '$1/…$2'));

function withoutNames(exchange: z.output<typeof SyncLog>): z.output<typeof SyncLog> {
  if (!naming.test(exchange.control_id)) return exchange;
  const { id: _, ...facts } = (exchange.facts ?? {}) as Record<string, unknown>;
  return { ...exchange, control_id: exchange.control_id.replace(naming, '$1/…$2'), facts: exchange.facts === null ? null : facts };
}

const Ids = z.object({ id: z.string() });
const mostIds = 1_000;
/** So many exchanges are looked through for a part of a text, from where the page and the filter's time begin. */
const mostWalked = 100_000;

/** The oldest id that such a walk reaches. */
async function endOfWalk(tx: Transaction, query: SyncLogQuery): Promise<string> {
  const begin = [keyAfter(query), ...(query.started_before === undefined ? [] : [idsBefore(query.started_before)])].filter((id) => id !== null).toSorted()[0];
  const end = await tx.maybeOneFirst(sql.type(Ids)`
    SELECT sync_id AS id FROM sync_logs WHERE organization_id = ${ORGANIZATION} AND ${begin === undefined ? sql.fragment`true` : sql.fragment`sync_id < ${begin}::uuid`} ORDER BY sync_id DESC OFFSET ${mostWalked} LIMIT 1`);
  return end ?? '00000000-0000-0000-0000-000000000000';
}

/** What has exactly this number; when nothing has, what has the text somewhere, newest first, which is a walk through the log and ends after a while. */
export async function searchSyncLogs(tx: Transaction, { text: wanted, ...query }: z.output<typeof SyncLogSearch>, eyes: Seeing) {
  const scans = await tx.anyFirst(sql.type(Ids)`
    SELECT scan_id AS id FROM scans WHERE organization_id = ${ORGANIZATION} AND (accession_number = ${wanted} OR study_instance_uid = ${wanted} OR scan_number = ${wanted} OR placer_order_number = ${wanted} OR filler_order_number = ${wanted}) LIMIT ${mostIds}`);
  const patients = await tx.anyFirst(sql.type(Ids)`SELECT patient_id AS id FROM patient_identifiers WHERE organization_id = ${ORGANIZATION} AND value_index = ${wanted} LIMIT ${mostIds}`);
  const exact = sql.fragment`(l.control_id = ${wanted} OR l.scan_id = ANY(${sql.array([...scans], 'uuid')}) OR l.patient_id = ANY(${sql.array([...patients], 'uuid')}))`;
  const isKnown = scans.length + patients.length > 0 || await tx.exists(sql.unsafe`SELECT FROM sync_logs l WHERE l.organization_id = ${ORGANIZATION} AND l.control_id = ${wanted}`);
  // Column by column, and the text made small once: three quarters of the time of one text made of all columns.
  const part = sql.fragment`(${sql.join(['control_id', 'error_text', 'peer_application', 'interaction'].map((column) => sql.fragment`strpos(lower(${sql.identifier(['l', column])}), (SELECT lower(${wanted}))) > 0`), sql.fragment` OR `)})`;
  return shownTo(eyes, await rowsOf(tx, [...conditions(query), ...(isKnown ? [exact] : [part, sql.fragment`l.sync_id >= ${await endOfWalk(tx, query)}::uuid`])], query.limit));
}

/** `eyes`: of the caller; none when the whole message is shown, which is on record. */
export async function readSyncLog(tx: Transaction, syncId: string, eyes?: Seeing) {
  const exchange = await tx.maybeOne(sql.type(SyncLog)`SELECT ${columns} FROM ${source} WHERE l.organization_id = ${ORGANIZATION} AND l.sync_id = ${syncId}`);
  return exchange && eyes ? shownTo(eyes, [exchange])[0]! : exchange;
}

export const payloadQuery = z.object({ part: z.enum(['message', 'answer']).default('message') });

const Payload = z.object({ media_type: z.string(), content: z.instanceof(Buffer) });

export function readPayload(tx: Transaction, syncId: string, part: 'message' | 'answer') {
  return tx.maybeOne(sql.type(Payload)`SELECT media_type, content FROM exchange_payloads WHERE organization_id = ${ORGANIZATION} AND sync_id = ${syncId} AND part = ${part}`);
}

export function payloadLocation(tx: Transaction, syncId: string) {
  return tx.maybeOneFirst(sql.type(z.object({ payload_location: z.string().nullable() }))`SELECT payload_location FROM sync_logs WHERE organization_id = ${ORGANIZATION} AND sync_id = ${syncId}`);
}

/** Another row that a message made or changed; `label` is what people call it. */
export const TouchedRow = z.object({ table: z.string(), id, label: text });
const Links = z.object({ links: z.record(z.string(), z.string()) });
const tablesOfLinks: Readonly<Record<string, true>> = { patients: true, scans: true, reports: true, scan_files: true };

export async function touchedRows(tx: Transaction, exchange: z.output<typeof SyncLog>): Promise<z.output<typeof TouchedRow>[]> {
  const identity = exchange.integration_id === null ? null : await tx.maybeOne(sql.type(Links)`
    SELECT links FROM message_identities WHERE organization_id = ${ORGANIZATION} AND integration_id = ${exchange.integration_id} AND sender = ${exchange.peer_application ?? ''} AND control_id = ${exchange.control_id} AND sync_id = ${exchange.sync_id} LIMIT 1`);
  const links = Object.entries({ ...identity?.links, ...(exchange.patient_id ? { patients: exchange.patient_id } : {}), ...(exchange.scan_id ? { scans: exchange.scan_id } : {}), ...(exchange.report_id ? { reports: exchange.report_id } : {}) })
    .filter(([table, value]) => table in tablesOfLinks && z.uuid().safeParse(value).success);
  const idOf = (table: string): string | null => links.find(([name]) => name === table)?.[1] ?? null;
  const rows = await tx.any(sql.type(TouchedRow)`
    SELECT 'patients' AS table, patient_id AS id, patient_number AS label FROM patients WHERE organization_id = ${ORGANIZATION} AND patient_id = ${idOf('patients')}
    UNION ALL SELECT 'scans', scan_id, scan_number FROM scans WHERE organization_id = ${ORGANIZATION} AND scan_id = ${idOf('scans')}
    UNION ALL SELECT 'reports', report_id, 'version ' || version || ', ' || status FROM reports WHERE organization_id = ${ORGANIZATION} AND report_id = ${idOf('reports')}
    UNION ALL SELECT 'scan_files', scan_file_id, sop_instance_uid FROM scan_files WHERE organization_id = ${ORGANIZATION} AND sop_instance_uid = ${exchange.control_id} AND source_sync_id = ${exchange.sync_id}
    UNION ALL SELECT 'patient_medical_history', history_id, kind FROM patient_medical_history WHERE organization_id = ${ORGANIZATION} AND patient_id = ${idOf('patients')} AND source_sync_id = ${exchange.sync_id}
    UNION ALL SELECT 'patient_merges', merge_id, NULL FROM patient_merges WHERE organization_id = ${ORGANIZATION} AND source_sync_id = ${exchange.sync_id}
    LIMIT 200`);
  return [...rows];
}
