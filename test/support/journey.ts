/** A gateway with the sample hospital connected to it: what a journey starts from, and what it looks at when it ends. */
import { expect } from 'vitest';
import { generatePhantom } from '../../src/ai/phantom.ts';
import { seedSampleHospital, type SeededHospital } from '../../src/db/seed.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { startHospital, type Hospital } from '../../src/simulator/hospital.ts';
import type { SimulatedOrder, SimulatedPatient } from '../../src/simulator/hl7-messages.ts';
import { sampleOrder, samplePatients } from '../../src/simulator/sample-patients.ts';
import { syntheticStudy, type StudyRequest, type SyntheticStudy } from '../../src/simulator/synthetic-study.ts';
import { eventually, testGateway, type TestGateway } from './gateway.ts';

export interface Journey {
  readonly gateway: TestGateway;
  readonly hospital: Hospital;
  readonly seeded: SeededHospital;
  stop(): Promise<void>;
}

/**
 * Short times, so that a repeat is seen soon. Unless the environment sets the quiet time, it is over when the PACS has stored what it was told to, and
 * not before: images that come slowly would be studies of their own otherwise.
 */
export async function startJourney(environment: Readonly<Record<string, string>> = {}, options: { reserveBytes?: number } = {}): Promise<Journey> {
  const gateway = await testGateway({ MEDSCAN_RETRY_SECONDS: '0.3', MEDSCAN_QUIET_SECONDS: '3600', ...environment }, options);
  const hospital = await startHospital({ gateway: { host: '127.0.0.1', dicomPort: gateway.ports.dicom!, hl7Port: gateway.ports.hl7! } });
  const seeded = await seedSampleHospital(gateway.db.database, gateway.db.keys, { pacs: hospital.pacs.port, ris: hospital.ris.port, emr: hospital.emr.port });
  await gateway.integrations.reload();
  if (environment['MEDSCAN_QUIET_SECONDS'] === undefined) passQuietTimeAfterStores(gateway, hospital);
  return { gateway, hospital, seeded, stop: async () => { await gateway.stop(); await hospital.stop(); } };
}

function passQuietTimeAfterStores(gateway: TestGateway, { pacs }: Hospital): void {
  const store = pacs.store.bind(pacs);
  let open = 0;
  pacs.store = async (...given) => {
    open += 1;
    const answers = await store(...given).finally(() => { open -= 1; });
    if (open === 0) await passQuietTime(gateway);
    return answers;
  };
}

/** As if nothing had come for hours for the studies that are not complete. Each has a key: of jobs without one, one waits at a time, and others are dropped. */
export async function passQuietTime({ db, boss }: TestGateway): Promise<void> {
  const scans = await db.asOwner<{ organization_id: string; scan_id: string }>(`
    UPDATE scans SET last_instance_at = last_instance_at - interval '2 hours' WHERE images_complete_at IS NULL AND last_instance_at > now() - interval '1 hour' RETURNING organization_id, scan_id`);
  await db.asOwner("DELETE FROM scan_arrivals WHERE state <> 'open'");
  for (const { organization_id: organizationId, scan_id: scanId } of scans) await boss.send('complete-scan', { organizationId, scanId }, { singletonKey: `${scanId} now` });
}

/** Merges settings into an integration as its owner would, for example shorter time limits. */
export async function changeSettings(gateway: TestGateway, name: string, settings: Readonly<Record<string, unknown>>): Promise<void> {
  const [row] = await gateway.db.asOwner<{ settings: Record<string, unknown> }>('SELECT settings FROM external_integrations WHERE name = $1', [name]);
  await gateway.db.asOwner('UPDATE external_integrations SET settings = $2 WHERE name = $1', [name, JSON.stringify(merge(row!.settings, settings))]);
  await gateway.integrations.reload();
  expect(gateway.integrations.problems()).toEqual([]);
}

function merge(into: Record<string, unknown>, from: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return { ...into, ...Object.fromEntries(Object.entries(from).map(([name, value]) => [name, isRecord(value) && isRecord(into[name]) ? merge(into[name], value) : value])) };
}
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

let peopleSoFar = 0;
/** Somebody new, so that journeys which share a gateway do not meet. */
export function somebody(more: Partial<SimulatedPatient> = {}): SimulatedPatient {
  peopleSoFar += 1;
  return { ...samplePatients.plain, patientId: `N-${700_000 + peopleSoFar}`, familyName: `Whitfield${'abcdefghijklmnopqrstuvwxyz'[peopleSoFar % 26]}`, ...more };
}

let ordersSoFar = 0;
export function anOrder(more: Partial<SimulatedOrder> = {}): SimulatedOrder {
  ordersSoFar += 1;
  return { ...sampleOrder(`J${process.pid}N${ordersSoFar}`), ...more };
}

/** Eight coarse slices with one lesion: a study that is analysed in a blink. */
export function smallStudy(request: Omit<StudyRequest, 'phantom'>): SyntheticStudy {
  const phantom = generatePhantom({ seed: 24, slices: 8, rows: 80, columns: 80, sliceSpacingMillimetres: 5, vesselTreesPerLung: 0, lesions: [{ diameterMillimetres: 20, contrastHounsfield: 880, centre: [-90, 0, 17.5] }] });
  return syntheticStudy({ ...request, phantom });
}

