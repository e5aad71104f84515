/**
 * A report as FHIR resources. In: ReportDocument and a plan. Out: items in the order in which they must exist, each with the identity by
 * which the receiver finds it again; the same for the same document.
 *
 *   Patient            one that is there is used (setting `patient`)
 *   Device             one a model, by model id and version
 *   Endpoint           where the images are, by address (setting `wado_rs_url`)
 *   ImagingStudy       by Study Instance UID: the PACS may have made it, and it is not ours to change
 *   Observation        one a finding, by tracking UID; findings and impression as text, by report id
 *   DiagnosticReport   or DocumentReference, by report id: version 2 updates what version 1 made
 *   Provenance         by a tag of report and version (R4 Provenance has no identifier)
 *   Task, Flag ...     by report id (companion-items.ts, by settings)
 *
 * ServiceRequest and Organization are named by identifier, unless they were found (surroundings.ts); so is what the plan leaves out.
 */
import type { ReportDocument, ReportSeries } from '#domain/report-document.ts';
import { narrativeOf } from '#standards/fhir/narrative.ts';
import { withoutEmpty } from '#standards/fhir/without-empty.ts';
import type { Attachment, Binary, Device, Encounter, Endpoint, Identifier, ImagingStudy, Organization, Patient, Practitioner, Provenance, Reference, Resource, ServiceRequest } from '#standards/fhir/types.ts';
import { concept, systems } from './code-tables.ts';
import { companionItems } from './companion-items.ts';
import type { Config } from './config.ts';
import { diagnosticReport } from './diagnostic-report.ts';
import { documentReference } from './document-reference.ts';
import { orderIdentifier, orderReference, ownIdentifier, patientIdentifiers, studyIdentifier, token, urnUuid } from './identifiers.ts';
import { findingObservation, sectionObservations } from './observations.ts';
import type { Plan } from './plan.ts';

/** What resources of one report say about each other. */
export interface Links {
  readonly subject: Reference<Patient>;
  readonly study: Reference<ImagingStudy>;
  readonly order: Reference<ServiceRequest> | undefined;
  readonly performer: Reference<Organization>;
  readonly encounter?: Reference<Encounter> | undefined;
  readonly requester?: Reference<Practitioner> | undefined;
  readonly endpoint?: Reference<Endpoint> | undefined;
  device(analysisId: string): Reference<Device> | undefined;
}

/** By what a receiver finds a resource again: a business identifier or a tag. */
export interface Identity { readonly parameter: 'identifier' | '_tag'; readonly system: string; readonly value: string }

export interface Item {
  /** urn:uuid, by which the other items refer to it. */
  readonly fullUrl: string;
  readonly resource: Resource;
  readonly identity: Identity;
  /** What happens to one that is there: it is used as it is, or replaced. 'find': it is never made. 'amend': it is never made, and replaced where it is there. 'put': under the id of the resource, which is ours. */
  readonly existing: 'keep' | 'replace' | 'find' | 'amend' | 'put';
  /** Items refer to items of earlier stages only. */
  readonly stage: number;
}

export function identityQuery({ parameter, system, value }: Identity): string {
  return `${parameter}=${token(system, value)}`;
}

/** What was found out before: the pages, and what the server has of the order. */
export interface Surroundings {
  readonly forms?: readonly Attachment[];
  readonly order?: ServiceRequest | undefined;
  readonly encounter?: Reference<Encounter> | undefined;
  /** Who asked for the order. */
  readonly requester?: Reference<Practitioner> | undefined;
  readonly organization?: Reference<Organization> | undefined;
}

