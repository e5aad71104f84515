/**
 * What an A-ASSOCIATE-RQ is answered with: which integration the caller is, and what each proposed presentation context gets.
 * A decision only; listen.ts carries it out and puts refusals on record.
 */
import { BlockList, isIP } from 'node:net';
import type { Integration, IntegrationDirectory, Refusal } from '#gateway/adapter.ts';
import { isNonPatientSopClass } from '#standards/dicom/sop-classes.ts';
import { explicitVrLittleEndian, implicitVrLittleEndian } from '#standards/dicom/transfer-syntaxes.ts';
import type { Config } from './config.ts';
import { isAllowed, serviceOf } from './services.ts';
import type { AssociateRequest, NegotiatedContext, ProposedContext, Rejection } from './upper-layer/pdu.ts';
import { applicationContextName, ContextResult } from './upper-layer/pdu.ts';

export const verification = '1.2.840.10008.1.1';
const standardRoot = '1.2.840.10008.';

/** Reasons of PS3.8 table 9-21, by what they say. */
export const rejections = {
  applicationContextNotSupported: { result: 1, source: 1, reason: 2 },
  callingAeTitleNotRecognized: { result: 1, source: 1, reason: 3 },
  calledAeTitleNotRecognized: { result: 1, source: 1, reason: 7 },
  protocolVersionNotSupported: { result: 1, source: 2, reason: 2 },
  temporaryCongestion: { result: 2, source: 3, reason: 1 },
  localLimitExceeded: { result: 2, source: 3, reason: 2 },
  maximumLengthTooSmall: { result: 1, source: 3, reason: 2 },
} as const satisfies Record<string, Rejection>;

export type AssociationDecision =
  | { readonly kind: 'accept'; readonly integration: Integration<Config>; readonly contexts: readonly NegotiatedContext[] }
  | { readonly kind: 'reject'; readonly rejection: Rejection; readonly refusal: Refusal; readonly integration: Integration<Config> | undefined };

export function decideAssociation(request: AssociateRequest, address: string, integrations: IntegrationDirectory<Config>, minimumMaximumLength: number): AssociationDecision {
  const { maximumLength } = request;
  if ((request.protocolVersion & 1) === 0) return reject(rejections.protocolVersionNotSupported, 'unsupported', 'the protocol version of the A-ASSOCIATE-RQ is not 1');
  if (request.applicationContextName !== applicationContextName) return reject(rejections.applicationContextNotSupported, 'unsupported', 'the application context is not that of DICOM');
  if (maximumLength > 0 && maximumLength < minimumMaximumLength) {
    return reject(rejections.maximumLengthTooSmall, 'malformed', `the requestor takes PDUs of at most ${maximumLength} bytes; ${minimumMaximumLength} or more (or 0, no limit) are needed`);
  }
  const found = resolveIntegration(request, address, integrations.all());
  if (found.kind === 'reject') return found;
  return { kind: 'accept', integration: found.integration, contexts: request.presentationContexts.map((context) => negotiate(context, found.integration.config)) };
}

const reject = (rejection: Rejection, reason: Refusal['reason'], text: string, integration?: Integration<Config>): AssociationDecision & { kind: 'reject' } =>
  ({ kind: 'reject', rejection, refusal: { reason, text }, integration });

type Resolution = { readonly kind: 'found'; readonly integration: Integration<Config> } | (AssociationDecision & { kind: 'reject' });

/** The most specific integration wins: one that names the calling AE title before one that names the address before one that names neither. */
export function resolveIntegration(request: Pick<AssociateRequest, 'calledAeTitle' | 'callingAeTitle'>, address: string, integrations: readonly Integration<Config>[]): Resolution {
  const { calledAeTitle: called, callingAeTitle: calling } = request;
  const byCalled = integrations.filter(({ config }) => config.called_ae_title === called);
  if (byCalled.length === 0) {
    return reject(rejections.calledAeTitleNotRecognized, 'not-allowed', `no integration is called ${called}; check the called AE title at the sender, or the setting called_ae_title`);
  }
  const only = byCalled.length === 1 ? byCalled[0] : undefined;
  const byCalling = byCalled.filter(({ config }) => config.calling_ae_titles.length === 0 || config.calling_ae_titles.includes(calling));
  if (byCalling.length === 0) return reject(rejections.callingAeTitleNotRecognized, 'not-allowed', `calling AE title ${calling} is not in calling_ae_titles of any integration called ${called}`, only);
  const candidates = byCalling.filter(({ config }) => config.addresses.length === 0 || isListed(address, config.addresses));
  if (candidates.length === 0) return reject(rejections.callingAeTitleNotRecognized, 'not-allowed', `${calling} is allowed, but not from address ${address} (setting addresses)`, only);
  const best = Math.max(...candidates.map(specificity));
  const equals = candidates.filter((candidate) => specificity(candidate) === best).sort((a, b) => (a.integrationId < b.integrationId ? -1 : 1));
  const [first] = equals;
  // Two hospitals may not share a door: whose patient it is must not depend on the order of a list.
  if (!first || equals.some(({ organizationId }) => organizationId !== first.organizationId)) {
    return reject(rejections.callingAeTitleNotRecognized, 'not-allowed', `integrations of several organizations claim ${calling} calling ${called}; name its AE title or address in one of them only`);
  }
  return { kind: 'found', integration: first };
}

