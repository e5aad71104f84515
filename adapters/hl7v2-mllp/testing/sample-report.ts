/** For tests: a preliminary report with one finding, as pipeline/report.ts would hand it over. */
import type { ReportDocument } from '#domain/report-document.ts';

export const sampleReport: ReportDocument = {
  reportId: 'r1', version: 1, status: 'preliminary', issuedAt: '2026-01-05T10:00:05Z', organization: { organizationId: 'o', name: 'Hospital' },
  patient: { patientId: 'p', patientNumber: 'PID-1', identifiers: [{ value: 'PID-1', assigningAuthority: 'ADT1', typeCode: 'MR' }], familyName: 'Smith', givenName: 'Lucy', birthDate: '2014-10', sex: 'female' },
  scan: {
    scanId: 's', scanNumber: 'S1', studyInstanceUid: '1.2.392.1', accessionNumber: 'ACC1', placerOrderNumber: 'PLC-1', fillerOrderNumber: 'FIL-1',
    procedureCode: { system: 'http://loinc.org', code: '36643-5', display: 'XR Chest 2 Views' }, studyAt: '2026-01-05T09:50:00Z', referringPhysician: 'Patel^Vikram', modalities: ['DX'], series: [],
  },
  models: [{ analysisId: 'a', modelId: 'm', name: 'CXR-AI', version: '2.3.1', manufacturer: 'AI Ltd', notForClinicalUse: false }],
  findings: [{
    findingId: 'f', analysisId: 'a', trackingUid: '2.25.1', type: { system: 'http://snomed.info/sct', code: '36118008', display: 'Pneumothorax' }, severity: 'critical', confidencePercentage: 93.5,
    description: 'Right apical pneumothorax', bodySite: { system: 'http://snomed.info/sct', code: '3341006', display: 'Right lung' },
    measurements: [{ type: { system: 'DCM', code: '121207', display: 'Height' }, value: 12.5, unit: 'mm' }],
  }],
  sections: { findings: 'Line one.\nLine two.', impression: 'Pneumothorax suspected (93 %)' }, conclusionCodes: [],
};
