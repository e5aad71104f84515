/**
 * What goes beside the report where a site asks for it, each found again by the report's id and withdrawn with it:
 *
 *   Task             the order is done, and this is its output (order_update: task)
 *   ServiceRequest   the order as the server has it, set to completed once a person signed (order_update: service-request)
 *   Flag             critical findings, on the patient (critical_findings: flag)
 *   Communication    the same as an alert (critical_findings: communication)
 */
import type { ReportDocument } from '#domain/report-document.ts';
import { narrativeOf } from '#standards/fhir/narrative.ts';
import type { Communication, Flag, Reference, ServiceRequest, Task } from '#standards/fhir/types.ts';
import { concept, findingConcept, systems } from './code-tables.ts';
import type { Config } from './config.ts';
import { ownIdentifier } from './identifiers.ts';
import { item } from './report-items.ts';
import type { Item, Links } from './report-items.ts';

interface About { readonly reportUrl: string; readonly order: ServiceRequest | undefined; url(kind: string, key: string): string }

export function companionItems(document: ReportDocument, config: Config, links: Links, about: About): Item[] {
  return [
    ...(config.order_update === 'task' && links.order !== undefined ? [item(about.url('Task', ''), orderTask(document, config, links, about), 4, 'replace')] : []),
    ...completedOrder(document, config, about),
    ...(config.critical_findings === 'none' ? [] : criticalItems(document, config, links, about)),
  ];
}

const isWithdrawn = ({ status }: ReportDocument): boolean => status === 'cancelled' || status === 'entered-in-error';
const isSigned = ({ status }: ReportDocument): boolean => status === 'final' || status === 'amended' || status === 'corrected';

function orderTask(document: ReportDocument, config: Config, links: Links, { reportUrl }: About): Task {
  const text = narrativeOf(`Read by AI, ${document.status}.`), { order } = links;
  return {
    resourceType: 'Task', ...(text === undefined ? {} : { text }), identifier: [ownIdentifier(config, 'order-task', document.reportId)], ...(order === undefined ? {} : { basedOn: [order], focus: order }),
    status: isWithdrawn(document) ? 'entered-in-error' : 'completed', businessStatus: { text: document.status }, intent: 'order', code: concept(systems.taskCode, 'fulfill', 'Fulfill the focal request'),
    for: links.subject, ...(links.encounter === undefined ? {} : { encounter: links.encounter }), authoredOn: document.scan.studyAt ?? document.issuedAt, ...(links.requester === undefined ? {} : { requester: links.requester }), lastModified: document.issuedAt, owner: links.performer,
    output: [{ type: { ...concept(systems.loinc, '18748-4'), text: 'Diagnostic imaging report' }, valueReference: { reference: reportUrl } }],
  };
}

/** Never on the word of a model alone: an order is done when a person has signed. */
function completedOrder(document: ReportDocument, config: Config, { order, url }: About): Item[] {
  const [identifier] = order?.identifier ?? [];
  if (config.order_update !== 'service-request' || order === undefined || identifier?.value === undefined || order.status !== 'active' || !isSigned(document)) return [];
  return [{ fullUrl: url('ServiceRequest', ''), resource: { ...order, status: 'completed' }, identity: { parameter: 'identifier', system: identifier.system ?? '', value: identifier.value }, existing: 'amend', stage: 4 }];
}

/** A later version without critical findings withdraws what an earlier one may have made, and makes nothing. */
function criticalItems(document: ReportDocument, config: Config, links: Links, about: About): Item[] {
  const critical = document.findings.filter(({ severity }) => severity === 'critical'), isOn = critical.length > 0 && !isWithdrawn(document);
  if (!isOn && document.version === 1) return [];
  const words = critical.length === 0 ? 'Critical AI finding, withdrawn' : `Critical AI finding: ${critical.map(({ type }) => type.display).join(', ')}`;
  const resource = config.critical_findings === 'flag' ? flag(document, config, links, { words, isOn }) : communication(document, config, links, { words, isOn }, about.reportUrl);
  return [item(about.url('critical', ''), resource, 4, isOn ? 'replace' : 'amend')];
}

interface Alert { readonly words: string; readonly isOn: boolean }

function flag(document: ReportDocument, config: Config, links: Links, { words, isOn }: Alert): Flag {
  const [first] = document.findings.filter(({ severity }) => severity === 'critical');
  const text = narrativeOf(words), code = first === undefined ? {} : findingConcept(first.type, config.resource_system);
  return {
    resourceType: 'Flag', ...(text === undefined ? {} : { text }), identifier: [ownIdentifier(config, 'critical', document.reportId)], status: isOn ? 'active' : 'entered-in-error',
    category: [concept(systems.flagCategory, 'clinical', 'Clinical')], code: { ...code, text: words }, subject: links.subject, period: { start: document.issuedAt },
    ...(links.encounter === undefined ? {} : { encounter: links.encounter }), author: links.performer,
  };
}

function communication(document: ReportDocument, config: Config, links: Links, { words, isOn }: Alert, reportUrl: string): Communication {
  const text = narrativeOf(words), report: Reference = { reference: reportUrl };
  return {
    resourceType: 'Communication', ...(text === undefined ? {} : { text }), identifier: [ownIdentifier(config, 'critical', document.reportId)], ...(links.order === undefined ? {} : { basedOn: [links.order] }),
    status: isOn ? 'completed' : 'entered-in-error', category: [concept(systems.communicationCategory, 'alert', 'Alert')], priority: 'stat', subject: links.subject, about: [report],
    ...(links.encounter === undefined ? {} : { encounter: links.encounter }), sent: document.issuedAt, ...(links.requester === undefined ? {} : { recipient: [links.requester] }), sender: links.performer, payload: [{ contentString: words }],
  };
}
