/** Reports by STOW-RS: to a gateway, which stores them; and to servers that answer in every way a server can. */
import { gzipSync } from 'node:zlib';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import type { AdapterContext, Delivery } from '#gateway/adapter.ts';
import { readHeader } from '#standards/dicom/header.ts';
import { sampleReport } from '#standards/dicom/test/sample-report.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { testGateway } from '../../test/support/gateway.ts';
import { insertIntegration } from '../../test/support/pipeline.ts';
import { findStudies } from './client/find.ts';
import { configSchema, type Config } from './config.ts';
import { deliver } from './deliver-stow.ts';
import { testConnection } from './test-connection.ts';
import { partsOf } from './testing/client.ts';

const quiet = (): void => undefined;
const context: AdapterContext = {
  log: { debug: quiet, info: quiet, warn: quiet, error: quiet }, signal: new AbortController().signal, now: () => new Date('2026-11-22T12:00:00Z'),
  store: () => Promise.reject(new Error('nothing is stored')), authenticate: () => Promise.resolve(undefined),
};
const delivery: Delivery = { deliveryId: 'd', organizationId: 'o', controlId: 'control-1', attempt: 1, document: sampleReport() };

let server: Server | undefined;
afterEach(() => { server?.closeAllConnections(); server?.close(); });
async function serve(listener: RequestListener, more: Partial<Config> = {}): Promise<Config> {
  server = createServer(listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => { server!.once('listening', resolve); });
  return configSchema.parse({ base_url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/dicom-web`, ...more }) as Config;
}
const reply = (status: number, body = '', headers: Record<string, string> = {}): RequestListener => (request, response) => { request.resume().once('end', () => { response.writeHead(status, { 'content-type': 'application/dicom+json', ...headers }).end(body); }); };
const storedAs = (padding: string): RequestListener => (request, response) => {
  void buffer(request).then((bytes) => {
    const [part] = partsOf({ headers: new Headers({ 'content-type': request.headers['content-type']! }), body: bytes });
    response.writeHead(200, { 'content-type': 'application/dicom+json' }).end(JSON.stringify({ '00081199': { vr: 'SQ', Value: [{ '00081155': { vr: 'UI', Value: [`${readHeader(part!.bytes).part10.sopInstanceUid}${padding}`] } }] } }));
  });
};
/** The Failed SOP Sequence for the instance that was sent. */
const failedAs = (status: number, reason: number): RequestListener => (request, response) => {
  void buffer(request).then((bytes) => {
    const [part] = partsOf({ headers: new Headers({ 'content-type': request.headers['content-type']! }), body: bytes });
    const uid = readHeader(part!.bytes).part10.sopInstanceUid;
    response.writeHead(status, { 'content-type': 'application/dicom+json' }).end(JSON.stringify({ '00081198': { vr: 'SQ', Value: [{ '00081155': { vr: 'UI', Value: [uid] }, '00081197': { vr: 'US', Value: [reason] } }] } }));
  });
};

test('sends each form that is wanted as an object of its own; one that is refused does not keep the others', async () => {
  let count = 0;
  const config = await serve((request, response) => { count += 1; const answer = count === 2 ? failedAs(409, 0x0122) : storedAs(''); answer(request, response); }, { results: ['structured-report', 'encapsulated-pdf', 'secondary-capture'] });
  const images = { render: () => Promise.resolve({ bytes: Buffer.alloc(12), rows: 2, columns: 2, samplesPerPixel: 3 as const, numberOfFrames: 1 }), decompress: () => Promise.reject(new Error('not wanted')) };
  const outcome = await deliver({ ...delivery, image: (sopInstanceUid) => Promise.resolve({ sopInstanceUid, transferSyntaxUid: '1.2.840.10008.1.2.1' } as never) }, config, { ...context, images });
  expect(outcome).toMatchObject({ kind: 'refused', text: expect.stringMatching(/^encapsulated-pdf: /), facts: { objects: [{ kind: 'structured-report', outcome: 'delivered' }, { kind: 'encapsulated-pdf', outcome: 'refused' }, { kind: 'secondary-capture', outcome: 'delivered' }, { kind: 'secondary-capture', outcome: 'delivered' }] } });
});

describe('to a gateway', () => {
  test('is stored as the same object again and again, and the connection test passes', async () => {
    const gateway = await testGateway({ MEDSCAN_ROLES: 'gateway,api' });
    try {
      await insertIntegration(gateway.db, 'Receiving Hospital', 'AI', 'dicomweb');
      await gateway.db.asOwner(`UPDATE external_integrations SET settings = '{"allow_query": true}'`);
      await gateway.integrations.reload();
      const { token } = await createApiToken(gateway.db.database, { organizationName: 'Receiving Hospital', role: 'service', name: 'sender' });
      const config = configSchema.parse({ base_url: `http://127.0.0.1:${gateway.ports.http}/dicom-web/`, authentication: 'bearer', bearer_token: token }) as Config;
      expect(await testConnection(config, context)).toMatchObject({ ok: true, steps: [{ step: 'TCP', ok: true }, { step: 'login', ok: true, detail: 'the server lets us in; logged in by a token' }, { step: 'QIDO-RS', ok: true, detail: expect.stringContaining('answers searches') }] });
      for (const attempt of [1, 2]) expect(await deliver({ ...delivery, attempt }, config, context)).toMatchObject({ kind: 'delivered', answerCode: '200', interaction: 'STOW-RS', peer: `http://127.0.0.1:${gateway.ports.http}/dicom-web/studies` });
      const rows = await gateway.db.asOwner<{ study_instance_uid: string; modality: string }>('SELECT s.study_instance_uid, f.modality FROM scan_files f JOIN scans s USING (organization_id, scan_id)');
      expect(rows).toEqual([{ study_instance_uid: sampleReport().scan.studyInstanceUid, modality: 'SR' }]);
      expect(await deliver(delivery, { ...config, bearer_token: 'wrong' }, context)).toMatchObject({ kind: 'refused', answerCode: '401', text: expect.stringContaining('login') });
      expect(await testConnection({ ...config, bearer_token: 'wrong' }, context)).toMatchObject({ ok: false, steps: [{ ok: true }, { ok: false, advice: expect.stringContaining('token') }] });
    } finally {
      await gateway.stop();
    }
  });
});

