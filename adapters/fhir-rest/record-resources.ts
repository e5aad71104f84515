/**
 * A record as the resource that is read here, by the same builders that make what is sent; only the references differ: here every resource has an
 * id of ours. meta.versionId is a digest of the content, so that an ETag changes exactly when the resource does.
 */
import { createHash } from 'node:crypto';
import type { AuditRecord, OrderRecord, PatientRecord, RecordRow, StudyRecord } from '#gateway/records.ts';
import type { ReportDocument } from '#domain/report-document.ts';
import type { AuditEvent, Patient, Reference, Resource, ServiceRequest } from '#standards/fhir/types.ts';
import { isFhirDateTime } from '#standards/fhir/dates.ts';
import { narrativeOf } from '#standards/fhir/narrative.ts';
import { withoutEmpty } from '#standards/fhir/without-empty.ts';
import { conceptOf, requestPriorities, systems } from './code-tables.ts';
import type { Config } from './config.ts';
import { allergyResource, conditionResource, taskResource } from './told-resources.ts';
import { diagnosticReport } from './diagnostic-report.ts';
import { orderIdentifier, orderReference, ownIdentifier, patientIdentifiers, studyIdentifier } from './identifiers.ts';
import { findingObservation } from './observations.ts';
import { deviceOf, imagingStudy, patientOf, performerOf, provenanceOf } from './report-items.ts';
import type { Links } from './report-items.ts';

export function resourceOf(record: RecordRow, config: Config): Resource {
  const content = withoutEmpty({ ...contentOf(record, config), id: record.id });
  const versionId = createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 16);
  const { resourceType, id, meta, ...rest } = content;
  return { resourceType, id, meta: { ...meta, versionId, lastUpdated: record.updatedAt }, ...rest } as Resource;
}

function contentOf(record: RecordRow, config: Config): Resource {
  switch (record.kind) {
    case 'patient': return patientResource(record, config);
    case 'order': return serviceRequest(record, config);
    case 'study': return studyResource(record, config);
    case 'report': return diagnosticReport(record.document, config, documentLinks(record.document, record, config), findingReferences(record.document));
    case 'finding': {
      const observation = findingObservation(record.finding, record.document, config, documentLinks(record.document, record, config));
      return record.isCurrent ? observation : { ...observation, status: 'entered-in-error' };
    }
    case 'model': return { ...deviceOf(record.model, config), status: record.isActive ? 'active' : 'inactive' };
    case 'version': return provenanceOf(record.document, config, [{ reference: `DiagnosticReport/${record.document.reportId}` }, ...findingReferences(record.document)], documentLinks(record.document, { ...record, hasOrder: true }, config));
    case 'audit': return auditEvent(record, config);
    case 'condition': return conditionResource(record, config);
    case 'allergy': return allergyResource(record, config);
    case 'task': return taskResource(record);
  }
}

function findingReferences(document: ReportDocument): Reference<never>[] {
  return document.findings.map(({ findingId }) => ({ reference: `Observation/${findingId}` }));
}

function scanLinks({ scan, patientId, hasOrder }: { scan: ReportDocument['scan'] | Omit<ReportDocument['scan'], 'series'>; patientId: string; hasOrder: boolean }, config: Config): Links {
  return {
    subject: { reference: `Patient/${patientId}` }, study: { reference: `ImagingStudy/${scan.scanId}`, identifier: studyIdentifier(scan, config) },
    order: hasOrder ? { reference: `ServiceRequest/${scan.scanId}` } : orderReference(scan, config), performer: { type: 'Organization' }, device: () => undefined,
  };
}

function documentLinks(document: ReportDocument, { patientId, hasOrder }: { patientId: string; hasOrder: boolean }, config: Config): Links {
  const models = new Map(document.models.map((model) => [model.analysisId, model]));
  return {
    ...scanLinks({ scan: document.scan, patientId, hasOrder }, config), performer: performerOf(document, config),
    device(analysisId) {
      const model = models.get(analysisId);
      return model === undefined ? undefined : { reference: `Device/${model.modelId}`, display: `${model.name} ${model.version}` };
    },
  };
}

function patientResource(record: PatientRecord, config: Config): Patient {
  const old = record.oldIdentifiers.length === 0 ? [] : patientIdentifiers({ ...record.patient, identifiers: record.oldIdentifiers }, config).map((identifier) => ({ ...identifier, use: 'old' as const }));
  const patient = patientOf(record, config);
  return {
    ...patient, identifier: [...patient.identifier ?? [], ...old], active: record.isActive, ...toldDeath(record), ...toldWhereabouts(record),
    ...(record.mergedInto === undefined ? {} : { link: [{ other: { reference: `Patient/${record.mergedInto}` }, type: 'replaced-by' as const }] }),
  };
}

