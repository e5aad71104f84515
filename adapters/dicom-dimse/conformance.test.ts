/** The conformance statement equals what DCMTK observes when it proposes every SOP class and transfer syntax of the standard, and more. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { storageSopClasses } from '#standards/dicom/sop-classes.ts';
import { transferSyntaxes } from '#standards/dicom/transfer-syntaxes.ts';
import { otherStorageClasses } from './association.ts';
import type { Config } from './config.ts';
import { conformanceStatement } from './conformance.ts';
import { serviceSopClasses } from './services.ts';
import type { TestGateway } from './testing/gateway.ts';
import { integration, startGateway } from './testing/gateway.ts';
import { ctDataset, ctImageStorage, explicitLittleEndian } from './testing/peer.ts';

const isInstalled = (() => { try { execFileSync('storescu', ['--version'], { stdio: 'ignore' }); return true; } catch { return false; } })();
if (!isInstalled) process.stderr.write('dicom-dimse: DCMTK (storescu) is not installed; its conformance test is skipped\n');

let gateway: TestGateway | undefined;
const directory = mkdtempSync(join(tmpdir(), 'conformance-'));
afterEach(() => gateway?.close());
afterAll(() => { rmSync(directory, { recursive: true, force: true }); });

type Offer = readonly [abstractSyntax: string, transferSyntax: string];
const key = ([abstractSyntax, transferSyntax]: Offer): string => `${abstractSyntax} ${transferSyntax}`;

/** What storescu is answered, context by context: one association per 120 of them. */
async function observed(port: number, offers: readonly Offer[]): Promise<Map<string, string>> {
  const answers = new Map<string, string>(), object = join(directory, 'object.dcm');
  writeFileSync(object, Buffer.concat([buildPart10Header({ sopClassUid: ctImageStorage, sopInstanceUid: '1.2.3', transferSyntaxUid: explicitLittleEndian }), ctDataset('1.2.3')]));
  for (let at = 0; at < offers.length; at += 120) {
    const batch = offers.slice(at, at + 120), syntaxes = [...new Set(batch.map(([, syntax]) => syntax))];
    writeFileSync(join(directory, 'storescu.cfg'), [
      '[[TransferSyntaxes]]', ...syntaxes.flatMap((uid, index) => [`[S${index}]`, `TransferSyntax1 = ${uid}`]),
      '[[PresentationContexts]]', '[All]', ...batch.map(([uid, syntax], index) => `PresentationContext${index + 1} = ${uid}\\S${syntaxes.indexOf(syntax)}`),
      '[[Profiles]]', '[All]', 'PresentationContexts = All', '',
    ].join('\n'));
    const output = await new Promise<string>((resolve) => {
      execFile('storescu', ['-d', '-xf', join(directory, 'storescu.cfg'), 'All', '-aec', 'MEDSCAN', '127.0.0.1', String(port), object], { maxBuffer: 1 << 24 }, (_error, stdout, stderr) => { resolve(stdout + stderr); });
    });
    const accept = /BEGIN A-ASSOCIATE-AC([\s\S]*?)END A-ASSOCIATE-AC/.exec(output)?.[1];
    if (accept === undefined) throw new Error(`storescu saw no A-ASSOCIATE-AC:\n${output.slice(-2000)}`);
    for (const [, id, result = ''] of accept.matchAll(/Context ID:\s+(\d+) \(([^)]*)\)/g)) answers.set(key(batch[(Number(id) - 1) / 2]!), result);
  }
  return answers;
}

/** The statement, read back: what its tables say of a context. */
function stated(text: string, [abstractSyntax, transferSyntax]: Offer): string {
  const rows = [...text.matchAll(/^\| ([^|]+) \| ([\d.]+) \| (SCP|refused[^|]*)(?: \| ([^|]+))? \|$/gm)];
  const row = rows.find(([, , uid]) => uid === abstractSyntax);
  if (!row) {
    const other = /^Other storage classes below (\S+) are (accepted|refused)[^;]*; private SOP classes are (accepted|refused)/m.exec(text)!;
    const isPrivate = !abstractSyntax.startsWith('1.2.840.10008.');
    return (isPrivate ? other[3] : abstractSyntax.startsWith(`${other[1]!}.`) ? other[2] : 'refused')!;
  }
  const [, , , answer = '', taken = ''] = row;
  if (answer !== 'SCP') return 'refused';
  if (taken === 'all of section 4.2.1.1') return 'accepted';
  return transferSyntax === '1.2.840.10008.1.2' || transferSyntax === '1.2.840.10008.1.2.1' ? 'accepted' : 'refused';
}

