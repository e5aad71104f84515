/**
 * Searches over a large organization, on this machine: `npm run bench:search`.
 *
 *   QIDO-RS study lists, FHIR searches and the API's own lists, by HTTP from another process, row level security and audit on:
 *   p50 and p99 of each kind, one reader at a time and then four
 *
 * MEDSCAN_BENCH_SCANS (1,000,000) is the size, MEDSCAN_BENCH_REQUESTS (100) how often each is asked. Uses an embedded PostgreSQL of its own;
 * MEDSCAN_BENCH_HOME=DIR keeps it, so that the next run needs no seeding. MEDSCAN_BENCH_ONLY=text runs the kinds whose name has that text.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { loadConfig } from '../src/config.ts';
import { createApiToken } from '../src/db/user-sessions.ts';
import { startGateway } from '../src/main.ts';
import { seedSearch } from './search-seed.ts';

const scans = Number(process.env['MEDSCAN_BENCH_SCANS'] ?? 1_000_000), requests = Number(process.env['MEDSCAN_BENCH_REQUESTS'] ?? 100), only = process.env['MEDSCAN_BENCH_ONLY'] ?? '';
const patients = Math.floor(scans / 4);
const say = (line: string): void => { process.stdout.write(`${line}\n`); };

/** Scattered, and the same in every run. */
const any = (index: number, of: number): number => (index * 7_919 + 104_729) % of;
const day = (index: number, separator: string): string => new Date(Date.UTC(2023, 10, 2) + any(index, 1_090) * 86_400_000).toISOString().slice(0, 10).replaceAll('-', separator);
const families = ['Abel', 'Evans', 'Hansen', 'Smith', 'Weber'];
const family = (index: number): string => `${families[index % families.length]}${any(index, 400)}`;

interface Kind { readonly name: string; readonly bar: number; url(index: number, ids: Ids): string; body?(index: number): unknown }
interface Ids { readonly patients: readonly string[]; readonly scans: readonly string[]; /** One that never exchanged anything. */ readonly integration: string }

const qido = (name: string, query: (index: number) => string): Kind => ({ name: `QIDO ${name}`, bar: 100, url: (index) => `/dicom-web/studies?${query(index)}` });
const fhir = (name: string, query: (index: number, ids: Ids) => string): Kind => ({ name: `FHIR ${name}`, bar: 150, url: (index, ids) => `/fhir/r4/${query(index, ids)}` });
const api = (name: string, query: (index: number, ids: Ids) => string, body?: (index: number) => unknown): Kind => ({ name: `API ${name}`, bar: 150, url: (index, ids) => `/api/v1/${query(index, ids)}`, ...(body ? { body } : {}) });

