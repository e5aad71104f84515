/** The words of a report in HL7 tables. */
import type { ReportDocument, ReportFinding, ReportPatient } from '#domain/report-document.ts';

/** OBR-25 (table 0123): preliminary until a person signs; a withdrawn report says so, with its text. */
export const resultStatus: Readonly<Record<ReportDocument['status'], 'P' | 'F' | 'C' | 'X'>> = {
  'preliminary': 'P', 'final': 'F', 'amended': 'C', 'corrected': 'C', 'cancelled': 'X', 'entered-in-error': 'X',
};

/** OBX-11 (table 0085): as OBR-25, but what was entered in error is wrong (W), not merely not obtained (X). */
export const observationStatus: Readonly<Record<ReportDocument['status'], 'P' | 'F' | 'C' | 'X' | 'W'>> = { ...resultStatus, 'entered-in-error': 'W' };

/** OBX-8 (table 0078). */
export const severityFlags: Readonly<Record<ReportFinding['severity'], string>> = { low: 'N', medium: 'A', high: 'A', critical: 'AA' };

export const sexCodes: Readonly<Record<NonNullable<ReportPatient['sex']>, string>> = { male: 'M', female: 'F', other: 'O', unknown: 'U' };

const names: Readonly<Record<string, string>> = {
  'http://snomed.info/sct': 'SCT', 'http://loinc.org': 'LN', 'http://dicom.nema.org/resources/ontology/DCM': 'DCM',
  'http://radlex.org': 'RADLEX', 'http://www.radlex.org': 'RADLEX', 'http://unitsofmeasure.org': 'UCUM', 'http://hl7.org/fhir/sid/icd-10': 'I10',
  'http://www.ama-assn.org/go/cpt': 'C4', 'urn:oid:2.16.840.1.113883.6.96': 'SCT', 'urn:oid:2.16.840.1.113883.6.1': 'LN',
};

/** Table 0396: the name for a URI we know; the short names of DICOM and v2 (SCT, SRT, DCM, LN) as they are; else a local code. */
export function codingSystemName(system: string): string {
  return names[system] ?? (/^[A-Z0-9_-]{1,20}$/i.test(system) ? system : '99LOCAL');
}
