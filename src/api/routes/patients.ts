import { auditEvents } from '../../audit/event.ts';
import type { Transaction } from '../../db/transaction.ts';
import { pathId } from '../fields.ts';
import { listOf, pageQuery, toPage } from '../pagination.ts';
import { notFound } from '../problem.ts';
import { listHistory, listIdentifiers, Patient, PatientHistory, PatientIdentifier, PatientSearch, PatientSummary, readPatient, searchPatients } from '../queries/patients.ts';
import { listScansOfPatient, Scan } from '../queries/scans.ts';
import type { ApiRouter, RequestAudit } from '../router.ts';

const ofPatient = { tag: 'patients', params: pathId('patient_id'), query: pageQuery } as const;

export function patientRoutes(router: ApiRouter): void {
  router.route('POST /patients/search', {
    summary: 'Find patients by name, birth date or identifier', tag: 'patients', body: PatientSearch, returns: listOf(PatientSummary),
    description: 'A search is a POST so that names never stand in an address or an access log.',
  }, ({ transact, body }) => transact(async (tx, audit) => {
    const page = toPage(await searchPatients(tx, body), body, (patient) => patient.patient_id);
    const criteria = (['name', 'birth_date', 'identifier'] as const).filter((name) => body[name] !== undefined);
    await audit({ ...auditEvents.query, action: 'E', object: { type: 'patient', id: '*' }, detail: { criteria, patient_ids: page.items.map((patient) => patient.patient_id) } });
    return page;
  }));

  router.route('GET /patients/{patient_id}', { summary: 'One patient', tag: 'patients', params: pathId('patient_id'), returns: Patient }, ({ transact, params }) =>
    transact((tx, audit) => openPatient(tx, audit, params.patient_id, 'demographics')));

  router.route('GET /patients/{patient_id}/identifiers', { ...ofPatient, summary: 'Every identifier a patient is known by', returns: listOf(PatientIdentifier) }, ({ transact, params, query }) =>
    transact(async (tx, audit) => {
      await openPatient(tx, audit, params.patient_id, 'identifiers');
      return toPage(await listIdentifiers(tx, params.patient_id, query), query, (identifier) => identifier.patient_identifier_id);
    }));

  router.route('GET /patients/{patient_id}/history', { ...ofPatient, summary: 'Conditions, allergies, procedures, medication and visits', returns: listOf(PatientHistory) }, ({ transact, params, query }) =>
    transact(async (tx, audit) => {
      await openPatient(tx, audit, params.patient_id, 'history');
      return toPage(await listHistory(tx, params.patient_id, query), query, (entry) => entry.history_id);
    }));

  router.route('GET /patients/{patient_id}/scans', { ...ofPatient, summary: 'A patient\'s scans, newest first', returns: listOf(Scan) }, ({ transact, params, query }) =>
    transact(async (tx, audit) => {
      await openPatient(tx, audit, params.patient_id, 'scans');
      return toPage(await listScansOfPatient(tx, params.patient_id, query), query, (scan) => scan.scan_id);
    }));
}

async function openPatient(tx: Transaction, audit: RequestAudit, patientId: string, part: string) {
  const patient = await readPatient(tx, patientId);
  if (!patient) throw notFound('patient');
  await audit({ ...auditEvents.patientRecord, action: 'R', object: { type: 'patient', id: patientId }, patientId, detail: { part } });
  return patient;
}