const explicit = '1.2.840.10008.1.2.1', jpeg2000 = '1.2.840.10008.1.2.4.90';
const everyClass = ['1.2.840.10008.1.1', ...serviceSopClasses.keys(), ...storageSopClasses.keys(), ...otherStorageClasses.keys()];
/** Not of ours: print, unified procedure step, instance availability, media creation, substance approval, retired detached ones; and private ones. */
const others = ['1.2.840.10008.5.1.1.9', '1.2.840.10008.5.1.1.1', '1.2.840.10008.5.1.4.34.6.1', '1.2.840.10008.5.1.4.34.6.2', '1.2.840.10008.5.1.4.33', '1.2.840.10008.5.1.1.33', '1.2.840.10008.5.1.4.41', '1.2.840.10008.3.1.2.1.1', '1.2.840.10008.1.9',
  '1.2.840.10008.5.1.4.37.1', '1.2.840.10008.5.1.4.38.2', '1.2.840.113619.4.26', '1.3.12.2.1107.5.9.1', '1.2.276.0.7230010.3.4.1915765545.18030.917282194.0'];
const offers: readonly Offer[] = [
  ...everyClass.flatMap((uid): Offer[] => [[uid, explicit], [uid, jpeg2000]]), ...others.map((uid): Offer => [uid, explicit]),
  ...[...transferSyntaxes.keys()].flatMap((syntax): Offer[] => [['1.2.840.10008.1.1', syntax], [ctImageStorage, syntax], ['1.2.840.10008.5.1.4.31', syntax]]),
];

const configurations: readonly (readonly [string, Partial<Config>])[] = [
  ['as it comes', {}],
  ['everything allowed', { allow_query: true, allow_retrieve: true, allow_worklist: true }],
  ['two classes only', { sop_classes: [ctImageStorage, '1.2.840.113619.4.26'], allow_query: true }],
  ['no private classes', { accept_unknown_sop_classes: false, allow_worklist: true }],
];
test.skipIf(!isInstalled).each(configurations)('the statement of an integration with %s is what storescu observes', async (_title, config) => {
  const configured = integration(config);
  gateway = await startGateway({ integrations: [configured] });
  const text = conformanceStatement({ product: 'MedScan Gateway', version: '0.0.0', integrations: [configured] });
  const answers = await observed(gateway.port, offers);
  expect(answers.size).toBe(new Set(offers.map(key)).size);
  const differences = offers.filter((offer) => stated(text, offer) !== (answers.get(key(offer)) === 'Accepted' ? 'accepted' : 'refused')).map((offer) => `${key(offer)}: stated ${stated(text, offer)}, observed ${answers.get(key(offer))}`);
  expect(differences).toEqual([]);
});

test('the statement names AE titles, callers, limits and destinations of the running configuration, and no secret', () => {
  const text = conformanceStatement({
    product: 'MedScan Gateway', version: '1.2.3', limits: { associations: 7, idleMilliseconds: 5_000, messagePartByteLength: 32_768 },
    integrations: [
      integration({ called_ae_title: 'NORTH', calling_ae_titles: ['CT1', 'CT2'], addresses: ['10.1.0.0/16'], tls_private_key: 'SECRET', destination: { host: 'pacs.example', port: 104, called_ae_title: 'PACS' } as never }, 'b'),
      integration({ called_ae_title: 'EAST' }, 'a'),
    ],
  });
  expect(text).toMatch(/^# DICOM conformance statement: MedScan Gateway 1\.2\.3\n/);
  for (const part of ['| associations at once | 7;', '| idle | 5 s', '32768 bytes', '#### 4.2.2 EAST (a)', '#### 4.2.3 NORTH (b)', '| calling AE titles | CT1, CT2 |', '| addresses | 10.1.0.0/16 |', '| b | PACS | pacs.example:104 | MEDSCAN | no |']) expect(text).toContain(part);
  expect(text).not.toContain('SECRET');
  expect(conformanceStatement({ product: 'x', version: '1', integrations: [] })).toContain('No DICOM integration is configured');
});
