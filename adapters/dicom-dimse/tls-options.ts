import type { SecureVersion } from 'node:tls';
import type { Receiver } from './config.ts';

/** Client side of TLS 1.2 or later (PS3.15 B.12): the receiver's certificate is checked. */
export function tlsOptions({ tls_ca: ca, tls_certificate: cert, tls_private_key: key }: Receiver): { rejectUnauthorized: boolean; minVersion: SecureVersion; ca?: string; cert?: string; key?: string } {
  return { rejectUnauthorized: true, minVersion: 'TLSv1.2', ...(ca ? { ca } : {}), ...(cert ? { cert } : {}), ...(key ? { key } : {}) };
}
