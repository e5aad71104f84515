/**
 * TLS of all listeners: DICOM (PS3.15 B.12, BCP 195 profile), MLLP and HTTPS. In: the files of MEDSCAN_TLS_*. Out: servers that speak
 * TLS 1.3 and 1.2 with forward secrecy and authenticated encryption and nothing else (RFC 9325), in the server's order, without renegotiation.
 *
 * The files are looked at when a peer connects, at most once a second: a renewed certificate is used from the next handshake on. Files
 * that do not fit together (the key was copied, the certificate not yet) leave the last good ones in use and are told in the log.
 */
import { constants, createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import https from 'node:https';
import tls from 'node:tls';
import { ConfigError, type Config } from './config.ts';
import type { ListenerTls } from './gateway/adapter.ts';
import type { Log } from './log.ts';

export const tlsPolicy = {
  minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', honorCipherOrder: true,
  ciphers: [
    'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-RSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305', 'ECDHE-RSA-CHACHA20-POLY1305',
    'ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-RSA-AES128-GCM-SHA256',
  ].join(':'),
  ecdhCurve: 'X25519:P-256:P-384:P-521',
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION,
  handshakeTimeout: 10_000,
} as const satisfies tls.TlsOptions;

type TlsFiles = Pick<Config, 'tlsCertificateFile' | 'tlsKeyFile' | 'tlsClientCaFile'>;

export interface GatewayTls extends ListenerTls {
  /** A client certificate is asked for where there are CAs of some, and not demanded: users sign in, programs carry a token; an integration may want one (tls_subjects). */
  readonly createHttpsServer: typeof https.createServer;
}

/** undefined: no certificate is configured. Throws ConfigError when the files cannot be used. */
export function openTls(files: TlsFiles, log: Pick<Log, 'info' | 'error'>): GatewayTls | undefined {
  if (!files.tlsCertificateFile || !files.tlsKeyFile) return undefined;
  const material = watchedMaterial(files, log);
  const optionsOf = (isDemanded: boolean): tls.TlsOptions => {
    const { cert, key, ca } = material();
    return { ...tlsPolicy, cert, key, ...(ca ? { ca, requestCert: true, rejectUnauthorized: isDemanded } : {}) };
  };
  const httpsOptions = (): tls.TlsOptions => optionsOf(false), listenerOptions = (): tls.TlsOptions => optionsOf(true);
  /** Before each handshake the server gets the certificate of the moment: also for peers that send no server name, as in DICOM. */
  const renewing = <Server extends tls.Server>(server: Server, options: () => tls.TlsOptions): Server => {
    let inUse = material();
    return server.prependListener('connection', () => {
      if (material() === inUse) return;
      inUse = material();
      server.setSecureContext(options());
    });
  };
  return {
    createServer: (options, onConnection) => renewing(tls.createServer({ ...options, ...listenerOptions() }, onConnection), listenerOptions),
    createHttpsServer: ((options: https.ServerOptions, onRequest: RequestListener) => renewing(https.createServer({ ...options, ...httpsOptions() }, onRequest), httpsOptions)) as typeof https.createServer,
  };
}

/** Until when the gateway's certificate is valid. Throws when the file cannot be read. */
export function certificateEnd({ tlsCertificateFile }: Pick<Config, 'tlsCertificateFile'>): Date | undefined {
  return tlsCertificateFile === undefined ? undefined : new Date(new X509Certificate(readFileSync(tlsCertificateFile)).validTo);
}

interface Material { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer | undefined }
const LOOK_MILLISECONDS = 1_000;

/** The same object until the files have changed and fit together again. */
function watchedMaterial(files: TlsFiles, log: Pick<Log, 'info' | 'error'>): () => Material {
  const names = [files.tlsCertificateFile, files.tlsKeyFile, files.tlsClientCaFile].filter((name) => name !== undefined);
  let seen = stampOf(names);
  let material = readMaterial(files);
  let lookedAt = performance.now();
  return () => {
    if (performance.now() - lookedAt < LOOK_MILLISECONDS) return material;
    lookedAt = performance.now();
    const stamp = stampOf(names);
    if (stamp === seen) return material;
    seen = stamp;
    try {
      material = readMaterial(files);
      log.info({ files: names }, 'the TLS certificate was read again');
    } catch (error) {
      log.error({ problem: (error as Error).message }, 'changed TLS files cannot be used; the ones before stay in use');
    }
    return material;
  };
}

/** A symbolic link that points elsewhere is a change too: stat follows it, and the inode differs. */
function stampOf(names: readonly string[]): string {
  return names.map((name) => {
    const stat = statSync(name, { throwIfNoEntry: false });
    return stat ? `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeMs}` : 'missing';
  }).join();
}

function readMaterial(files: TlsFiles): Material {
  const problems: string[] = [];
  const read = (variable: string, name: string | undefined): Buffer | undefined => {
    try { return name === undefined ? undefined : readFileSync(name); } catch (error) {
      problems.push(`${variable} is ${JSON.stringify(name)}, which cannot be read (${(error as NodeJS.ErrnoException).code})`);
      return undefined;
    }
  };
  const cert = read('MEDSCAN_TLS_CERT_FILE', files.tlsCertificateFile);
  const key = read('MEDSCAN_TLS_KEY_FILE', files.tlsKeyFile);
  const ca = read('MEDSCAN_TLS_CLIENT_CA_FILE', files.tlsClientCaFile);
  if (cert && key) problems.push(...pairProblems(cert, key));
  if (ca && !certificateOf(ca)) problems.push('MEDSCAN_TLS_CLIENT_CA_FILE holds no certificate; wanted: CA certificates as PEM');
  if (problems.length > 0 || !cert || !key) throw new ConfigError(problems);
  return { cert, key, ca };
}

function pairProblems(cert: Buffer, key: Buffer): string[] {
  const certificate = certificateOf(cert);
  if (!certificate) return ['MEDSCAN_TLS_CERT_FILE holds no certificate; wanted: PEM, the certificate of the gateway first'];
  try {
    if (!certificate.checkPrivateKey(createPrivateKey(key))) return ['MEDSCAN_TLS_KEY_FILE is not the key of the first certificate in MEDSCAN_TLS_CERT_FILE'];
    tls.createSecureContext({ cert, key });
  } catch (error) {
    return [`MEDSCAN_TLS_KEY_FILE cannot be used (${(error as NodeJS.ErrnoException).code ?? (error as Error).message}); wanted: a private key as PEM without passphrase`];
  }
  return [];
}

function certificateOf(pem: Buffer): X509Certificate | undefined {
  try { return new X509Certificate(pem); } catch { return undefined; }
}
