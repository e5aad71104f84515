/** What a report is made of, reports themselves, and the outbox rows made with them. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { ReportDocument } from '#domain/report-document.ts';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
const text = z.string().nullable();

const Source = z.object({
  organization_id: z.string(), organization_name: z.string(), scan_id: z.string(), scan_number: z.string(), study_instance_uid: text, accession_number: text,
  placer_order_number: text, filler_order_number: text, procedure_code: text, procedure_system: text, procedure_description: text, study_description: text, study_id: text,
  study_at: z.date().nullable(), referring_physician: text, reason: text, modalities: z.array(z.string()), body_part: text, scan_type: z.string(), order_status: text, completion_run: z.number(),
  patient_id: z.string(), patient_number: z.string(), family_name: text, given_name: text, middle_name: text, name_prefix: text, name_suffix: text, ideographic_name: text,
  phonetic_name: text, birth_date: text, sex: z.enum(['male', 'female', 'other', 'unknown']).nullable(),
  identifiers: z.array(z.object({ value: z.string(), assigning_authority: z.string(), type_code: text, is_current: z.boolean() })),
});
export type ReportSource = z.infer<typeof Source>;

/** Scan, patient and organization of a report, with the scan locked for this transaction. */
export async function lockReportSource(tx: CommonQueryMethods, scanId: string): Promise<ReportSource | undefined> {
  // First held, then read: a merge that was waited for has moved the scan to another patient.
  await tx.query(sql.type(Nothing)`SELECT FROM scans WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} FOR UPDATE`);
  return await tx.maybeOne(sql.type(Source)`
    SELECT o.organization_id, o.name AS organization_name, s.scan_id, s.scan_number, s.study_instance_uid, s.accession_number, s.placer_order_number, s.filler_order_number,
      s.procedure_code, s.procedure_system, s.procedure_description, s.study_description, s.study_id, s.study_at, s.referring_physician, s.reason, s.modalities, s.body_part,
      s.scan_type, s.order_status, s.completion_run, p.patient_id, p.patient_number, p.family_name, p.given_name, p.middle_name, p.name_prefix, p.name_suffix, p.ideographic_name,
      p.phonetic_name, p.birth_date, p.sex,
      coalesce((SELECT jsonb_agg(jsonb_build_object('value', i.value, 'assigning_authority', i.assigning_authority, 'type_code', i.type_code, 'is_current', i.is_current) ORDER BY i.is_current DESC, i.created_at)
        FROM patient_identifiers i WHERE i.organization_id = p.organization_id AND i.patient_id = p.patient_id), '[]') AS identifiers
    FROM scans s JOIN patients p ON p.organization_id = s.organization_id AND p.patient_id = s.patient_id JOIN organizations o ON o.organization_id = s.organization_id
    WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ${scanId}`) ?? undefined;
}

const AnalysisOfRun = z.object({
  analysis_id: z.string(), status: z.string(), model_id: z.string(), model_name: z.string(), model_version: z.string(), manufacturer: z.string(), not_for_clinical_use: z.boolean(),
  udi: text, error_text: text, result: z.record(z.string(), z.unknown()).nullable(),
});
export type AnalysisOfRun = z.infer<typeof AnalysisOfRun>;

/** The newest analysis per model of a scan. */
export async function newestAnalyses(tx: CommonQueryMethods, scanId: string): Promise<readonly AnalysisOfRun[]> {
  return tx.any(sql.type(AnalysisOfRun)`
    SELECT DISTINCT ON (a.model_id) a.analysis_id, a.status, m.model_id, m.model_name, m.model_version, m.manufacturer, m.not_for_clinical_use, nullif(m.config->>'udi', '') AS udi, a.error_text, a.result
    FROM ai_analyses a JOIN ai_models m ON m.organization_id = a.organization_id AND m.model_id = a.model_id
    WHERE a.organization_id = ${ORGANIZATION} AND a.scan_id = ${scanId} AND a.status <> 'cancelled' ORDER BY a.model_id, a.created_at DESC`);
}

const Finding = z.object({
  finding_id: z.string(), analysis_id: z.string(), tracking_uid: z.string(), finding_type: z.string(), finding_code: text, finding_code_system: text,
  severity: z.enum(['low', 'medium', 'high', 'critical']), confidence_percentage: z.number(), description: z.string(), body_site: z.unknown(), laterality: text,
  location: z.unknown(), measurements: z.unknown(),
});
export type FindingRow = z.infer<typeof Finding>;

