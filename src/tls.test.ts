/** What peers can and cannot agree on with a TLS listener, asked by openssl; renewal of the certificate; and client certificates. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, renameSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { afterAll, afterEach, expect, test } from 'vitest';
import { certificateDirectory, haveOpenssl } from '../test/support/certificates.ts';
import { ConfigError } from './config.ts';
import { certificateEnd, openTls, type GatewayTls } from './tls.ts';

if (!haveOpenssl) process.stderr.write('TLS tests skipped: no openssl\n');
const withOpenssl = test.skipIf(!haveOpenssl);
const certificates = certificateDirectory();
afterAll(() => certificates.remove());
const servers: tls.Server[] = [];
afterEach(() => { for (const server of servers.splice(0)) server.close(); });

const authority = haveOpenssl ? certificates.authority('Hospital CA') : undefined!;
const own = { rsa: haveOpenssl ? authority.sign('gateway') : undefined!, ec: haveOpenssl ? authority.sign('gateway', 'ec') : undefined! };

const logged: string[] = [];
const log = { info: (_facts: object, text: string) => { logged.push(`info ${text}`); }, error: (facts: object, text: string) => { logged.push(`error ${text} ${JSON.stringify(facts)}`); } } as never;
const open = (files: { certificateFile: string; keyFile: string }, clientCa?: string): GatewayTls => openTls({ tlsCertificateFile: files.certificateFile, tlsKeyFile: files.keyFile, tlsClientCaFile: clientCa }, log)!;

/** Answers the first bytes with the peer's common name, or '-'. */
async function listening(server: tls.Server): Promise<number> {
  servers.push(server);
  server.on('tlsClientError', () => {});
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}
const answering = (socket: tls.TLSSocket): void => { socket.on('error', () => {}).once('data', () => { socket.end(socket.authorized ? String(socket.getPeerCertificate().subject.CN) : '-'); }); };
const serve = (given: GatewayTls): Promise<number> => listening(given.createServer({}, answering));

/** 'TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384', or undefined when no handshake came about. */
function agreed(port: number, args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = execFile('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...args], { timeout: 10_000 }, (_error, output) => {
      const [, protocol, cipher] = /^New, (\S+), Cipher is (\S+)$/m.exec(output) ?? [];
      const version = /^ +Protocol *: *(\S+)$/m.exec(output)?.[1] ?? protocol;
      resolve(cipher === undefined || cipher === '(NONE)' ? undefined : `${version} ${cipher}`);
    });
    child.stdin!.on('error', () => {}).end('Q\n');
  });
}

const any = ['-cipher', 'ALL:@SECLEVEL=0'];
const refused: readonly [string, 'rsa' | 'ec', readonly string[]][] = [
  ['TLS 1.0', 'rsa', ['-tls1', ...any]], ['TLS 1.1', 'rsa', ['-tls1_1', ...any]],
  ['CBC with SHA-1', 'rsa', ['-tls1_2', '-cipher', 'ECDHE-RSA-AES128-SHA:@SECLEVEL=0']], ['CBC with SHA-256', 'rsa', ['-tls1_2', '-cipher', 'ECDHE-RSA-AES128-SHA256']],
  ['RSA key exchange', 'rsa', ['-tls1_2', '-cipher', 'AES256-GCM-SHA384:AES128-GCM-SHA256']], ['finite field Diffie-Hellman', 'rsa', ['-tls1_2', '-cipher', 'DHE-RSA-AES128-GCM-SHA256']],
  ['CBC with an EC certificate', 'ec', ['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES256-SHA384']],
];
const taken: readonly [string, 'rsa' | 'ec', readonly string[]][] = [
  ['TLSv1.3 TLS_AES_256_GCM_SHA384', 'rsa', []], ['TLSv1.3 TLS_AES_128_GCM_SHA256', 'rsa', ['-ciphersuites', 'TLS_AES_128_GCM_SHA256']],
  ['TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384', 'rsa', ['-tls1_2']], ['TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256', 'rsa', ['-tls1_2', '-cipher', 'ECDHE-RSA-AES128-GCM-SHA256']],
  ['TLSv1.2 ECDHE-RSA-CHACHA20-POLY1305', 'rsa', ['-tls1_2', '-cipher', 'ECDHE-RSA-CHACHA20-POLY1305']], ['TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384', 'ec', ['-tls1_2']],
  // The server's order, not the client's.
  ['TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384', 'rsa', ['-tls1_2', '-cipher', 'ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384']],
];

withOpenssl.for(refused)('%s is refused, by a client that can', async ([, kind, args]) => {
  const lax = { minVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0', dhparam: 'auto', cert: own[kind].cert, key: own[kind].key } as const;
  expect(await agreed(await listening(tls.createServer(lax, answering)), args)).toBeDefined();
  expect(await agreed(await serve(open(own[kind])), args)).toBeUndefined();
});

withOpenssl.for(taken)('%s is agreed on', async ([wanted, kind, args]) => {
  expect(await agreed(await serve(open(own[kind])), args)).toBe(wanted);
});

withOpenssl('a client that asks for renegotiation is told no', async () => {
  const askedOf = (port: number): Promise<string> => new Promise((resolve) => {
    const child = execFile('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-tls1_2'], { timeout: 20_000 }, (_error, output, errors) => { resolve(output + errors); });
    child.stdin!.on('error', () => {}).write('R\n'); // s_client's command for "renegotiate"
    let heard = '';
    child.stderr!.on('data', (text: string) => { heard += text; if (/no renegotiation|RENEGOTIATING[^]*verify return/.test(heard)) child.kill(); });
  });
  expect(await askedOf(await serve(open(own.rsa)))).toContain('no renegotiation');
  expect(await askedOf(await listening(tls.createServer({ cert: own.rsa.cert, key: own.rsa.key }, (socket) => { socket.on('error', () => {}); })))).not.toContain('no renegotiation');
});

