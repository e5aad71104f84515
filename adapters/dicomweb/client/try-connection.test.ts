/** What the connection test shows, step by step: of a server over TLS that wants a client certificate, of our own, and of those that cannot do what the settings ask. */
import { createServer } from 'node:https';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { certificateDirectory, haveOpenssl } from '../../../test/support/certificates.ts';
import { testConnection } from '../test-connection.ts';
import { asking, serve, type TestServer } from '../testing/asking.ts';
import { findStudies } from './find.ts';

let server: TestServer | undefined;
afterEach(() => { server?.close(); server = undefined; });
async function tried(listener: RequestListener, settings: Readonly<Record<string, unknown>> = { priors: {} }) {
  server = await serve(listener);
  const { integration, context } = asking({ base_url: server.url, ...settings });
  return testConnection(integration.config, context);
}
const none: RequestListener = (_, response) => { response.writeHead(200, { 'content-type': 'application/dicom+json' }).end('[]'); };
/** Searches find nothing; a retrieve is answered with this status. */
const retrieves = (status: (accept: string) => number): RequestListener => (request, response) => {
  if (request.url!.includes('?')) none(request, response);
  else response.writeHead(status(request.headers.accept!)).end();
};

describe('the connection test', () => {
  test('shows TCP, login, searches and retrieves, each in words', async () => {
    expect(await tried(retrieves(() => 404), { priors: {}, authentication: 'basic', username: 'gateway', password: 'x' })).toMatchObject({ ok: true, steps: [
      { step: 'TCP', ok: true }, { step: 'login', detail: 'the server lets us in; logged in as gateway (HTTP Basic)', advice: expect.stringContaining('unencrypted') },
      { step: 'QIDO-RS', detail: 'HTTP 200 application/dicom+json for a study that does not exist: searches are answered' },
      { step: 'WADO-RS', detail: 'asked for a study that does not exist, as objects as they are stored (transfer-syntax=*): HTTP 404: understood. Which media types it sends shows with --store' },
    ] });
  });

  test('says which login the server asks for', async () => {
    expect(await tried((_, response) => { response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(); })).toMatchObject({ ok: false, steps: [
      { ok: true }, { step: 'login', ok: false, detail: 'HTTP 401: the server does not accept our login; no login is sent', advice: expect.stringContaining('The server asks for Basic; the setting authentication is none.') },
    ] });
  });

  test('finds out a server that leaves the key out of account: it would prove nothing', async () => {
    expect(await tried((_, response) => { response.writeHead(200, { 'content-type': 'application/dicom+json' }).end('[{"0020000D":{"vr":"UI","Value":["1.2"]}}]'); }, { completeness: {} })).toMatchObject({ ok: false, steps: [
      { ok: true }, { ok: true }, { step: 'QIDO-RS', ok: false, detail: expect.stringContaining('does not match by Study Instance UID') },
    ] });
  });

  test.each<[string, (accept: string) => number, boolean, string]>([
    ['does not know transfer-syntax=*', (accept) => (accept.includes('*') ? 406 : 404), true, 'HTTP 406; then objects in a transfer syntax of the server\'s choice: HTTP 404: understood'],
    ['has no such media type', () => 406, false, 'choice: HTTP 406'],
    ['lets us search only', () => 403, false, 'HTTP 403'],
    ['has no WADO-RS', () => 501, false, 'HTTP 501'],
  ])('of a server that %s', async (_, status, ok, text) => {
    expect(await tried(retrieves(status))).toMatchObject({ ok, steps: [{ ok: true }, { ok: true }, { ok: true }, { step: 'WADO-RS', ok, detail: expect.stringContaining(text) }] });
  });

  test.skipIf(!haveOpenssl)('shows TLS and the certificate; the same certificates are those of a question', async () => {
    const certificates = certificateDirectory(), ours = certificates.authority('Ours'), own = ours.sign('archive.example'), client = ours.sign('gateway', 'ec'), stranger = certificates.authority('Stranger');
    const secure = createServer({ cert: own.cert, key: own.key, ca: ours.cert, requestCert: true, rejectUnauthorized: true }, none).listen(0, '127.0.0.1');
    try {
      await new Promise((resolve) => { secure.once('listening', resolve); });
      const settings = { base_url: `https://127.0.0.1:${(secure.address() as AddressInfo).port}/dicom-web`, tls_ca: ours.cert, tls_certificate: client.cert, tls_key: client.key };
      const known = asking(settings), unknown = asking({ ...settings, tls_certificate: undefined, tls_key: undefined }), deceived = asking({ ...settings, tls_ca: stranger.cert });
      expect(await testConnection(known.integration.config, known.context)).toMatchObject({ ok: true, steps: [{ step: 'TCP' }, { step: 'TLS', detail: expect.stringMatching(/^TLSv1\.3, \S+; certificate of archive\.example, valid to \d{4}-/) }, { step: 'login', detail: 'the server lets us in; no login is sent, with a client certificate' }, { step: 'QIDO-RS' }] });
      expect(await testConnection(deceived.integration.config, deceived.context)).toMatchObject({ ok: false, steps: [{ step: 'TCP', ok: true }, { step: 'TLS', ok: false, advice: expect.stringContaining('tls_ca') }] });
      const question = { patientId: 'P', describeSeries: 0 };
      expect(await findStudies(question, known.integration, known.context)).toMatchObject({ kind: 'answered', value: [] });
      expect(await findStudies(question, deceived.integration, deceived.context)).toMatchObject({ kind: 'unreachable', text: expect.stringContaining('certificate') });
      expect((await findStudies(question, unknown.integration, unknown.context)).kind).not.toBe('answered');
    } finally {
      secure.closeAllConnections();
      secure.close();
      certificates.remove();
    }
  });
});
