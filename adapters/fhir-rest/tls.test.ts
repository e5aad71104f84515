import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { describe, expect, test } from 'vitest';
import type { Config } from './config.ts';
import { createFhirClient } from './fhir-client.ts';
import { sampleConfig } from './testcases/sample-report.ts';

function selfSigned(): { key: string; cert: string } | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'fhir-tls-'));
  try {
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'], { stdio: 'ignore' });
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } catch {
    return undefined;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
const pair = selfSigned();

describe.skipIf(pair === undefined)(`TLS (${pair === undefined ? 'skipped: openssl is not installed' : 'certificates of this run'})`, () => {
  test('the certificate of the server is checked, and ours is shown where one is asked for', async () => {
    const { key = '', cert = '' } = pair ?? {};
    const subjects: (string | undefined)[] = [];
    const server = createServer({ key, cert, ca: cert, requestCert: true, rejectUnauthorized: true }, (request, response) => {
      subjects.push(String((request.socket as TLSSocket).getPeerCertificate().subject.CN));
      response.writeHead(200, { 'content-type': 'application/fhir+json' }).end('{"resourceType":"CapabilityStatement"}');
    });
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const ask = async (settings: Partial<Config>): Promise<unknown> => {
      const client = createFhirClient(sampleConfig({ base_url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/fhir`, ...settings }));
      return client.capabilities(AbortSignal.timeout(5000)).finally(() => client.close());
    };
    try {
      expect(await ask({})).toMatchObject({ failure: { kind: 'unreachable', text: expect.stringContaining('certificate') } });
      expect(await ask({ tls_ca: cert, tls_certificate: cert, tls_key: key })).toMatchObject({ answer: { status: 200 } });
      expect(await ask({ tls_ca: cert })).toMatchObject({ failure: { kind: expect.stringMatching(/unreachable|unconfirmed/) } });
      expect(subjects).toEqual(['localhost']);
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });
});
