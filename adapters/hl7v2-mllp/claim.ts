/** Which integration a message belongs to: MSH-3, MSH-4, the peer's address and its certificate against the settings; the most specific one wins. */
import { BlockList, isIP, isIPv6 } from 'node:net';
import type { Integration } from '#gateway/adapter.ts';
import type { Hl7v2Config } from './config.ts';

export interface Sender { readonly application: string; readonly facility: string; readonly address: string; readonly tlsSubject?: string | undefined }

/**
 * undefined: nobody claims the sender, or integrations of two organizations claim it equally well: then nobody may have it.
 * Within one organization the first in the directory is taken.
 */
export function claimingIntegration(integrations: readonly Integration<Hl7v2Config>[], sender: Sender): Integration<Hl7v2Config> | undefined {
  const scored = integrations.map((integration) => ({ integration, score: specificity(integration.config, sender) ?? -1 }));
  const best = Math.max(...scored.map(({ score }) => score), -1);
  if (best < 0) return undefined;
  const claims = scored.filter(({ score }) => score === best).map(({ integration }) => integration);
  return claims.every(({ organizationId }) => organizationId === claims[0]?.organizationId) ? claims[0] : undefined;
}

/** undefined: not this sender. Higher: said more exactly. An exact name counts more than a pattern, a name more than an address or certificate. */
export function specificity(config: Hl7v2Config, sender: Sender): number | undefined {
  if (!config.receives) return undefined;
  const application = nameScore(config.sending_application, sender.application);
  const facility = nameScore(config.sending_facility, sender.facility);
  const address = addressScore(config.addresses, sender.address);
  const subject = subjectScore(config.tls_subjects, sender.tlsSubject);
  return application === undefined || facility === undefined || address === undefined || subject === undefined ? undefined : 1000 * application + 100 * facility + 10 * address + subject;
}

/** No message from this address can be taken, because every integration that receives lists addresses and none of them this one. */
export function isStranger(integrations: readonly Integration<Hl7v2Config>[], address: string): boolean {
  const receiving = integrations.filter(({ config }) => config.receives);
  return receiving.length > 0 && receiving.every(({ config }) => addressScore(config.addresses, address) === undefined);
}

function subjectScore(allowed: readonly string[], subject: string | undefined): number | undefined {
  if (allowed.length === 0) return 0;
  return subject !== undefined && allowed.includes(subject) ? 1 : undefined;
}

function nameScore(patterns: readonly string[], name: string): number | undefined {
  if (patterns.length === 0) return 0;
  if (patterns.includes(name)) return 2;
  return patterns.some((pattern) => matches(pattern, name)) ? 1 : undefined;
}

/** '*' stands for any characters; no other character is special. Linear in the name for each piece between stars. */
function matches(pattern: string, name: string): boolean {
  const pieces = pattern.split('*');
  const [first = '', last = ''] = [pieces[0], pieces.at(-1)];
  if (pieces.length === 1 || name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = name.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return at <= name.length - last.length;
}

function addressScore(allowed: readonly string[], address: string): number | undefined {
  if (allowed.length === 0) return 0;
  const bare = address.replace(/^::ffff:(?=\d+\.)/i, '');
  if (allowed.includes(bare)) return 2;
  if (isIP(bare) === 0) return undefined;
  const list = blockListOf(allowed);
  return list.check(bare, isIPv6(bare) ? 'ipv6' : 'ipv4') ? 1 : undefined;
}

/** Built once for each set of settings: it is asked for every message. */
const blockLists = new WeakMap<readonly string[], BlockList>();
function blockListOf(ranges: readonly string[]): BlockList {
  const known = blockLists.get(ranges);
  if (known) return known;
  const list = new BlockList();
  for (const range of ranges) {
    const [network = '', bits] = range.split('/');
    const family = isIPv6(network) ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(network, family); else list.addSubnet(network, Number(bits), family);
  }
  blockLists.set(ranges, list);
  return list;
}
