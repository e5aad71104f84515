/**
 * Profiles that a resource may say it meets. What a profile demands beyond R4 is checked here, on the resource as it is sent: it is named only where it
 * holds. US Core's DiagnosticReport Profile for Report and Note Exchange (us-core-diagnosticreport-note, of the guide's version 8):
 *
 *   category   at least one; radiology is LOINC LP29684-5 of US Core's value set
 *   subject    a patient
 *   effective  with every status that tells a result (us-core-10)
 *   code       LOINC, or a local code where LOINC has none (extensible)
 *
 * Its other must-support elements (issued, performer, encounter, result, presentedForm) are sent where they are known. Observations name no profile:
 * US Core wants LOINC as the code of each, and a finding is coded by SNOMED CT.
 */
import type { DiagnosticReport } from '#standards/fhir/types.ts';
import { systems } from './code-tables.ts';
import type { Config } from './config.ts';

export const usCoreReport = 'http://hl7.org/fhir/us/core/StructureDefinition/us-core-diagnosticreport-note';

/** What of the profile does not hold; empty: all of it does. */
export function usCoreFaults({ category = [], subject, code, status, effectiveDateTime, effectivePeriod }: DiagnosticReport): string[] {
  const isResult = ['partial', 'preliminary', 'final', 'amended', 'corrected', 'appended'].includes(status ?? '');
  return [
    ...(category.some(({ coding }) => coding?.some((each) => each.system === systems.loinc && each.code === 'LP29684-5') === true) ? [] : ['category']),
    ...(subject?.reference === undefined && subject?.identifier === undefined ? ['subject'] : []),
    ...(code?.coding?.some((each) => each.code !== undefined && each.system !== undefined) === true ? [] : ['code']),
    ...(isResult && effectiveDateTime === undefined && effectivePeriod === undefined ? ['effective[x] (us-core-10)'] : []),
  ];
}

export function withProfiles(report: DiagnosticReport, { profiles }: Config): DiagnosticReport {
  return profiles.includes('us-core') && usCoreFaults(report).length === 0 ? { ...report, meta: { ...report.meta, profile: [usCoreReport] } } : report;
}