export function reportItems(document: ReportDocument, config: Config, plan: Pick<Plan, 'way' | 'carrier' | 'sends'>, { forms: pages, order, encounter, requester, organization }: Surroundings = {}): readonly Item[] {
  const url = (kind: string, key: string): string => urnUuid(`${document.reportId} ${kind} ${key}`);
  const devices = new Map(document.models.map((model) => [model.analysisId, { model, fullUrl: url('Device', `${model.modelId}@${model.version}`) }]));
  const [patientIdentifier = {}] = patientIdentifiers(document.patient, config);
  const patientUrl = url('Patient', document.patient.patientId), studyUrl = url('ImagingStudy', document.scan.studyInstanceUid), reportUrl = url('DiagnosticReport', '');
  const isNamedOnly = config.patient === 'reference' && plan.way === 'transaction';
  const links: Links = {
    subject: isNamedOnly ? { type: 'Patient', identifier: patientIdentifier } : { reference: patientUrl },
    study: plan.sends.has('ImagingStudy') ? { reference: studyUrl } : { type: 'ImagingStudy', identifier: studyIdentifier(document.scan, config) },
    order: order === undefined ? orderReference(document.scan, config) : { reference: `ServiceRequest/${order.id}` }, performer: organization ?? performerOf(document, config), encounter, requester,
    endpoint: plan.sends.has('Endpoint') ? { reference: url('Endpoint', config.wado_rs_url ?? '') } : undefined,
    device(analysisId) {
      const device = devices.get(analysisId);
      if (device === undefined) return undefined;
      return plan.sends.has('Device') ? { reference: device.fullUrl } : { type: 'Device', identifier: modelIdentifier(device.model, config), display: `${device.model.name} ${device.model.version}` };
    },
  };
  const observations = !plan.sends.has('Observation') ? [] : [
    ...document.findings.map((finding) => [url('Observation', finding.trackingUid), findingObservation(finding, document, config, links)] as const),
    ...sectionObservations(document, config, links).map((observation) => [url('Observation', observation.code?.coding?.[0]?.code ?? ''), observation] as const),
  ];
  const binaries = pages === undefined || !plan.sends.has('Binary') ? [] : pages.map((page) => binaryItem(page, document));
  const forms = binaries.length === 0 ? pages : pages?.map((page, index) => ({ ...withoutData(page), url: `Binary/${binaries[index]?.resource.id}` }));
  const results = observations.map(([reference]) => ({ reference }));
  const carrier = plan.carrier === 'DiagnosticReport' ? diagnosticReport(document, config, links, results, forms) : documentReference(document, config, links, results, forms);
  const items: Item[] = [
    ...(isNamedOnly ? [] : [item(patientUrl, patientOf(document, config), 0, config.patient === 'reference' || config.patient === 'match' ? 'find' : config.patient === 'conditional-update' ? 'replace' : 'keep')]),
    ...[...new Map([...devices.values()].map(({ model, fullUrl }) => [fullUrl, deviceOf(model, config)]))].map(([fullUrl, device]) => item(fullUrl, device, 0, 'replace')),
    ...(links.endpoint === undefined ? [] : [item(url('Endpoint', config.wado_rs_url ?? ''), endpointOf(document, config), 0, 'keep')]),
    item(studyUrl, imagingStudy(document, config, links), 1, 'keep'),
    ...binaries,
    ...observations.map(([fullUrl, observation]) => item(fullUrl, observation, 2, 'replace')),
    item(reportUrl, carrier, 3, 'replace'),
    provenanceItem(url('Provenance', String(document.version)), document, config, [{ reference: reportUrl }, ...results], links),
    ...companionItems(document, config, links, { reportUrl, order, url }),
  ];
  return items.filter(({ resource: { resourceType: type } }) => type === 'Patient' || type === 'ServiceRequest' || type === plan.carrier || plan.sends.has(type as never));
}

export function item(fullUrl: string, resource: Resource & { identifier?: Identifier[] }, stage: number, existing: Item['existing']): Item {
  const { system = '', value = '' } = resource.identifier?.[0] ?? {};
  return { fullUrl, resource: withoutEmpty(resource), identity: { parameter: 'identifier', system, value }, existing, stage };
}

function modelIdentifier(model: ReportDocument['models'][number], config: Config): Identifier {
  return ownIdentifier(config, 'model', `${model.modelId}@${model.version}`);
}

export function performerOf({ organization }: ReportDocument, config: Config): Reference<Organization> {
  const known = config.organization_reference === undefined ? { type: 'Organization' as const, identifier: ownIdentifier(config, 'organization', organization.organizationId) } : { reference: config.organization_reference };
  return { ...known, display: organization.name };
}

