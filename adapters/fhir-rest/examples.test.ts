/** The messages of docs/examples, made by the code that sends them. `MEDSCAN_WRITE_EXAMPLES=true vitest run adapters/fhir-rest/examples.test.ts` writes them anew. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import type { Subscription } from '#gateway/subscriptions.ts';
import type { Bundle, Resource, ServiceRequest } from '#standards/fhir/types.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import type { Config } from './config.ts';
import { notificationBundle } from './notification-bundle.ts';
import { planFor } from './plan.ts';
import type { Plan } from './plan.ts';
import { reportBundle } from './report-bundle.ts';
import { reportItems } from './report-items.ts';
import { offerOf } from './server-offer.ts';
import { subscriptionResource, topic } from './subscription-resource.ts';
import { sampleConfig, sampleReport } from './testcases/sample-report.ts';
import { statementOf } from './testing-fhir-server.ts';

const directory = path.resolve(import.meta.dirname, '../../docs/examples');
const config = (more: Partial<Config> = {}): Config => sampleConfig({ resource_system: 'https://hospital.example/medscan', ...more });
const order: ServiceRequest = { resourceType: 'ServiceRequest', id: 'sr-1', status: 'active', intent: 'order', identifier: [{ value: 'ACC12345' }], subject: { reference: 'Patient/p-1' } };
const sent = (more: Partial<Config>, document = sampleReport): Bundle => reportBundle(document, config(more), { order, encounter: { reference: 'Encounter/e-1' } });
const of = (bundle: Bundle, type: string): Resource => bundle.entry?.map(({ resource }) => resource).find((resource) => resource?.resourceType === type) as Resource;

/** As a server gets it that takes no DiagnosticReport. */
function asDocument(): Resource {
  const plain = { can: 'create update search', searches: 'identifier patient' };
  const plan = planFor(offerOf(statementOf(['batch'], { Patient: plain, Observation: plain, DocumentReference: plain, Provenance: plain })), config()) as Plan;
  return reportItems(sampleReport, config(), plan).map(({ resource }) => resource).find(({ resourceType }) => resourceType === 'DocumentReference') as Resource;
}

const subscription: Subscription = {
  subscriptionId: '0199a000-0000-7000-8000-0000000000aa', organizationId: sampleReport.organization.organizationId, integrationId: '0199a000-0000-7000-8000-0000000000bb', channel: 'rest-hook', endpoint: 'https://emr.hospital.example/results',
  headers: ['Authorization: Bearer secret'], content: 'id-only', filter: {}, heartbeatSeconds: 300, timeoutSeconds: undefined, maxCount: 10, endsAt: undefined, memo: { reason: 'Results into the inbox' }, status: 'active', eventCount: 1, heardCount: 0, errorCount: 0, updatedAt: '2026-01-05T10:00:05Z',
};
const { id: _, meta: __, ...asked } = subscriptionResource(subscription) as { id: string; meta: object; channel: { header: string[] } };
const notification = notificationBundle('event-notification', subscription, [{ number: 1, at: '2026-01-05T10:00:06Z', report: { kind: 'report', id: sampleReport.reportId, updatedAt: '2026-01-05T10:00:05Z', patientId: sampleReport.patient.patientId, hasOrder: true, document: sampleReport } }], config(), 'https://gateway.hospital.example/fhir/r4', new Date('2026-01-05T10:00:06Z'));

const examples: Readonly<Record<string, object>> = {
  'fhir-transaction': sent({ wado_rs_url: 'https://pacs.hospital.example/dicom-web' }), 'fhir-retraction': of(sent({}, { ...sampleReport, version: 2, status: 'entered-in-error' }), 'DiagnosticReport'), 'fhir-document-reference': asDocument(),
  'fhir-task': of(sent({ order_update: 'task' }), 'Task'), 'fhir-flag': of(sent({ critical_findings: 'flag' }), 'Flag'), 'fhir-communication': of(sent({ critical_findings: 'communication' }), 'Communication'),
  'fhir-subscription': { ...asked, status: 'requested', channel: { ...asked.channel, header: ['Authorization: Bearer secret'] } }, 'fhir-notification': notification,
};

/** Random ids of notifications stand as they stand in the file. */
const steady = (example: object): string => `${JSON.stringify(example, null, 2).replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/g, '00000000-0000-4000-8000-000000000000')}\n`;

test.each(Object.entries(examples))('docs/examples/%s.json is what is sent', (name, example) => {
  const file = path.join(directory, `${name}.json`);
  if (process.env['MEDSCAN_WRITE_EXAMPLES'] === 'true') { mkdirSync(directory, { recursive: true }); writeFileSync(file, steady(example)); }
  expect(readFileSync(file, 'utf8')).toBe(steady(example));
  const issues = validateResource(example).filter(({ code }) => code !== 'not-supported');
  expect(name.startsWith('fhir-notification') || name === 'fhir-subscription' ? [] : issues).toEqual([]);
  expect(JSON.stringify(example).includes(topic)).toBe(name === 'fhir-subscription' || name === 'fhir-notification');
});
