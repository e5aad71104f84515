import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { Delivery } from '#gateway/adapter.ts';
import { parsePart10Head } from '#standards/dicom/part10.ts';
import { readHeader } from '#standards/dicom/header.ts';
import { dicomReader } from '#standards/dicom/reader.ts';
import { sampleReport } from '#standards/dicom/test/sample-report.ts';
import adapter from './adapter.ts';
import type { Config } from './config.ts';
import { configSchema } from './config.ts';
import type { AcceptorScript, ScriptedAcceptor } from './testing/acceptor.ts';
import { startAcceptor } from './testing/acceptor.ts';
import { testContext } from './testing/gateway.ts';
import { explicitLittleEndian, implicitLittleEndian, pdu } from './testing/peer.ts';

let acceptor: ScriptedAcceptor | undefined;
afterEach(async () => { await acceptor?.close(); acceptor = undefined; });
const context = testContext('/nonexistent');
const delivery: Delivery = { deliveryId: 'delivery-1', organizationId: 'organization-1', controlId: 'control-1', attempt: 1, document: sampleReport() };
const start = async (script?: AcceptorScript): Promise<Config> => {
  acceptor = await startAcceptor(script);
  return { ...configSchema.parse({}), destination: acceptor.destination };
};
const deliver = (config: Config) => adapter.outbound!.deliver(delivery, config, context);

test('delivers a structured report and tells what was sent', async () => {
  const outcome = await deliver(await start());
  expect(outcome).toMatchObject({ kind: 'delivered', answerCode: '0000', interaction: 'C-STORE', sentType: 'application/dicom' });
  const head = parsePart10Head(outcome.sent!);
  expect(outcome.sent!.subarray(head.datasetOffset).equals(acceptor!.datasets[0]!)).toBe(true);
  expect(acceptor!.sopInstanceUids).toEqual([head.sopInstanceUid]);
  expect(acceptor!.proposed[0]).toMatchObject({ calledAeTitle: 'PACS', callingAeTitle: 'MEDSCAN' });
});

test.each([
  ['ISO_IR 100', { familyName: 'Müller', givenName: 'Jörg' }, 'ISO_IR 100', 'Müller^Jörg'], ['ISO_IR 100', { familyName: 'Dvořák', givenName: 'Jan' }, 'ISO_IR 192', 'Dvořák^Jan'], [undefined, { familyName: 'Müller', givenName: 'Jörg' }, 'ISO_IR 192', 'Müller^Jörg'],
] as const)('with character_set %s the name %o is written in %s: in the set of the setting as far as that has every letter', async (set, name, written, expected) => {
  const config = { ...await start(), character_set: set, results: ['structured-report', 'encapsulated-pdf'] as const };
  const { ideographicName: _ideographic, phoneticName: _phonetic, ...patient } = delivery.document.patient;
  const document = { ...delivery.document, patient: { ...patient, ...name } };
  expect(await adapter.outbound!.deliver({ ...delivery, document }, { ...config, results: [...config.results] }, context)).toMatchObject({ kind: 'delivered' });
  expect(acceptor!.datasets.map((dataset) => dicomReader(dataset)).map((reader) => [reader.first('(0008,0005)'), reader.first('(0010,0010)')])).toEqual([[written, expected], [written, expected]]);
});

test('sends the same object again for the same control id', async () => {
  const config = await start();
  await deliver(config);
  await deliver(config);
  expect(acceptor!.sopInstanceUids[0]).toBe(acceptor!.sopInstanceUids[1]);
  expect(acceptor!.datasets[0]!.equals(acceptor!.datasets[1]!)).toBe(true);
});

test('sends Implicit VR to a receiver that accepts nothing else, with the same elements', async () => {
  const outcome = await deliver(await start({ accepts: (uid) => uid === implicitLittleEndian }));
  expect(outcome.kind).toBe('delivered');
  const sent = readHeader(acceptor!.datasets[0]!, implicitLittleEndian), built = readHeader(outcome.sent!);
  expect(sent.complete).toBe(true);
  expect([...sent.dataset.keys()]).toEqual([...built.dataset.keys()]);
  expect(sent.dataset.get(0x0020000d)?.bytes.equals(built.dataset.get(0x0020000d)!.bytes)).toBe(true);
});

const picture = { bytes: Buffer.alloc(12), rows: 2, columns: 2, samplesPerPixel: 3, numberOfFrames: 1 } as const;
const drawn: Delivery = { ...delivery, image: (sopInstanceUid) => Promise.resolve({ sopInstanceUid, transferSyntaxUid: explicitLittleEndian } as never) };
const allForms = (config: Config): Config => ({ ...config, results: ['structured-report', 'encapsulated-pdf', 'secondary-capture'] });
const drawing = { ...context, images: { render: () => Promise.resolve(picture), decompress: () => Promise.reject(new Error('not wanted')) } };

