import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { sampleReport } from '../dicom/test/sample-report.ts';
import { renderReportPdf, reportTitle } from './report-pdf.ts';

/** What a reader can select and search, by poppler; undefined where it is not installed. */
function textOf(pdf: Buffer): string | undefined {
  try {
    return execFileSync('pdftotext', ['-layout', '-', '-'], { input: pdf }).toString();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
const pagesOf = (pdf: Buffer): number => pdf.toString('latin1').match(/\/Type \/Page\b(?!s)/g)?.length ?? 0;

test('the same document gives the same bytes, another version other ones', async () => {
  const [first, again, other] = [await renderReportPdf(sampleReport()), await renderReportPdf(sampleReport()), await renderReportPdf(sampleReport({ version: 3 }))];
  expect(first.subarray(0, 8).toString()).toBe('%PDF-1.7');
  expect(first.equals(again)).toBe(true);
  expect(first.equals(other)).toBe(false);
});

test('patient, examination, findings, conclusion and devices can be read as text', async ({ skip }) => {
  const text = textOf(await renderReportPdf(sampleReport(), { timeZone: 'Europe/Berlin' }));
  if (text === undefined) return skip('pdftotext (poppler-utils) is not installed');
  for (const words of ['Klinikum Süd', 'AI report: CT thorax', 'FINAL', 'Yamada, Tarou', 'MRN-7 (HOSP)', '1980-05-17', 'ACC-1', '2026-03-01 00:30 +0100', 'Nodule, right.', 'Solitary nodule of lung (427359005)',
    'Long axis: 8.4 mm', '87 %', 'Lung, right', 'critical', 'Nodule detector 1.2.3, Acme', 'NOT FOR CLINICAL USE', 'Page 1 of 1', 'stands for a character']) expect(text).toContain(words);
});

test.each([['preliminary', 'PRELIMINARY'], ['final', 'FINAL'], ['amended', 'AMENDED'], ['corrected', 'CORRECTED'], ['cancelled', 'WITHDRAWN (cancelled)'], ['entered-in-error', 'WITHDRAWN (entered in error)']] as const)('a report that is %s says %s', async (status, words) => {
  const text = textOf(await renderReportPdf(sampleReport({ status })));
  if (text !== undefined) expect(text).toContain(words);
});

test('Latin, Greek and Cyrillic letters stay what they are', async ({ skip }) => {
  const text = textOf(await renderReportPdf(sampleReport({ sections: { findings: 'Ångström Łódź ğ ß - Παπαδόπουλος - Щукин', impression: 'x' } })));
  if (text === undefined) return skip('pdftotext (poppler-utils) is not installed');
  expect(text).toContain('Ångström Łódź ğ ß - Παπαδόπουλος - Щукин');
});

test('a long report goes on over pages, none of them empty, with a head on each part of the table', async () => {
  const report = sampleReport();
  const pdf = await renderReportPdf({ ...report, sections: { ...report.sections, findings: Array.from({ length: 200 }, (_, index) => `Line ${index}`).join('\n') }, findings: Array.from({ length: 60 }, () => report.findings[0]!) });
  expect(pagesOf(pdf)).toBeGreaterThan(4);
  const text = textOf(pdf);
  if (text === undefined) return;
  expect(text).toContain('Line 199');
  expect(text.split('\f').filter((page) => page.trim() !== '').every((page) => page.split('\n').filter((line) => line.trim() !== '').length > 4)).toBe(true);
});

test('text that is odd, empty or enormous is printed all the same', async () => {
  const report = sampleReport();
  const odd = await renderReportPdf({
    ...report, issuedAt: 'never', organization: { ...report.organization, name: 'N'.repeat(5000) }, patient: { patientId: 'p', patientNumber: '', identifiers: [], familyName: `a\u0000\u001b[2J\ud800${'W'.repeat(3000)}` },
    sections: { findings: 'x'.repeat(20_000), impression: '' }, findings: [{ ...report.findings[0]!, description: 'y '.repeat(50_000), confidencePercentage: Number.NaN, measurements: [] }], conclusionCodes: [], models: [],
  });
  expect(pagesOf(odd)).toBeLessThan(30);
  expect(odd.subarray(-6).toString()).toContain('%%EOF');
});

test('the title is the procedure, else the study, else the modality', () => {
  const { scan } = sampleReport();
  const { procedureCode: _code, studyDescription: _description, ...bare } = scan;
  expect(reportTitle(sampleReport())).toBe('AI report: CT thorax');
  expect(reportTitle(sampleReport({ scan: { ...bare, bodyPart: 'CHEST' } }))).toBe('AI report: CT CHEST');
  expect(reportTitle(sampleReport({ scan: { ...bare, modalities: [] } }))).toBe('AI report');
});