export interface ScanRow {
  scan_id: string; patient_id: string; organization_id: string; status: string; order_status: string | null; accession_number: string | null; placer_order_number: string | null; priority: string;
  completion_run: number; instance_count: number; series_count: number; completeness_proof: string | null; images_complete_at: Date | null;
  queue_status: string; why_waiting: string | null; patient_number: string; family_name: string | null;
}

export async function scanOf(gateway: TestGateway, studyInstanceUid: string): Promise<ScanRow> {
  const rows = await gateway.db.asOwner<ScanRow>(`
    SELECT s.*, q.status AS queue_status, q.why_waiting, p.patient_number, p.family_name FROM scans s JOIN patients p USING (organization_id, patient_id) JOIN scan_queue q USING (organization_id, scan_id)
    WHERE s.study_instance_uid = $1`, [studyInstanceUid]);
  expect(rows, 'one scan of this study').toHaveLength(1);
  return rows[0]!;
}

/** Waits until every delivery of this version of the study's report has been taken. */
export async function delivered(gateway: TestGateway, studyInstanceUid: string, version = 1, milliseconds = 20_000): Promise<{ report_id: string; lineage_id: string; version: number }> {
  return eventually(async () => {
    const [report] = await gateway.db.asOwner<{ report_id: string; lineage_id: string; version: number; open: number; taken: number }>(`
      SELECT r.report_id, r.lineage_id, r.version, count(*) FILTER (WHERE d.status <> 'delivered')::int AS open, count(*)::int AS taken
      FROM reports r JOIN scans s USING (organization_id, scan_id) JOIN deliveries d USING (organization_id, report_id) WHERE s.study_instance_uid = $1 AND r.version = $2 GROUP BY 1, 2, 3`, [studyInstanceUid, version]);
    return report?.open === 0 && report.taken > 0 && report;
  }, milliseconds);
}

export interface Exchange {
  sync_id: string; adapter: string; direction: string; interaction: string; control_id: string; message_status: string; answer_status: string; answer_code: string | null; attempt: number;
  error_class: string | null; error_text: string | null; error_location: string | null; payload_location: string | null; peer_application: string | null; byte_size: number | null; delivery_id: string | null;
  scan_id: string | null; patient_id: string | null; report_id: string | null; integration_id: string | null; organization_id: string; warnings: unknown; started_at: Date;
}

/** The rows of sync_logs that fit a condition, oldest first; answers that are still on their way to the table are waited for. */
export async function exchanges(gateway: TestGateway, where: string, values: unknown[] = []): Promise<Exchange[]> {
  return gateway.db.asOwner<Exchange>(`SELECT l.* FROM sync_logs l WHERE ${where} ORDER BY l.started_at, l.sync_id`, values);
}

/** Answer legs are written behind the sender's back: waits until none of these inbound exchanges lacks its own. */
export async function answered(gateway: TestGateway, where: string, values: unknown[] = []): Promise<Exchange[]> {
  return eventually(async () => {
    const rows = await exchanges(gateway, where, values);
    return rows.length > 0 && rows.every((row) => row.direction === 'outbound' || row.answer_status === 'answered') && rows;
  }, 5_000);
}

/** Each of these exchanges has at least one row in audit_logs that names it. */
export async function expectAudited(gateway: TestGateway, rows: readonly Exchange[]): Promise<void> {
  const named = await gateway.db.asOwner<{ sync_id: string }>('SELECT DISTINCT sync_id FROM audit_logs WHERE sync_id = ANY($1::uuid[])', [rows.map((row) => row.sync_id)]);
  const audited = new Set(named.map((row) => row.sync_id));
  expect(rows.filter((row) => !audited.has(row.sync_id)).map((row) => `${row.direction} ${row.interaction} ${row.message_status}`)).toEqual([]);
}

export interface ApiAnswer { readonly status: number; readonly body: any; readonly text: string }

/** A client of the API with a token of the organization's. */
export async function apiClient(gateway: TestGateway, organizationName: string, role = 'administrator'): Promise<(method: string, path: string, body?: unknown) => Promise<ApiAnswer>> {
  const { token } = await createApiToken(gateway.db.database, { organizationName, role, name: `journey ${role}` });
  return async (method, path, body) => request(gateway, method, path, { authorization: `Bearer ${token}` }, body);
}

export async function request(gateway: TestGateway, method: string, path: string, headers: Readonly<Record<string, string>>, body?: unknown): Promise<ApiAnswer> {
  const response = await fetch(`http://127.0.0.1:${gateway.ports.http}${path}`, { method, headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const text = await response.text();
  return { status: response.status, text, body: /json/.test(response.headers.get('content-type') ?? '') ? JSON.parse(text) : undefined };
}

/** How many rows each of these tables has. */
export async function counts(gateway: TestGateway, tables: readonly string[]): Promise<Record<string, number>> {
  const entries = await Promise.all(tables.map(async (table) => [table, (await gateway.db.asOwner<{ n: number }>(`SELECT count(*)::int AS n FROM ${table}`))[0]!.n] as const));
  return Object.fromEntries(entries);
}
