/** Two organizations with a row in every table the API shows, an account per role in each, and the API over them with commands that are fakes. */
import type { Hono } from 'hono';
import { expect } from 'vitest';
import type { ApiCommands } from '../../src/api/commands.ts';
import type { ApiEnv } from '../../src/api/context.ts';
import { roles, type Role } from '../../src/api/permissions.ts';
import { ensureOrganization } from '../../src/db/organizations.ts';
import { hashPassword } from '../../src/db/passwords.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { ImageError } from '../../src/gateway/images.ts';
import { createLog } from '../../src/log.ts';
import { createSite } from '../../src/web/site.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';

export const password = 'correct horse battery';

export interface Tenant {
  readonly organizationId: string;
  readonly name: string;
  /** Table's id column -> id of this tenant's row. */
  readonly ids: Readonly<Record<string, string>>;
  readonly tokens: Readonly<Record<Role, string>>;
  readonly emails: Readonly<Record<Role, string>>;
  readonly userIds: Readonly<Record<Role, string>>;
}

export interface ApiFixture {
  readonly db: TestDatabase;
  readonly app: Hono<ApiEnv>;
  readonly north: Tenant;
  readonly south: Tenant;
  readonly commands: FakeCommands;
  readonly logLines: string[];
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  close(): Promise<void>;
}

export interface CallOptions { readonly token?: string; readonly cookie?: string; readonly origin?: string; readonly body?: unknown; readonly headers?: Record<string, string> }
export interface Answer { readonly status: number; readonly headers: Headers; readonly text: string; readonly body: any }

export interface FakeCommands extends ApiCommands { readonly reloads: { count: number }; readonly saved: unknown[]; readonly files: Map<string, Buffer>; notReadyReasons: string[] }

export async function apiFixture(): Promise<ApiFixture> {
  const db = await testDatabase();
  const passwordHash = await hashPassword(password);
  const north = await tenant(db, 'North Hospital', passwordHash);
  const south = await tenant(db, 'South Clinic', passwordHash);
  const commands = fakeCommands(db);
  for (const { organizationId } of [north, south]) commands.files.set(`${organizationId}/a.dcm`, Buffer.from(`DICM of ${organizationId}`));
  const logLines: string[] = [];
  const log = createLog({ logLevel: 'info' }, { write: (line) => { logLines.push(line); } });
  const app = createSite({ database: db.database, keys: db.keys, config: { roles: ['api'] }, log, commands });
  return { db, app, north, south, commands, logLines, close: () => db.drop(), call: (method, path, options) => call(app, method, path, options) };
}

