import type { ReportDocument } from '#domain/report-document.ts';

/** A report with everything a report can have: two models, three findings (place in the image, in the patient, no place), three scripts. */
export function sampleReport(changes: Partial<ReportDocument> = {}): ReportDocument {
  const ct = '1.2.840.10008.5.1.4.1.1.2';
  const series = '1.2.826.0.1.3680043.10.77.2';
  const location = { seriesInstanceUid: series, sopInstanceUid: `${series}.5`, sopClassUid: ct, frame: 1, boundingBox: { left: 100.5, top: 60, width: 30.25, height: 21 } };
  return {
    reportId: '0199aa00-0000-7000-8000-000000000001', version: 2, status: 'final', issuedAt: '2026-03-01T10:11:12.345Z',
    organization: { organizationId: '0199aa00-0000-7000-8000-00000000000a', name: 'Klinikum Süd' },
    patient: {
      patientId: 'p', patientNumber: 'P-1', identifiers: [{ value: 'visit', assigningAuthority: 'X', typeCode: 'VN' }, { value: 'MRN-7', assigningAuthority: 'HOSP', typeCode: 'MR' }],
      familyName: 'Yamada', givenName: 'Tarou', ideographicName: '山田^太郎', phoneticName: 'やまだ^たろう', birthDate: '1980-05-17', sex: 'male',
    },
    scan: {
      scanId: 's', scanNumber: 'S-1', studyInstanceUid: '1.2.826.0.1.3680043.10.77.1', accessionNumber: 'ACC-1', placerOrderNumber: 'PL-1', fillerOrderNumber: 'FI-1',
      procedureCode: { system: 'http://www.ama-assn.org/go/cpt', code: '71250', display: 'CT thorax' }, studyDescription: 'Thorax', studyAt: '2026-02-28T23:30:00Z', studyId: '1',
      referringPhysician: 'Müller^Anna', modalities: ['CT'],
      series: [
        { seriesInstanceUid: series, modality: 'CT', instances: [4, 5, 6].map((number) => ({ sopInstanceUid: `${series}.${number}`, sopClassUid: ct, instanceNumber: number })) },
        { seriesInstanceUid: `${series}.9`, modality: 'SR', instances: [{ sopInstanceUid: `${series}.9.1`, sopClassUid: '1.2.840.10008.5.1.4.1.1.88.33' }] },
      ],
    },
    models: [
      { analysisId: 'a1', modelId: 'm1', name: 'Nodule detector', version: '1.2.3', manufacturer: 'Acme', notForClinicalUse: true },
      { analysisId: 'a2', modelId: 'm2', name: 'Effusion detector', version: '0.9', manufacturer: '', notForClinicalUse: false },
    ],
    findings: [
      {
        findingId: 'f1', analysisId: 'a1', trackingUid: '2.25.1234567', type: { system: 'http://snomed.info/sct', code: '27925004', display: 'Nodule' }, severity: 'medium', confidencePercentage: 610 / 7,
        description: 'Solid nodule.\nRight upper lobe.', bodySite: { system: 'http://snomed.info/sct', code: '39607008', display: 'Lung' }, laterality: 'right',
        location: { ...location, frameOfReferenceUid: '1.2.3.4', centre3d: [-12.5, 33.25, 1000 / 3] },
        measurements: [
          { type: { system: 'http://dicom.nema.org/resources/ontology/DCM', code: '103339001', display: 'Long axis' }, value: 8.4, unit: 'mm' },
          { type: { system: 'http://snomed.info/sct', code: '118565006', display: 'Volume' }, value: 1000 / 3, unit: 'mm³' },
        ],
      },
      { findingId: 'f2', analysisId: 'a2', trackingUid: 'not a uid', type: { system: 'urn:acme:codes', code: 'a-code-of-more-than-16-characters', display: '' }, severity: 'critical', confidencePercentage: 50, description: '', location: { ...location, sopInstanceUid: '1.2.3.99', seriesInstanceUid: '1.2.3.98' }, measurements: [] },
      { findingId: 'f3', analysisId: 'gone', trackingUid: '2.25.7', type: { system: 'http://radlex.org', code: 'RID1', display: 'Something\\odd' }, severity: 'low', confidencePercentage: 0, description: 'x', measurements: [] },
    ],
    sections: { indication: 'Cough', technique: 'CT', findings: 'One nodule.', impression: 'Nodule, right.' },
    conclusionCodes: [{ system: 'http://snomed.info/sct', code: '427359005', display: 'Solitary nodule of lung' }],
    ...changes,
  };
}
