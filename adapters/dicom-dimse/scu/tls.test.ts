/**
 * Everything the gateway asks, over TLS with certificates on both sides: queries, retrieves, storage, storage commitment. Peer: Orthanc, whose own
 * associations to the gateway (C-STORE sub-operations, N-EVENT-REPORT) come over TLS too. Then what goes wrong with certificates, in words.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import type { TlsOptions } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { samplePatients } from '../../../src/simulator/sample-patients.ts';
import { writeStudy } from '../../../src/simulator/synthetic-study.ts';
import { certificateDirectory, haveOpenssl, type Authority, type Certificate } from '../../../test/support/certificates.ts';
import { smallStudy } from '../../../test/support/journey.ts';
import type { ListenerTls, Receive } from '#gateway/adapter.ts';
import { sampleReport } from '#standards/dicom/test/sample-report.ts';
import adapter from '../adapter.ts';
import type { Archive } from '../testing/archives.ts';
import { missing, startOrthanc } from '../testing/archives.ts';
import type { TestGateway } from '../testing/gateway.ts';
import { integration, startGateway, testContext } from '../testing/gateway.ts';
import { testConnection } from '../test-connection.ts';
import { commitmentAsker, queries } from './queries.ts';

const certificates = certificateDirectory();
const authority: Authority = haveOpenssl ? certificates.authority('Hospital CA') : undefined!;
const context = () => testContext('/nonexistent');
const never: Receive = async () => { throw new Error('nothing was to be received here'); };
afterAll(() => { certificates.remove(); });

/** A receiver as the settings name it. */
const source = (port: number, ca: string, own: Certificate | undefined, more: object = {}) => integration({
  destination: { host: '127.0.0.1', port, called_ae_title: 'ORTHANC', calling_ae_title: 'MEDSCAN', connect_timeout_milliseconds: 20_000, response_timeout_milliseconds: 20_000, tls: true, tls_ca: ca, ...(own ? { tls_certificate: own.cert } : {}) },
  ...(own ? { tls_private_key: own.key } : {}), ...more,
});

