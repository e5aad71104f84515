/** A system that does not take the transfer syntax an image is stored in gets it decompressed, and only then. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { explicitLittleEndian, readElements } from '#standards/dicom/elements.ts';
import { startAcceptor } from '../../adapters/dicom-dimse/testing/acceptor.ts';
import { DicomwebTestClient } from '../../adapters/dicomweb/testing/client.ts';
import { encapsulated, native, object, root } from '../../adapters/dicomweb/testing/objects.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { takeApart } from '../../src/simulator/part10-file.ts';
import { eventually, testGateway, type TestGateway } from '../support/gateway.ts';
import { insertIntegration } from '../support/pipeline.ts';

const run = promisify(execFile);
const isInstalled = (() => { try { execFileSync('getscu', ['--version'], { stdio: 'ignore' }); return true; } catch { return false; } })();
if (!isInstalled) console.log('skipped: DCMTK (getscu, movescu) is not installed');

const rle = '1.2.840.10008.1.2.5', explicit = '1.2.840.10008.1.2.1', implicit = '1.2.840.10008.1.2';
const study = `${root}.71`;
const image = { '(0020,000d)': study, '(0020,000e)': `${study}.1`, '(0028,0002)': 1, '(0028,0004)': 'MONOCHROME2', '(0028,0010)': 2, '(0028,0011)': 2, '(0028,0100)': 8, '(0028,0101)': 8, '(0028,0102)': 7, '(0028,0103)': 0 };
const frame = Buffer.concat([Buffer.from([1, 0, 0, 0, 64, 0, 0, 0]), Buffer.alloc(56), Buffer.from([3, 11, 12, 13, 14]), Buffer.alloc(1)]);
const compressed = object(image, { transferSyntaxUid: rle, pixelData: encapsulated([0], [frame]) });
const plain = object({ ...image, '(0020,0013)': 9 }, { pixelData: native('OB', Buffer.from([1, 2, 3, 4])) });
const pixelsIn = (dataset: Buffer): number[] => [...readElements(dataset, 0, explicitLittleEndian, () => false).dataset.get(0x7fe00010)!.bytes];
const firstPixelFirst = (images: readonly number[][]): number[][] => images.toSorted(([one = 0], [other = 0]) => one - other);

let gateway: TestGateway;
const lastText = (interaction: string): Promise<string> => eventually(async () => (await gateway.db.asOwner<{ answer_text: string | null; answer_code: string | null }>('SELECT answer_text, answer_code FROM sync_logs WHERE interaction LIKE $1 ORDER BY started_at DESC LIMIT 1', [`${interaction}%`]))
  .filter((row) => row.answer_code !== null).map((row) => row.answer_text ?? '')[0]);
async function destination(accepts: (uid: string) => boolean): Promise<{ datasets: Buffer[]; close(): Promise<void> }> {
  const acceptor = await startAcceptor({ accepts });
  await gateway.db.asOwner(`UPDATE external_integrations SET settings = $1 WHERE name = 'Archive'`, [JSON.stringify({ called_ae_title: 'MEDSCAN', allow_retrieve: true, destination: acceptor.destination })]);
  await gateway.integrations.reload();
  expect(gateway.integrations.problems()).toEqual([]);
  return acceptor;
}
const move = (): Promise<unknown> => run('movescu', ['-S', '-aec', 'MEDSCAN', '-aet', 'READER', '-aem', 'PACS', '-k', 'QueryRetrieveLevel=STUDY', '-k', `StudyInstanceUID=${study}`, '127.0.0.1', String(gateway.ports.dicom)]).catch(() => undefined);

beforeAll(async () => {
  gateway = await testGateway({ MEDSCAN_ROLES: 'gateway,api' });
  await insertIntegration(gateway.db, 'Hospital', 'VNA', 'dicomweb');
  await insertIntegration(gateway.db, 'Hospital', 'Archive', 'dicom-dimse');
  await gateway.db.asOwner(`UPDATE external_integrations SET settings = '{"allow_retrieve": true}' WHERE name = 'Archive'`);
  await gateway.integrations.reload();
  const { token } = await createApiToken(gateway.db.database, { organizationName: 'Hospital', role: 'service', name: 'sender' });
  expect((await new DicomwebTestClient(gateway.ports.http!, token).store([compressed.file, plain.file])).status).toBe(200);
});
afterAll(() => gateway?.stop());

describe.skipIf(!isInstalled)('C-GET by a requestor that proposes uncompressed syntaxes', () => {
  test('gives it the decompressed image, and says so on record', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'medscan-get-'));
    try {
      await run('getscu', ['-S', '-aec', 'MEDSCAN', '-aet', 'READER', '-od', directory, '+B', '-k', 'QueryRetrieveLevel=STUDY', '-k', `StudyInstanceUID=${study}`, '127.0.0.1', String(gateway.ports.dicom)]);
      const got = new Map(readdirSync(directory).map((name) => takeApart(readFileSync(path.join(directory, name)))!).map((one) => [one.sopInstanceUid, one]));
      expect(got.size).toBe(2);
      expect(pixelsIn(got.get(compressed.sopInstanceUid)!.dataset)).toEqual([11, 12, 13, 14]);
      expect(got.get(plain.sopInstanceUid)!.dataset.equals(plain.dataset)).toBe(true);
      expect(await lastText('C-GET')).toContain(`converted from transfer syntax ${rle}`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe.skipIf(!isInstalled)('C-MOVE', () => {
  test('leaves the image as it is stored where the destination takes that', async () => {
    const acceptor = await destination(() => true);
    await move();
    expect(acceptor.datasets.map((dataset) => dataset.toString('hex')).toSorted()).toEqual([compressed, plain].map(({ dataset }) => dataset.toString('hex')).toSorted());
    expect(await lastText('C-MOVE')).toBe('');
    await acceptor.close();
  });

  test('decompresses it for a destination that takes Explicit VR only', async () => {
    const acceptor = await destination((uid) => uid === explicit);
    await move();
    expect(firstPixelFirst(acceptor.datasets.map(pixelsIn))).toEqual([[1, 2, 3, 4], [11, 12, 13, 14]]);
    expect(await lastText('C-MOVE')).toContain(`converted from transfer syntax ${rle} to ${explicit}`);
    await acceptor.close();
  });

  test('writes both in Implicit VR for a destination that takes nothing else', async () => {
    const acceptor = await destination((uid) => uid === implicit);
    await move();
    expect(acceptor.datasets).toHaveLength(2);
    expect(firstPixelFirst(acceptor.datasets.map((dataset) => [...readElements(dataset, 0, { explicitVr: false, littleEndian: true }, () => false).dataset.get(0x7fe00010)!.bytes]))).toEqual([[1, 2, 3, 4], [11, 12, 13, 14]]);
    await acceptor.close();
  });

  test('sends nothing to a destination that takes neither, and says why', async () => {
    const acceptor = await destination((uid) => uid === '1.2.840.10008.1.2.4.90');
    await move();
    expect(acceptor.datasets).toEqual([]);
    expect(await lastText('C-MOVE')).toContain('uncompressed');
    await acceptor.close();
  });
});
