/** Builds the ReportDocument: rows of scan, patient, analyses and findings in, one self-contained document out. Pure. */
import type { AnalyzableFile } from '../db/analyses.ts';
import type { AnalysisOfRun, FindingRow, ReportSource } from '../db/reports.ts';
import type { Coded, FindingLocation, Measurement, ReportDocument, ReportFinding, ReportModel, ReportPatient, ReportScan, ReportSeries } from '#domain/report-document.ts';

type Present<T> = { [K in keyof T]?: Exclude<T[K], null | undefined> };
/** Drops null, undefined and '' so that an absent value is absent in the document. */
export function present<T extends Record<string, unknown>>(values: T): Present<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== '')) as Present<T>;
}

export function reportPatient(source: ReportSource): ReportPatient {
  return {
    patientId: source.patient_id, patientNumber: source.patient_number,
    identifiers: source.identifiers.filter((i) => i.is_current).map((i) => ({ value: i.value, assigningAuthority: i.assigning_authority, ...present({ typeCode: i.type_code }) })),
    ...present({
      familyName: source.family_name, givenName: source.given_name, middleName: source.middle_name, namePrefix: source.name_prefix, nameSuffix: source.name_suffix,
      ideographicName: source.ideographic_name, phoneticName: source.phonetic_name, birthDate: source.birth_date, sex: source.sex,
    }),
  };
}

export function reportScan(source: ReportSource, files: readonly AnalyzableFile[]): ReportScan {
  const procedureCode: Coded | undefined = source.procedure_code
    ? { system: source.procedure_system ?? '', code: source.procedure_code, display: source.procedure_description ?? source.study_description ?? source.procedure_code }
    : undefined;
  return {
    scanId: source.scan_id, scanNumber: source.scan_number, studyInstanceUid: source.study_instance_uid ?? '', modalities: source.modalities, series: reportSeries(files),
    ...present({
      accessionNumber: source.accession_number, placerOrderNumber: source.placer_order_number, fillerOrderNumber: source.filler_order_number, procedureCode,
      studyDescription: source.study_description ?? source.procedure_description, studyAt: source.study_at?.toISOString(), studyId: source.study_id,
      referringPhysician: source.referring_physician, bodyPart: source.body_part,
    }),
  };
}

function reportSeries(files: readonly AnalyzableFile[]): ReportSeries[] {
  return [...Map.groupBy(files, (file) => file.series_instance_uid)].map(([seriesInstanceUid, members]) => ({
    seriesInstanceUid,
    ...present({ seriesNumber: members[0]!.series_number, modality: members[0]!.modality, description: members[0]!.series_description }),
    instances: members.map((file) => ({ sopInstanceUid: file.sop_instance_uid, sopClassUid: file.sop_class_uid, ...present({ instanceNumber: file.instance_number }) })),
  }));
}

export const reportModel = (analysis: AnalysisOfRun): ReportModel => ({
  analysisId: analysis.analysis_id, modelId: analysis.model_id, name: analysis.model_name, version: analysis.model_version,
  manufacturer: analysis.manufacturer, notForClinicalUse: analysis.not_for_clinical_use, ...present({ udi: analysis.udi }),
});

export const reportFinding = (row: FindingRow): ReportFinding => ({
  findingId: row.finding_id, analysisId: row.analysis_id, trackingUid: row.tracking_uid,
  type: { system: row.finding_code_system ?? '', code: row.finding_code ?? '', display: row.finding_type },
  severity: row.severity, confidencePercentage: row.confidence_percentage, description: row.description, measurements: (row.measurements ?? []) as Measurement[],
  ...present({ bodySite: row.body_site as Coded | null, laterality: row.laterality as ReportFinding['laterality'] | null, location: row.location as FindingLocation | null }),
});

/** Fills a template's named slots: {{finding_count}}, {{findings}}, {{models}} ... An unknown slot stays visible, so that a typo is seen. */
export function fillTemplate(template: string, slots: Readonly<Record<string, string>>): string {
  return template.replace(/\{\{\s*([a-z_]+)\s*\}\}/g, (whole, name: string) => slots[name] ?? whole).trim();
}

/** The slots there are; those of reportSections. */
export const templateSlots = ['finding_count', 'findings', 'most_severe', 'models', 'failed_models', 'reason', 'modalities', 'body_part', 'study_description', 'impression'] as const;

export function reportSections(sections: Readonly<Record<string, string>>, source: ReportSource, findings: readonly ReportFinding[], models: readonly ReportModel[], failed: readonly string[]): ReportDocument['sections'] {
  const worst = findings[0]?.severity;
  const slots: Record<(typeof templateSlots)[number], string> = {
    finding_count: String(findings.length),
    findings: findings.length === 0 ? 'No findings.' : findings.map((finding, index) => `${index + 1}. ${finding.description} (${finding.severity}, confidence ${Math.round(finding.confidencePercentage)} %)`).join('\n'),
    most_severe: worst ?? 'none',
    models: models.map((model) => `${model.name} ${model.version}${model.notForClinicalUse ? ' (not for clinical use)' : ''}`).join(', '),
    failed_models: failed.length === 0 ? '' : `Not analysed by: ${failed.join(', ')}.`,
    reason: source.reason ?? '', modalities: source.modalities.join(', '), body_part: source.body_part ?? '',
    study_description: source.study_description ?? source.procedure_description ?? '',
    impression: findings.length === 0 ? 'The software reported no finding.' : `The software reported ${findings.length} finding${findings.length === 1 ? '' : 's'}; most severe: ${worst}.`,
  };
  const fill = (name: string, otherwise: string): string => fillTemplate(sections[name] ?? otherwise, slots);
  return {
    ...present({ indication: fill('indication', '{{reason}}'), technique: fill('technique', 'Analysed by {{models}}.') }),
    findings: fill('findings', '{{findings}}\n{{failed_models}}'), impression: fill('impression', '{{impression}}'),
  };
}
