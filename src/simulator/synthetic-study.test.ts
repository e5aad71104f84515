import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import dimse from 'dcmjs-dimse';
import { afterEach, expect, test } from 'vitest';
import './silence-dicom-library.ts';
import { generatePhantom } from '../ai/phantom.ts';
import { takeApart } from './part10-file.ts';
import { samplePatients } from './sample-patients.ts';
import { syntheticStudy, writeStudy } from './synthetic-study.ts';

const folders: string[] = [];
afterEach(() => { for (const folder of folders.splice(0)) rmSync(folder, { recursive: true }); });
const phantom = generatePhantom({ seed: 1, slices: 3, rows: 64, columns: 64, lesions: [] });
const hasDcmtk = (() => { try { execFileSync('dcmdump', ['--version'], { stdio: 'ignore' }); return true; } catch { return false; } })();
if (!hasDcmtk) process.stderr.write('simulator: DCMTK (dcmdump) is not installed; its reading of the synthetic study is skipped\n');

test('another reader finds the patient, the identifiers and the geometry that were asked for', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'study-'));
  folders.push(folder);
  const study = syntheticStudy({ patient: samplePatients.german, accessionNumber: 'A1', studyInstanceUid: '1.2.3', phantom, studyAt: new Date('2026-01-05T09:50:06Z') });
  const paths = await writeStudy(study, folder);
  const elements = dimse.Dataset.fromFile(paths[2] ?? '')?.getElements() as Record<string, any>;
  expect(String(elements.PatientName[0]?.Alphabetic ?? elements.PatientName)).toBe('Müller-Lüdenscheidt^Jürgen');
  expect([elements.PatientID, elements.AccessionNumber, elements.StudyInstanceUID, elements.StudyDate, elements.StudyTime, elements.InstanceNumber]).toEqual(['N-104712', 'A1', '1.2.3', '20260105', '095006', 3]);
  expect([elements.ImagePositionPatient[2], elements.SliceThickness, elements.Rows, elements.Columns, elements.RescaleIntercept, elements.PixelRepresentation]).toEqual([5, 2.5, 64, 64, -1024, 0]);
  expect(new Set(study.objects.map((object) => object.sopInstanceUid)).size).toBe(3);
});

test('stored pixels and rescale give back the Hounsfield units of the phantom', () => {
  const study = syntheticStudy({ patient: samplePatients.plain, accessionNumber: 'A1', phantom });
  const dataset = study.objects[1]?.dataset ?? Buffer.alloc(0);
  const pixels = dataset.subarray(dataset.length - 64 * 64 * 2);
  const hounsfield = Array.from({ length: 64 * 64 }, (_, index) => pixels.readUInt16LE(index * 2) - 1024);
  expect(hounsfield).toEqual(Array.from(phantom.slices[1] ?? [], (value) => Math.max(-1024, value)));
});

test.skipIf(!hasDcmtk)('DCMTK reads the files to the end, with the names in all their writings', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'study-'));
  folders.push(folder);
  const paths = await writeStudy(syntheticStudy({ patient: samplePatients.japanese, accessionNumber: 'A1', phantom }), folder);
  const { stdout, stderr } = await promisify(execFile)('dcmdump', ['+P', '0010,0010', '+P', '7fe0,0010', paths[0] ?? '']);
  expect(stderr).toBe('');
  expect(stdout).toContain('[Yamada^Tarou=山田^太郎=やまだ^たろう]');
  expect(stdout).toContain('# 8192');
  expect(takeApart(readFileSync(paths[0] ?? ''))?.transferSyntaxUid).toBe('1.2.840.10008.1.2.1');
});
