/**
 * The report as a DocumentReference, for servers that take no DiagnosticReport: the same pages as attachments, the Observations in
 * context.related. docStatus has no 'corrected' and no 'cancelled'; a cancelled report is a document entered in error.
 */
import type { ReportDocument } from '#domain/report-document.ts';
import { narrativeOf } from '#standards/fhir/narrative.ts';
import type { Attachment, DocumentReference, Observation, Reference } from '#standards/fhir/types.ts';
import { concept, systems } from './code-tables.ts';
import type { Config } from './config.ts';
import { htmlForm, title } from './diagnostic-report.ts';
import { orderIdentifier, ownIdentifier } from './identifiers.ts';
import type { Links } from './report-items.ts';

const documentStatus = { preliminary: 'preliminary', final: 'final', amended: 'amended', corrected: 'amended', cancelled: 'entered-in-error', 'entered-in-error': 'entered-in-error' } as const;

export function documentReference(document: ReportDocument, config: Config, links: Links, related: Reference<Observation>[], forms: readonly Attachment[] = [htmlForm(document)]): DocumentReference {
  const { scan, status } = document;
  const text = narrativeOf(title(document), document.sections.impression);
  const at = scan.studyAt ?? document.issuedAt;
  return {
    resourceType: 'DocumentReference', ...(text === undefined ? {} : { text }),
    identifier: [ownIdentifier(config, 'report', document.reportId), ...(scan.accessionNumber === undefined ? [] : [orderIdentifier('ACSN', scan.accessionNumber, config)])],
    status: documentStatus[status] === 'entered-in-error' ? 'entered-in-error' : 'current', docStatus: documentStatus[status],
    type: { ...concept(systems.loinc, '18748-4'), text: 'Diagnostic imaging study' }, category: [concept(systems.loinc, 'LP29684-5', 'Radiology')],
    subject: links.subject, date: document.issuedAt, author: authors(document, links), custodian: links.performer,
    description: title(document), content: forms.map((attachment) => ({ attachment })),
    context: { ...(links.encounter === undefined ? {} : { encounter: [links.encounter] }), period: { start: at, end: at }, related: [links.study, ...(links.order === undefined ? [] : [links.order]), ...related] },
  };
}

function authors(document: ReportDocument, links: Links): NonNullable<DocumentReference['author']> {
  const devices = document.models.flatMap((model) => links.device(model.analysisId) ?? []);
  return devices.length > 0 ? [...new Map(devices.map((device) => [JSON.stringify(device), device])).values()] : [links.performer];
}
