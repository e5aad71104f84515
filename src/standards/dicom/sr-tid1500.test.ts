import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { buildPart10Header } from './part10.ts';
import { dicomReader } from './reader.ts';
import { buildMeasurementReport } from './sr-tid1500.ts';
import type { MeasurementReport } from './sr-tid1500.ts';
import { hasTool, runTool } from './test/dcmtk.ts';
import { sampleReport } from './test/sample-report.ts';

const options = { controlId: 'delivery-1', now: new Date(0), timeZone: 'Europe/Berlin' };
const report = buildMeasurementReport(sampleReport(), options);
const read = (built: MeasurementReport) => dicomReader(built.dataset);
const folder = mkdtempSync(join(tmpdir(), 'medscan-sr-'));
afterAll(() => rmSync(folder, { recursive: true }));
function fileOf(built: MeasurementReport): string {
  const path = join(folder, `${built.sopInstanceUid}.dcm`);
  writeFileSync(path, Buffer.concat([buildPart10Header(built), built.dataset]));
  return path;
}

test('the same document and control id give the same bytes whenever they are built', () => {
  expect(buildMeasurementReport(sampleReport(), { ...options, now: new Date() }).dataset.equals(report.dataset)).toBe(true);
  expect(buildMeasurementReport(sampleReport(), { ...options, controlId: 'delivery-2' }).sopInstanceUid).not.toBe(report.sopInstanceUid);
});
test('it joins the study of the images as the same patient, in a series of its own', () => {
  const reader = read(report);
  expect(Object.fromEntries(['(0020,000d)', '(0008,0050)', '(0008,0020)', '(0008,0030)', '(0010,0010)', '(0010,0020)', '(0010,0021)', '(0010,0030)', '(0010,0040)', '(0008,0060)', '(0008,0016)', '(0008,0018)'].map((tag) => [tag, reader.first(tag)]))).toEqual({
    '(0020,000d)': '1.2.826.0.1.3680043.10.77.1', '(0008,0050)': 'ACC-1', '(0008,0020)': '20260301', '(0008,0030)': '003000', '(0010,0010)': 'Yamada^Tarou=山田^太郎=やまだ^たろう',
    '(0010,0020)': 'MRN-7', '(0010,0021)': 'HOSP', '(0010,0030)': '19800517', '(0010,0040)': 'M', '(0008,0060)': 'SR', '(0008,0016)': report.sopClassUid, '(0008,0018)': report.sopInstanceUid,
  });
  expect(sampleReport().scan.series.map((series) => series.seriesInstanceUid)).not.toContain(reader.first('(0020,000e)'));
});
test('versions of one report stay in one series, reports of other ids do not', () => {
  const series = (built: MeasurementReport) => read(built).first('(0020,000e)');
  expect(series(buildMeasurementReport(sampleReport({ version: 3 }), { ...options, controlId: 'x' }))).toBe(series(report));
  expect(series(buildMeasurementReport(sampleReport({ reportId: 'other' }), options))).not.toBe(series(report));
});
test.each([
  ['preliminary', 'PARTIAL', 'PRELIMINARY'], ['final', 'COMPLETE', 'FINAL'], ['amended', 'COMPLETE', 'FINAL'], ['corrected', 'COMPLETE', 'FINAL'], ['cancelled', 'PARTIAL', 'FINAL'], ['entered-in-error', 'PARTIAL', 'FINAL'],
] as const)('%s: completion flag %s, preliminary flag %s, never verified', (status, completion, preliminary) => {
  const reader = read(buildMeasurementReport(sampleReport({ status }), options));
  expect(['(0040,a491)', '(0040,a496)', '(0040,a493)'].map((tag) => reader.first(tag))).toEqual([completion, preliminary, 'UNVERIFIED']);
});
test('the evidence names every image that the tree refers to, and no other kind of object', () => {
  const reader = read(report);
  const evidence = reader.all('(0040,a375)>(0008,1115)>(0008,1199)>(0008,1155)');
  const referred = ['(0040,a730)>(0040,a730)>(0040,a730)>(0008,1199)>(0008,1155)', '(0040,a730)>(0040,a730)>(0040,a730)>(0040,a730)>(0008,1199)>(0008,1155)'].flatMap((path) => reader.all(path));
  expect(referred.length).toBeGreaterThan(2);
  expect(evidence).toEqual(expect.arrayContaining(referred));
  expect(evidence).not.toContain('1.2.826.0.1.3680043.10.77.2.9.1');
});
test('code systems: SNOMED CT, DICOM and RadLex by designator, long codes and foreign systems by the long form', () => {
  const reader = read(report);
  const groups = '(0040,a730)>(0040,a730)>(0040,a730)>(0040,a168)';
  expect(reader.all(`${groups}>(0008,0102)`)).toEqual(expect.arrayContaining(['SCT', 'RADLEX', '99MEDSCAN']));
  expect(reader.all(`${groups}>(0008,0119)`)).toEqual(['a-code-of-more-than-16-characters']);
  expect([reader.all('(0008,0110)>(0008,0102)'), reader.all('(0008,0110)>(0008,0115)')]).toEqual([['99MEDSCAN'], ['Codes of urn:acme:codes']]);
});
test('a report without findings, series, models and optional parts is built too', () => {
  const { patient, scan } = sampleReport();
  const bare = sampleReport({ findings: [], models: [], conclusionCodes: [], patient: { patientId: 'p', patientNumber: 'P-1', identifiers: [] }, sections: { findings: '', impression: '' }, issuedAt: 'x',
    scan: { scanId: 's', scanNumber: 'n', studyInstanceUid: scan.studyInstanceUid, modalities: [], series: [] } });
  const reader = read(buildMeasurementReport(bare, options));
  expect(patient.patientNumber).toBe(reader.first('(0010,0020)'));
  expect(reader.first('(0008,0023)')).toBe('19700101');
});

describe.skipIf(!hasTool('dsrdump') || !hasTool('dcmdump'))(`DCMTK${hasTool('dsrdump') ? '' : ' (skipped: dsrdump is not installed)'}`, () => {
  const bare = sampleReport({ findings: [], models: [], status: 'preliminary' });
  test.each([['full', report], ['without findings', buildMeasurementReport(bare, options)]] as const)('dsrdump and dcmdump read it without a word of complaint: %s', (_title, built) => {
    const path = fileOf(built);
    const document = runTool('dsrdump', '+Pc', path), listing = runTool('dcmdump', path);
    // Its checker of VRs knows a few character sets only, UTF-8 not among them, and says so.
    const complaints = document.errors.replace(/^W: The VR checker does not support this Specific Character Set: ISO_IR 192\n/, '');
    expect([document.status, complaints, listing.status, listing.errors]).toEqual([0, '', 0, '']);
    expect(document.output).toContain('Comprehensive 3D SR Document');
  });
  test('dsrdump shows findings, regions, measurements and certainty', () => {
    const { output } = runTool('dsrdump', '+Pc', '+Pl', fileOf(report));
    for (const part of ['(27925004,SCT,"Nodule")', 'SCOORD:(111030,DCM,"Image Region")', 'SCOORD3D:(111010,DCM,"Center")', '="8.4" (mm,UCUM,"millimeter")', '(mm3,UCUM,', '(111012,DCM,"Certainty of Finding")="87.1428571428571" (%,UCUM,', '(24028007,SCT,"Right")', 'not for clinical use', '(111003,DCM,"Algorithm Version")="1.2.3"'])
      expect(output).toContain(part);
  });
});
