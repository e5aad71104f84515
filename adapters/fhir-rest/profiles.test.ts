/** What a report says of itself, it is. */
import { expect, test } from 'vitest';
import type { DiagnosticReport, Resource } from '#standards/fhir/types.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import { profiles as subscriptionProfiles } from './subscription-resource.ts';
import { usCoreFaults, usCoreReport, withProfiles } from './profiles.ts';
import { reportBundle } from './report-bundle.ts';
import { sampleConfig, sampleReport } from './testcases/sample-report.ts';

const usCore = sampleConfig({ profiles: ['us-core'] });
const sent = (document = sampleReport, config = usCore): Resource[] => (reportBundle(document, config).entry ?? []).flatMap(({ resource }) => resource ?? []);
const reportOf = (resources: readonly Resource[]): DiagnosticReport => resources.find((each): each is DiagnosticReport => each.resourceType === 'DiagnosticReport')!;

test.each(['preliminary', 'final', 'amended', 'corrected', 'entered-in-error'] as const)('a report of status %s meets US Core and says so, and is valid R4', (status) => {
  const report = reportOf(sent({ ...sampleReport, status, version: 2 }));
  expect([report.meta?.profile, usCoreFaults(report), validateResource(report)]).toEqual([[usCoreReport], [], []]);
  // Must-support: sent, because all of it is known of this report.
  expect(report).toMatchObject({ category: expect.anything(), code: expect.anything(), subject: expect.anything(), effectiveDateTime: expect.anything(), issued: expect.anything(), performer: [expect.anything()], result: expect.anything(), presentedForm: [expect.anything()] });
});

test('neither without the setting, nor on other resources, is a profile named', () => {
  expect(reportOf(sent(sampleReport, sampleConfig())).meta).toBeUndefined();
  for (const resource of sent()) expect([resource.resourceType, resource.meta?.profile]).toEqual([resource.resourceType, resource.resourceType === 'DiagnosticReport' ? [usCoreReport] : undefined]);
  expect(Object.values(subscriptionProfiles)).not.toContain(usCoreReport);
});

test('a report without exam code, time, sections or findings meets it too', () => {
  const { procedureCode: _, studyDescription: __, studyAt: ___, accessionNumber: ____, ...scan } = sampleReport.scan;
  const report = reportOf(sent({ ...sampleReport, scan, findings: [], conclusionCodes: [], sections: { findings: '', impression: '' } }));
  expect([report.meta?.profile, report.code?.coding?.[0]?.code]).toEqual([[usCoreReport], '18748-4']);
});

test.each<[string, object, string[]]>([
  ['no category of radiology', { category: [{ coding: [{ system: 'http://loinc.org', code: 'LP29708-2' }] }] }, ['category']],
  ['no subject', { subject: undefined }, ['subject']],
  ['a code in words alone', { code: { text: 'CT' } }, ['code']],
  ['no time', { effectiveDateTime: undefined }, ['effective[x] (us-core-10)']],
])('with %s it does not say so', (_name, change, faults) => {
  const { meta: _, ...report } = reportOf(sent()), changed = { ...report, ...change } as DiagnosticReport;
  expect([usCoreFaults(changed), withProfiles(changed, usCore).meta]).toEqual([faults, undefined]);
});