export function patientOf({ patient }: Pick<ReportDocument, 'patient'>, config: Config): Patient {
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

export function deviceOf(model: ReportDocument['models'][number], config: Config): Device {
  const notice = model.notForClinicalUse ? 'Not for clinical use.' : '';
  const text = narrativeOf(`${model.name} ${model.version}`, notice);
  return {
    resourceType: 'Device', ...(text === undefined ? {} : { text }), identifier: [modelIdentifier(model, config)], status: 'active', ...(model.udi === undefined ? {} : { udiCarrier: [{ deviceIdentifier: model.udi }] }),
    ...(model.manufacturer.trim() === '' ? {} : { manufacturer: model.manufacturer }), deviceName: [{ name: model.name.trim() || model.modelId, type: 'model-name' }],
    version: [{ type: concept(systems.dcm, '111003', 'Algorithm Version'), value: model.version }], ...(notice === '' ? {} : { note: [{ text: notice }] }),
  };
}

function withoutData({ data, ...page }: Attachment): Attachment {
  return data === undefined ? page : { ...page };
}

/** The id is the same for all versions, so that a correction replaces the page and a retraction leaves none that reads as valid. */
function binaryItem({ contentType = '', data = '' }: Attachment, { reportId }: ReportDocument): Item {
  const fullUrl = urnUuid(`${reportId} Binary ${contentType}`), id = fullUrl.slice('urn:uuid:'.length);
  return { fullUrl, resource: { resourceType: 'Binary', id, contentType: contentType.split(';')[0] ?? contentType, data } satisfies Binary, identity: { parameter: 'identifier', system: '', value: id }, existing: 'put', stage: 2 };
}

/** Where the images can be fetched; the same for every study, so one Endpoint stands for all. */
function endpointOf(document: ReportDocument, config: Config): Endpoint & { identifier: Identifier[] } {
  const address = config.wado_rs_url ?? '';
  return {
    resourceType: 'Endpoint', identifier: [ownIdentifier(config, 'endpoint', address)], status: 'active', connectionType: { system: systems.connectionType, code: 'dicom-wado-rs', display: 'DICOM WADO-RS' },
    name: 'Images by DICOMweb', managingOrganization: performerOf(document, config), payloadType: [{ text: 'DICOM' }], payloadMimeType: ['application/dicom'], address,
  };
}

const instancesOf = (series: Counted['scan']['series'][number]): number => series.instanceCount ?? series.instances.length;

/** Above this the study names its series only: thousands of instances would make a Bundle that servers refuse for its size. */
const mostInstances = 1000;

type Counted = { readonly scan: Omit<ReportDocument['scan'], 'series'> & { readonly series: readonly (ReportSeries & { readonly instanceCount?: number })[] } };

/** R4 datatype id, which ImagingStudy has for UIDs. A series or an object whose name is none is counted and not listed. */
const isId = (uid: string): boolean => /^[A-Za-z0-9.-]{1,64}$/.test(uid);

/** `instanceCount` where the instances themselves are not listed. */
export function imagingStudy({ scan }: Counted, config: Config, links: Links): ImagingStudy {
  const coding = (code: string): { system: string; code: string } => ({ system: systems.dcm, code });
  const number = (value: number | undefined): { number?: number } => value !== undefined && Number.isInteger(value) && value >= 0 ? { number: value } : {};
  const numberOfInstances = scan.series.reduce((sum, series) => sum + instancesOf(series), 0);
  const listed = scan.series.filter(({ seriesInstanceUid }) => isId(seriesInstanceUid));
  const text = narrativeOf(`Imaging study ${scan.modalities.join(', ')} ${scan.studyDescription ?? ''}`);
  return {
    resourceType: 'ImagingStudy', ...(text === undefined ? {} : { text }),
    identifier: [studyIdentifier(scan, config), ...(scan.accessionNumber === undefined ? [] : [orderIdentifier('ACSN', scan.accessionNumber, config)])],
    status: 'available', ...(scan.modalities.length > 0 ? { modality: scan.modalities.map(coding) } : {}), subject: links.subject,
    ...(scan.studyAt === undefined ? {} : { started: scan.studyAt }), ...(links.order === undefined ? {} : { basedOn: [links.order] }),
    ...(links.encounter === undefined ? {} : { encounter: links.encounter }), ...(links.endpoint === undefined ? {} : { endpoint: [links.endpoint] }), numberOfSeries: scan.series.length, numberOfInstances,
    ...(scan.studyDescription?.trim() ? { description: scan.studyDescription } : {}),
    ...(listed.length === 0 ? {} : {
      series: listed.map((series) => ({
        uid: series.seriesInstanceUid, ...number(series.seriesNumber), modality: coding(series.modality ?? 'OT'), ...(series.description?.trim() ? { description: series.description } : {}),
        numberOfInstances: instancesOf(series),
        ...(!series.instances.some(({ sopInstanceUid }) => isId(sopInstanceUid)) || numberOfInstances > mostInstances ? {} : {
          instance: series.instances.filter(({ sopInstanceUid }) => isId(sopInstanceUid)).map((instance) => ({ uid: instance.sopInstanceUid, sopClass: { system: 'urn:ietf:rfc:3986', code: `urn:oid:${instance.sopClassUid}` }, ...number(instance.instanceNumber) })),
        }),
      })),
    }),
  };
}

function provenanceItem(fullUrl: string, document: ReportDocument, config: Config, target: Reference[], links: Links): Item {
  const { system, value } = deliveryTag(document, config);
  return { fullUrl, resource: withoutEmpty(provenanceOf(document, config, target, links)), identity: { parameter: '_tag', system, value }, existing: 'keep', stage: 4 };
}

function deliveryTag(document: ReportDocument, config: Config): { system: string; value: string } {
  return ownIdentifier(config, 'delivery', `${document.reportId}@${document.version}`);
}

export function provenanceOf(document: ReportDocument, config: Config, target: Reference[], links: Links): Provenance {
  const tag = deliveryTag(document, config);
  const devices = new Map(document.models.map((model) => [JSON.stringify(links.device(model.analysisId)), links.device(model.analysisId)]));
  const agents = [...devices.values()].filter((device) => device !== undefined);
  const text = narrativeOf(`Made by ${document.models.map((model) => `${model.name} ${model.version}`).join(', ') || document.organization.name}`);
  return {
    resourceType: 'Provenance', meta: { tag: [{ system: tag.system, code: tag.value }] }, ...(text === undefined ? {} : { text }), target, recorded: document.issuedAt,
    activity: concept(systems.operation, document.version === 1 ? 'CREATE' : 'UPDATE'),
    agent: (agents.length > 0 ? agents : [links.performer]).map((who) => ({ type: concept(systems.participation, 'assembler', 'Assembler'), who, ...(who === links.performer ? {} : { onBehalfOf: links.performer }) })),
    entity: [{ role: 'source', what: links.study }],
  };
}
