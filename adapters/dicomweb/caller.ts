/** Who asks, and as which integration: the access token names the organization, its integrations say what they may. */
import { BlockList, isIP } from 'node:net';
import type { AdapterContext, Integration, IntegrationDirectory, Peer, Principal } from '#gateway/adapter.ts';
import { Refusal } from './answer.ts';
import type { Config } from './config.ts';

export type Purpose = 'store' | 'query' | 'retrieve';
export interface Caller { readonly principal: Principal; readonly integration: Integration<Config> }

/** Throws Refusal 401. */
export async function authenticate(request: Request, context: AdapterContext): Promise<Principal> {
  const token = /^Bearer +([A-Za-z0-9._~+/-]{1,2000}=*)$/i.exec(request.headers.get('authorization') ?? '')?.[1];
  const principal = token === undefined ? undefined : await context.authenticate(token);
  if (principal !== undefined) return principal;
  const error = token === undefined ? '' : ', error="invalid_token"';
  throw new Refusal(401, 'A valid access token is needed: Authorization: Bearer <token>.', { 'www-authenticate': `Bearer realm="medscan"${error}` });
}

const settings = { store: 'allow_store', query: 'allow_query', retrieve: 'allow_retrieve' } as const;
const verbs = { store: 'send images', query: 'query', retrieve: 'retrieve images' } as const;

/** Throws Refusal 403, which says what is missing. One that names its callers or addresses stands above one that takes any. */
export function callerFor(principal: Principal, purpose: Purpose, peer: Peer, integrations: IntegrationDirectory<Config>): Caller {
  const own = integrations.all().filter(({ organizationId }) => organizationId === principal.organizationId);
  if (own.length === 0) throw new Refusal(403, 'Your organization has no DICOMweb integration. An administrator can add one.');
  const reachable = own.filter(({ config }) => (config.callers.length === 0 || config.callers.includes(principal.name)) && (config.addresses.length === 0 || isListed(peer.address, config.addresses)));
  if (reachable.length === 0) throw new Refusal(403, 'No DICOMweb integration is for this token and this address (settings callers, addresses).');
  const allowed = reachable.filter(({ config }) => config[settings[purpose]]);
  if (allowed.length === 0) throw new Refusal(403, `This integration may not ${verbs[purpose]} (setting ${settings[purpose]}).`);
  const byRole = allowed.filter(({ config }) => (purpose === 'store' ? config.store_roles : config.read_roles).includes(principal.role));
  const [integration] = byRole.toSorted((one, other) => specificity(other) - specificity(one) || (one.integrationId < other.integrationId ? -1 : 1));
  if (integration === undefined) throw new Refusal(403, `The role '${principal.role}' may not ${verbs[purpose]}.`);
  return { principal, integration };
}

const specificity = ({ config }: Integration<Config>): number => (config.callers.length > 0 ? 2 : 0) + (config.addresses.length > 0 ? 1 : 0);

function isListed(address: string, listed: readonly string[]): boolean {
  const list = new BlockList();
  for (const entry of listed) {
    const [network = '', prefix] = entry.split('/');
    const isV6 = isIP(network) === 6;
    list.addSubnet(network, Number(prefix ?? (isV6 ? 128 : 32)), isV6 ? 'ipv6' : 'ipv4');
  }
  return isIP(address) !== 0 && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}
