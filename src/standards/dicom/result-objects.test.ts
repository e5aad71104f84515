import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ImageError, type Images, type PictureWanted } from '#gateway/images.ts';
import type { StoredInstance } from '#gateway/holdings.ts';
import { readHeader } from './header.ts';
import { buildPart10Header } from './part10.ts';
import { resultObjects, type MadeResult, type PictureSource } from './result-objects.ts';
import type { ResultKind } from './result-modules.ts';
import { sampleReport } from './test/sample-report.ts';

const directory = mkdtempSync(join(tmpdir(), 'medscan-results-'));
afterAll(() => rmSync(directory, { recursive: true }));
const options = { controlId: 'delivery-1', now: new Date('2026-03-01T12:00:00Z'), timeZone: 'Europe/Berlin' };
const stored = { location: 'x', datasetOffset: 0, transferSyntaxUid: '1.2.840.10008.1.2.4.50' } as StoredInstance;
const wanted: PictureWanted[] = [];
const drawing = (render?: Images['render']): PictureSource => ({
  image: async (uid) => (uid.startsWith('1.2.826') ? stored : undefined),
  images: { render: render ?? (async (_instance, picture) => { wanted.push(picture); return { bytes: Buffer.alloc(4 * 2 * 3, 200), rows: 2, columns: 4, samplesPerPixel: 3, numberOfFrames: 1 }; }), decompress: () => Promise.reject(new Error('not wanted')) },
});
async function made(kinds: readonly ResultKind[], document = sampleReport(), source = drawing()): Promise<MadeResult[]> {
  return Array.fromAsync(resultObjects(document, kinds, options, source));
}
const text = ({ dataset, transferSyntaxUid }: MadeResult, tag: number): string | undefined => readHeader(Buffer.concat([buildPart10Header({ sopClassUid: '1.2', sopInstanceUid: '1.2', transferSyntaxUid }), dataset])).dataset.get(tag)?.bytes.toString('utf8').replace(/[\0 ]+$/, '');

/** Errors of dciodvfy (dicom3tools), a validator of IODs; undefined where it is not installed. */
function errorsOf(result: MadeResult): string[] | undefined {
  const file = join(directory, `${result.kind}.dcm`);
  writeFileSync(file, Buffer.concat([buildPart10Header(result), result.dataset]));
  try {
    return execFileSync('sh', ['-c', 'dciodvfy "$0" 2>&1', file]).toString().split('\n').filter((line) => line.startsWith('Error'));
  } catch (error) {
    const { status, stdout } = error as { status?: number; stdout?: Buffer };
    return status === 127 ? undefined : (stdout?.toString() ?? '').split('\n').filter((line) => line.startsWith('Error'));
  }
}

test('a report becomes the objects that are wanted, each in a series of its own of the same study', async () => {
  const results = await made(['secondary-capture', 'structured-report', 'encapsulated-pdf']);
  expect(results.map(({ kind }) => kind)).toEqual(['structured-report', 'encapsulated-pdf', 'secondary-capture']);
  expect(new Set(results.map((one) => text(one, 0x0020000d)))).toEqual(new Set([sampleReport().scan.studyInstanceUid]));
  expect(new Set(results.map((one) => text(one, 0x0020000e))).size).toBe(3);
  expect(results.map((one) => [text(one, 0x00080060), text(one, 0x00100020), text(one, 0x00080018)])).toEqual([['SR', 'MRN-7', results[0]!.sopInstanceUid], ['DOC', 'MRN-7', results[1]!.sopInstanceUid], ['OT', 'MRN-7', results[2]!.sopInstanceUid]]);
  expect((await made(['structured-report'])).map(({ kind }) => kind)).toEqual(['structured-report']);
});