interface Talk { readonly serial: string; readonly heard: string }
/** Says one thing over TLS; rejects when the handshake or the answer fails. */
async function talk(port: number, options: tls.ConnectionOptions = {}): Promise<Talk> {
  return new Promise((resolve, reject) => {
    let serial = '', heard = '';
    const socket = tls.connect({ port, host: '127.0.0.1', ca: authority.cert, ...options }, () => { serial = socket.getPeerCertificate().serialNumber; socket.write('hello'); });
    socket.on('data', (chunk) => { heard += chunk.toString(); }).on('error', reject).on('close', () => (heard ? resolve({ serial, heard }) : reject(new Error('closed without an answer'))));
  });
}

withOpenssl('a renewed certificate is used without a restart, and files that do not fit together are not', async () => {
  const [first, second, third] = [authority.sign('gateway'), authority.sign('gateway'), authority.sign('gateway')];
  const [certificateFile, keyFile] = [path.join(certificates.directory, 'live.crt'), path.join(certificates.directory, 'live.key')];
  const put = (file: string, from: string): void => { copyFileSync(from, `${file}.new`); renameSync(`${file}.new`, file); };
  put(certificateFile, first.certificateFile);
  put(keyFile, first.keyFile);
  const port = await serve(open({ certificateFile, keyFile }));
  const firstSerial = (await talk(port)).serial;
  const until = async (condition: (serial: string) => boolean): Promise<string> => { for (;;) { const { serial } = await talk(port); if (condition(serial)) return serial; } };

  put(keyFile, second.keyFile); // the certificate is still the first one
  await until(() => logged.some((line) => line.startsWith('error changed TLS files cannot be used')));
  expect((await talk(port)).serial).toBe(firstSerial);
  expect(logged.join('\n')).toContain('MEDSCAN_TLS_KEY_FILE is not the key of the first certificate');

  put(certificateFile, second.certificateFile);
  const secondSerial = await until((serial) => serial !== firstSerial);
  put(keyFile, third.keyFile);
  put(certificateFile, third.certificateFile);
  await until((serial) => serial !== secondSerial && serial !== firstSerial);
});

withOpenssl('with a client CA only its certificates come in, and their common name is known', async () => {
  const stranger = certificates.authority('Other CA').sign('pacs');
  const pacs = authority.sign('pacs');
  const expired = authority.sign('pacs', 'ec', -1);
  const port = await serve(open(own.rsa, authority.certificateFile));
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const only = { minVersion: version, maxVersion: version };
    await expect(talk(port, only)).rejects.toThrow();
    await expect(talk(port, { ...only, cert: stranger.cert, key: stranger.key })).rejects.toThrow();
    await expect(talk(port, { ...only, cert: expired.cert, key: expired.key })).rejects.toThrow();
    expect((await talk(port, { ...only, cert: pacs.cert, key: pacs.key })).heard).toBe('pacs');
  }
});

withOpenssl('the end of the gateway\'s own certificate is known, so that somebody can be told in time', () => {
  const expired = authority.sign('gateway', 'ec', -1);
  expect(certificateEnd({ tlsCertificateFile: expired.certificateFile })!.getTime()).toBeLessThan(Date.now());
  expect(certificateEnd({ tlsCertificateFile: own.rsa.certificateFile })!.getTime()).toBeGreaterThan(Date.now() + 40 * 3_600_000);
  expect(certificateEnd({ tlsCertificateFile: undefined })).toBeUndefined();
});

withOpenssl('files that cannot be used are told at the start, each with its variable', () => {
  const other = authority.sign('other');
  const empty = path.join(certificates.directory, 'empty.pem');
  writeFileSync(empty, '');
  const problems = (files: { certificateFile: string; keyFile: string }, ca?: string): string => { try { open(files, ca); return ''; } catch (error) { return error instanceof ConfigError ? error.message : String(error); } };
  expect(problems({ ...own.rsa, keyFile: other.keyFile })).toContain('MEDSCAN_TLS_KEY_FILE is not the key of the first certificate in MEDSCAN_TLS_CERT_FILE');
  expect(problems({ ...own.rsa, certificateFile: '/nowhere.crt' }, '/nowhere.ca')).toMatch(/MEDSCAN_TLS_CERT_FILE is "\/nowhere.crt".*ENOENT[^]*MEDSCAN_TLS_CLIENT_CA_FILE.*ENOENT/);
  expect(problems({ ...own.rsa, certificateFile: empty })).toContain('MEDSCAN_TLS_CERT_FILE holds no certificate');
  expect(problems(own.rsa, empty)).toContain('MEDSCAN_TLS_CLIENT_CA_FILE holds no certificate');
});
