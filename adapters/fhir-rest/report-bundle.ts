/**
 * A report as one transaction Bundle. In: ReportDocument. Out: Bundle, the same for the same document.
 *
 *   Patient          If-None-Exist or PUT by its identifier, or not sent at all (setting `patient`)
 *   Device           one a model, PUT by model id and version
 *   ImagingStudy     If-None-Exist by Study Instance UID: the PACS may have made it, and it is not ours to change
 *   Observation      one a finding, PUT by tracking UID; findings and impression as text, PUT by report id
 *   DiagnosticReport PUT by report id: version 2 updates what version 1 made
 *   Provenance       If-None-Exist by a tag of report and version (R4 Provenance has no identifier)
 *
 * ServiceRequest and Organization are named by identifier only.
 */
import type { ReportDocument } from '#domain/report-document.ts';
import { narrativeOf } from '#standards/fhir/narrative.ts';
import { withoutEmpty } from '#standards/fhir/without-empty.ts';
import type { Bundle, BundleEntry, Device, ImagingStudy, Organization, Patient, Provenance, Reference, Resource, ServiceRequest } from '#standards/fhir/types.ts';
import { concept, systems } from './code-tables.ts';
import type { Config } from './config.ts';
import { diagnosticReport } from './diagnostic-report.ts';
import { identifierQuery, orderIdentifier, orderReference, ownIdentifier, patientIdentifiers, studyIdentifier, token, urnUuid } from './identifiers.ts';
import { findingObservation, sectionObservations } from './observations.ts';

/** What resources of one Bundle say about each other. */
export interface Links {
  readonly subject: Reference<Patient>;
  readonly study: Reference<ImagingStudy>;
  readonly order: Reference<ServiceRequest> | undefined;
  readonly performer: Reference<Organization>;
  device(analysisId: string): Reference<Device> | undefined;
}

export function reportBundle(document: ReportDocument, config: Config): Bundle {
  const url = (kind: string, key: string): string => urnUuid(`${document.reportId} ${kind} ${key}`);
  const devices = new Map(document.models.map((model) => [model.analysisId, url('Device', `${model.modelId}@${model.version}`)]));
  const [patientIdentifier = {}] = patientIdentifiers(document.patient, config);
  const patientUrl = url('Patient', document.patient.patientId), studyUrl = url('ImagingStudy', document.scan.studyInstanceUid);
  const links: Links = {
    subject: config.patient === 'reference' ? { type: 'Patient', identifier: patientIdentifier } : { reference: patientUrl },
    study: { reference: studyUrl }, order: orderReference(document.scan, config),
    performer: { type: 'Organization', identifier: ownIdentifier(config, 'organization', document.organization.organizationId), display: document.organization.name },
    device: (analysisId) => { const reference = devices.get(analysisId); return reference === undefined ? undefined : { reference }; },
  };
  const observations = [
    ...document.findings.map((finding) => [url('Observation', finding.trackingUid), findingObservation(finding, document, config, links)] as const),
    ...sectionObservations(document, config, links).map((observation) => [url('Observation', observation.code?.coding?.[0]?.code ?? ''), observation] as const),
  ];
  const reportUrl = url('DiagnosticReport', '');
  const results = observations.map(([reference]) => ({ reference }));
  const entries: BundleEntry[] = [
    ...patientEntry(patientUrl, document, config),
    ...[...new Map(document.models.map((model) => [devices.get(model.analysisId) ?? '', deviceOf(model, config)]))].map(([fullUrl, device]) => put(fullUrl, device, identifierQuery(device.identifier?.[0] ?? {}))),
    createOnce(studyUrl, imagingStudy(document, config, links), identifierQuery(studyIdentifier(document.scan, config))),
    ...observations.map(([fullUrl, observation]) => put(fullUrl, observation, identifierQuery(observation.identifier?.[0] ?? {}))),
    put(reportUrl, diagnosticReport(document, config, links, results), identifierQuery(ownIdentifier(config, 'report', document.reportId))),
    provenanceEntry(url('Provenance', String(document.version)), document, config, [{ reference: reportUrl }, ...results], links),
  ];
  return withoutEmpty({ resourceType: 'Bundle', type: 'transaction', entry: entries } satisfies Bundle);
}

function put(fullUrl: string, resource: Resource, query: string): BundleEntry {
  return { fullUrl, resource, request: { method: 'PUT', url: `${resource.resourceType}?${query}` } };
}
function createOnce(fullUrl: string, resource: Resource, query: string): BundleEntry {
  return { fullUrl, resource, request: { method: 'POST', url: resource.resourceType, ifNoneExist: query } };
}

function patientEntry(fullUrl: string, document: ReportDocument, config: Config): BundleEntry[] {
  if (config.patient === 'reference') return [];
  const patient = patientOf(document, config), query = identifierQuery(patient.identifier?.[0] ?? {});
  return [config.patient === 'conditional-update' ? put(fullUrl, patient, query) : createOnce(fullUrl, patient, query)];
}

