/** The coded concepts of our Measurement Reports (PS3.16 annexes A, B and D) and the way from FHIR's code systems to DICOM's designators. */
import type { Coded, ReportFinding, ReportPatient } from '#domain/report-document.ts';
import type { Concept } from './sr-content.ts';

const dcm = (value: string, meaning: string): Concept => [value, 'DCM', meaning];
const sct = (value: string, meaning: string): Concept => [value, 'SCT', meaning];

export const concepts = {
  imagingMeasurementReport: dcm('126000', 'Imaging Measurement Report'),
  language: dcm('121049', 'Language of Content Item and Descendants'), english: ['en', 'RFC5646', 'English'] as Concept,
  observerType: dcm('121005', 'Observer Type'), device: dcm('121007', 'Device'), deviceUid: dcm('121012', 'Device Observer UID'),
  deviceName: dcm('121013', 'Device Observer Name'), deviceManufacturer: dcm('121014', 'Device Observer Manufacturer'), deviceModel: dcm('121015', 'Device Observer Model Name'),
  procedureReported: dcm('121058', 'Procedure reported'), imagingProcedure: sct('363679005', 'Imaging procedure'),
  imageLibrary: dcm('111028', 'Image Library'), imageLibraryGroup: dcm('126200', 'Image Library Group'), modality: dcm('121139', 'Modality'),
  imagingMeasurements: dcm('126010', 'Imaging Measurements'), measurementGroup: dcm('125007', 'Measurement Group'),
  trackingIdentifier: dcm('112039', 'Tracking Identifier'), trackingUid: dcm('112040', 'Tracking Unique Identifier'),
  finding: dcm('121071', 'Finding'), findingSite: sct('363698007', 'Finding Site'), laterality: sct('272741003', 'Laterality'),
  algorithmName: dcm('111001', 'Algorithm Name'), algorithmVersion: dcm('111003', 'Algorithm Version'),
  imageRegion: dcm('111030', 'Image Region'), center: dcm('111010', 'Center'),
  certainty: dcm('111012', 'Certainty of Finding'), severity: sct('246112005', 'Severity'), comment: dcm('121106', 'Comment'),
  qualitativeEvaluations: ['C0034375', 'UMLS', 'Qualitative Evaluations'] as Concept,
  conclusion: dcm('121077', 'Conclusion'), indication: dcm('121109', 'Indications for Procedure'), technique: dcm('121065', 'Procedure Description'),
} as const;

export const severities: Readonly<Record<ReportFinding['severity'], Concept>> = {
  low: sct('255604002', 'Mild'), medium: sct('6736007', 'Moderate'), high: sct('24484000', 'Severe'), critical: sct('442452003', 'Life threatening severity'),
};
export const lateralities: Readonly<Record<NonNullable<ReportFinding['laterality']>, Concept>> = {
  left: sct('7771000', 'Left'), right: sct('24028007', 'Right'), bilateral: sct('51440002', 'Bilateral'),
};
/** PS3.3 C.7.1.1: 'unknown' has no term, the element is then empty. */
export const patientSexes: Readonly<Record<NonNullable<ReportPatient['sex']>, 'M' | 'F' | 'O' | null>> = { male: 'M', female: 'F', other: 'O', unknown: null };

/** CID 29. */
const modalityMeanings: Readonly<Record<string, string>> = {
  CR: 'Computed Radiography', CT: 'Computed Tomography', DX: 'Digital Radiography', IO: 'Intra-oral Radiography', IVUS: 'Intravascular Ultrasound', MG: 'Mammography',
  MR: 'Magnetic Resonance', NM: 'Nuclear Medicine', OT: 'Other', PT: 'Positron emission tomography', PX: 'Panoramic X-Ray', RF: 'Radiofluoroscopy', RG: 'Radiographic imaging',
  US: 'Ultrasound', XA: 'X-Ray Angiography', SM: 'Slide Microscopy', XC: 'External-camera Photography', ES: 'Endoscopy',
};
export function modalityConcept(modality: string | undefined): Concept | undefined {
  const meaning = Object.hasOwn(modalityMeanings, modality ?? '') ? modalityMeanings[modality ?? ''] : undefined;
  return modality === undefined || meaning === undefined ? undefined : dcm(modality, meaning);
}

/** PS3.16 table 8-1. */
const designators: ReadonlyMap<string, string> = new Map([
  ['http://snomed.info/sct', 'SCT'], ['http://loinc.org', 'LN'], ['http://dicom.nema.org/resources/ontology/DCM', 'DCM'], ['http://unitsofmeasure.org', 'UCUM'],
  ['http://radlex.org', 'RADLEX'], ['http://www.radlex.org', 'RADLEX'], ['http://hl7.org/fhir/sid/icd-10', 'I10'], ['http://hl7.org/fhir/sid/icd-10-cm', 'I10C'],
  ['http://hl7.org/fhir/sid/icd-9-cm', 'I9C'], ['http://hl7.org/fhir/sid/icd-11', 'I11'], ['http://id.who.int/icd/release/11/mms', 'I11'],
  ['http://www.ama-assn.org/go/cpt', 'C4'], ['http://www.nlm.nih.gov/research/umls', 'UMLS'], ['http://www.nlm.nih.gov/research/umls/rxnorm', 'RXNORM'],
]);
export const privateDesignator = '99MEDSCAN';

/** A code system that PS3.16 does not name becomes our private designator, which the report's Coding Scheme Identification Sequence explains. */
export function designatorOf(system: string): string {
  const bare = system.replace(/\/$/, '');
  return designators.get(bare) ?? (/^[A-Z0-9][A-Z0-9_-]{0,15}$/.test(system) ? system : privateDesignator);
}
export function conceptOf({ system, code, display }: Coded): Concept {
  return [code, designatorOf(system), display === '' ? code : display];
}

const unitSpellings: Readonly<Record<string, string>> = { 'mm²': 'mm2', 'mm^2': 'mm2', 'mm³': 'mm3', 'mm^3': 'mm3', 'cm²': 'cm2', 'cm³': 'cm3', 'percent': '%', 'px': '{pixels}', 'pixel': '{pixels}', 'pixels': '{pixels}', 'HU': '[hnsf\'U]', '': '1' };
const unitMeanings: Readonly<Record<string, string>> = {
  'mm': 'millimeter', 'cm': 'centimeter', 'm': 'meter', 'mm2': 'square millimeter', 'cm2': 'square centimeter', 'mm3': 'cubic millimeter', 'cm3': 'cubic centimeter',
  'mL': 'milliliter', 'ml': 'milliliter', '%': 'percent', '1': 'no units', '[hnsf\'U]': 'Hounsfield unit', 'deg': 'degree', 's': 'second', '{pixels}': 'pixels',
};
/** The unit as a UCUM code; usual spellings that are not UCUM are put right. */
export function unitConcept(unit: string): Concept {
  const ucum = Object.hasOwn(unitSpellings, unit) ? unitSpellings[unit] ?? unit : unit;
  return [ucum, 'UCUM', Object.hasOwn(unitMeanings, ucum) ? unitMeanings[ucum] ?? ucum : ucum];
}
