/**
 * A large organization by set-based SQL, for measuring searches: patients with four studies each over three years, one file a study, one exchange a
 * study, and a report with a finding for every fourth. Ids are made in the order of the studies' times, as they would have been.
 */
import pg from 'pg';
import { sampleReport } from '../adapters/fhir-rest/testcases/sample-report.ts';

export interface SeedSize { readonly scans: number }

/** Fills a migrated database as its owner, in about a minute for a million scans; returns seconds. Foreign keys are not checked while it runs. */
export async function seedSearch(ownerUrl: string, { scans }: SeedSize, say: (line: string) => void): Promise<number> {
  const client = new pg.Client({ connectionString: ownerUrl });
  await client.connect();
  const started = performance.now();
  try {
    await client.query("SET session_replication_role = replica; SET synchronous_commit = off; SET maintenance_work_mem = '512MB'; SET work_mem = '256MB'; SET max_wal_size = '8GB'").catch(() => client.query('SET synchronous_commit = off'));
    for (const [what, statement] of statements(scans, Math.max(1, Math.floor(scans / 4)))) {
      const at = performance.now();
      await client.query(statement);
      say(`seed ${what.padEnd(16)} ${((performance.now() - at) / 1000).toFixed(1)} s`);
    }
  } finally {
    await client.end();
  }
  return (performance.now() - started) / 1000;
}

/** UUIDv7 of a time and a number; `kind` keeps the ids of tables apart. */
const id = (at: string, n: string, kind: number): string => `(lpad(to_hex((extract(epoch FROM ${at}) * 1000)::bigint), 12, '0') || '7' || '${kind.toString(16)}' || lpad(to_hex((${n}) % 256), 2, '0') || '8' || lpad(to_hex(${n}), 15, '0'))::uuid`;
const FAMILIES = "'{Abel,Berg,Costa,Dahl,Evans,Fischer,Garcia,Hansen,Ito,Jansen,Kowalski,Lopez,Müller,Novak,Olsen,Petrov,Quinn,Rossi,Smith,Tanaka,Ulrich,Vargas,Weber,Xu,Yilmaz,Ziegler}'::text[]";
const GIVEN = "'{Anna,Ben,Clara,David,Elif,Frank,Grace,Hugo,Ines,Jan,Kim,Lea,Max,Nora,Omar,Paula,Rui,Sara,Tom,Uma}'::text[]";
const at = (n: string, scans: number): string => `('2023-11-01'::timestamptz + make_interval(secs => (${n})::float8 * ${(3 * 365 * 86_400 / scans).toFixed(6)}))`;