test('delivers the report as PDF and pictures too where the integration wants them, and says so on record', async () => {
  const config = allForms(await start());
  const outcome = await adapter.outbound!.deliver(drawn, config, drawing);
  expect(outcome).toMatchObject({ kind: 'delivered', answerCode: '0000', facts: { objects: [
    { kind: 'structured-report', outcome: 'delivered', status: '0000', transfer_syntax_uid: explicitLittleEndian }, { kind: 'encapsulated-pdf', outcome: 'delivered' }, { kind: 'secondary-capture', outcome: 'delivered' }, { kind: 'secondary-capture', outcome: 'delivered' },
  ] } });
  expect(new Set(acceptor!.sopInstanceUids).size).toBe(4);
  await adapter.outbound!.deliver({ ...drawn, attempt: 2 }, config, drawing);
  expect(acceptor!.sopInstanceUids.slice(4)).toEqual(acceptor!.sopInstanceUids.slice(0, 4));
});

test('a form that the receiver refuses does not keep the others from it, and the outcome names it', async () => {
  let count = 0;
  const config = allForms(await start({ onMessage: () => ({ status: (count += 1) === 2 ? 0x0122 : 0 }) }));
  expect(await adapter.outbound!.deliver(drawn, config, drawing)).toMatchObject({ kind: 'refused', answerCode: '0122', text: expect.stringMatching(/^encapsulated-pdf: 0122/) });
  expect(acceptor!.datasets).toHaveLength(4);
});

test('a receiver that says "later" gets none of what would follow until it is asked again', async () => {
  let count = 0;
  const config = allForms(await start({ onMessage: () => ({ status: (count += 1) === 2 ? 0xa700 : 0 }) }));
  expect(await adapter.outbound!.deliver(drawn, config, drawing)).toMatchObject({ kind: 'unreachable' });
  expect(acceptor!.datasets).toHaveLength(2);
});

test('pictures alone are no setting: they would not say that nothing was found', () => {
  expect(configSchema.safeParse({ results: ['secondary-capture'] }).success).toBe(false);
  expect(configSchema.parse({}).results).toEqual(['structured-report']);
});

test('splits the object into PDUs that the receiver takes', async () => {
  const outcome = await deliver(await start({ maximumLength: 1024 }));
  expect(outcome.kind).toBe('delivered');
  expect(outcome.sent!.subarray(parsePart10Head(outcome.sent!).datasetOffset).equals(acceptor!.datasets[0]!)).toBe(true);
});

test.each([
  [0x0000, 'delivered'], [0xb000, 'delivered'], [0xb007, 'delivered'], [0xa700, 'unreachable'], [0xa701, 'unreachable'],
  [0xa900, 'refused'], [0xc000, 'refused'], [0x0122, 'refused'], [0x0124, 'refused'], [0x0111, 'refused'],
])('takes status %i as %s', async (status, kind) => {
  expect(await deliver(await start({ onMessage: () => ({ status, errorComment: 'because' }) }))).toMatchObject({ kind });
});

test("the receiver's comment on a refusal is kept as its answer and told nowhere else", async () => {
  const outcome = await deliver(await start({ onMessage: () => ({ status: 0xc000, errorComment: 'Patient Zaphod Beeblebrox born 1942-03-11 is unknown' }) }));
  expect(outcome).toMatchObject({ kind: 'refused', answerCode: 'C000', text: expect.stringMatching(/^C000 Error: cannot understand\. The receiver could not read/) });
  expect(outcome.answer?.toString()).toBe('Patient Zaphod Beeblebrox born 1942-03-11 is unknown');
});

const reject = (result: number, source: number, reason: number) => (): Buffer => pdu(3, Buffer.from([0, result, source, reason]));
test('is refused by a permanent rejection and unreachable by a transient one, with advice', async () => {
  expect(await deliver(await start({ onAssociate: reject(1, 1, 3) }))).toMatchObject({ kind: 'refused', answerCode: 'A-ASSOCIATE-RJ 1/1/3', text: expect.stringContaining('AE list of the receiver') });
  await acceptor!.close();
  expect(await deliver(await start({ onAssociate: reject(2, 3, 1) }))).toMatchObject({ kind: 'unreachable' });
});

test('is refused when the receiver accepts the association but no context: nothing is sent silently', async () => {
  expect(await deliver(await start({ accepts: () => false }))).toMatchObject({ kind: 'refused', answerCode: 'A-ASSOCIATE-AC result 3' });
  expect(acceptor!.datasets).toEqual([]);
});

test('is unconfirmed when the receiver takes the object and does not answer, aborts, or closes', async () => {
  expect(await deliver(await start({ onMessage: () => undefined }))).toMatchObject({ kind: 'unconfirmed', text: expect.stringContaining('no response within') });
  await acceptor!.close();
  expect(await deliver(await start({ onMessage: (socket) => { socket.write(pdu(7, Buffer.from([0, 0, 2, 0]))); return undefined; } }))).toMatchObject({ kind: 'unconfirmed', text: expect.stringContaining('A-ABORT') });
  await acceptor!.close();
  expect(await deliver(await start({ onMessage: (socket) => { socket.destroy(); return undefined; } }))).toMatchObject({ kind: 'unconfirmed' });
});

