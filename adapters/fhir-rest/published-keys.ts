/** Our public keys at /.well-known/jwks.json: those of each integration that logs in by private_key_jwt, under their kid (RFC 7517):
 * the one in use, and the one to follow, so that a system knows it before it is used. Nothing of a private key leaves. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { AdapterContext, IntegrationDirectory } from '#gateway/adapter.ts';
import type { Config } from './config.ts';

export const jwksPath = '/.well-known/jwks.json';

export function publishedKeys(integrations: IntegrationDirectory<Config>, context: AdapterContext): Response {
  const keys = new Map<string, object>();
  for (const { integrationId, config } of integrations.sending?.() ?? []) {
    if (config.authentication !== 'private-key-jwt') continue;
    for (const [name, pem, kid] of [['private_key', config.private_key ?? '', config.key_id], ['next_private_key', config.next_private_key, config.next_key_id]] as const) {
      if (pem === undefined) continue;
      try {
        const { kty, n, e, crv, x, y } = createPublicKey(createPrivateKey(pem)).export({ format: 'jwk' });
        keys.set(`${kid} ${n ?? x}`, { kty, ...(kty === 'RSA' ? { n, e } : { crv, x, y }), kid, alg: config.signing_algorithm, use: 'sig', key_ops: ['verify'] });
      } catch {
        context.log.warn({ integrationId, setting: name }, 'a private key of this integration is no PKCS #8 PEM key; its public key is not published');
      }
    }
  }
  const headers = { 'content-type': 'application/jwk-set+json', 'cache-control': 'public, max-age=300', 'x-content-type-options': 'nosniff' };
  return new Response(JSON.stringify({ keys: [...keys.values()] }), { headers });
}