export async function findingsOf(tx: CommonQueryMethods, analysisIds: readonly string[]): Promise<readonly FindingRow[]> {
  return tx.any(sql.type(Finding)`
    SELECT finding_id, analysis_id, tracking_uid, finding_type, finding_code, finding_code_system, severity, confidence_percentage, description, body_site, laterality, location, measurements
    FROM findings WHERE organization_id = ${ORGANIZATION} AND analysis_id = ANY(${sql.array([...analysisIds], 'uuid')})
    ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low'], severity), confidence_percentage DESC, finding_id`);
}

const Template = z.object({ template_id: z.string(), sections: z.record(z.string(), z.string()) });

/** The active template that fits best: body part and scan type named over only scan type over general. */
export async function findTemplate(tx: CommonQueryMethods, scanType: string, bodyPart: string | null): Promise<z.infer<typeof Template> | undefined> {
  return await tx.maybeOne(sql.type(Template)`
    SELECT template_id, sections FROM report_templates
    WHERE organization_id = ${ORGANIZATION} AND is_active AND (scan_types = '{}' OR ${scanType} = ANY(scan_types)) AND (body_parts = '{}' OR ${bodyPart ?? ''} = ANY(body_parts))
    ORDER BY (body_parts <> '{}') DESC, (scan_types <> '{}') DESC, version DESC LIMIT 1`) ?? undefined;
}

const Latest = z.object({ report_id: z.string(), lineage_id: z.string(), version: z.number(), status: z.string(), analysis_ids: z.array(z.string()) });

export async function latestReport(tx: CommonQueryMethods, scanId: string): Promise<z.infer<typeof Latest> | undefined> {
  return await tx.maybeOne(sql.type(Latest)`
    SELECT report_id, lineage_id, version, status, coalesce((SELECT jsonb_agg(m->>'analysisId') FROM jsonb_array_elements(document->'models') m), '[]') AS analysis_ids
    FROM reports WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND author_kind = 'device' ORDER BY version DESC LIMIT 1`) ?? undefined;
}

/** What the series of results of a scan are derived from, for each report that was made of it here. */
export async function reportsMadeOf(tx: CommonQueryMethods, scanId: string): Promise<readonly { readonly reportId: string; readonly scan: { readonly studyInstanceUid: string } }[]> {
  const rows = await tx.any(sql.type(z.object({ lineage_id: z.string(), study_instance_uid: z.string() }))`
    SELECT DISTINCT lineage_id, document->'scan'->>'studyInstanceUid' AS study_instance_uid FROM reports
    WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND author_kind = 'device' AND document->'scan'->>'studyInstanceUid' IS NOT NULL`);
  return rows.map((row) => ({ reportId: row.lineage_id, scan: { studyInstanceUid: row.study_instance_uid } }));
}

export interface NewReport {
  reportId: string; lineageId: string; version: number; supersedes: string | undefined; scanId: string; analysisId: string | undefined; templateId: string | undefined;
  authorName: string; document: ReportDocument;
}

export async function insertReport(tx: CommonQueryMethods, report: NewReport): Promise<void> {
  const { sections, status, conclusionCodes } = report.document;
  await tx.query(sql.type(Nothing)`
    INSERT INTO reports (organization_id, report_id, lineage_id, version, supersedes_report_id, scan_id, analysis_id, status, template_id, indication, technique,
      findings_text, impression, conclusion_codes, author_kind, author_name, document)
    VALUES (${ORGANIZATION}, ${report.reportId}, ${report.lineageId}, ${report.version}, ${report.supersedes ?? null}, ${report.scanId}, ${report.analysisId ?? null}, ${status},
      ${report.templateId ?? null}, ${sections.indication ?? null}, ${sections.technique ?? null}, ${sections.findings}, ${sections.impression},
      ${sql.jsonb(conclusionCodes as never)}, 'device', ${report.authorName}, ${sql.jsonb(report.document as never)})`);
}

/** One outbox row for each integration that takes results; `names` empty means all of them. Returns the integrations. */
export async function insertDeliveries(tx: CommonQueryMethods, reportId: string, names: readonly string[]): Promise<readonly string[]> {
  const rows = await tx.any(sql.type(z.object({ integration_id: z.string() }))`
    INSERT INTO deliveries (organization_id, integration_id, report_id)
    SELECT organization_id, integration_id, ${reportId} FROM external_integrations
    WHERE organization_id = ${ORGANIZATION} AND is_enabled AND state = 'active' AND direction IN ('outbound', 'both') AND kind IN ('pacs', 'ris', 'emr', 'archive')
      AND (${names.length} = 0 OR name = ANY(${sql.array([...names], 'text')}))
    ON CONFLICT (organization_id, integration_id, report_id) DO NOTHING RETURNING integration_id`);
  return rows.map((row) => row.integration_id);
}
