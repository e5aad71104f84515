/**
 * A report as a PDF for people: A4, text selectable, fonts embedded. In: a ReportDocument. Out: the bytes, the same for the same document,
 * so that a repeated delivery sends what it sent before. Who gets it wraps it: Encapsulated PDF, OBX of type ED, Attachment.
 *
 *   organization, title, status in words and colour
 *   patient | examination
 *   indication, technique, findings table, findings, conclusion
 *   the devices that made it, and what they are not meant for
 *
 * A withdrawn report says so on every page and keeps its content, so that a reader sees what is not to be used any more.
 */
import type { Coded, ReportDocument, ReportPatient } from '#domain/report-document.ts';
import { localDaTm } from '../dicom/dates.ts';
import { drawFindings } from './findings-table.ts';
import { margin, openSheet, quiet, rule, type Sheet } from './page.ts';

export interface ReportPdfOptions {
  /** IANA zone that times are printed in; UTC when absent. */
  readonly timeZone?: string | undefined;
}

/** The media type of what renderReportPdf gives. */
export const pdfMediaType = 'application/pdf';

export async function renderReportPdf(document: ReportDocument, options: ReportPdfOptions = {}): Promise<Buffer> {
  const status = statusWords(document);
  const title = reportTitle(document);
  const sheet = openSheet({
    title, author: document.organization.name, subject: `AI report ${document.reportId} version ${document.version}`, madeAt: dateOf(document.issuedAt), watermark: status.watermark,
    foot: [nameOf(document.patient) || 'Name not known', numberOf(document.patient), document.scan.accessionNumber === undefined ? '' : `Accession ${document.scan.accessionNumber}`,
      `Report ${document.reportId}, version ${document.version}, ${document.status}`].filter(Boolean).join('  |  '),
  });
  drawHead(sheet, document, title, options);
  drawStatus(sheet, status);
  if (document.models.some(({ notForClinicalUse }) => notForClinicalUse)) drawStatus(sheet, notForClinicalUseWords);
  drawFacts(sheet, [patientFacts(document), examinationFacts(document, options)]);
  drawSections(sheet, document);
  drawDevices(sheet, document);
  return sheet.finish();
}

/** What the document is called, in file lists and viewers too. */
export function reportTitle({ scan }: ReportDocument): string {
  const examination = scan.procedureCode?.display || scan.studyDescription || [scan.modalities.join(', '), scan.bodyPart].filter(Boolean).join(' ');
  return examination === '' ? 'AI report' : `AI report: ${examination.replaceAll(/\p{Cc}/gu, ' ')}`;
}

interface StatusWords { readonly text: string; readonly detail: string; readonly colour: string; readonly watermark?: string }

function statusWords({ status, version }: ReportDocument): StatusWords {
  const replaces = version > 1 ? ` It replaces version ${version - 1}.` : '';
  const withdrawn = { colour: '#b00020', watermark: 'WITHDRAWN' };
  return {
    preliminary: { text: 'PRELIMINARY', detail: `Made by software; not verified by a physician.${replaces}`, colour: '#8a5a00' },
    final: { text: 'FINAL', detail: `Version ${version}.${replaces}`, colour: '#1b5e20' },
    amended: { text: 'AMENDED', detail: `Version ${version}.${replaces}`, colour: '#0d47a1' },
    corrected: { text: 'CORRECTED', detail: `Version ${version}.${replaces}`, colour: '#0d47a1' },
    cancelled: { text: 'WITHDRAWN (cancelled)', detail: 'Do not use this report.', ...withdrawn },
    'entered-in-error': { text: 'WITHDRAWN (entered in error)', detail: 'Do not use this report.', ...withdrawn },
  }[status];
}

function drawHead(sheet: Sheet, { organization, issuedAt }: ReportDocument, title: string, options: ReportPdfOptions): void {
  const top = sheet.y();
  sheet.place(organization.name.slice(0, 120), margin, top, sheet.width * 0.6, { weight: 'bold', size: 10, colour: quiet });
  sheet.place(`Issued ${timeText(issuedAt, options.timeZone)}`, margin + sheet.width * 0.62, top, sheet.width * 0.38, { colour: quiet, size: 8.5, align: 'right' });
  sheet.moveTo(top + Math.max(16, sheet.height(organization.name.slice(0, 120), sheet.width * 0.6, { weight: 'bold', size: 10 })) + 6);
  sheet.paragraph(title.slice(0, 300), { weight: 'bold', size: 16 });
  sheet.moveTo(sheet.y() + 6);
}

function drawStatus(sheet: Sheet, { text, detail, colour }: StatusWords): void {
  const top = sheet.y();
  sheet.pen.rect(margin, top, sheet.width, 22).fill(colour);
  sheet.place(text, margin + 8, top + 5, sheet.width * 0.42, { weight: 'bold', size: 10, colour: '#ffffff' });
  sheet.place(detail, margin + sheet.width * 0.42, top + 5.5, sheet.width * 0.57, { size: 9, colour: '#ffffff' });
  sheet.moveTo(top + 26);
}
const notForClinicalUseWords: StatusWords = { text: 'NOT FOR CLINICAL USE', detail: 'Do not decide about a patient by this result.', colour: '#4a148c' };

type Fact = readonly [label: string, value: string];

