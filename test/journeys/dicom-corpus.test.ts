/**
 * Every storable file of the DICOM corpus, sent by DCMTK storescu in its own transfer syntax: success, the dataset's bytes unchanged, and the
 * rows equal to what dcmdump reads. The studies become one scan each.
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { insertIntegration } from '../support/pipeline.ts';
import { freePort } from '../support/free-port.ts';
import { eventually, testGateway, type TestGateway } from '../support/gateway.ts';

const corpus = path.resolve(process.env['MEDSCAN_CORPUS'] ?? '../shared/corpus', 'dicom');
const hasCorpus = existsSync(corpus);
const hasDcmtk = spawnSync('storescu', ['--version']).status === 0;
if (!hasCorpus) console.log(`skipped: no DICOM corpus at ${corpus} (MEDSCAN_CORPUS names another folder)`);
if (!hasDcmtk) console.log('skipped: DCMTK (storescu, dcmdump) is not installed');

/** storescu proposes a compressed syntax only when told to. */
const PROPOSE: Record<string, string> = {
  '1.2.840.10008.1.2': '-xi', '1.2.840.10008.1.2.1': '-xe', '1.2.840.10008.1.2.2': '-xb', '1.2.840.10008.1.2.1.99': '-xd', '1.2.840.10008.1.2.4.50': '-xy', '1.2.840.10008.1.2.4.51': '-xx',
  '1.2.840.10008.1.2.4.57': '-xs', '1.2.840.10008.1.2.4.70': '-xs', '1.2.840.10008.1.2.4.80': '-xt', '1.2.840.10008.1.2.4.81': '-xu', '1.2.840.10008.1.2.4.90': '-xv', '1.2.840.10008.1.2.4.91': '-xw',
  '1.2.840.10008.1.2.5': '-xr',
};

const cache = new Map<string, string>();
const files = hasCorpus && hasDcmtk ? ['test_files', 'charset_files', 'studies'].flatMap((folder) => walk(path.join(corpus, folder))).filter(isStorable) : [];