function statements(scans: number, patients: number): [string, string][] {
  const numbers = `generate_series(0, ${scans - 1}) n`, o = 'bench_organization o';
  const { patient, scan, findings: [finding], ...report } = sampleReport;
  const json = (value: unknown): string => `'${JSON.stringify(value).replaceAll("'", "''")}'::jsonb`;
  const document = `${json({ ...report, models: [] })} || jsonb_build_object('reportId', r.id, 'issuedAt', r.at,
    'patient', ${json(patient)} || jsonb_build_object('patientId', r.patient_id, 'patientNumber', 'P' || r.n % ${patients}, 'identifiers', jsonb_build_array(jsonb_build_object('value', 'P' || r.n % ${patients}, 'assigningAuthority', 'BENCH'))),
    'scan', ${json({ ...scan, series: [] })} || jsonb_build_object('scanId', r.scan_id, 'scanNumber', 'B' || r.n, 'studyInstanceUid', '1.2.3.' || r.n, 'accessionNumber', 'A' || r.n),
    'findings', jsonb_build_array(${json(finding)} || jsonb_build_object('findingId', r.finding_id, 'trackingUid', '2.25.' || r.n)))`;
  return [
    ['organization', `INSERT INTO organizations (name) VALUES ('Bench'); CREATE TEMP TABLE bench_organization AS SELECT organization_id FROM organizations WHERE name = 'Bench';
      INSERT INTO external_integrations (organization_id, name, kind, adapter, direction, settings) SELECT organization_id, a, 'pacs', a, 'both', CASE a WHEN 'dicomweb' THEN '{"allow_query": true}'::jsonb ELSE '{}' END
        FROM ${o}, unnest(ARRAY['dicomweb', 'fhir-rest', 'hl7v2-mllp']) a;
      INSERT INTO ai_models (organization_id, model_name, model_version, runtime, status) SELECT organization_id, 'bench', '1', 'http', 'active' FROM ${o};
      CREATE TEMP TABLE bench_study AS SELECT n, ${at('n', scans)} AS at, ${id(at('n', scans), 'n', 1)} AS scan_id, ${id(at(`n % ${patients}`, scans), `n % ${patients}`, 2)} AS patient_id FROM ${numbers}; ANALYZE bench_study`],
    ['patients', `INSERT INTO patients (organization_id, patient_id, patient_number, family_name, given_name, birth_date, birth_date_precision, sex, created_at, updated_at)
      SELECT organization_id, patient_id, 'P' || n, (${FAMILIES})[1 + n % 26] || (n / 26) % 400, (${GIVEN})[1 + n % 20], (1930 + n % 90) || '-' || lpad((1 + n % 12)::text, 2, '0') || '-' || lpad((1 + n % 28)::text, 2, '0'), 'day',
        (ARRAY['male', 'female'])[1 + n % 2], at, at FROM ${o}, bench_study WHERE n < ${patients};
      INSERT INTO patient_identifiers (organization_id, patient_id, assigning_authority, value, value_index, type_code) SELECT organization_id, patient_id, 'BENCH', patient_number, patient_number, 'MR' FROM patients JOIN ${o} USING (organization_id)`],
    ['scans', `INSERT INTO scans (organization_id, scan_id, scan_number, patient_id, scan_type, study_instance_uid, accession_number, order_status, modalities, body_part, study_description, referring_physician, status, priority, study_at, instance_count, series_count, total_bytes, first_instance_at, last_instance_at, images_complete_at, completeness_proof, completion_run, created_at, updated_at)
      SELECT organization_id, scan_id, 'B' || n, patient_id, (ARRAY['ct', 'mri', 'xray', 'ultrasound'])[1 + n % 4], '1.2.3.' || n, 'A' || n, 'ordered', ARRAY[(ARRAY['CT', 'MR', 'DX', 'US'])[1 + n % 4]], (ARRAY['CHEST', 'HEAD', 'ABDOMEN'])[1 + n % 3],
        (ARRAY['Chest', 'Head', 'Abdomen'])[1 + n % 3] || ' examination', 'Doctor' || n % 500 || '^A', CASE WHEN n > ${scans - 200} THEN 'in_progress' ELSE 'completed' END, (ARRAY['routine', 'routine', 'routine', 'urgent'])[1 + n % 4], at, 1, 1, 524288, at, at, at, 'quiet_time', 1, at, at FROM ${o}, bench_study`],
    ['scan files', `INSERT INTO scan_files (organization_id, scan_file_id, scan_id, series_instance_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid, modality, byte_size, dataset_offset, sha256, storage_location, received_at)
      SELECT organization_id, ${id('at', 'n', 3)}, scan_id, '1.2.3.' || n || '.1', '1.2.3.' || n || '.1.1', '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1', 'CT', 524288, 300, md5(n::text) || md5(n::text), 'x/' || n, at FROM ${o}, bench_study`],
    ['exchanges', `INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, answer_status, answer_code, started_at, finished_at, duration_ms, byte_size, peer_address, peer_application, patient_id, scan_id, error_text)
      SELECT o.organization_id, ${id('at', 'n', 4)}, i.integration_id, i.adapter, CASE WHEN n % 10 = 9 THEN 'outbound' ELSE 'inbound' END, CASE WHEN n % 3 = 0 THEN 'ADT^A08' ELSE 'ORM^O01' END, 'M' || n,
        CASE WHEN n % 5000 = 7 THEN 'rejected' WHEN n % 10 = 9 THEN 'delivered' ELSE 'accepted' END, 'answered', 'AA', at, at, 4.2, 900, '10.0.0.9', 'RIS|NORTH', patient_id, scan_id, CASE WHEN n % 5000 = 7 THEN 'PID-3 has no identifier' END
      FROM ${o}, bench_study, external_integrations i WHERE i.organization_id = o.organization_id AND i.adapter = 'hl7v2-mllp'`],
    ['reports', `CREATE TEMP TABLE bench_report AS SELECT n, at, scan_id, patient_id, ${id('at', 'n', 5)} AS id, ${id('at', 'n', 6)} AS analysis_id, ${id('at', 'n', 7)} AS finding_id FROM bench_study WHERE n % 4 = 0;
      INSERT INTO ai_analyses (organization_id, analysis_id, scan_id, model_id, status, input_digest) SELECT m.organization_id, analysis_id, scan_id, m.model_id, 'completed', 'd' || n FROM bench_report, ai_models m JOIN ${o} USING (organization_id) WHERE m.model_name = 'bench';
      INSERT INTO findings (organization_id, finding_id, analysis_id, tracking_uid, finding_type, severity, confidence_percentage, description, created_at, updated_at) SELECT organization_id, finding_id, analysis_id, '2.25.' || n, 'Nodule', 'medium', 91, 'Nodule', at, at FROM ${o}, bench_report;
      INSERT INTO reports (organization_id, report_id, lineage_id, scan_id, analysis_id, status, findings_text, impression, author_kind, author_name, document, created_at, updated_at)
        SELECT organization_id, r.id, r.id, r.scan_id, r.analysis_id, 'preliminary', 'One nodule', 'Nodule', 'device', 'bench 1', ${document}, r.at, r.at FROM ${o}, bench_report r`],
    ['statistics', 'ANALYZE'],
  ];
}