const kinds: readonly Kind[] = [
  qido('newest 50', () => 'limit=50'),
  qido('of a patient id', (n) => `PatientID=P${any(n, patients)}`),
  qido('by accession', (n) => `AccessionNumber=A${any(n, scans)}`),
  qido('by study UID', (n) => `StudyInstanceUID=1.2.3.${any(n, scans)}`),
  qido('of a day, 50', (n) => `StudyDate=${day(n, '')}&limit=50`),
  qido('of a day and modality', (n) => `StudyDate=${day(n, '')}&ModalitiesInStudy=CT&limit=50`),
  qido('of the last 30 days', () => 'StudyDate=20261001-&ModalitiesInStudy=MR&limit=50'),
  qido('by patient name', (n) => `PatientName=${family(n)}*&limit=50`),
  qido('by name part, 25', (n) => `PatientName=*${families[n % families.length]!.slice(1)}*&limit=25`),
  qido('by a rare name part', (n) => `PatientName=*${family(n).slice(1)}^*&limit=25`),
  qido('by a name part (none)', (n) => `PatientName=*nobody${n}*&limit=25`),
  qido('by name part, of a day', (n) => `PatientName=*${families[n % families.length]!.slice(1)}*&StudyDate=${day(n, '')}&limit=50`),
  qido('by description, 50', () => 'StudyDescription=Head*&limit=50'),
  qido('that finds nothing', (n) => `PatientName=Nobody${n}*&StudyDate=${day(n, '')}`),
  fhir('newest studies', () => 'ImagingStudy?_count=50'),
  fhir('studies of a patient', (n, ids) => `ImagingStudy?patient=${ids.patients[n % ids.patients.length]}`),
  fhir('studies of a day', (n) => `ImagingStudy?started=${day(n, '-')}&_count=50`),
  fhir('study by accession', (n) => `ImagingStudy?identifier=A${any(n, scans)}`),
  fhir('patient by identifier', (n) => `Patient?identifier=P${any(n, patients)}`),
  fhir('patients by family name', (n) => `Patient?family=${family(n)}&_count=50`),
  fhir('patients by name, birth date', (n) => `Patient?name=${family(n)}&birthdate=19${30 + n % 60}-01-01`),
  fhir('newest patients', () => 'Patient?_count=50'),
  fhir('patients updated since', () => 'Patient?_lastUpdated=ge2026-10-30&_count=50'),
  fhir('studies updated since', () => 'ImagingStudy?_lastUpdated=ge2026-10-30&_count=50'),
  fhir('reports of a patient', (n, ids) => `DiagnosticReport?patient=${ids.patients[n % ids.patients.length]}`),
  fhir('report by accession', (n) => `DiagnosticReport?identifier=A${any(n, scans)}`),
  fhir('newest reports', () => 'DiagnosticReport?status=preliminary&_count=50'),
  fhir('reports updated since', () => 'DiagnosticReport?_lastUpdated=ge2026-10-30&_count=50'),
  fhir('reports of a day', (n) => `DiagnosticReport?date=${day(n, '-')}&_count=50`),
  fhir('findings of a patient', (n, ids) => `Observation?patient=${ids.patients[n % ids.patients.length]}`),
  api('newest scans', () => 'scans'),
  api('scans of a status', () => 'scans?status=in_progress'),
  api('scans of no such status', () => 'scans?status=failed'),
  api('scans of a patient', (n, ids) => `scans?patient_id=${ids.patients[n % ids.patients.length]}`),
  api('scans of a day', (n) => `scans?study_from=${day(n, '-')}&study_before=${day(n, '-')}T23:59:59Z`),
  api('newest exchanges', () => 'sync-logs'),
  api('exchanges of a scan', (n, ids) => `sync-logs?scan_id=${ids.scans[n % ids.scans.length]}`),
  api('rejected exchanges', () => 'sync-logs?message_status=rejected'),
  api('failed exchanges (none)', () => 'sync-logs?message_status=failed'),
  api('exchanges of a day', (n) => `sync-logs?started_from=${day(n, '-')}&started_before=${day(n, '-')}T23:59:59Z`),
  api('exchanges of a number', () => 'sync-logs/search', (n) => ({ text: `A${any(n, scans)}` })),
  api('exchanges by a text (none)', () => 'sync-logs/search', (n) => ({ text: `no such text ${n}` })),
  api('exchanges of a system', (_n, ids) => `sync-logs?integration_id=${ids.integration}`),
  api('patients by name', () => 'patients/search', (n) => ({ name: family(n) })),
];

if (process.send) await serve();
else await measure();

/** The child: the gateway with role api over the seeded database. */
async function serve(): Promise<void> {
  const home = process.env['MEDSCAN_HOME']!;
  const gateway = await startGateway(loadConfig({ MEDSCAN_HOME: home, MEDSCAN_ROLES: 'api', MEDSCAN_LOG_LEVEL: 'warn', MEDSCAN_HTTP_PORT: '0', MEDSCAN_DICOM_PORT: 'off', MEDSCAN_HL7_PORT: 'off' }));
  const { ownerUrl, database } = gateway.installation;
  if (!await seeded(ownerUrl)) say(`seed ${scans.toLocaleString('en')} scans: ${(await seedSearch(ownerUrl, { scans }, say)).toFixed(0)} s`);
  await gateway.integrations.reload();
  const [{ organization_id: organizationId }] = await query(ownerUrl, "SELECT organization_id FROM organizations WHERE name = 'Bench'") as [{ organization_id: string }];
  const [service, integrator] = await Promise.all(['service', 'administrator'].map(async (role) => (await createApiToken(database, { organizationName: 'Bench', role, name: `bench ${role} ${Date.now()}` })).token));
  const column = async (name: string, table: string): Promise<string[]> => (await query(ownerUrl, `SELECT ${name} AS id FROM ${table} WHERE organization_id = '${organizationId}' ORDER BY md5(${name}::text) LIMIT 500`)).map((row) => (row as { id: string }).id);
  const ids = { patients: await column('patient_id', 'patients'), scans: await column('scan_id', 'scans'), integration: (await query(ownerUrl, `SELECT integration_id AS id FROM external_integrations WHERE organization_id = '${organizationId}' AND adapter = 'fhir-rest'`) as { id: string }[])[0]!.id };
  process.send!({ base: `http://127.0.0.1:${gateway.ports.http}`, service, integrator, ids });
  await once(process, 'disconnect');
  await gateway.stop();
}

