/**
 * Findings that an earlier version had and this one has not: their Observations at the server become entered-in-error, so that nobody reads
 * them as results. What was sent before is read from the server's own report, which is corrected after them: an attempt that broke off
 * finds them again.
 */
import type { ReportDocument } from '#domain/report-document.ts';
import { narrativeOf } from '#standards/fhir/narrative.ts';
import type { DiagnosticReport, DocumentReference, Observation, Resource } from '#standards/fhir/types.ts';
import type { Config } from './config.ts';
import type { Failure } from './failure.ts';
import type { FhirClient } from './fhir-client.ts';
import { ownIdentifier } from './identifiers.ts';
import { existing, find, notSent, searchFor } from './lookup.ts';
import type { Existing } from './lookup.ts';
import type { Plan } from './plan.ts';
import type { Item } from './report-items.ts';

/** In their new state. Empty for the first version, and where the server cannot be asked. */
export async function withdrawnFindings(client: FhirClient, document: ReportDocument, items: readonly Item[], config: Config, plan: Plan, patientId: string | undefined, signal: AbortSignal): Promise<readonly Existing[] | { readonly failure: Failure }> {
  const carrier = items.find(({ resource }) => resource.resourceType === plan.carrier);
  const search = carrier === undefined || document.version === 1 ? undefined : searchFor(carrier, plan.offer, { patientId });
  if (carrier === undefined || search === undefined || !plan.sends.has('Observation')) return [];
  const report = await find(client, search, carrier.identity, carrier, signal);
  if (report === undefined) return [];
  if ('failure' in report) return report;
  const current = new Set(document.findings.map(({ trackingUid }) => trackingUid));
  const withdrawn: Existing[] = [];
  for (const id of observationIds(report.resource)) {
    const read = await client.read('Observation', id, signal);
    if ('failure' in read) return { failure: notSent(read.failure) };
    const observation = read.answer.body as Observation | undefined;
    if (read.answer.status !== 200 || observation?.resourceType !== 'Observation' || observation.status === 'entered-in-error') continue;
    const uid = observation.identifier?.find(({ system }) => system === ownIdentifier(config, 'finding', '').system)?.value;
    if (uid !== undefined && !current.has(uid)) withdrawn.push(existing(withdraw(observation)));
  }
  return withdrawn;
}

function observationIds(report: Resource): string[] {
  const references = report.resourceType === 'DiagnosticReport' ? (report as DiagnosticReport).result : (report as DocumentReference).context?.related;
  return (references ?? []).flatMap(({ reference = '' }) => /(?:^|\/)Observation\/([A-Za-z0-9.-]{1,64})(?:\/_history\/|$)/.exec(reference)?.[1] ?? []);
}

function withdraw(observation: Observation): Observation & { id: string } {
  const text = narrativeOf('Withdrawn: a later version of the report does not have this finding.');
  return { ...observation, id: observation.id ?? '', status: 'entered-in-error', ...(text === undefined ? {} : { text }) };
}
