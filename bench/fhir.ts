/**
 * FHIR, both ways, on this machine: `npm run bench:fhir`.
 *
 *   out   reports delivered per second with 4 in flight, to the simulated EMR in a process of its own (loopback, everything in memory)
 *   in    search over 10,000 scans with their reports, 4 readers, by HTTP, row level security and audit on: p50 and p99 per search
 *
 * Uses DATABASE_URL's server when set, else an embedded PostgreSQL of its own. The figures hold for this size; no larger one is claimed.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import adapter from '../adapters/fhir-rest/adapter.ts';
import { sampleConfig, sampleReport } from '../adapters/fhir-rest/testcases/sample-report.ts';
import { loadConfig } from '../src/config.ts';
import { createApiToken } from '../src/db/user-sessions.ts';
import { startGateway } from '../src/main.ts';
import { Emr } from '../src/simulator/emr.ts';

const inFlight = 4, reports = Number(process.env['MEDSCAN_BENCH_REPORTS'] ?? 200), scans = Number(process.env['MEDSCAN_BENCH_SCANS'] ?? 10_000), searches = 200;
const say = (line: string): void => { process.stdout.write(`${line}\n`); };

/** Runs `work` for 0 ... count - 1, `inFlight` at a time; the milliseconds of each. */
async function timed(count: number, work: (index: number) => Promise<void>): Promise<number[]> {
  const milliseconds: number[] = [];
  let next = 0;
  await Promise.all(Array.from({ length: inFlight }, async () => {
    for (let index = next++; index < count; index = next++) {
      const started = performance.now();
      await work(index);
      milliseconds.push(performance.now() - started);
    }
  }));
  return milliseconds.toSorted((a, b) => a - b);
}
const percentile = (sorted: readonly number[], share: number): string => `${(sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0).toFixed(0)} ms`;

async function outbound(): Promise<void> {
  const child = fork(import.meta.filename);
  const [baseUrl] = await once(child, 'message') as [string];
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const context = { log, signal: new AbortController().signal, now: () => new Date(), store: () => Promise.reject(new Error('not used')), authenticate: () => Promise.resolve(undefined) };
  const config = sampleConfig({ base_url: baseUrl });
  const started = performance.now();
  const milliseconds = await timed(reports, async (index) => {
    const id = `0199a000-0000-7000-8000-${String(index).padStart(12, '0')}`;
    const document = {
      ...sampleReport, reportId: id, patient: { ...sampleReport.patient, identifiers: [{ value: `P${index}`, assigningAuthority: 'HOSP' }] }, scan: { ...sampleReport.scan, studyInstanceUid: `2.25.${index + 1}` },
      findings: sampleReport.findings.map((finding, number) => ({ ...finding, trackingUid: `2.25.${index + 1}.${number + 1}` })),
    };
    const outcome = await adapter.outbound!.deliver({ deliveryId: id, organizationId: id, controlId: id, attempt: 1, document }, config, context);
    if (outcome.kind !== 'delivered') throw new Error(JSON.stringify({ ...outcome, sent: undefined, answer: undefined }));
  });
  say(`out  ${reports} reports of 2 findings as transactions, ${inFlight} in flight: ${(reports / ((performance.now() - started) / 1000)).toFixed(1)} reports/s, p50 ${percentile(milliseconds, 0.5)}, p99 ${percentile(milliseconds, 0.99)}`);
  child.disconnect();
}

async function inbound(): Promise<void> {
  const home = await mkdtemp(path.join(tmpdir(), 'medscan-bench-')), name = `medscan_bench_${process.pid}`;
  const server = process.env['DATABASE_URL'];
  if (server !== undefined) await query(server, `CREATE DATABASE ${name}`);
  const databaseUrl = server === undefined ? undefined : Object.assign(new URL(server), { pathname: `/${name}` }).href;
  const gateway = await startGateway(loadConfig({
    ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }), MEDSCAN_HOME: home, MEDSCAN_ROLES: 'api', MEDSCAN_LOG_LEVEL: 'warn', MEDSCAN_HTTP_PORT: '0', MEDSCAN_DICOM_PORT: '0', MEDSCAN_HL7_PORT: '0',
  }));
  try {
    await fill(gateway.installation.ownerUrl);
    await gateway.integrations.reload();
    const { token } = await createApiToken(gateway.installation.database, { organizationName: 'Bench', role: 'service', name: 'bench' });
    await searchAll(`http://127.0.0.1:${gateway.ports.http}/fhir/r4`, token, gateway.installation.ownerUrl);
  } finally {
    await gateway.stop();
    if (server !== undefined) await query(server, `DROP DATABASE ${name} WITH (FORCE)`);
    await rm(home, { recursive: true, force: true });
  }
}

