/**
 * One resource that a request, or an entry of a transaction, asks to be written: as a message with the conditions under which it is meant.
 *
 *   If-Match, If-None-Match: *   judged against the version that a read would tell, while the record is held
 *   If-None-Exist                one match: kept as it is. None: created. More: 412
 *   PUT [type]?identifier=       one match: updated. None: created. More: 412
 *   PUT [type]/[id]              ours, or what this system called it: updated. Else created under that name
 */
import { createHash } from 'node:crypto';
import { NormalizeError } from '#gateway/adapter.ts';
import type { InboundMessage, Integration, Peer, Principal } from '#gateway/adapter.ts';
import type { Normalized } from '#gateway/normalized.ts';
import type { Criteria, Guard, Reader, RecordRow, Write } from '#gateway/records.ts';
import { issueText, outcomeOf } from '#standards/fhir/operation-outcome.ts';
import { parseLiteral } from '#standards/fhir/references.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import { FhirRefusal } from './answer.ts';
import type { Body } from './body.ts';
import type { Config } from './config.ts';
import { controlIdOf } from './control-id.ts';
import { token } from './identifiers.ts';
import { writtenTypes } from './interaction.ts';
import type { Interaction } from './interaction.ts';
import { logicalAuthority } from './normalize.ts';
import { resourceOf } from './record-resources.ts';
import { alternatives } from './search-values.ts';
import { servedTypes } from './served-types.ts';

export interface Sender { readonly integration: Integration<Config>; readonly principal: Principal; readonly peer: Peer; readonly receivedAt: Date }
export interface Preconditions { readonly ifMatch: string | null; readonly ifNoneMatch: string | null }
export interface Asked {
  readonly interaction: Interaction; readonly body: Body; readonly resource: Readonly<Record<string, unknown>>; readonly preconditions: Preconditions;
  readonly requestId: string | undefined; readonly facts?: Readonly<Record<string, unknown>>;
}
/** What the guards found out, for the answer. */
export interface Outcome { existed: boolean; refusal: FhirRefusal | undefined }
export interface WriteRequest { readonly write: Write; readonly outcome: Outcome }

/** Throws FhirRefusal 400, 422. `Bundle.entry[2].resource.` goes before places. */
export function checkResource(interaction: Interaction, resource: Readonly<Record<string, unknown>>): void {
  if (resource['resourceType'] !== interaction.resourceType) throw new FhirRefusal(400, 'invalid', `The URL is for ${interaction.resourceType}; the resource in the body must have that resourceType.`, { expression: 'resourceType' });
  const issues = validateResource(resource);
  const [first] = issues;
  if (first !== undefined) throw new FhirRefusal(422, first.code, issueText(first), { expression: first.expression, all: outcomeOf(issues) });
  checkNames(interaction, resource);
}

export function checkNames({ id, criteria, resourceType }: Interaction, resource: Readonly<Record<string, unknown>>): void {
  if (id !== undefined && resource['id'] !== id) throw new FhirRefusal(400, 'invalid', 'The id in the resource must be the id in the URL.', { expression: `${resourceType}.id` });
  if (criteria !== undefined && !identifiersOf(resource).some((identifier) => (identifier.system ?? '') === criteria.system && identifier.value === criteria.value)) {
    throw new FhirRefusal(422, 'business-rule', 'The resource must carry the identifier that the condition names.', { expression: `${resourceType}.identifier` });
  }
}

interface Identifier { readonly system?: string; readonly value?: string }
export function identifiersOf(resource: Readonly<Record<string, unknown>>): readonly Identifier[] {
  const { identifier } = resource as { identifier?: Identifier | readonly Identifier[] };
  return Array.isArray(identifier) ? identifier as readonly Identifier[] : identifier === undefined ? [] : [identifier as Identifier];
}

export function writeRequest(asked: Asked, sender: Sender, isTold: boolean): WriteRequest {
  const outcome: Outcome = { existed: false, refusal: undefined };
  return { outcome, write: { message: messageOf(asked, sender), ...conditionsOf(asked, sender.integration, outcome), ...(isTold ? { reader: readerOf(sender) } : {}) } };
}

export function conditionsOf(asked: Pick<Asked, 'interaction' | 'resource' | 'preconditions'>, integration: Integration<Config>, outcome: Outcome): Pick<Write, 'kind' | 'guards' | 'names' | 'isNewOrder'> {
  const { interaction, resource } = asked, { kind } = writtenTypes[interaction.resourceType], names = kind === 'patient' ? [] : namesOf(interaction, resource);
  return { kind, guards: [...ownGuards(asked, integration, outcome)], ...(names.length === 0 ? {} : { names }), ...(isNumberedById(asked) ? { isNewOrder: true } : {}) };
}