export async function call(app: Hono<ApiEnv>, method: string, path: string, { token, cookie, origin, body, headers }: CallOptions = {}): Promise<Answer> {
  const response = await app.request(path, {
    method,
    headers: {
      ...(token && { authorization: `Bearer ${token}` }), ...(cookie && { cookie }), ...(origin && { origin }), ...(body !== undefined && { 'content-type': 'application/json' }), ...headers,
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, body: /json/.test(response.headers.get('content-type') ?? '') ? JSON.parse(text) : undefined };
}

export function expectProblem(answer: Answer, status: number): void {
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  expect(answer.body).toMatchObject({ status, type: expect.stringMatching(/^urn:medscan:problem:/), title: expect.any(String), detail: expect.any(String), request_id: expect.any(String), instance: `urn:uuid:${answer.body.request_id}` });
  expect(answer.status).toBe(status);
}

/** What the audit log holds of one request. */
export async function auditOf(db: TestDatabase, answer: Answer): Promise<{ organization_id: string; event_code: string; action: string; outcome: string; actor_id: string; object_type: string; object_id: string; patient_id: string; detail: any }[]> {
  return db.asOwner('SELECT * FROM audit_logs WHERE request_id = $1 ORDER BY sequence', [answer.headers.get('x-request-id')]);
}

async function tenant(db: TestDatabase, name: string, passwordHash: string): Promise<Tenant> {
  const { organizationId } = await ensureOrganization(db.database, { name });
  const slug = name.split(' ')[0]!.toLowerCase();
  const tokens: Record<string, string> = {};
  const emails: Record<string, string> = {};
  const userIds: Record<string, string> = {};
  for (const role of roles) {
    tokens[role] = (await createApiToken(db.database, { organizationName: name, role, name: `${role} token` })).token;
    emails[role] = `${role}@${slug}.example`;
    const [user] = await db.asOwner<{ user_id: string }>('INSERT INTO users (organization_id, email, display_name, role, password_hash) VALUES ($1, $2, $3, $4, $5) RETURNING user_id', [organizationId, emails[role], `${role} of ${name}`, role, passwordHash]);
    userIds[role] = user!.user_id;
  }
  const ids = await rows(db, organizationId, slug, userIds['radiologist']!);
  return {
    organizationId, name, ids: { ...ids, organization_id: organizationId, user_id: userIds['nurse']!, setting_key: 'session_idle_minutes', adapter: 'fake', preference_key: 'scans.table' },
    tokens: tokens as Record<Role, string>, emails: emails as Record<Role, string>, userIds: userIds as Record<Role, string>,
  };
}

async function rows(db: TestDatabase, organizationId: string, slug: string, radiologistId: string): Promise<Record<string, string>> {
  const ids: Record<string, string> = {};
  const insert = async (table: string, idColumn: string, values: Record<string, unknown>): Promise<void> => {
    const row: Record<string, unknown> = { organization_id: organizationId, ...values };
    const names = Object.keys(row);
    const [made] = await db.asOwner<Record<string, string>>(`INSERT INTO ${table} (${names.join(', ')}) VALUES (${names.map((_, index) => `$${index + 1}`).join(', ')}) RETURNING ${idColumn} AS id`, Object.values(row));
    ids[idColumn] = made!['id']!;
  };
  await insert('patients', 'patient_id', { patient_number: `MRN-${slug}`, family_name: `Müller-${slug}`, given_name: 'Anna', birth_date: '1980-05-17', birth_date_precision: 'day', sex: 'female', telecom: JSON.stringify([{ system: 'phone', value: '555' }]) });
  const patient_id = ids['patient_id'];
  await insert('patient_identifiers', 'patient_identifier_id', { patient_id, assigning_authority: 'NORTH', value: `MRN-${slug}`, value_index: `MRN-${slug}`, type_code: 'MR' });
  const [prior] = await db.asOwner<{ id: string }>("INSERT INTO patients (organization_id, patient_number, is_active, merged_into_patient_id) VALUES ($1, $2, false, $3) RETURNING patient_id AS id", [organizationId, `OLD-${slug}`, patient_id]);
  await insert('patient_merges', 'merge_id', { survivor_patient_id: patient_id, prior_patient_id: prior!.id, moved: JSON.stringify({ scans: [], identifiers: [], history: [] }) });
  await insert('patient_medical_history', 'history_id', { patient_id, kind: 'allergy', display: 'Penicillin', statement_key: 'k' });
  await insert('external_integrations', 'integration_id', { name: 'PACS', kind: 'pacs', adapter: 'fake', direction: 'both', settings: JSON.stringify({ host: 'pacs.example', password: 'must not be shown' }), credentials_sealed: 'v1.sealed' });
  await insert('scans', 'scan_id', { patient_id, scan_type: 'ct', study_instance_uid: `1.2.3.${slug.length}`, modalities: ['CT'], accession_number: `ACC-${slug}` });
  const scan_id = ids['scan_id'];
  await insert('scan_files', 'scan_file_id', { scan_id, series_instance_uid: '1.2.3.1', sop_instance_uid: '1.2.3.1.1', sop_class_uid: '1.2.840.10008.5.1.4.1.1.2', transfer_syntax_uid: '1.2.840.10008.1.2.1', byte_size: 44, dataset_offset: 0, sha256: 'x', storage_location: `${organizationId}/a.dcm`, received_at: new Date() });
  await insert('scan_queue', 'queue_id', { scan_id, status: 'assigned', priority_score: 50, assigned_to_user_id: radiologistId, why_waiting: 'Waiting for images' });
  const [model] = await db.asOwner<{ model_id: string }>('SELECT model_id FROM ai_models WHERE organization_id = $1', [organizationId]);
  ids['model_id'] = model!.model_id;
  await insert('ai_analyses', 'analysis_id', { scan_id, model_id: model!.model_id, status: 'completed', input_digest: 'd', processing_start_time: new Date(), processing_end_time: new Date(), processing_duration_seconds: 2, confidence_score: 0.9, result: JSON.stringify({ ok: true }) });
  await insert('findings', 'finding_id', { analysis_id: ids['analysis_id'], tracking_uid: '2.25.1', finding_type: 'Nodule', severity: 'critical', confidence_percentage: 91, description: 'Nodule, 9 mm' });
  await insert('reports', 'report_id', { lineage_id: ids['finding_id'], scan_id, analysis_id: ids['analysis_id'], status: 'preliminary', findings_text: 'One nodule', impression: 'Nodule', author_kind: 'device', author_name: 'model 1', document: JSON.stringify({ version: 1 }) });
  await insert('deliveries', 'delivery_id', { integration_id: ids['integration_id'], report_id: ids['report_id'] });
  await insert('order_notices', 'notice_id', { integration_id: ids['integration_id'], scan_id, event: 'received', status: 'refused', last_outcome: 'refused', last_text: 'The receiver answered AR' });
  await insert('sync_logs', 'sync_id', { integration_id: ids['integration_id'], adapter: 'hl7v2-mllp', direction: 'inbound', interaction: 'ADT^A04', control_id: 'MSG1', message_status: 'accepted', answer_status: 'answered', answer_code: 'AA', patient_id, scan_id, payload_location: 'database', duration_ms: 12.5 });
  await db.asOwner('INSERT INTO exchange_payloads (organization_id, sync_id, part, media_type, content) VALUES ($1, $2, \'message\', \'x-application/hl7-v2+er7\', $3)', [organizationId, ids['sync_id'], Buffer.from(`MSH|^~\\&|${slug}`)]);
  await insert('association_logs', 'association_id', { association_id: uuidV7(), integration_id: ids['integration_id'], started_at: new Date(), finished_at: new Date(), duration_ms: 12, calling_ae_title: 'CT1', called_ae_title: slug.toUpperCase(), peer_address: '10.0.0.9', peer_port: 4711, contexts: JSON.stringify([{ id: 1, abstract_syntax: '1.2.840.10008.1.1', transfer_syntaxes: ['1.2.840.10008.1.2'], result: 1 }]), outcome: 'rejected', rejection: '1/1/3', reason: 'not listed', advice: 'List it.' });
  await insert('message_replays', 'replay_id', { requested_kind: 'user', requested_by: radiologistId, message_count: 1 });
  await db.asOwner('INSERT INTO message_replay_items (organization_id, replay_id, sync_id) VALUES ($1, $2, $3)', [organizationId, ids['replay_id'], ids['sync_id']]);
  await insert('dead_jobs', 'dead_job_id', { queue_name: 'report', job_data: JSON.stringify({ organizationId, scanId: scan_id }), scan_id });
  await insert('system_alerts', 'alert_id', { kind: 'integration-down', severity: 'warning', subject: 'PACS', message: 'PACS does not answer' });
  const first = async (table: string, idColumn: string): Promise<void> => {
    const [row] = await db.asOwner<{ id: string }>(`SELECT ${idColumn} AS id FROM ${table} WHERE organization_id = $1 ORDER BY 1 LIMIT 1`, [organizationId]);
    ids[idColumn] = row!.id;
  };
  await first('workflow_rules', 'rule_id');
  await first('report_templates', 'template_id');
  return ids;
}

function fakeCommands(db: TestDatabase): FakeCommands {
  const reloads = { count: 0 };
  const saved: unknown[] = [];
  const files = new Map<string, Buffer>();
  const owns = async (table: string, column: string, organizationId: string, id: string): Promise<boolean> =>
    (await db.asOwner(`SELECT 1 FROM ${table} WHERE organization_id = $1 AND ${column} = $2`, [organizationId, id])).length > 0;
  const decide = async (table: string, column: string, organizationId: string, id: string): Promise<{ kind: 'done' } | { kind: 'not-found' }> => ({ kind: await owns(table, column, organizationId, id) ? 'done' : 'not-found' });
  const fake: FakeCommands = {
    reloads, saved, files, notReadyReasons: [],
    fetchPriors: async (organizationId, scanId) => (await owns('scans', 'scan_id', organizationId, scanId) ? { kind: 'queued', sources: [] } : { kind: 'not-found' }),
    forceComplete: async (organizationId, scanId) => (await owns('scans', 'scan_id', organizationId, scanId) ? { kind: 'completed', completionRun: 1 } : { kind: 'not-found' }),
    testIntegration: async (organizationId, integrationId) => (await owns('external_integrations', 'integration_id', organizationId, integrationId)
      ? { ok: false, steps: [{ step: 'connect', ok: false, milliseconds: 3, detail: 'connection refused', advice: 'Start it' }] } : undefined),
    dryRun: async (organizationId, integrationId) => (await owns('external_integrations', 'integration_id', organizationId, integrationId)
      ? { kind: 'read', messages: [{ interaction: 'ADT^A08', controlId: '1', refusal: null, rows: {}, mapping: 'm@1.0.0', warnings: [], trace: [] }] } : { kind: 'not-found' }),
    replay: async (organizationId, syncId) => (await owns('sync_logs', 'sync_id', organizationId, syncId)
      ? { kind: 'replayed', messages: [{ syncId: null, outcome: 'duplicate', text: null, location: null }] } : { kind: 'not-found' }),
    view: async (organizationId, syncId) => (await owns('sync_logs', 'sync_id', organizationId, syncId)
      ? { format: 'hl7v2', mediaType: 'x-application/hl7-v2+er7', byteSize: 12, text: 'MSH|^~\\&|', lines: [{ depth: 0, location: 'MSH', name: 'Message header', value: null }], isCut: false, mapping: null } : undefined),
    pauseIntegration: (organizationId, integrationId) => decide('external_integrations', 'integration_id', organizationId, integrationId),
    resendDelivery: (organizationId, deliveryId) => decide('deliveries', 'delivery_id', organizationId, deliveryId),
    resendParked: async () => ({ resent: [], leftOut: [] }),
    discardDelivery: (organizationId, deliveryId) => decide('deliveries', 'delivery_id', organizationId, deliveryId),
    resendNotice: (organizationId, noticeId) => decide('order_notices', 'notice_id', organizationId, noticeId),
    resendParkedNotices: async () => ({ resent: [], leftOut: [] }),
    discardNotice: (organizationId, noticeId) => decide('order_notices', 'notice_id', organizationId, noticeId),
    retryDeadJob: (organizationId, deadJobId) => decide('dead_jobs', 'dead_job_id', organizationId, deadJobId),
    discardDeadJob: (organizationId, deadJobId) => decide('dead_jobs', 'dead_job_id', organizationId, deadJobId),
    beginReplay: async (organizationId) => ({ kind: 'begun', messages: 1, replayId: (await db.asOwner<{ replay_id: string }>('SELECT replay_id FROM message_replays WHERE organization_id = $1', [organizationId]))[0]!.replay_id }),
    cancelReplay: (organizationId, replayId) => decide('message_replays', 'replay_id', organizationId, replayId),
    decideVersion: (organizationId, scanFileId) => decide('scan_files', 'scan_file_id', organizationId, scanFileId),
    withdrawReport: async (organizationId, reportId) => (await owns('reports', 'report_id', organizationId, reportId) ? { kind: 'withdrawn', reportId, version: 2, destinations: 1 } : { kind: 'not-found' }),
    openStoredObject: async (location) => {
      const file = files.get(location);
      if (!file) throw new Error('no such object');
      return { byteSize: file.byteLength, stream: new Blob([new Uint8Array(file)]).stream() };
    },
    storedHead: async (location) => {
      const file = files.get(location);
      if (!file) throw new Error('no such object');
      return { head: file, byteSize: file.byteLength };
    },
    picture: async () => { throw new ImageError('input', 'The object holds no picture.'); },
    conformanceStatement: async (_organizationId, adapter) => (adapter === 'fake' ? '# Statement\n' : undefined),
    adapterCatalog: () => [{ name: 'fake', title: 'Fake', summary: 'For tests', settingsSchema: { type: 'object' }, secretFields: ['password'], inbound: ['ADT^A04'], outbound: [], dryRun: true }],
    saveIntegration: async (organizationId, integrationId, change) => {
      if (change.settings['port'] === 'wrong') return { kind: 'invalid', errors: [{ pointer: '/settings/port', message: 'must be a number' }] };
      if (integrationId === undefined) {
        const [row] = await db.asOwner<{ integration_id: string }>('INSERT INTO external_integrations (organization_id, name, kind, adapter, direction, settings) VALUES ($1, $2, $3, $4, $5, $6) RETURNING integration_id',
          [organizationId, change.name, change.kind, change.adapter, change.direction, JSON.stringify(change.settings)]);
        saved.push(change);
        return { kind: 'saved', integrationId: row!.integration_id, version: 1 };
      }
      if (!await owns('external_integrations', 'integration_id', organizationId, integrationId)) return { kind: 'not-found' };
      if (change.expectedVersion !== undefined && change.expectedVersion !== 1) return { kind: 'stale', version: 1 };
      saved.push(change);
      return { kind: 'saved', integrationId, version: 2 };
    },
    reloadIntegrations: async () => { reloads.count += 1; },
    adapterMounts: () => ['/fhir/r4'],
    handleAdapterHttp: async (request) => (new URL(request.url).pathname.startsWith('/fhir/r4') ? new Response(`adapter got ${(await request.text()).length} bytes`, { status: 201 }) : undefined),
    notReady: async () => fake.notReadyReasons,
  };
  return fake;
}