test('is unreachable when the receiver says nothing to the association request, or hangs up', async () => {
  expect(await deliver(await start({ onAssociate: () => undefined }))).toMatchObject({ kind: 'unreachable', text: expect.stringContaining('Nothing answers') });
  await acceptor!.close();
  expect(await deliver(await start({ onAssociate: (_request, socket) => { socket.destroy(); return undefined; } }))).toMatchObject({ kind: 'unreachable' });
});

test('does not loop for a receiver that takes PDUs of 6 bytes, nor grow for one that sends without end', async () => {
  expect(await deliver(await start({ maximumLength: 6 }))).toMatchObject({ kind: 'unreachable', text: expect.stringContaining('at most 6 bytes') });
  await acceptor!.close();
  expect(await deliver(await start({ onAssociate: (_request, socket) => {
    const header = Buffer.from([2, 0, 0x7f, 0xff, 0xff, 0xff]);
    socket.write(Buffer.concat([header, Buffer.alloc(4 * 1024 * 1024)]));
    return undefined;
  } }))).toMatchObject({ kind: 'unreachable', text: expect.stringContaining('without end') });
});

test('is unreachable where nothing listens, and refused without a destination', async () => {
  const config = await start();
  await acceptor!.close();
  expect(await deliver(config)).toMatchObject({ kind: 'unreachable', text: expect.stringContaining('Nothing listens there') });
  expect(await deliver(configSchema.parse({}))).toMatchObject({ kind: 'refused' });
});

test('stops at once when the gateway stops', async () => {
  const config = await start({ onMessage: () => undefined });
  config.destination!.response_timeout_milliseconds = 60_000;
  const stop = new AbortController();
  const outcome = adapter.outbound!.deliver(delivery, config, { ...context, signal: stop.signal });
  while (acceptor!.datasets.length === 0) await new Promise((resolve) => { setTimeout(resolve, 5); });
  stop.abort();
  expect(await outcome).toMatchObject({ kind: 'unconfirmed' });
});

test('the connection test names each step and what to do about the one that failed', async () => {
  const ok = await adapter.testConnection(await start(), context);
  expect(ok).toMatchObject({ ok: true, steps: [{ step: 'TCP', ok: true }, { step: 'A-ASSOCIATE', ok: true }, { step: 'C-ECHO', ok: true, detail: '0000 Success' }] });
  expect(ok.steps[1]!.detail).toBe('PACS answers; offered 2 services in Explicit and Implicit VR Little Endian. accepted: Verification [Explicit VR Little Endian, Implicit VR Little Endian]; Comprehensive 3D SR Storage [Explicit VR Little Endian, Implicit VR Little Endian]');
  expect(acceptor!.sopInstanceUids).toEqual([]);
  const stored = await adapter.testConnection({ ...await start() }, context, { stores: true });
  expect(stored.steps.at(-1)).toMatchObject({ step: 'C-STORE', ok: true, detail: expect.stringContaining('MEDSCAN-TEST') });
  expect(acceptor!.sopInstanceUids).toHaveLength(1);
  await acceptor!.close();
  const rejected = await adapter.testConnection(await start({ onAssociate: reject(1, 1, 7) }), context);
  expect(rejected).toMatchObject({ ok: false, steps: [{ step: 'TCP', ok: true }, { step: 'A-ASSOCIATE', ok: false, advice: expect.stringContaining('called_ae_title') }] });
  await acceptor!.close();
  const refused = await adapter.testConnection(await start({ accepts: () => false }), context);
  expect(refused).toMatchObject({ ok: false, steps: [{ ok: true }, { step: 'A-ASSOCIATE', ok: false, advice: expect.stringContaining('SOP class') }] });
  const dead = await start();
  await acceptor!.close();
  expect(await adapter.testConnection(dead, context)).toMatchObject({ ok: false, steps: [{ step: 'TCP', ok: false, advice: expect.stringContaining('Nothing listens') }] });
});

function selfSigned(): { key: Buffer; cert: Buffer } | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'dicom-tls-'));
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  try {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'], { stdio: 'ignore' });
    return { key: readFileSync(key), cert: readFileSync(cert) };
  } catch { return undefined; } finally { rmSync(directory, { recursive: true, force: true }); }
}
const certificate = selfSigned();
if (!certificate) process.stderr.write('dicom-dimse: openssl is not installed; the TLS tests are skipped\n');

test.skipIf(!certificate)('delivers over TLS to a receiver whose certificate it can check, and sends nothing to another', async () => {
  const config = await start({ tls: certificate! });
  const trusting = { ...config, destination: { ...config.destination!, tls: true, tls_ca: certificate!.cert.toString() } };
  expect(await deliver(trusting)).toMatchObject({ kind: 'delivered' });
  expect(await deliver({ ...trusting, destination: { ...config.destination!, tls: true } })).toMatchObject({ kind: 'unreachable', text: expect.stringContaining('TLS handshake failed') });
  expect(acceptor!.datasets).toHaveLength(1);
  expect(await deliver(config)).toMatchObject({ kind: 'unreachable' });
});