function patientOf({ patient }: ReportDocument, config: Config): Patient {
  const given = [patient.givenName, patient.middleName].filter((name): name is string => Boolean(name?.trim()));
  const name = {
    ...(patient.familyName?.trim() ? { family: patient.familyName } : {}), ...(given.length > 0 ? { given } : {}),
    ...(patient.namePrefix?.trim() ? { prefix: [patient.namePrefix] } : {}), ...(patient.nameSuffix?.trim() ? { suffix: [patient.nameSuffix] } : {}),
  };
  const text = narrativeOf([patient.familyName, ...given].filter(Boolean).join(', '));
  return {
    resourceType: 'Patient', ...(text === undefined ? {} : { text }), identifier: patientIdentifiers(patient, config),
    ...(Object.keys(name).length > 0 ? { name: [name] } : {}), ...(patient.sex === undefined ? {} : { gender: patient.sex }),
    ...(patient.birthDate === undefined ? {} : { birthDate: patient.birthDate }),
  };
}

function deviceOf(model: ReportDocument['models'][number], config: Config): Device {
  const notice = model.notForClinicalUse ? 'Not for clinical use.' : '';
  const text = narrativeOf(`${model.name} ${model.version}`, notice);
  return {
    resourceType: 'Device', ...(text === undefined ? {} : { text }), identifier: [ownIdentifier(config, 'model', `${model.modelId}@${model.version}`)], status: 'active',
    ...(model.manufacturer.trim() === '' ? {} : { manufacturer: model.manufacturer }), deviceName: [{ name: model.name.trim() || model.modelId, type: 'model-name' }],
    version: [{ type: concept(systems.dcm, '111003', 'Algorithm Version'), value: model.version }], ...(notice === '' ? {} : { note: [{ text: notice }] }),
  };
}

/** Above this the study names its series only: thousands of instances would make a Bundle that servers refuse for its size. */
const mostInstances = 1000;

function imagingStudy({ scan }: ReportDocument, config: Config, links: Links): ImagingStudy {
  const coding = (code: string): { system: string; code: string } => ({ system: systems.dcm, code });
  const number = (value: number | undefined): { number?: number } => value !== undefined && Number.isInteger(value) && value >= 0 ? { number: value } : {};
  const numberOfInstances = scan.series.reduce((sum, series) => sum + series.instances.length, 0);
  const text = narrativeOf(`Imaging study ${scan.modalities.join(', ')} ${scan.studyDescription ?? ''}`);
  return {
    resourceType: 'ImagingStudy', ...(text === undefined ? {} : { text }),
    identifier: [studyIdentifier(scan, config), ...(scan.accessionNumber === undefined ? [] : [orderIdentifier('ACSN', scan.accessionNumber, config)])],
    status: 'available', ...(scan.modalities.length > 0 ? { modality: scan.modalities.map(coding) } : {}), subject: links.subject,
    ...(scan.studyAt === undefined ? {} : { started: scan.studyAt }), ...(links.order === undefined ? {} : { basedOn: [links.order] }),
    numberOfSeries: scan.series.length, numberOfInstances,
    ...(scan.studyDescription?.trim() ? { description: scan.studyDescription } : {}),
    ...(scan.series.length === 0 ? {} : {
      series: scan.series.map((series) => ({
        uid: series.seriesInstanceUid, ...number(series.seriesNumber), modality: coding(series.modality ?? 'OT'), ...(series.description?.trim() ? { description: series.description } : {}),
        numberOfInstances: series.instances.length,
        ...(series.instances.length === 0 || numberOfInstances > mostInstances ? {} : {
          instance: series.instances.map((instance) => ({ uid: instance.sopInstanceUid, sopClass: { system: 'urn:ietf:rfc:3986', code: `urn:oid:${instance.sopClassUid}` }, ...number(instance.instanceNumber) })),
        }),
      })),
    }),
  };
}

function provenanceEntry(fullUrl: string, document: ReportDocument, config: Config, target: Reference[], links: Links): BundleEntry {
  const tag = ownIdentifier(config, 'delivery', `${document.reportId}@${document.version}`);
  const devices = new Map(document.models.map((model) => [links.device(model.analysisId)?.reference ?? '', links.device(model.analysisId)]));
  const agents = [...devices.values()].filter((device) => device !== undefined);
  const text = narrativeOf(`Made by ${document.models.map((model) => `${model.name} ${model.version}`).join(', ') || document.organization.name}`);
  const provenance: Provenance = {
    resourceType: 'Provenance', meta: { tag: [{ system: tag.system, code: tag.value }] }, ...(text === undefined ? {} : { text }), target, recorded: document.issuedAt,
    activity: concept(systems.operation, document.version === 1 ? 'CREATE' : 'UPDATE'),
    agent: (agents.length > 0 ? agents : [links.performer]).map((who) => ({ type: concept(systems.participation, 'assembler', 'Assembler'), who, ...(who === links.performer ? {} : { onBehalfOf: links.performer }) })),
    entity: [{ role: 'source', what: links.study }],
  };
  return createOnce(fullUrl, provenance, `_tag=${token(tag.system, tag.value)}`);
}
