import type { SimulatedOrder, SimulatedPatient } from './hl7-messages.ts';

/** Invented people. Names as hospitals have them: plain, with umlauts and a hyphen, in three writings, and in Greek. */
export const samplePatients = {
  plain: {
    patientId: 'N-104711', assigningAuthority: 'NORTH', familyName: 'Whitfield', givenName: 'Margaret', middleName: 'Anne', birthDate: '19580311', sex: 'F',
    allergies: [{ code: '91936005', text: 'Penicillin', severity: 'SV' }], diagnoses: [{ code: 'R05', text: 'Cough' }],
  },
  german: { patientId: 'N-104712', assigningAuthority: 'NORTH', familyName: 'Müller-Lüdenscheidt', givenName: 'Jürgen', birthDate: '19490923', sex: 'M' },
  japanese: {
    patientId: 'N-104713', assigningAuthority: 'NORTH', familyName: 'Yamada', givenName: 'Tarou', ideographicName: '山田^太郎', phoneticName: 'やまだ^たろう',
    birthDate: '19710705', sex: 'M',
  },
  greek: { patientId: 'N-104714', assigningAuthority: 'NORTH', familyName: 'Διονυσίου', givenName: 'Ελένη', birthDate: '19830130', sex: 'F' },
} as const satisfies Readonly<Record<string, SimulatedPatient>>;

/** A stat CT of the chest; numbers are new for each `suffix`. */
export function sampleOrder(suffix: string, studyInstanceUid?: string): SimulatedOrder {
  return {
    placerOrderNumber: `PL${suffix}`, fillerOrderNumber: `FL${suffix}`, accessionNumber: `ACC${suffix}`,
    procedureCode: '24627-2', procedureDescription: 'CT Chest', codingSystem: 'LN', modality: 'CT', priority: 'S',
    reason: 'Cough for six weeks, weight loss', requestingPhysician: { id: '5678', familyName: 'Okafor', givenName: 'Grace' },
    ...(studyInstanceUid === undefined ? {} : { studyInstanceUid }),
  };
}