async function measure(): Promise<void> {
  const kept = process.env['MEDSCAN_BENCH_HOME'];
  const home = kept ?? await mkdtemp(path.join(tmpdir(), 'medscan-bench-'));
  await chmod(home, 0o755); // the server may run as another account (src/db/server-account.ts)
  const child = fork(import.meta.filename, { env: { ...process.env, MEDSCAN_HOME: home } });
  const ended = once(child, 'exit');
  try {
    const [ready] = await Promise.race([once(child, 'message'), ended.then(() => { throw new Error('the gateway ended'); })]) as [{ base: string; service: string; integrator: string; ids: Ids }];
    say(`\n${scans.toLocaleString('en')} scans, ${requests} requests of each kind, milliseconds\n${'search'.padEnd(32)}${['p50', 'p99', 'p50 x4', 'p99 x4', 'bar'].map((word) => word.padStart(9)).join('')}  items`);
    for (const kind of kinds.filter(({ name }) => name.includes(only))) {
      const ask = asker(ready, kind);
      await timed(5, 1, ask);
      const alone = await timed(requests, 1, ask), four = await timed(requests, 4, ask);
      const figures = [percentile(alone.milliseconds, 0.5), percentile(alone.milliseconds, 0.99), percentile(four.milliseconds, 0.5), percentile(four.milliseconds, 0.99)];
      say(`${kind.name.padEnd(32)}${figures.map((figure) => figure.toFixed(1).padStart(9)).join('')}${String(kind.bar).padStart(9)}  ${(alone.items / requests).toFixed(1)}${figures[1]! > kind.bar ? '  OVER' : ''}`);
    }
  } finally {
    if (child.connected) child.disconnect();
    await ended;
    if (kept === undefined) await rm(home, { recursive: true, force: true });
  }
}

function asker({ base, service, integrator, ids }: { base: string; service: string; integrator: string; ids: Ids }, kind: Kind): (index: number) => Promise<number> {
  const authorization = `Bearer ${kind.name.startsWith('API') ? integrator : service}`;
  return async (index) => {
    const body = kind.body?.(index);
    const response = await fetch(base + kind.url(index, ids), { method: body === undefined ? 'GET' : 'POST', headers: { authorization, ...(body === undefined ? {} : { 'content-type': 'application/json' }) }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    const text = await response.text();
    if (response.status !== 200 && response.status !== 204) throw new Error(`${kind.name}: ${response.status} ${text.slice(0, 300)}`);
    const answer = (text === '' ? [] : JSON.parse(text)) as unknown[] | { items?: unknown[]; entry?: unknown[] };
    return Array.isArray(answer) ? answer.length : (answer.items ?? answer.entry ?? []).length;
  };
}

async function timed(count: number, readers: number, ask: (index: number) => Promise<number>): Promise<{ milliseconds: number[]; items: number }> {
  const milliseconds: number[] = [];
  let next = 0, items = 0;
  await Promise.all(Array.from({ length: readers }, async () => {
    for (let index = next++; index < count; index = next++) {
      const started = performance.now();
      items += await ask(index);
      milliseconds.push(performance.now() - started);
    }
  }));
  return { milliseconds: milliseconds.toSorted((a, b) => a - b), items };
}
function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0;
}

async function seeded(ownerUrl: string): Promise<boolean> {
  return (await query(ownerUrl, "SELECT FROM organizations WHERE name = 'Bench'")).length > 0;
}

async function query(url: string, text: string): Promise<object[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows as object[];
  } finally {
    await client.end();
  }
}
