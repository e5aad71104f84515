/** GET [base]/.well-known/smart-configuration (SMART App Launch 2 conformance.html): how a system logs in here. */
import { assertionAlgorithms, tokenPath } from './token-endpoint.ts';
import { writtenTypes } from './interaction.ts';
import { servedTypes } from './served-types.ts';

export function smartConfiguration(serviceBase: string): Response {
  const body = {
    token_endpoint: `${serviceBase}${tokenPath}`, grant_types_supported: ['client_credentials'], token_endpoint_auth_methods_supported: ['private_key_jwt'],
    token_endpoint_auth_signing_alg_values_supported: assertionAlgorithms, scopes_supported: ['system/*.rs', ...Object.keys(servedTypes).map((type) => `system/${type}.rs`), ...Object.keys(writtenTypes).map((type) => `system/${type}.cu`)],
    capabilities: ['client-confidential-asymmetric', 'permission-v1', 'permission-v2'],
  };
  return new Response(JSON.stringify(body), { headers: { 'content-type': 'application/json', 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } });
}