/** A created order without a number of its own is numbered by the id it came with (normalize.ts), which some senders fill with the same word each time. */
const isNumberedById = ({ interaction: { kind, resourceType }, resource }: Pick<Asked, 'interaction' | 'resource'>): boolean =>
  kind === 'create' && resourceType === 'ServiceRequest' && !identifiersOf(resource).some((identifier) => identifier.value !== undefined);

function readerOf({ principal, peer }: Sender): Reader {
  return { organizationId: principal.organizationId, userId: principal.userId, role: principal.role, address: peer.address };
}

/** Under what the record is found again. A business identifier is one where the kind of record keeps none of its own. */
function namesOf({ id, resourceType }: Interaction, resource: Readonly<Record<string, unknown>>): string[] {
  const isNamedByIdentifier = resourceType === 'Condition' || resourceType === 'AllergyIntolerance';
  const identifiers = isNamedByIdentifier ? identifiersOf(resource).filter(({ value }) => value !== undefined).slice(0, 20).map(({ system = '', value }) => `${system}|${value}`.slice(0, 512)) : [];
  return [...new Set([...(id === undefined ? [] : [id]), ...identifiers])];
}

/**
 * What of a request is needed to mean the same by it again, beside its resource. The identifier of a condition is told by its place: it may be a
 * patient's, and facts are shown to people who see no patients.
 */
export function conditionFacts({ interaction: { kind, id, criteria }, resource, preconditions: { ifMatch, ifNoneMatch } }: Pick<Asked, 'interaction' | 'preconditions'> & { readonly resource: Asked['resource'] | undefined }): Readonly<Record<string, unknown>> {
  const place = criteria === undefined || resource === undefined ? -1 : (identifiersOf(resource) as readonly (Identifier | null)[]).findIndex((each) => (each?.system ?? '') === criteria.system && each?.value === criteria.value);
  return { interaction: kind, ...(id === undefined ? {} : { id }), ...(place < 0 ? {} : { identifier: place }), ...(ifMatch === null ? {} : { ifMatch }), ...(ifNoneMatch === null ? {} : { ifNoneMatch }) };
}

export function messageOf({ interaction, body, resource, requestId, preconditions, facts }: Asked, { integration, principal, peer, receivedAt }: Sender): InboundMessage<Config> {
  const sha256 = createHash('sha256').update(body.bytes).digest('hex');
  return {
    integration, interaction: `${interaction.kind.endsWith('create') ? 'create' : 'update'} ${interaction.resourceType}`, controlId: controlIdOf(interaction, resource, { sha256, requestId, receivedAt }),
    peer: { ...peer, application: principal.userId }, receivedAt, head: body.bytes, sha256, byteSize: body.bytes.byteLength,
    facts: { mediaType: body.mediaType, ...conditionFacts({ interaction, resource, preconditions }), ...(requestId === undefined ? {} : { requestId }), ...facts },
  };
}

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function* ownGuards(asked: Pick<Asked, 'interaction' | 'resource' | 'preconditions'>, integration: Integration<Config>, outcome: Outcome): Generator<Guard> {
  const { interaction, preconditions } = asked, { kind } = writtenTypes[interaction.resourceType];
  const found = (records: readonly RecordRow[]): 'write' | ((normalized: Normalized) => Normalized) => {
    const [record] = records;
    outcome.existed ||= record !== undefined;
    return record === undefined ? 'write' : (normalized) => pointedAt(record, normalized);
  };
  const refuse = (status: number, code: FhirRefusal['code'], text: string): never => {
    outcome.refusal = new FhirRefusal(status, code, text);
    throw new NormalizeError('conflict', text);
  };
  if (interaction.criteria !== undefined) {
    const { system, value } = interaction.criteria;
    const criteria = servedTypes[interaction.resourceType].parameters['identifier']!.criteria as (values: readonly string[], config: Config, integrationId: string, modifier: undefined) => Criteria;
    yield {
      kind, criteria: criteria(alternatives(decodeURIComponent(token(system, value))), integration.config, integration.integrationId, undefined),
      judge(records) {
        if (records.length > 1) return refuse(412, 'multiple-matches', 'More than one resource here fits the condition.');
        if (interaction.kind === 'conditional-create') { outcome.existed = records.length === 1; return records.length === 1 ? 'skip' : 'write'; }
        return judgeVersion(records, preconditions, integration.config, refuse) ?? found(records);
      },
    };
  }
  yield* orderGuards(asked, integration, outcome);
  const { id } = interaction;
  if (id === undefined) return;
  const ways: Criteria[] = [...(uuid.test(id) ? [{ ids: [id] }] : []), kind === 'patient' ? { patientIdentifiers: [{ value: id, authority: logicalAuthority(integration.integrationId) }] } : { names: [{ name: id, integrationId: integration.integrationId }] }];
  for (const [index, criteria] of ways.entries()) {
    yield {
      kind, criteria,
      judge(records) {
        // From the beginning, also when the transaction is tried again.
        if (index === 0) outcome.existed = false;
        if (outcome.existed || (records.length === 0 && index < ways.length - 1)) return 'write';
        return judgeVersion(records, preconditions, integration.config, refuse) ?? found(records);
      },
    };
  }
}

