/** The findings of a report as a table: what, where, how severe, how sure, how large. A row stays on one page; the heads are on each. */
import type { FindingLocation, ReportDocument, ReportFinding } from '#domain/report-document.ts';
import { margin, quiet, rule, type Sheet, type Writing } from './page.ts';

interface Column { readonly head: string; readonly share: number; cell(finding: ReportFinding, index: number, document: ReportDocument): string }

const columns: readonly Column[] = [
  { head: 'No.', share: 0.05, cell: (_finding, index) => String(index + 1) },
  { head: 'Finding', share: 0.31, cell: ({ type, description }) => [type.display || type.code, description].filter(Boolean).join('\n') },
  { head: 'Place', share: 0.2, cell: (finding, _index, document) => placeOf(finding, document) },
  { head: 'Severity', share: 0.1, cell: ({ severity }) => severity },
  { head: 'Confidence', share: 0.12, cell: ({ confidencePercentage }) => `${Math.round(confidencePercentage)} %` },
  { head: 'Measurements', share: 0.22, cell: ({ measurements }) => measurements.map(({ type, value, unit }) => `${type.display || type.code}: ${roundedText(value)} ${unit}`).join('\n') },
];
const padding = 4, size = 8.5;
/** A cell is cut there, so that a row fits on a page; the whole text stands in the findings section. */
const mostCharacters = 1_200;

export function drawFindings(sheet: Sheet, document: ReportDocument): void {
  drawRow(sheet, columns.map(({ head }) => head), { weight: 'bold', size, colour: quiet });
  for (const [index, finding] of document.findings.entries()) {
    const cells = columns.map((column) => shortened(column.cell(finding, index, document)));
    if (sheet.needs(rowHeight(sheet, cells, { size }))) drawRow(sheet, columns.map(({ head }) => head), { weight: 'bold', size, colour: quiet });
    drawRow(sheet, cells, { size });
  }
}

function rowHeight(sheet: Sheet, cells: readonly string[], writing: Writing): number {
  return Math.max(...cells.map((cell, index) => sheet.height(cell, widthOf(sheet, index), writing))) + 2 * padding;
}

function drawRow(sheet: Sheet, cells: readonly string[], writing: Writing): void {
  const height = rowHeight(sheet, cells, writing);
  const top = sheet.y();
  let left = margin;
  for (const [index, cell] of cells.entries()) {
    sheet.place(cell, left, top + padding, widthOf(sheet, index), index === 3 && isUrgent(cell) ? { ...writing, weight: 'bold', colour: '#b00020' } : writing);
    left += sheet.width * columns[index]!.share;
  }
  sheet.pen.moveTo(margin, top + height).lineTo(margin + sheet.width, top + height).lineWidth(0.5).strokeColor(rule).stroke();
  sheet.moveTo(top + height);
}

const widthOf = (sheet: Sheet, index: number): number => sheet.width * columns[index]!.share - 6;
const isUrgent = (severity: string): boolean => severity === 'high' || severity === 'critical';

function placeOf({ laterality, bodySite, location }: ReportFinding, document: ReportDocument): string {
  const site = [bodySite?.display || bodySite?.code, laterality].filter(Boolean).join(', ');
  return [site, location === undefined ? '' : imageOf(location, document)].filter(Boolean).join('\n');
}

/** 'Series 3, image 41, frame 2' by the numbers that a viewer shows. */
function imageOf({ seriesInstanceUid, sopInstanceUid, frame }: FindingLocation, { scan }: ReportDocument): string {
  const series = scan.series.find((one) => one.seriesInstanceUid === seriesInstanceUid);
  const instance = series?.instances.find((one) => one.sopInstanceUid === sopInstanceUid);
  const parts = [series?.seriesNumber === undefined ? '' : `series ${series.seriesNumber}`, instance?.instanceNumber === undefined ? '' : `image ${instance.instanceNumber}`, frame > 1 ? `frame ${frame}` : ''];
  const text = parts.filter(Boolean).join(', ');
  return text === '' ? 'in an image of the study' : text.charAt(0).toUpperCase() + text.slice(1);
}

function shortened(text: string): string {
  return text.length <= mostCharacters ? text : `${text.slice(0, mostCharacters).toWellFormed()} ...`;
}
function roundedText(value: number): string {
  return String(Number(value.toPrecision(4)));
}