describe.skipIf(files.length === 0)('the DICOM corpus', () => {
  let gateway: TestGateway;
  const answers = new Map<string, string>();
  beforeAll(async () => {
    gateway = await testGateway({ MEDSCAN_ROLES: 'gateway' });
    await insertIntegration(gateway.db, 'Corpus Hospital', 'PACS', 'dicom-dimse');
    await gateway.integrations.reload();
    for (const file of files) answers.set(file, await storescu(file));
  }, 240_000);
  afterAll(() => gateway?.stop());

  test('every file is answered with Success', () => {
    expect([...answers].filter(([, answer]) => !answer.includes('Success')).map(([file, answer]) => `${path.basename(file)}: ${answer}`)).toEqual([]);
  });

  test('the dataset is kept byte for byte: equal to what DCMTK storescp +B (bit preserving) receives from the same storescu', async () => {
    const reference = mkdtempSync(path.join(tmpdir(), 'medscan-storescp-'));
    const port = await freePort();
    const scp = spawn('storescp', ['+B', '+xa', '-od', reference, String(port)], { stdio: 'ignore' });
    try {
      await eventually(async () => spawnSync('echoscu', ['127.0.0.1', String(port)]).status === 0);
      for (const file of files) {
        expect(await storescu(file, port), file).toContain('Success');
        const [received] = readdirSync(reference);
        const theirs = datasetOf(readFileSync(path.join(reference, received!)));
        rmSync(path.join(reference, received!));
        const versions = await gateway.db.asOwner<{ sha256: string; storage_location: string; dataset_offset: number }>('SELECT sha256, storage_location, dataset_offset FROM scan_files WHERE sop_instance_uid = $1', [tag(file, '0008,0018')]);
        const row = versions.find((version) => version.sha256 === digest(theirs));
        expect(row, file).toBeDefined();
        const ours = readFileSync(path.join(gateway.home, 'storage', row!.storage_location)).subarray(row!.dataset_offset);
        expect(ours.equals(theirs), file).toBe(true);
      }
    } finally {
      scp.kill();
      rmSync(reference, { recursive: true, force: true });
    }
  }, 120_000);

  test('rows say what dcmdump reads: name, identifiers, dates, accession number', async () => {
    for (const file of files) {
      const row = await rowOf(file);
      const read = { patient_number: tag(file, '0010,0020'), accession: tag(file, '0008,0050'), study: tag(file, '0020,000d'), series: tag(file, '0020,000e') };
      expect(row.study_instance_uid, file).toBe(read.study);
      expect(row.series_instance_uid, file).toBe(read.series);
      expect(row.accession_number ?? '', file).toBe(read.accession);
      if (read.patient_number) expect(row.numbers, file).toContain(read.patient_number);
    }
  });

  test('each study of the corpus is one scan with its series and files', async () => {
    const expected = new Map<string, { series: Set<string>; files: number }>();
    for (const file of files.filter((name) => name.includes(`${path.sep}studies${path.sep}`))) {
      const study = tag(file, '0020,000d');
      const entry = expected.get(study) ?? { series: new Set<string>(), files: 0 };
      entry.series.add(tag(file, '0020,000e'));
      entry.files += 1;
      expected.set(study, entry);
    }
    for (const [study, { series, files: count }] of expected) {
      expect(await gateway.db.asOwner('SELECT instance_count, series_count FROM scans WHERE study_instance_uid = $1', [study]), study).toEqual([{ instance_count: count, series_count: series.size }]);
    }
  });

  async function storescu(file: string, port = gateway.ports.dicom!): Promise<string> {
    const option = PROPOSE[transferSyntax(file)];
    const { stdout, stderr } = await promisify(execFile)('storescu', ['-v', '-R', ...(option ? [option] : []), '-aec', 'MEDSCAN', '127.0.0.1', String(port), file]).catch((error: { stdout: string; stderr: string }) => error);
    return `${stdout}${stderr}`.split('\n').filter((line) => /Received Store Response|Failed|Refused|rejected/i.test(line)).join(' ') || `${stdout}${stderr}`.slice(-300);
  }

  /** Several files of the corpus are one instance in different transfer syntaxes: versions of it, all kept. */
  async function rowOf(file: string): Promise<Record<string, string | null> & { storage_location: string; dataset_offset: number; sha256: string; numbers: string[] }> {
    const [row] = await gateway.db.asOwner<Record<string, never>>(`
      SELECT f.*, s.study_instance_uid, s.accession_number, p.family_name,
        ARRAY(SELECT value FROM patient_identifiers i WHERE i.patient_id = p.patient_id) AS numbers
      FROM scan_files f JOIN scans s USING (organization_id, scan_id) JOIN patients p USING (organization_id, patient_id) WHERE f.sop_instance_uid = $1 AND f.transfer_syntax_uid = $2`, [tag(file, '0008,0018'), transferSyntax(file)]);
    return row as never;
  }
});

function walk(directory: string): string[] {
  return readdirSync(directory).flatMap((name) => (statSync(path.join(directory, name)).isDirectory() ? walk(path.join(directory, name)) : [path.join(directory, name)]));
}

/** Storable: DCMTK finds a SOP class and instance to send. A file without meta header or SOP class is no object that C-STORE can carry. */
function isStorable(file: string): boolean {
  return tag(file, '0008,0016') !== '' && tag(file, '0008,0018') !== '' && tag(file, '0020,000d') !== '' && transferSyntax(file) !== '';
}

function tag(file: string, name: string): string {
  return dumped(file, name);
}
function transferSyntax(file: string): string {
  return dumped(file, '0002,0010');
}

function dumped(file: string, name: string): string {
  const key = `${file} ${name}`;
  const known = cache.get(key);
  if (known !== undefined) return known;
  const result = spawnSync('dcmdump', ['-q', '-Un', '+L', '+p', '+P', name, file], { encoding: 'utf8' });
  // With +p a nested element starts with the path to it; only the dataset's own counts.
  const value = /\[([^\]]*)\]/.exec(result.stdout.split('\n').find((line) => line.startsWith(`(${name})`)) ?? '')?.[1]?.trim() ?? '';
  cache.set(key, value);
  return value;
}

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** What follows group 0002 of a Part 10 file; (0002,0000) says how long that is. */
function datasetOf(file: Buffer): Buffer {
  return file.subarray(144 + file.readUInt32LE(140));
}
