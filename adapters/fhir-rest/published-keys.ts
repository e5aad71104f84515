/** Our public keys at /.well-known/jwks.json: one for each integration that logs in by private_key_jwt, under its kid (RFC 7517). Nothing of a private key leaves. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import type { AdapterContext, IntegrationDirectory } from '#gateway/adapter.ts';
import type { Config } from './config.ts';

export const jwksPath = '/.well-known/jwks.json';

export function publishedKeys(integrations: IntegrationDirectory<Config>, context: AdapterContext): Response {
  const keys = new Map<string, object>();
  for (const { integrationId, config } of integrations.sending?.() ?? []) {
    if (config.authentication !== 'private-key-jwt') continue;
    try {
      const { kty, n, e, crv, x, y } = createPublicKey(createPrivateKey(config.private_key ?? '')).export({ format: 'jwk' });
      keys.set(`${config.key_id} ${n ?? x}`, { kty, ...(kty === 'RSA' ? { n, e } : { crv, x, y }), kid: config.key_id, alg: config.signing_algorithm, use: 'sig', key_ops: ['verify'] });
    } catch {
      context.log.warn({ integrationId }, 'the private_key of this integration is no PKCS #8 PEM key; its public key is not published');
    }
  }
  const headers = { 'content-type': 'application/jwk-set+json', 'cache-control': 'public, max-age=300', 'x-content-type-options': 'nosniff' };
  return new Response(JSON.stringify({ keys: [...keys.values()] }), { headers });
}