interface Named { readonly reference?: string; readonly identifier?: Identifier }

/** The order or study that a Task is about must be here; the one that an ImagingStudy is based on gives it its numbers. */
function* orderGuards({ interaction, resource }: Pick<Asked, 'interaction' | 'resource'>, { integrationId }: Integration<Config>, outcome: Outcome): Generator<Guard> {
  const isTask = interaction.resourceType === 'Task';
  if (!isTask && interaction.resourceType !== 'ImagingStudy') return;
  const { focus, basedOn } = resource as { focus?: Named; basedOn?: readonly Named[] };
  const about = isTask ? focus ?? basedOn?.[0] : basedOn?.[0];
  const literal = about?.reference === undefined ? undefined : parseLiteral(about.reference), kind = literal?.type === 'ImagingStudy' ? 'study' : 'order';
  const isOurs = literal?.base === '' && (literal.type === 'ServiceRequest' || literal.type === 'ImagingStudy');
  const { system = '', value } = about?.identifier ?? {};
  const criteria: Criteria | undefined = isOurs ? uuid.test(literal.id) ? { ids: [literal.id] } : { names: [{ name: literal.id, integrationId }] }
    : value === undefined ? undefined : system === 'urn:dicom:uid' ? { studyInstanceUids: [value.replace(/^urn:oid:/, '')] } : { orderNumbers: [value] };
  if (criteria === undefined && !isTask) return;
  yield {
    kind: system === 'urn:dicom:uid' ? 'study' : kind, criteria: criteria ?? { ids: [] },
    judge([record]) {
      if (record !== undefined) return (normalized) => pointedAt(record, normalized);
      if (!isTask) return 'write';
      outcome.refusal = new FhirRefusal(422, 'not-found', 'The Task names no order and no study that is here: by reference, or by an identifier (accession, placer, filler number, Study Instance UID).', { expression: focus === undefined ? 'Task.basedOn' : 'Task.focus' });
      throw new NormalizeError('invalid', outcome.refusal.message, outcome.refusal.expression);
    },
  };
}

/** RFC 9110 13.1.1 and 13.1.2, with weak tags as R4 writes them. */
function judgeVersion([record]: readonly RecordRow[], { ifMatch, ifNoneMatch }: Preconditions, config: Config, refuse: (status: number, code: FhirRefusal['code'], text: string) => never): undefined {
  if (ifNoneMatch?.trim() === '*' && record !== undefined) return refuse(412, 'conflict', 'There is such a resource already, and If-None-Match: * asks for none.');
  if (ifMatch === null) return undefined;
  if (record === undefined) return refuse(412, 'conflict', 'If-Match names a version of a resource that is not here.');
  const current = resourceOf(record, config).meta?.versionId;
  if (!tagsOf(ifMatch).some((tag) => tag === '*' || tag === current)) return refuse(412, 'conflict', `The resource has changed: its version is W/"${current}". Read it, and update that.`);
  return undefined;
}

/** 'W/"a", "b"' */
export function tagsOf(header: string): string[] {
  return header.split(',').map((tag) => tag.trim().replace(/^W\//, '').replaceAll('"', ''));
}

/** The record that the sender named by id or condition, whatever the identifiers in the resource say. */
function pointedAt(record: RecordRow, normalized: Normalized): Normalized {
  if (record.kind === 'patient') {
    const identifiers = (normalized.patient?.identifiers ?? []).filter(({ value }) => value !== record.id);
    return { ...normalized, patient: { ...normalized.patient, patient_id: record.id, identifiers } };
  }
  if (record.kind === 'condition' || record.kind === 'allergy') return normalized;
  return { ...normalized, ...(normalized.order === undefined ? {} : { order: { ...numbersOf(record), ...present(normalized.order) } }) };
}

function numbersOf(record: RecordRow): { [Name in 'accession_number' | 'placer_order_number' | 'filler_order_number' | 'study_instance_uid']?: string } {
  if (record.kind === 'task') return record.accessionNumber === undefined ? {} : { accession_number: record.accessionNumber };
  if (record.kind !== 'order' && record.kind !== 'study') return {};
  const { scan } = record;
  return {
    ...(scan.accessionNumber === undefined ? {} : { accession_number: scan.accessionNumber }), ...(scan.placerOrderNumber === undefined ? {} : { placer_order_number: scan.placerOrderNumber }),
    ...(scan.fillerOrderNumber === undefined ? {} : { filler_order_number: scan.fillerOrderNumber }), ...(scan.studyInstanceUid === '' ? {} : { study_instance_uid: scan.studyInstanceUid }),
  };
}

function present<T extends object>(values: T): T {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}
