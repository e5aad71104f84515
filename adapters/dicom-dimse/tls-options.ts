import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { SecureVersion } from 'node:tls';
import type { Receiver } from './config.ts';

/** Client side of TLS 1.2 or later (PS3.15 B.12): the receiver's certificate is checked. Only where tlsProblem() finds none. */
export function tlsOptions({ tls_ca: ca, tls_certificate: cert, tls_private_key: key }: Receiver): { rejectUnauthorized: boolean; minVersion: SecureVersion; ca?: string; cert?: string; key?: string } {
  return { rejectUnauthorized: true, minVersion: 'TLSv1.2', ...(ca ? { ca } : {}), ...(cert && key ? { cert, key } : {}) };
}

/** Why no TLS connection can be tried with these settings: Node throws for what it cannot read. Names the settings, never their values. */
export function tlsProblem({ tls, tls_ca: ca, tls_certificate: cert, tls_private_key: key }: Receiver): string | undefined {
  if (!tls) return undefined;
  if (ca && !read(() => new X509Certificate(ca))) return 'the TLS settings cannot be used: tls_ca is not a certificate';
  if (!cert) return undefined; // a key alone is not offered
  const certificate = read(() => new X509Certificate(cert));
  if (!certificate) return 'the TLS settings cannot be used: tls_certificate is not a certificate';
  if (!key) return 'the TLS settings cannot be used: tls_certificate needs its tls_private_key';
  const privateKey = read(() => createPrivateKey(key));
  if (!privateKey) return 'the TLS settings cannot be used: tls_private_key is not a private key without passphrase';
  return certificate.checkPrivateKey(privateKey) ? undefined : 'the TLS settings cannot be used: tls_private_key is not the key of tls_certificate';
}

function read<T>(parse: () => T): T | undefined {
  try { return parse(); } catch { return undefined; }
}
