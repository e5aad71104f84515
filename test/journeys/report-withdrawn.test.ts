/** A report is withdrawn: RIS, EMR and PACS that have it are sent a version that takes its place and says so; who never got it is told nothing. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anOrder, apiClient, delivered, exchanges, expectAudited, scanOf, smallStudy, somebody, startJourney, type ApiAnswer, type Journey } from '../support/journey.ts';
import { mergeMessage, registrationMessage } from '../../src/simulator/hl7-messages.ts';
import { eventually } from '../support/gateway.ts';
import { parseMessage } from '#standards/hl7v2/parse.ts';
import { hl7Reader } from '#standards/hl7v2/reader.ts';

let journey: Journey;
let api: (method: string, path: string, body?: unknown) => Promise<ApiAnswer>;
beforeAll(async () => {
  journey = await startJourney();
  api = await apiClient(journey.gateway, 'Sample Hospital', 'radiologist');
});
afterAll(() => journey?.stop());

test('a withdrawal names the first report everywhere and is on record', async () => {
  const { gateway, hospital: { ris, pacs, emr } } = journey;
  const patient = somebody(), order = anOrder(), study = smallStudy({ patient, accessionNumber: order.accessionNumber });
  await ris.order(patient, order);
  await pacs.store(study.objects);
  const first = await delivered(gateway, study.studyInstanceUid);
  const withdrawn = await api('POST', `/api/v1/reports/${first.report_id}/withdraw`, { reason: 'The images are those of another patient' });
  expect(withdrawn).toMatchObject({ status: 200, body: { version: 2, destinations: 3 } });
  const second = await delivered(gateway, study.studyInstanceUid, 2);
  expect(second.lineage_id).toBe(first.lineage_id);

  const results = ris.received.items.map(({ bytes }) => hl7Reader(parseMessage(bytes))).filter((reader) => reader.first('OBR-18') === order.accessionNumber);
  expect(results.map((reader) => [reader.first('OBR-3'), reader.first('OBR-25')])).toEqual([[order.fillerOrderNumber, 'P'], [order.fillerOrderNumber, 'X']]);
  expect(new Set(results[1]!.all('OBX-11'))).toEqual(new Set(['W']));
  expect(results[1]!.first('NTE-3')).toContain(`Report ${first.lineage_id} is withdrawn`);
  expect(results[1]!.all('OBX-5').join(' ')).toContain('WITHDRAWN: The images are those of another patient');
  const reports = emr.list('DiagnosticReport').filter((report) => JSON.stringify(report).includes(order.accessionNumber));
  expect(reports).toMatchObject([{ status: 'entered-in-error' }]);
  expect(pacs.received.items.length).toBeGreaterThanOrEqual(2);

  expect(await api('POST', `/api/v1/reports/${first.report_id}/withdraw`, { reason: 'Once more' })).toMatchObject({ status: 409, body: { detail: expect.stringContaining('withdrawn already') as string } });
  const scan = await scanOf(gateway, study.studyInstanceUid);
  await expectAudited(gateway, await exchanges(gateway, "direction = 'outbound' AND scan_id = $1", [scan.scan_id]));
  expect(await gateway.db.asOwner("SELECT FROM audit_logs WHERE object_type = 'report' AND detail ? 'withdrawn'")).toHaveLength(1);
});

test('a merge is undone: RIS, EMR and PACS are told that the result is not the other patient\'s, and then whose it is', async () => {
  const { gateway, hospital: { ris, pacs, emr } } = journey;
  const [prior, survivor] = [somebody({ familyName: 'Prior' }), somebody({ familyName: 'Survivor' })], study = smallStudy({ patient: prior, accessionNumber: 'UNMERGE-1' });
  const envelope = (controlId: string) => ({ controlId, sendingApplication: 'RIS', sendingFacility: 'NORTH', at: new Date() });
  for (const [index, patient] of [prior, survivor].entries()) expect((await ris.send(registrationMessage('A04', patient, envelope(`UM-${index}`)))).code).toBe('AA');
  await pacs.store(study.objects);
  await delivered(gateway, study.studyInstanceUid);
  expect((await ris.send(mergeMessage(survivor, prior.patientId, envelope('UM-3')))).code).toBe('AA');
  const scan = await scanOf(gateway, study.studyInstanceUid);
  expect(scan.family_name).toBe('Survivor');
  // As if the result had been made while the merge stood.
  await gateway.db.asOwner("UPDATE reports SET created_at = now(), document = jsonb_set(document, '{patient}', document->'patient' || jsonb_build_object('patientId', $2::text, 'familyName', 'Survivor', 'identifiers', jsonb_build_array(jsonb_build_object('value', $3::text, 'assigningAuthority', $4::text)))) WHERE scan_id = $1",
    [scan.scan_id, scan.patient_id, survivor.patientId, survivor.assigningAuthority]);
  const [merge] = await gateway.db.asOwner<{ merge_id: string }>('SELECT merge_id FROM patient_merges ORDER BY merged_at DESC LIMIT 1');
  const undone = await (await apiClient(gateway, 'Sample Hospital'))('POST', `/api/v1/patient-merges/${merge!.merge_id}/undo`, {});
  expect(undone, undone.text).toMatchObject({ status: 200, body: { corrected_reports: [{}] } });
  await delivered(gateway, study.studyInstanceUid, 2);
  const anew = await delivered(gateway, study.studyInstanceUid, 3);
  const results = ris.received.items.map(({ bytes }) => hl7Reader(parseMessage(bytes))).filter((reader) => reader.all('OBX-5').includes(study.studyInstanceUid));
  expect(results.map((reader) => [reader.first('PID-3.1'), reader.first('PID-5.1'), reader.first('OBR-25')])).toEqual([[prior.patientId, 'Prior', 'P'], [survivor.patientId, 'Survivor', 'X'], [prior.patientId, 'Prior', 'P']]);
  expect(results.at(-1)!.all('OBX-5').join(' ')).toContain('CORRECTED: this result was told of another patient');
  const reports = emr.list('DiagnosticReport').filter((report) => JSON.stringify(report).includes(anew.lineage_id) || JSON.stringify(report).includes('WITHDRAWN: this result belongs to another patient'));
  expect(reports.map(({ status }) => String(status)).toSorted((a, b) => a.localeCompare(b))).toEqual(['entered-in-error', 'preliminary']);
  const findings = emr.list('Observation').map((observation) => String(observation['status']));
  expect(findings).toEqual(expect.arrayContaining(['entered-in-error', 'preliminary']));
});

test('a report that waits for a system is kept back from it, and the system never hears of it', async () => {
  const { gateway, hospital: { pacs, emr } } = journey;
  await emr.behaviour.set('down');
  await gateway.db.asOwner("UPDATE external_integrations SET deliver_paused_at = now() WHERE name = 'EMR'");
  await gateway.integrations.reload();
  const study = smallStudy({ patient: somebody(), accessionNumber: 'WITHDRAW-2' });
  await pacs.store(study.objects);
  const first = await eventually(async () => (await gateway.db.asOwner<{ report_id: string; taken: number }>("SELECT r.report_id, (SELECT count(*)::int FROM deliveries d WHERE d.report_id = r.report_id AND d.status = 'delivered') AS taken FROM reports r JOIN scans s USING (organization_id, scan_id) WHERE s.study_instance_uid = $1", [study.studyInstanceUid])).find(({ taken }) => taken === 2));
  expect(await api('POST', `/api/v1/reports/${first.report_id}/withdraw`, { reason: 'Wrong model' })).toMatchObject({ status: 200, body: { destinations: 2 } });
  const states = await gateway.db.asOwner<{ version: number; status: string }>("SELECT r.version, d.status FROM deliveries d JOIN reports r USING (organization_id, report_id) JOIN external_integrations i USING (organization_id, integration_id) JOIN scans s USING (organization_id, scan_id) WHERE i.name = 'EMR' AND s.study_instance_uid = $1", [study.studyInstanceUid]);
  expect(states).toEqual([{ version: 1, status: 'skipped' }]);
  const [{ delivery_id: kept }] = await gateway.db.asOwner<{ delivery_id: string }>("SELECT delivery_id FROM deliveries WHERE report_id = $1 AND status = 'skipped'", [first.report_id]) as [{ delivery_id: string }];
  const integrator = await apiClient(gateway, 'Sample Hospital', 'integrator');
  expect(await integrator('POST', `/api/v1/deliveries/${kept}/resend`), 'nor is it sent by hand').toMatchObject({ status: 409, body: { detail: expect.stringContaining('withdrawn by version 2') as string } });
});
