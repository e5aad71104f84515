/** The DiagnosticReport itself: the exam's code, not "AI"; status as the document says; the text as conclusion and as an HTML page. */
import { createHash } from 'node:crypto';
import type { ReportDocument } from '#domain/report-document.ts';
import { escapeXml, narrativeOf } from '#standards/fhir/narrative.ts';
import { pdfMediaType, renderReportPdf } from '#standards/pdf/report-pdf.ts';
import type { Attachment, CodeableConcept, DiagnosticReport, Observation, Reference } from '#standards/fhir/types.ts';
import { codingOf, concept, conceptOf, systems } from './code-tables.ts';
import type { Config } from './config.ts';
import { orderIdentifier, ownIdentifier } from './identifiers.ts';
import { withProfiles } from './profiles.ts';
import type { Links } from './report-items.ts';

/** `forms`: the whole report as pages; the HTML page alone where nobody made others. */
export function diagnosticReport(document: ReportDocument, config: Config, links: Links, result: Reference<Observation>[], forms: readonly Attachment[] = [htmlForm(document)]): DiagnosticReport {
  const { scan, sections } = document;
  const text = narrativeOf(title(document), sections.impression);
  return withProfiles({
    resourceType: 'DiagnosticReport', ...(text === undefined ? {} : { text }),
    identifier: [ownIdentifier(config, 'report', document.reportId), ...(scan.accessionNumber === undefined ? [] : [orderIdentifier('ACSN', scan.accessionNumber, config)])],
    ...(links.order === undefined ? {} : { basedOn: [links.order] }), status: document.status,
    category: [concept(systems.loinc, 'LP29684-5', 'Radiology'), concept(systems.section, 'RAD', 'Radiology')], code: examCode(document, config), subject: links.subject, ...(links.encounter === undefined ? {} : { encounter: links.encounter }),
    effectiveDateTime: scan.studyAt ?? document.issuedAt, issued: document.issuedAt, performer: [links.performer],
    ...(result.length > 0 ? { result } : {}), imagingStudy: [links.study], ...(sections.impression.trim() === '' ? {} : { conclusion: sections.impression }),
    ...(document.conclusionCodes.length === 0 ? {} : { conclusionCode: document.conclusionCodes.map((coded) => conceptOf(coded, config.resource_system)) }),
    presentedForm: [...forms],
  }, config);
}

/** 18748-4 Diagnostic imaging study, where nobody told the exam's code. */
export function examCode({ scan }: ReportDocument, config: Config): CodeableConcept {
  const coding = scan.procedureCode === undefined ? undefined : codingOf(scan.procedureCode, config.resource_system);
  const coded = coding === undefined ? concept(systems.loinc, '18748-4') : { coding: [coding] };
  const text = [scan.studyDescription, scan.procedureCode?.display].find((words) => words?.trim());
  return { ...coded, ...(text === undefined ? {} : { text }) };
}

export function title(document: ReportDocument): string {
  const isReviewed = document.status === 'final' || document.status === 'amended' || document.status === 'corrected';
  const notice = document.models.some((model) => model.notForClinicalUse) ? ' Not for clinical use.' : '';
  return `AI result, ${document.status}.${isReviewed ? '' : ' Not reviewed by a radiologist.'}${notice}`;
}

/** Attachment.hash is SHA-1 in base64 (R4 datatypes.html#Attachment), not in hex. */
export function htmlForm(document: ReportDocument): Attachment {
  return attachment('text/html; charset=utf-8', Buffer.from(html(document)), document);
}

/** The pages that a site gets, HTML first: a viewer that knows one form only takes the first. */
export async function reportForms(document: ReportDocument, config: Config): Promise<Attachment[]> {
  const pdf = config.presented_form.includes('pdf') ? [attachment(pdfMediaType, await renderReportPdf(document, { timeZone: config.time_zone }), document)] : [];
  return [...(config.presented_form.includes('html') ? [htmlForm(document)] : []), ...pdf];
}

function attachment(contentType: string, bytes: Buffer, document: ReportDocument): Attachment {
  return { contentType, language: 'en', data: bytes.toString('base64'), size: bytes.byteLength, hash: createHash('sha1').update(bytes).digest('base64'), title: 'AI report', creation: document.issuedAt };
}

function html(document: ReportDocument): string {
  const { sections, findings, models } = document;
  const section = (heading: string, text: string | undefined): string => text?.trim() ? `<h2>${heading}</h2><p>${escapeXml(text.trim()).replaceAll(/\r\n?|\n/g, '<br>')}</p>` : '';
  const rows = findings.map((finding) => `<li>${escapeXml(`${finding.type.display}, certainty ${finding.confidencePercentage} %, severity ${finding.severity}`)}</li>`).join('');
  return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>AI report</title></head><body><p><strong>${escapeXml(title(document))}</strong></p>`
    + section('Indication', sections.indication) + section('Technique', sections.technique) + section('Findings', sections.findings) + (rows === '' ? '' : `<ul>${rows}</ul>`)
    + section('Impression', sections.impression) + section('Made by', models.map((model) => `${model.name} ${model.version} (${model.manufacturer})`).join(', ')) + '</body></html>';
}