describe.skipIf(missing('Orthanc', 'storescu') || !haveOpenssl)('Orthanc over TLS with certificates on both sides', () => {
  const study = haveOpenssl ? smallStudy({ patient: samplePatients.plain, accessionNumber: 'TLS-1', studyAt: new Date('2025-05-02T10:00:00Z') }) : undefined!;
  let archive: Archive & { readonly http: string }, gateway: TestGateway, directory: string, own: Certificate, config: ReturnType<typeof source>;
  const told = Promise.withResolvers<string>();
  beforeAll(async () => {
    own = authority.sign('gateway');
    const server = authority.sign('orthanc.hospital.example');
    const tls: ListenerTls = { createServer: (options, onConnection) => createTlsServer({ ...options, cert: own.cert, key: own.key, ca: authority.cert, requestCert: true, rejectUnauthorized: true } as TlsOptions, onConnection) };
    gateway = await startGateway({ tls, integrations: [integration({ tls_subjects: ['orthanc.hospital.example'] })], ports: { confirmations: { told: async ({ transactionUid }) => { told.resolve(transactionUid); return 'accepted'; } } } });
    archive = await startOrthanc({ aeTitle: 'MEDSCAN', port: gateway.port }, 'ORTHANC', { ...server, caFile: authority.certificateFile });
    directory = mkdtempSync(join(tmpdir(), 'tls-studies-'));
    await archive.store(...await writeStudy(study, join(directory, 'study')));
    config = source(archive.port, authority.cert, own);
  });
  afterAll(async () => {
    await archive?.stop();
    await gateway?.close();
    if (directory) rmSync(directory, { recursive: true, force: true });
  });

  test('the connection test shows TLS and every service of the settings', async () => {
    const wants = source(archive.port, authority.cert, own, { priors: {}, completeness: {}, storage_commitment: {} });
    const { ok, steps } = await testConnection(wants.config, context(), { stores: true });
    expect(steps.map(({ step }) => step)).toEqual(['TCP', 'TLS', 'A-ASSOCIATE', 'C-ECHO', 'C-STORE', 'C-FIND', 'C-MOVE']);
    expect(ok, JSON.stringify(steps)).toBe(true);
    expect(steps[1]!.detail).toMatch(/^TLSv1\.[23], .*; certificate of orthanc\.hospital\.example, valid to /);
  });

  test('finds, counts and fetches: C-FIND, C-GET, and C-MOVE whose images come over TLS', async () => {
    const asked = { studyInstanceUid: study.studyInstanceUid, patientId: samplePatients.plain.patientId };
    expect(await queries.findStudies({ patientId: asked.patientId, to: '20260101', describeSeries: 1 }, config, context())).toMatchObject({ kind: 'answered', count: 1 });
    expect(await queries.countInstances({ ...asked, byName: true }, config, context())).toMatchObject({ kind: 'answered', value: { numberOfInstances: 8 } });
    expect(await queries.retrieve(asked, config, never, context())).toMatchObject({ kind: 'answered', interaction: 'C-MOVE', value: { completed: 8, failed: 0 } });
    expect(gateway.received.map(({ message }) => message.controlId).toSorted()).toEqual(study.objects.map(({ sopInstanceUid }) => sopInstanceUid).toSorted());
    expect(gateway.received[0]!.message).toMatchObject({ peer: { tlsSubject: 'orthanc.hospital.example' }, facts: { retrieved: 'C-MOVE' } });
    const got: string[] = [];
    const receive: Receive = async (message) => { got.push(message.controlId); return { kind: 'accepted', links: {}, exchangeId: undefined, answered() { /* nobody looks */ } }; };
    expect(await queries.retrieve(asked, source(archive.port, authority.cert, own, { retrieve_by: 'C-GET' }), receive, testContext(gateway.directory))).toMatchObject({ kind: 'answered', value: { completed: 8, failed: 0, byReceive: true } });
    expect(got).toHaveLength(8);
  });

  test('stores a report and has it committed to: Orthanc calls back over TLS', async () => {
    const delivered = await adapter.outbound!.deliver({ deliveryId: 'delivery-tls', organizationId: 'organization-1', controlId: 'control-tls', attempt: 1, document: sampleReport() }, source(archive.port, authority.cert, own, { storage_commitment: { wait_seconds: 0 } }).config, context());
    expect(delivered).toMatchObject({ kind: 'delivered', answerCode: '0000' });
    expect(delivered.uncommitted).toHaveLength(1);
    const transactionUid = '2.25.77001';
    expect(await commitmentAsker.ask(transactionUid, delivered.uncommitted!, source(archive.port, authority.cert, own, { storage_commitment: { wait_seconds: 0 } }), context())).toMatchObject({ kind: 'answered', answerCode: '0000' });
    expect(await told.promise).toBe(transactionUid);
  });

  test('who has no certificate, or one of another CA, hears so and is told what to set', async () => {
    const stranger = certificates.authority('Other CA').sign('gateway');
    for (const certificate of [undefined, stranger]) {
      const { ok, steps } = await testConnection(source(archive.port, authority.cert, certificate).config, context());
      expect(ok).toBe(false);
      // In TLS 1.3 the receiver says no after the client's handshake is done: the step after it fails.
      expect(['TLS', 'A-ASSOCIATE']).toContain(steps.at(-1)!.step);
      expect(steps.at(-1)!.advice).toMatch(/TLS|tls_certificate/);
      expect(await queries.findStudies({ patientId: 'x', describeSeries: 0 }, source(archive.port, authority.cert, certificate), context())).toMatchObject({ kind: 'unreachable' });
    }
  });
});