/** Two columns of labels and values; what nobody knows is not printed. */
function drawFacts(sheet: Sheet, blocks: readonly (readonly Fact[])[]): void {
  const top = sheet.y() + 6, blockWidth = sheet.width / blocks.length, labelWidth = 82;
  const bottoms = blocks.map((facts, index) => {
    let y = top;
    for (const [label, value] of facts.filter(([, text]) => text !== '')) {
      const left = margin + index * blockWidth, wide = blockWidth - labelWidth - 10;
      sheet.place(label, left, y, labelWidth, { colour: quiet, size: 8.5 });
      sheet.place(value.slice(0, 400), left + labelWidth, y, wide, { size: 9 });
      y += Math.max(13, sheet.height(value.slice(0, 400), wide, { size: 9 }) + 2);
    }
    return y;
  });
  const bottom = Math.max(...bottoms) + 4;
  sheet.pen.moveTo(margin, bottom).lineTo(margin + sheet.width, bottom).lineWidth(0.5).strokeColor(rule).stroke();
  sheet.moveTo(bottom + 8);
}

function patientFacts({ patient }: ReportDocument): Fact[] {
  return [
    ['Patient', nameOf(patient) || 'Name not known'], ['Other writing', [patient.ideographicName, patient.phoneticName].map(namePartsText).filter(Boolean).join(' / ')],
    ['Patient number', numberOf(patient)], ['Born', patient.birthDate ?? ''], ['Sex', patient.sex ?? ''],
  ];
}

function examinationFacts({ scan }: ReportDocument, { timeZone }: ReportPdfOptions): Fact[] {
  return [
    ['Examination', [scan.studyDescription ?? scan.procedureCode?.display, scan.modalities.join(', ')].filter(Boolean).join(' - ')], ['Body part', scan.bodyPart ?? ''],
    ['Performed', scan.studyAt === undefined ? '' : timeText(scan.studyAt, timeZone)], ['Accession', scan.accessionNumber ?? ''],
    ['Order', [scan.placerOrderNumber, scan.fillerOrderNumber].filter(Boolean).join(' / ')], ['Referring', namePartsText(scan.referringPhysician)], ['Scan', scan.scanNumber],
  ];
}

function drawSections(sheet: Sheet, document: ReportDocument): void {
  const { sections, findings, conclusionCodes } = document;
  drawSection(sheet, 'Conclusion', [sections.impression, conclusionCodes.map(codeText).join('\n')].filter(Boolean).join('\n'));
  drawSection(sheet, 'Indication', sections.indication ?? '');
  drawSection(sheet, 'Technique', sections.technique ?? '');
  drawSection(sheet, 'Findings', sections.findings);
  if (findings.length === 0) return;
  drawTitle(sheet, findings.length === 1 ? 'The finding in detail' : `The ${findings.length} findings in detail`);
  drawFindings(sheet, document);
  sheet.moveTo(sheet.y() + 8);
}

function drawSection(sheet: Sheet, title: string, text: string): void {
  if (text.trim() === '') return;
  drawTitle(sheet, title);
  sheet.paragraph(text.trim());
  sheet.moveTo(sheet.y() + 8);
}
function drawTitle(sheet: Sheet, title: string): void {
  sheet.needs(48);
  sheet.paragraph(title, { weight: 'bold', size: 11 });
  sheet.moveTo(sheet.y() + 2);
}

function drawDevices(sheet: Sheet, { models }: ReportDocument): void {
  drawSection(sheet, 'Made by', models.map(({ name, version, manufacturer, notForClinicalUse }) =>
    `${name} ${version}${manufacturer === '' ? '' : `, ${manufacturer}`}${notForClinicalUse ? ' - not for clinical use' : ''}`).join('\n') || 'Software');
}

function nameOf({ familyName, givenName, middleName, namePrefix, nameSuffix }: ReportPatient): string {
  const given = [namePrefix, givenName, middleName].filter(Boolean).join(' ');
  return [[familyName, given].filter(Boolean).join(', '), nameSuffix].filter(Boolean).join(', ');
}
/** The number that a hospital knows a patient by: the medical record number, else the first. */
function numberOf({ identifiers, patientNumber }: ReportPatient): string {
  const identifier = identifiers.find(({ typeCode }) => typeCode === 'MR') ?? identifiers[0];
  return identifier === undefined ? patientNumber : [identifier.value, identifier.assigningAuthority && `(${identifier.assigningAuthority})`].filter(Boolean).join(' ');
}
/** 'Mueller^Anna' -> 'Mueller, Anna': names that are kept as a DICOM or HL7 text. */
function namePartsText(name: string | undefined): string {
  return (name ?? '').split('^').map((part) => part.trim()).filter(Boolean).join(', ');
}
function codeText({ display, code }: Coded): string {
  return display === '' ? code : `${display} (${code})`;
}

/** '2026-03-01 11:11 +0100'; a date alone as it is. */
function timeText(iso: string, zone: string | undefined): string {
  const { da, tm, offset } = localDaTm(iso, zone);
  const date = da.replace(/^(\d{4})(\d\d)(\d\d)$/, '$1-$2-$3');
  return [date, tm.replace(/^(\d\d)(\d\d).*$/, '$1:$2'), tm === '' ? '' : offset === '+0000' ? 'UTC' : offset].filter(Boolean).join(' ');
}
function dateOf(iso: string): Date {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? new Date(0) : date;
}