const specificity = ({ config }: Integration<Config>): number => (config.calling_ae_titles.length > 0 ? 2 : 0) + (config.addresses.length > 0 ? 1 : 0);

function isListed(address: string, listed: readonly string[]): boolean {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  for (const entry of listed) {
    const [network = '', prefix] = entry.split('/');
    const version = isIP(network);
    if (version === 0) continue;
    const networkFamily = version === 6 ? 'ipv6' : 'ipv4';
    const bits = Number(prefix ?? (version === 6 ? 128 : 32));
    if (Number.isInteger(bits) && bits >= 0 && bits <= (version === 6 ? 128 : 32)) list.addSubnet(network, bits, networkFamily);
  }
  return isIP(address) !== 0 && list.check(address, family);
}

/** Any transfer syntax is fine, because the bytes are kept as they come: the sender's first choice is taken. */
export function negotiate(context: ProposedContext, config: Config): NegotiatedContext {
  const service = serviceOf(context.abstractSyntax);
  if (service) return negotiateService(context, isAllowed(service, config));
  const transferSyntax = context.transferSyntaxes.find((uid) => /^[0-9.]{1,64}$/.test(uid));
  const isVerification = context.abstractSyntax === verification;
  const isService = isVerification || isStorage(context.abstractSyntax, config.accept_unknown_sop_classes);
  const isListed = isVerification || config.sop_classes.length === 0 || config.sop_classes.includes(context.abstractSyntax);
  const result = !isService ? ContextResult.abstractSyntaxNotSupported : !isListed ? ContextResult.userRejection
    : transferSyntax === undefined ? ContextResult.transferSyntaxesNotSupported : ContextResult.acceptance;
  // PS3.8 table 9-18: the transfer syntax of a refused context is not significant, but has to be there.
  return { id: context.id, result, abstractSyntax: context.abstractSyntax, transferSyntax: transferSyntax ?? '1.2.840.10008.1.2' };
}

/** The setting that would let a refused context through; undefined when none does. */
export function settingFor({ abstractSyntax, result }: NegotiatedContext): string | undefined {
  if (result === ContextResult.userRejection) return serviceOf(abstractSyntax)?.setting ?? 'sop_classes';
  return result === ContextResult.abstractSyntaxNotSupported && isStorage(abstractSyntax, true) ? 'accept_unknown_sop_classes' : undefined;
}

/** Identifiers are read and written: Explicit VR Little Endian, else the default. */
function negotiateService({ id, abstractSyntax, transferSyntaxes }: ProposedContext, allowed: boolean): NegotiatedContext {
  const transferSyntax = [explicitVrLittleEndian, implicitVrLittleEndian].find((uid) => transferSyntaxes.includes(uid));
  const result = !allowed ? ContextResult.userRejection : transferSyntax === undefined ? ContextResult.transferSyntaxesNotSupported : ContextResult.acceptance;
  return { id, result, abstractSyntax, transferSyntax: transferSyntax ?? implicitVrLittleEndian };
}

/** Storage beside 5.1.4.1.1: RT beams delivery instruction, print and hardcopy (PS3.4 B.5, PS3.6 annex A). */
export const otherStorageClasses: ReadonlyMap<string, string> = new Map([
  ['5.1.4.34.7', 'RT Beams Delivery Instruction Storage'], ['5.1.1.27', 'Stored Print Storage (retired)'],
  ['5.1.1.29', 'Hardcopy Grayscale Image Storage (retired)'], ['5.1.1.30', 'Hardcopy Color Image Storage (retired)'],
].map(([end, name]) => [`${standardRoot}${end}`, name!]));
/** Within 5.1.4.1.1 but not storage: query and retrieve of protocols and inventories, repository query. */
const notStorage = new Set(['200.4', '200.5', '200.6', '201.2', '201.3', '201.4', '201.5', '201.6'].map((end) => `${standardRoot}5.1.4.1.1.${end}`));

export function isStorage(sopClassUid: string, acceptUnknown: boolean): boolean {
  if (!/^[0-9.]{1,64}$/.test(sopClassUid)) return false;
  if (!sopClassUid.startsWith(standardRoot)) return acceptUnknown;
  // What is of no patient could only be refused later, object by object: it has no study to be filed under.
  if (isNonPatientSopClass(sopClassUid)) return false;
  return (sopClassUid.startsWith(`${standardRoot}5.1.4.1.1.`) && !notStorage.has(sopClassUid)) || otherStorageClasses.has(sopClassUid);
}