test('the same delivery gives the same bytes, another version stays in the series', async () => {
  const kinds = ['structured-report', 'encapsulated-pdf', 'secondary-capture'] as const;
  const [first, again] = [await made(kinds), await made(kinds)];
  expect(again.every(({ dataset }, index) => dataset.equals(first[index]!.dataset))).toBe(true);
  const later = await Array.fromAsync(resultObjects(sampleReport({ version: 3 }), kinds, { ...options, controlId: 'delivery-2' }, drawing()));
  expect(later.map((one) => text(one, 0x0020000e))).toEqual(first.map((one) => text(one, 0x0020000e)));
  expect(later.some(({ sopInstanceUid }, index) => sopInstanceUid === first[index]!.sopInstanceUid)).toBe(false);
});

test('objects are what a validator of IODs takes', async ({ skip }) => {
  for (const result of await made(['encapsulated-pdf', 'secondary-capture'])) {
    const errors = errorsOf(result);
    if (errors === undefined) return skip('dciodvfy (dicom3tools) is not installed');
    expect(errors, result.kind).toEqual([]);
  }
});

test('the PDF comes out of its object as it was', async ({ skip }) => {
  const [result] = await made(['encapsulated-pdf']);
  const [file, out] = [join(directory, 'in.dcm'), join(directory, 'out.pdf')];
  writeFileSync(file, Buffer.concat([buildPart10Header(result!), result!.dataset]));
  try { execFileSync('dcm2pdf', [file, out], { stdio: 'ignore' }); } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return skip('dcm2pdf (DCMTK) is not installed');
    throw error;
  }
  const pdf = readFileSync(out);
  expect([pdf.subarray(0, 5).toString(), pdf.subarray(-7).toString().trim()]).toEqual(['%PDF-', '%%EOF']);
});

test('a picture is drawn of each image that findings are in, and names it', async () => {
  wanted.length = 0;
  const [first] = sampleReport().findings;
  const document = sampleReport({ findings: [first!, { ...first!, findingId: 'f9', severity: 'critical' }, { ...first!, findingId: 'f10', location: { ...first!.location!, frame: 2 } }] });
  const pictures = await made(['secondary-capture'], document);
  expect(pictures).toHaveLength(2);
  expect(wanted.map(({ frame, marks }) => [frame, marks?.map(({ label, isUrgent }) => `${label} ${isUrgent}`)])).toEqual([[1, ['Nodule 87 % false', 'Nodule 87 % true']], [2, ['Nodule 87 % false']]]);
  expect(wanted[0]!.caption).toEqual(['AI result - not for primary diagnosis', 'Nodule detector 1.2.3, Effusion detector 0.9 - not for clinical use', 'final, version 2']);
  expect(JSON.stringify(wanted)).not.toMatch(/Yamada|MRN-7/);
  expect([text(pictures[0]!, 0x00280301), text(pictures[0]!, 0x00080008), text(pictures[0]!, 0x00282110)]).toEqual(['YES', 'DERIVED\\SECONDARY', '01']);
  const { dataset } = readHeader(Buffer.concat([buildPart10Header(pictures[1]!), pictures[1]!.dataset]));
  const [source] = dataset.get(0x00082112)!.items!;
  expect([source!.get(0x00081155)!.bytes.toString().replace(/\0$/, ''), source!.get(0x00081160)!.bytes.toString().trim()]).toEqual([first!.location!.sopInstanceUid, '2']);
});

test('a withdrawn report says so in its pictures', async () => {
  wanted.length = 0;
  await made(['secondary-capture'], sampleReport({ status: 'entered-in-error' }));
  expect(wanted[0]!.caption![0]).toBe('WITHDRAWN - do not use');
});

test('images that are not stored or cannot be shown are left out; one that may be shown later is waited for', async () => {
  expect(await made(['secondary-capture'], sampleReport(), { image: async () => undefined })).toEqual([]);
  expect(await made(['secondary-capture'], sampleReport(), drawing(() => Promise.reject(new ImageError('input', 'broken'))))).toEqual([]);
  await expect(made(['secondary-capture'], sampleReport(), drawing(() => Promise.reject(new ImageError('unavailable', 'later'))))).rejects.toMatchObject({ kind: 'unavailable' });
});