describe.skipIf(!haveOpenssl)('what goes wrong with certificates is said in words, with what to do', () => {
  const servers: Server[] = [];
  afterAll(() => { for (const server of servers) server.close(); });
  const listening = async (server: Server): Promise<number> => {
    servers.push(server);
    server.on('connection', (socket) => { socket.on('error', () => { /* the other side hangs up */ }); });
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    return (server.address() as AddressInfo).port;
  };
  const tlsServer = (options: TlsOptions): Promise<number> => {
    const server = createTlsServer(options, (socket) => { socket.on('error', () => { /* the other side hangs up */ }); });
    server.on('tlsClientError', () => { /* expected */ });
    return listening(server);
  };
  const failing = async (port: number, ca = authority.cert, own?: Certificate) => {
    const wanted = source(port, ca, own), asked = wanted.config;
    const { steps } = await testConnection(asked, context());
    const outcome = await queries.findStudies({ patientId: 'x', describeSeries: 0 }, wanted, context());
    const delivered = await adapter.outbound!.deliver({ deliveryId: 'd', organizationId: 'o', controlId: 'c', attempt: 1, document: sampleReport() }, asked, context());
    expect([outcome.kind, delivered.kind]).toEqual(['unreachable', 'unreachable']);
    return steps.at(-1)!;
  };

  test('expired', async () => {
    const server = authority.sign('old', 'ec', -1);
    expect(await failing(await tlsServer({ cert: server.cert, key: server.key }))).toMatchObject({ step: 'TLS', ok: false, detail: expect.stringContaining('certificate has expired'), advice: expect.stringContaining('renewed') });
  });
  test('of a CA that is not trusted, or its own', async () => {
    const server = authority.sign('pacs', 'ec'), port = await tlsServer({ cert: server.cert, key: server.key });
    expect(await failing(port, certificates.authority('Other CA').cert)).toMatchObject({ step: 'TLS', ok: false, detail: expect.stringContaining('nobody whom the gateway trusts'), advice: expect.stringContaining('tls_ca') });
    const self = certificates.authority('itself');
    expect(await failing(await tlsServer({ cert: self.cert, key: self.key }))).toMatchObject({ step: 'TLS', ok: false, detail: expect.stringContaining('nobody whom the gateway trusts') });
  });
  test('of another host', async () => {
    const wrong = authority.sign('pacs', 'ec', 2, 'DNS:other.hospital.example');
    expect(await failing(await tlsServer({ cert: wrong.cert, key: wrong.key }))).toMatchObject({ step: 'TLS', ok: false, detail: expect.stringContaining('not for this host'), advice: expect.stringContaining('destination.host') });
  });
  test('a receiver that does not speak TLS on this port', async () => {
    const plain = createServer((socket) => { socket.once('data', () => { socket.end(Buffer.from([7, 0, 0, 0, 0, 4, 0, 0, 2, 2])); }); });
    expect(await failing(await listening(plain))).toMatchObject({ step: 'TLS', ok: false, advice: expect.stringContaining('may not speak TLS on this port') });
  });
  test('settings that are no certificate and no key break nothing: each says which', async () => {
    const server = authority.sign('pacs', 'ec'), other = authority.sign('other', 'ec'), port = await tlsServer({ cert: server.cert, key: server.key });
    const { certificateFile, keyFile } = server;
    expect(readFileSync(certificateFile, 'utf8')).toBe(server.cert);
    const settings = (own: Partial<Certificate>): Certificate => ({ certificateFile, keyFile, cert: server.cert, key: server.key, ...own });
    expect((await failing(port, 'no PEM')).detail).toContain('tls_ca is not a certificate');
    expect((await failing(port, authority.cert, settings({ cert: 'no PEM' }))).detail).toContain('tls_certificate is not a certificate');
    expect((await failing(port, authority.cert, settings({ key: 'no PEM' }))).detail).toContain('tls_private_key is not a private key');
    expect((await failing(port, authority.cert, settings({ key: other.key }))).detail).toContain('not the key of tls_certificate');
    expect((await failing(port, authority.cert, settings({ key: '' }))).detail).toContain('needs its tls_private_key');
  });
});
