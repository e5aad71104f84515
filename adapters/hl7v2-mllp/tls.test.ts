/** MLLP over TLS in both directions, with certificates made for the test by openssl. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { expect, test } from 'vitest';
import type { ListenerTls } from '#gateway/adapter.ts';
import { connect, MllpClient } from './mllp-client.ts';
import { adt, fakeGateway, integration, startListener } from './testing/fake-gateway.ts';

interface Certificate { readonly cert: string; readonly key: string }
function selfSigned(name: string): Certificate | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'medscan-tls-'));
  try {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', join(folder, 'key'), '-out', join(folder, 'cert')], { stdio: 'ignore' });
    return { cert: readFileSync(join(folder, 'cert'), 'utf8'), key: readFileSync(join(folder, 'key'), 'utf8') };
  } catch { return undefined; } finally { rmSync(folder, { recursive: true, force: true }); }
}
const servedWith = (certificate: tls.TlsOptions): ListenerTls => ({ createServer: (options, onConnection) => tls.createServer({ ...options, ...certificate }, onConnection) });
const server = selfSigned('gateway');
const client = selfSigned('ris');
if (!server || !client) process.stderr.write('MLLP TLS tests skipped: no openssl to make certificates with\n');

test.skipIf(!server || !client)('a client that trusts the certificate is answered, and its own certificate is told with the message', async () => {
  const gateway = fakeGateway();
  const listener = await startListener(gateway, [integration()], { tls: servedWith({ ...server, ca: client?.cert, requestCert: true, rejectUnauthorized: true }) });
  const endpoint = { host: '127.0.0.1', port: listener.port, connectTimeoutMilliseconds: 2000 };
  const sender = new MllpClient({ ...endpoint, tls: { ca: server?.cert, ...client } });
  try {
    const result = await sender.send(Buffer.from(adt('M1')), 2000);
    expect(result.kind === 'answered' && result.answer.toString()).toContain('MSA|AA|M1');
    expect(gateway.received[0]?.message.peer.tlsSubject).toBe('ris');
  } finally { sender.close(); await listener.close(0); }
});

test.skipIf(!server || !client)('a certificate nobody we trust has signed is refused before anything is sent', async () => {
  const gateway = fakeGateway();
  const listener = await startListener(gateway, [integration()], { tls: servedWith({ ...server }) });
  try {
    const untrusting = new MllpClient({ host: '127.0.0.1', port: listener.port, connectTimeoutMilliseconds: 2000, tls: {} });
    expect(await untrusting.send(Buffer.from(adt('M1')), 2000)).toMatchObject({ kind: 'not-connected', text: expect.stringContaining('SELF_SIGNED') as string });
    await expect(connect({ host: '127.0.0.1', port: listener.port, connectTimeoutMilliseconds: 2000, tls: { ca: client?.cert } })).rejects.toThrow();
    expect(gateway.received).toHaveLength(0);
  } finally { await listener.close(0); }
});
