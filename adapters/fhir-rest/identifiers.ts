/**
 * Business identifiers of what we send. They are all that a resend finds its earlier self by, so each is derived from ids that stay the
 * same over attempts and versions, and every one has a system.
 */
import { createHash } from 'node:crypto';
import type { ReportDocument, ReportPatient } from '#domain/report-document.ts';
import type { Identifier, Reference, ServiceRequest } from '#standards/fhir/types.ts';
import { concept, systems } from './code-tables.ts';
import type { Config } from './config.ts';

/** Kinds of things that only we name. */
export type OwnKind = 'actor' | 'gateway' | 'record' | 'report' | 'report-findings' | 'report-impression' | 'finding' | 'model' | 'study' | 'organization' | 'delivery' | 'endpoint' | 'order-task' | 'critical';

export function ownIdentifier(config: Config, kind: OwnKind, value: string): Identifier & { system: string; value: string } {
  const separator = config.resource_system.startsWith('urn:') ? ':' : '/';
  return { system: `${config.resource_system.replace(/[/:]$/, '')}${separator}${kind}`, value };
}

type Scan = Omit<ReportDocument['scan'], 'series'>;

/** What a sender called its study is no OID where PS3.5 9.1 does not allow it: it stands as it is. */
const dicomUid = (uid: string): string => (/^[0-2](\.(0|[1-9]\d*))+$/.test(uid) ? `urn:oid:${uid}` : uid);

/** R4 imagingstudy.html: system urn:dicom:uid, value urn:oid:<uid>. Our own id where the images came without a Study Instance UID. */
export function studyIdentifier(scan: Scan, config: Config): Identifier {
  return scan.studyInstanceUid === '' ? ownIdentifier(config, 'study', scan.scanId) : { system: systems.dicomUid, value: dicomUid(scan.studyInstanceUid) };
}

export function patientIdentifiers(patient: ReportPatient, config: Config): Identifier[] {
  const stored = patient.identifiers.length > 0 ? patient.identifiers : [{ value: patient.patientNumber, assigningAuthority: '' }];
  return stored.map(({ value, assigningAuthority, typeCode }) => {
    const system = systemOf(assigningAuthority, config);
    return { ...(typeCode === undefined ? {} : { type: concept(systems.identifierType, typeCode) }), ...(system === undefined ? {} : { system }), value };
  });
}

/** Identifier.system for an assigning authority: as configured, as it is when it is a URI, as urn:oid, else in our namespace. */
function systemOf(authority: string, config: Config): string | undefined {
  if (authority === '') return undefined;
  const known = config.identifier_systems[authority];
  if (known !== undefined) return known;
  if (/^[a-z][a-z0-9+.-]*:[^\s|]+$/i.test(authority)) return authority;
  return /^[0-2](\.\d+)+$/.test(authority) ? `urn:oid:${authority}` : `${config.resource_system}:authority:${encodeURIComponent(authority.toWellFormed())}`;
}

/** The order by accession number, else by placer or filler number: a logical reference, because the order is the receiver's. */
export function orderReference(scan: Scan, config: Config): Reference<ServiceRequest> | undefined {
  const numbers = [['ACSN', scan.accessionNumber], ['PLAC', scan.placerOrderNumber], ['FILL', scan.fillerOrderNumber]] as const;
  const found = numbers.find(([, value]) => value !== undefined && value !== '');
  if (found?.[1] === undefined) return undefined;
  return { type: 'ServiceRequest', identifier: orderIdentifier(found[0], found[1], config) };
}

export function orderIdentifier(type: 'ACSN' | 'PLAC' | 'FILL', value: string, config: Config): Identifier {
  return { type: concept(systems.identifierType, type), ...(type === 'ACSN' && config.accession_system !== undefined ? { system: config.accession_system } : {}), value };
}

/** `identifier=system|value` as a query; without system `|value`, which matches only identifiers that have none (R4 search.html#token). */
export function identifierQuery({ system = '', value = '' }: Identifier): string {
  return `identifier=${token(system, value)}`;
}
export function token(system: string, value: string): string {
  return [system, value].map((part) => encodeURIComponent(part.toWellFormed().replaceAll(/[\\,|$]/g, '\\$&'))).join('|');
}

/** The same name gives the same urn:uuid (RFC 9562 version 8), so that a resend is the same bytes. */
export function urnUuid(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  return `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
