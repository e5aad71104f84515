/** A made-up report with one of everything that a ReportDocument can hold, for tests. */
import type { ReportDocument } from '#domain/report-document.ts';
import { configSchema } from '../config.ts';
import type { Config } from '../config.ts';

export const sampleReport: ReportDocument = {
  reportId: '0199a000-0000-7000-8000-000000000001', version: 1, status: 'preliminary', issuedAt: '2026-01-05T10:00:05Z',
  organization: { organizationId: '0199a000-0000-7000-8000-00000000000a', name: 'St. Elsewhere <Radiology> & Co' },
  patient: {
    patientId: '0199a000-0000-7000-8000-000000000002', patientNumber: 'PID_1', familyName: "O'Hara <x>", givenName: 'Lucy', birthDate: '2014-10-14', sex: 'female',
    identifiers: [{ value: 'PID_1', assigningAuthority: 'HOSP', typeCode: 'MR' }, { value: '99', assigningAuthority: '1.2.276.0.7230010.9.2' }],
  },
  scan: {
    scanId: '0199a000-0000-7000-8000-000000000003', scanNumber: 'S-1', studyInstanceUid: '1.2.392.200036.9125.0.198811291108.7', accessionNumber: 'ACC12345',
    placerOrderNumber: 'PLC-1', procedureCode: { system: 'LN', code: '36643-5', display: 'XR Chest 2 Views' }, studyDescription: 'XR CHEST 2 VIEWS', studyAt: '2026-01-05T09:50:00Z',
    modalities: ['DX'], bodyPart: 'CHEST',
    series: [{ seriesInstanceUid: '1.2.392.200036.9125.0.198811291108.8', seriesNumber: 1, modality: 'DX', description: 'PA', instances: [{ sopInstanceUid: '1.2.392.200036.9125.0.198811291108.9', sopClassUid: '1.2.840.10008.5.1.4.1.1.1.1', instanceNumber: 1 }] }],
  },
  models: [{ analysisId: 'analysis-1', modelId: 'cxr-ai', name: 'CXR-AI', version: '2.3.1', manufacturer: 'Example AI Ltd', notForClinicalUse: true }],
  findings: [
    {
      findingId: 'finding-1', analysisId: 'analysis-1', trackingUid: '2.25.329800735698586629295641978511506172918', type: { system: 'http://snomed.info/sct', code: '36118008', display: 'Pneumothorax' },
      severity: 'critical', confidencePercentage: 93, description: 'Right apical pneumothorax, 2 < 3 cm & growing.', bodySite: { system: 'SCT', code: '3341006', display: 'Right lung structure' }, laterality: 'right',
      location: { seriesInstanceUid: '1.2.392.200036.9125.0.198811291108.8', sopInstanceUid: '1.2.392.200036.9125.0.198811291108.9', sopClassUid: '1.2.840.10008.5.1.4.1.1.1.1', frame: 1, boundingBox: { left: 10, top: 20, width: 30, height: 40 } },
      measurements: [{ type: { system: 'SCT', code: '410668003', display: 'Length' }, value: 24.5, unit: 'mm' }],
    },
    {
      findingId: 'finding-2', analysisId: 'analysis-1', trackingUid: '2.25.11', type: { system: '99MEDSCAN', code: 'odd', display: 'Odd shadow' },
      severity: 'low', confidencePercentage: 41.5, description: '', measurements: [],
    },
  ],
  sections: { indication: 'Dyspnoea', findings: 'Right apical pneumothorax.\nNo effusion.', impression: 'Right pneumothorax suspected (93 %).' },
  conclusionCodes: [{ system: 'SCT', code: '36118008', display: 'Pneumothorax' }],
};

export function sampleConfig(settings: Partial<Config> = {}): Config {
  return configSchema.parse({ base_url: 'http://127.0.0.1:1/fhir', accession_system: 'urn:oid:1.2.276.0.7230010.9.1', identifier_systems: { HOSP: 'urn:oid:1.2.3.4' }, ...settings });
}