test('a client certificate that is none breaks nothing: reports wait, and the connection test and questions say so', async () => {
  const { base_url: plain } = await serve((request, response) => { request.resume(); response.end(); });
  const config = configSchema.parse({ base_url: plain!.replace('http:', 'https:'), tls_certificate: 'no PEM', tls_key: 'no PEM' }) as Config;
  expect(await testConnection(config, context)).toMatchObject({ ok: false, steps: [{ step: 'settings', ok: false, advice: expect.stringContaining('PEM') }] });
  expect(await deliver(delivery, config, context)).toMatchObject({ kind: 'unreachable', text: expect.stringContaining('the settings cannot be used') });
  expect(await findStudies({ patientId: 'x', describeSeries: 0 }, { integrationId: 'i', organizationId: 'o', name: 'n', config }, context)).toMatchObject({ kind: 'refused', answerCode: 'settings' });
});

describe('what an answer means', () => {
  test.each<[string, RequestListener, Record<string, unknown>]>([
    ['200 without a body, and nothing to be found', reply(200), { kind: 'unconfirmed', text: expect.stringContaining('does not find the object') }],
    ['a login page for everything', reply(200, '<html>', { 'content-type': 'text/html' }), { kind: 'refused', text: expect.stringContaining('trust_store_status') }],
    ['200 that names nothing as stored, as Orthanc for a part it passes over', reply(200, '{"00080005":{"vr":"CS","Value":["ISO_IR 100"]},"00081198":{"vr":"SQ"},"00081199":{"vr":"SQ"}}'), { kind: 'refused', answerCode: '200', text: expect.stringContaining('not among those') }],
    ['200 that names another instance as stored', reply(200, '{"00081199":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["1.2.3"]}}]}}'), { kind: 'refused', answerCode: '200' }],
    ['503 from a proxy that compresses unasked', (request, response) => { request.resume().once('end', () => { response.writeHead(503, { 'content-type': 'text/html', 'content-encoding': 'gzip', 'retry-after': '7' }).end(gzipSync('<html>away</html>')); }); }, { kind: 'unreachable', retryAfterMilliseconds: 7_000 }],
    ['200 compressed unasked, and a failure in it', (request, response) => { request.resume().once('end', () => { response.writeHead(200, { 'content-type': 'application/dicom+json', 'content-encoding': 'gzip' }).end(gzipSync('{"00081198":{"vr":"SQ","Value":[{"00081197":{"vr":"US","Value":[290]}}]}}')); }); }, { kind: 'refused', answerCode: '200 0122' }],
    ['200 compressed unasked, without a word', (request, response) => { request.resume().once('end', () => { response.writeHead(200, request.method === 'POST' ? { 'content-encoding': 'gzip' } : {}).end(request.method === 'POST' ? gzipSync('') : ''); }); }, { kind: 'unconfirmed' }],
    ['200 with a bomb', (request, response) => { request.resume().once('end', () => { response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(50_000_000))); }); }, { kind: 'refused', answerCode: 'compressed' }],
    ['200 that names it with the padding of a UID', storedAs('\0'), { kind: 'delivered', answerCode: '200' }],
    ['200 in XML that names nothing, in empty sequences', reply(200, '<NativeDicomModel><DicomAttribute tag="00081198" vr="SQ" keyword="FailedSOPSequence" /><DicomAttribute tag="00081199" vr="SQ" /></NativeDicomModel>', { 'content-type': 'application/dicom+xml' }), { kind: 'refused', answerCode: '200', text: expect.stringContaining('not among those') }],
    ['200 in XML with the instance as failed', reply(200, '<NativeDicomModel><DicomAttribute tag="00081198" vr="SQ"><Item number="1"><DicomAttribute tag="00081197" vr="US"><Value number="1">43264</Value></DicomAttribute></Item></DicomAttribute></NativeDicomModel>', { 'content-type': 'application/dicom+xml' }), { kind: 'refused', answerCode: '200 A900' }],
    ['200 with the instance as failed', failedAs(200, 0xa900), { kind: 'refused', answerCode: '200 A900', text: expect.stringContaining('A900') }],
    ['202 with the instance as failed', failedAs(202, 0x0122), { kind: 'refused', answerCode: '202 0122' }],
    ['202 that says nothing, and no search', reply(202, '{}'), { kind: 'refused', answerCode: '202' }],
    ['409 with a reason', failedAs(409, 0xc122), { kind: 'refused', answerCode: '409 C122', text: expect.stringContaining('transfer syntax') }],
    ['409 because it is there already', failedAs(409, 0x0111), { kind: 'delivered', answerCode: '409 0111' }],
    ['409 out of resources', failedAs(409, 0xa700), { kind: 'unreachable' }],
    ['409 without a word', reply(409), { kind: 'refused', answerCode: '409' }],
    ['301', reply(301, '', { location: 'http://127.0.0.1:1/' }), { kind: 'refused', answerCode: '301', text: expect.stringContaining('redirects are not followed') }],
    ['403', reply(403), { kind: 'refused', answerCode: '403' }],
    ['429 with Retry-After', reply(429, '', { 'retry-after': '7' }), { kind: 'unreachable', retryAfterMilliseconds: 7000 }],
    ['503', reply(503), { kind: 'unreachable' }],
    ['500', reply(500, 'not json'), { kind: 'unreachable' }],
    ['a cut connection', (request) => { request.once('data', () => request.socket.destroy()); }, { kind: 'unconfirmed' }],
    ['an endless answer', (_request, response) => { response.writeHead(200); const more = (): void => { if (!response.destroyed && response.write(Buffer.alloc(65_536))) setImmediate(more); else response.once('drain', more); }; more(); }, { kind: 'refused', text: expect.stringContaining('maximum_answer_bytes') }],
  ])('%s', async (_what, listener, expected) => {
    expect(await deliver(delivery, await serve(listener), context)).toMatchObject(expected);
  });

  const found = (request: { url?: string | undefined }, tag = '00080018'): string => `[{"${tag}":{"vr":"UI","Value":["${new URL(request.url ?? '', 'http://x').searchParams.get('00080018') ?? request.url?.split('/').at(-2)}"]}}]`;
  const json = { 'content-type': 'application/dicom+json' };
  /** Says 200 to a store and nothing more, and to a question what the test says. */
  const saysLittle = (answer: RequestListener): RequestListener => (request, response) => { if (request.method === 'POST') reply(200)(request, response); else answer(request, response); };
  test.each<[string, RequestListener, Record<string, unknown>, string | undefined]>([
    ['finds it', (request, response) => { response.writeHead(200, json).end(found(request)); }, { kind: 'delivered', answerCode: '200' }, 'QIDO-RS'],
    ['finds another one, whatever is asked', (_, response) => { response.writeHead(200, json).end('[{"00080018":{"vr":"UI","Value":["1.2.3"]}}]'); }, { kind: 'unconfirmed' }, undefined],
    ['offers no searches, and has its metadata', (request, response) => { if (request.url!.endsWith('/metadata')) response.writeHead(200, json).end(found(request)); else response.writeHead(501).end(); }, { kind: 'delivered' }, 'WADO-RS'],
    ['offers neither', (_, response) => { response.writeHead(404).end(); }, { kind: 'refused', answerCode: '200', text: expect.stringMatching(/PS3\.18 10\.5\.3.*trust_store_status/) }, undefined],
    ['lets us not search', (_, response) => { response.writeHead(403).end(); }, { kind: 'refused', text: expect.stringContaining('our login may not do this') }, undefined],
    ['is busy', (_, response) => { response.writeHead(503).end(); }, { kind: 'unconfirmed', text: expect.stringContaining('cannot be asked now') }, undefined],
    ['breaks off', (request) => { request.socket.destroy(); }, { kind: 'unconfirmed' }, undefined],
  ])('of a server that answers 200 with an empty body and, asked whether it is there, %s', async (_what, listener, expected, seenBy) => {
    const outcome = await deliver(delivery, await serve(saysLittle(listener)), context);
    expect(outcome).toMatchObject(expected);
    expect((outcome.facts as { objects: { seen_by?: string }[] }).objects[0]?.seen_by).toBe(seenBy);
  });

  test('the status alone counts where the setting says so, and only of a server that cannot be asked', async () => {
    const config = await serve(saysLittle(reply(404)), { trust_store_status: true });
    expect(await deliver(delivery, config, context)).toMatchObject({ kind: 'delivered', facts: { objects: [{ seen_by: 'status' }] } });
    server!.close();
    expect(await deliver(delivery, await serve(saysLittle(reply(200, '[]')), { trust_store_status: true }), context)).toMatchObject({ kind: 'unconfirmed' });
  });

  test('silence is unconfirmed, after the time of the settings', async () => {
    expect(await deliver(delivery, await serve((request) => { request.resume(); }, { request_timeout_milliseconds: 200 }), context)).toMatchObject({ kind: 'unconfirmed', text: expect.stringContaining('no answer within') });
  });

  test('nobody there is unreachable, and the connection test says what to check', async () => {
    const config = await serve(reply(200));
    await new Promise((resolve) => { server!.close(resolve); });
    expect(await deliver(delivery, config, context)).toMatchObject({ kind: 'unreachable', text: expect.stringContaining('ECONNREFUSED') });
    expect(await testConnection(config, context)).toMatchObject({ ok: false, steps: [{ step: 'TCP', ok: false, advice: expect.stringContaining('firewall') }] });
  });

  test('a login is sent as configured, and to nobody else', async () => {
    const seen: (string | undefined)[] = [];
    const config = await serve((request, response) => { seen.push(request.headers.authorization); reply(302, '', { location: '/elsewhere' })(request, response); }, { authentication: 'basic', username: 'ai', password: 'gehéim' });
    await deliver(delivery, config, context);
    expect(seen).toEqual([`Basic ${Buffer.from('ai:gehéim').toString('base64')}`]);
  });

  test('a web server that is no DICOMweb service is told from one', async () => {
    expect(await testConnection(await serve(reply(200, '<html>', { 'content-type': 'text/html' })), context)).toMatchObject({ ok: false, steps: [{ ok: true }, { ok: true }, { step: 'QIDO-RS', ok: false, detail: expect.stringContaining('text/html') }] });
  });

  test('without base_url it is refused with advice', async () => {
    expect(await deliver(delivery, configSchema.parse({}) as Config, context)).toMatchObject({ kind: 'refused', text: expect.stringContaining('base_url') });
  });
});