async function searchAll(base: string, token: string, ownerUrl: string): Promise<void> {
  const [{ patients }] = await query(ownerUrl, 'SELECT array_agg(patient_id) AS patients FROM (SELECT patient_id FROM patients ORDER BY random() LIMIT 500) p') as [{ patients: string[] }];
  const kinds: Record<string, (index: number) => string> = {
    'reports of a patient': (index) => `DiagnosticReport?patient=${patients[index % patients.length]}`,
    'report by accession': (index) => `DiagnosticReport?accession=A${(index * 37) % scans}`,
    'patient by identifier': (index) => `Patient?identifier=BENCH|P${(index * 37) % scans}`,
    'findings of a patient': (index) => `Observation?patient=${patients[index % patients.length]}`,
    'newest 50 reports': () => 'DiagnosticReport?status=preliminary',
    'reports with findings': () => 'DiagnosticReport?_count=20&_include=DiagnosticReport:result',
    'studies of a day': (index) => `ImagingStudy?started=2026-01-${String(index % 28 + 1).padStart(2, '0')}&_count=50`,
  };
  for (const [kind, urlOf] of Object.entries(kinds)) {
    let found = 0;
    const ask = async (index: number): Promise<void> => {
      const response = await fetch(`${base}/${urlOf(index)}`, { headers: { authorization: `Bearer ${token}` } });
      const body = await response.json() as { entry?: unknown[] };
      if (response.status !== 200) throw new Error(`${kind}: ${response.status} ${JSON.stringify(body)}`);
      found += body.entry?.length ?? 0;
    };
    await timed(20, ask);
    found = 0;
    const milliseconds = await timed(searches, ask);
    say(`in   ${kind.padEnd(24)} ${scans} scans, ${inFlight} readers: p50 ${percentile(milliseconds, 0.5)}, p99 ${percentile(milliseconds, 0.99)} (${(found / searches).toFixed(1)} entries an answer)`);
  }
}

/** One patient, study, series, analysis, finding and report for each scan. */
async function fill(ownerUrl: string): Promise<void> {
  const document = JSON.stringify({ ...sampleReport, models: [], findings: [] }), finding = JSON.stringify(sampleReport.findings[0]);
  await query(ownerUrl, `
    INSERT INTO organizations (name) VALUES ('Bench');
    CREATE TEMP TABLE o AS SELECT organization_id FROM organizations WHERE name = 'Bench';
    INSERT INTO external_integrations (organization_id, name, kind, adapter, direction) SELECT organization_id, 'EMR', 'emr', 'fhir-rest', 'both' FROM o;
    INSERT INTO ai_models (organization_id, model_name, model_version, runtime, status) SELECT organization_id, 'bench', '1', 'http', 'active' FROM o;
    INSERT INTO patients (organization_id, patient_number, family_name, given_name, birth_date, sex) SELECT organization_id, 'P' || n, 'Bench', 'No ' || n, '1980-01-01', 'other' FROM o, generate_series(0, ${scans - 1}) n;
    INSERT INTO patient_identifiers (organization_id, patient_id, assigning_authority, value, value_index, type_code) SELECT organization_id, patient_id, 'BENCH', patient_number, patient_number, 'MR' FROM patients;
    INSERT INTO scans (organization_id, patient_id, scan_type, study_instance_uid, accession_number, order_status, modalities, status, study_at, instance_count, series_count, images_complete_at)
      SELECT organization_id, patient_id, 'ct', '1.2.3.' || substr(patient_number, 2), 'A' || substr(patient_number, 2), 'ordered', '{CT}', 'completed', '2026-01-01'::timestamptz + make_interval(mins => substr(patient_number, 2)::int * 4), 1, 1, now() FROM patients;
    INSERT INTO scan_files (organization_id, scan_id, series_instance_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid, modality, byte_size, dataset_offset, sha256, storage_location, received_at)
      SELECT organization_id, scan_id, study_instance_uid || '.1', study_instance_uid || '.1.1', '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1', 'CT', 1, 0, 'x', 'x', now() FROM scans;
    INSERT INTO ai_analyses (organization_id, scan_id, model_id, status, input_digest) SELECT s.organization_id, s.scan_id, m.model_id, 'completed', 'x' FROM scans s JOIN ai_models m ON m.organization_id = s.organization_id;
    INSERT INTO findings (organization_id, analysis_id, tracking_uid, finding_type, finding_code, finding_code_system, severity, confidence_percentage, description)
      SELECT a.organization_id, a.analysis_id, s.study_instance_uid || '.9', 'Pneumothorax', '36118008', 'SCT', 'critical', 90, 'Pneumothorax' FROM ai_analyses a JOIN scans s USING (organization_id, scan_id);
    INSERT INTO reports (organization_id, report_id, lineage_id, scan_id, analysis_id, status, findings_text, impression, author_kind, author_name, document)
      SELECT a.organization_id, r.id, r.id, a.scan_id, a.analysis_id, 'preliminary', 'x', 'x', 'device', 'bench', $json$${document}$json$::jsonb || jsonb_build_object('reportId', r.id,
        'findings', jsonb_build_array($json$${finding}$json$::jsonb || jsonb_build_object('findingId', f.finding_id, 'analysisId', a.analysis_id, 'trackingUid', f.tracking_uid)))
      FROM ai_analyses a JOIN findings f USING (organization_id, analysis_id) CROSS JOIN LATERAL (SELECT medscan_uuid_v7() AS id WHERE a.analysis_id IS NOT NULL) r;
    ANALYZE;`);
}

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const result = await client.query(text).finally(() => client.end()) as pg.QueryResult | pg.QueryResult[];
  return Array.isArray(result) ? [] : result.rows;
}

if (process.send) {
  const emr = await Emr.start();
  process.send(emr.baseUrl);
  process.once('disconnect', () => process.exit(0));
} else {
  await outbound();
  await inbound();
}