/** The moment says that it was; a time of which FHIR has no form is told as its day. */
function toldDeath({ deceased, deceasedAt }: PatientRecord): Partial<Patient> {
  const moment = [deceasedAt, deceasedAt?.slice(0, 10)].find((text) => text !== undefined && isFhirDateTime(text));
  return deceased !== false && moment !== undefined ? { deceasedDateTime: moment } : deceased === undefined ? {} : { deceasedBoolean: deceased };
}

const addressUses = new Set(['home', 'work', 'temp', 'old', 'billing']), contactUses = new Set(['home', 'work', 'temp', 'old', 'mobile']), contactSystems = new Set(['phone', 'fax', 'email']);
const codeIn = (codes: ReadonlySet<string>, code: string | undefined): string | undefined => code !== undefined && codes.has(code) ? code : undefined;

function toldWhereabouts({ addresses = [], contacts = [] }: PatientRecord): Partial<Patient> {
  return {
    telecom: contacts.filter(({ value }) => value !== undefined).map(({ system, value, use }) => ({ system: codeIn(contactSystems, system) ?? 'other', value, use: codeIn(contactUses, use) })),
    address: addresses.map(({ line, line2, city, state, postal_code: postalCode, country, use }) => ({ use: codeIn(addressUses, use), line: [line, line2].filter(Boolean), city, state, postalCode, country })),
  } as Partial<Patient>;
}

const orderStatuses = { ordered: 'active', held: 'on-hold', cancelled: 'revoked' } as const;

function serviceRequest(record: OrderRecord, config: Config): ServiceRequest {
  const { scan } = record;
  const numbers = [['ACSN', scan.accessionNumber], ['PLAC', scan.placerOrderNumber], ['FILL', scan.fillerOrderNumber]] as const;
  const text = narrativeOf(`Imaging order ${scan.studyDescription ?? scan.modalities.join(', ')}`);
  return {
    resourceType: 'ServiceRequest', ...(text === undefined ? {} : { text }), identifier: numbers.flatMap(([type, value]) => value === undefined ? [] : [orderIdentifier(type, value, config)]),
    status: record.orderStatus === 'ordered' && record.isDone ? 'completed' : orderStatuses[record.orderStatus], intent: 'order', priority: requestPriorities.get(record.priority) ?? 'routine',
    ...(scan.procedureCode !== undefined ? { code: conceptOf(scan.procedureCode, config.resource_system) } : scan.studyDescription !== undefined ? { code: { text: scan.studyDescription } } : {}), subject: { reference: `Patient/${record.patientId}` },
    ...(record.scheduledAt === undefined ? {} : { occurrenceDateTime: record.scheduledAt }), ...(record.reason === undefined ? {} : { reasonCode: [{ text: record.reason }] }),
    ...(scan.bodyPart === undefined ? {} : { bodySite: [{ text: scan.bodyPart }] }),
  };
}

/** R4 imagingstudy-status: registered is known and not yet here. */
function studyResource(record: StudyRecord, config: Config): Resource {
  const study = imagingStudy(record, config, scanLinks(record, config));
  return record.isAnnounced ? { ...study, status: record.isCancelled ? 'cancelled' : 'registered' } as Resource : study;
}

const outcomes = { success: '0', minor_failure: '4', serious_failure: '8', major_failure: '12' } as const;
const entityTypes: Readonly<Record<string, string>> = { patient: 'Patient', scan: 'ImagingStudy', study: 'ImagingStudy', order: 'ServiceRequest', report: 'DiagnosticReport', finding: 'Observation', model: 'Device' };

function auditEvent(record: AuditRecord, config: Config): AuditEvent {
  const { actor, object, patientId } = record;
  const who = ownIdentifier(config, 'actor', actor.id);
  const what = object === undefined ? undefined : entityTypes[object.type] === undefined ? { identifier: ownIdentifier(config, 'record', `${object.type}/${object.id}`) } : { reference: `${entityTypes[object.type]}/${object.id}` };
  return {
    resourceType: 'AuditEvent', type: { system: systems.dcm, code: record.eventCode, display: record.eventName }, action: record.action, recorded: record.updatedAt, outcome: outcomes[record.outcome],
    agent: [{
      who: { identifier: who }, requestor: actor.kind !== 'system', ...(actor.role === undefined ? {} : { role: [{ text: actor.role }] }),
      ...(actor.address === undefined ? {} : { network: { address: actor.address, type: '2' as const } }),
    }],
    source: { observer: { identifier: ownIdentifier(config, 'gateway', 'medscan'), display: 'MedScan Gateway' } },
    entity: [...(what === undefined ? [] : [{ what }]), ...(patientId === undefined || object?.type === 'patient' ? [] : [{ what: { reference: `Patient/${patientId}` }, role: { system: systems.objectRole, code: '1', display: 'Patient' } }])],
  };
}
