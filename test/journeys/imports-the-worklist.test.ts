/** Scheduled scans from the worklist of a RIS that sends no HL7. Peer: DCMTK's wlmscpfs; skipped where it is not installed. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { missing, startWlmscpfs } from '../../adapters/dicom-dimse/testing/archives.ts';
import { eventually } from '../support/gateway.ts';
import { changeSettings, exchanges, expectAudited, scanOf, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';

const isMissing = missing('wlmscpfs', 'dump2dcm');
const patient = somebody({ patientId: 'W-1' });
const study = smallStudy({ patient, accessionNumber: 'WL-1' });
const today = new Intl.DateTimeFormat('en-CA', { timeZone: 'Europe/Berlin' }).format(new Date()).replaceAll('-', '');

interface Item { accession?: string; step?: string; patientId?: string; name?: string; modality?: string; date?: string; time?: string; priority?: string; status?: string; studyInstanceUid?: string; description?: string }
const item = ({ accession = 'WL-1', step = 'SPS1', patientId = 'W-1', name = 'Müller^Jörg', modality = 'CT', date = today, time = '093000', priority = 'HIGH', status = 'SCHEDULED', studyInstanceUid = study.studyInstanceUid, description = 'CT thorax' }: Item = {}): string => `
(0008,0005) CS [ISO_IR 192]
(0008,0050) SH [${accession}]
(0008,0090) PN [House^Gregory]
(0010,0010) PN [${name}]
(0010,0020) LO [${patientId}]
(0010,0030) DA [19800517]
(0010,0040) CS [M]
(0020,000d) UI [${studyInstanceUid}]
(0032,1060) LO [${description}]
(0040,1001) SH [RP1]
(0040,1003) SH [${priority}]
(0040,0100) SQ
(fffe,e000) -
(0008,0060) CS [${modality}]
(0040,0001) AE [CT1]
(0040,0002) DA [${date}]
(0040,0003) TM [${time}]
(0040,0007) LO [${description}]
(0040,0009) SH [${step}]
(0040,0020) CS [${status}]
(fffe,e00d) -
(fffe,e0dd) -
`;

let journey: Journey, ris: Awaited<ReturnType<typeof startWlmscpfs>>;
const items = (where = 'true') => exchanges(journey.gateway, `interaction = 'C-FIND worklist item' AND ${where}`);
const polls = () => exchanges(journey.gateway, "interaction = 'C-FIND worklist'");
/** Has the list read once more, without waiting for the next look at what is due, and waits until it was. */
async function readAgain(): Promise<void> {
  const before = (await polls()).filter((poll) => poll.message_status === 'delivered').length;
  const [ids] = await journey.gateway.db.asOwner<{ organization_id: string; integration_id: string }>('SELECT organization_id, integration_id FROM worklist_polls');
  await journey.gateway.boss.send('import-worklist', { organizationId: ids!.organization_id, integrationId: ids!.integration_id }, { singletonKey: ids!.integration_id });
  await eventually(async () => (await polls()).filter((poll) => poll.message_status === 'delivered').length > before);
  await eventually(async () => (await journey.gateway.db.asOwner('SELECT FROM worklist_polls WHERE polled_at >= (SELECT max(started_at) FROM sync_logs WHERE interaction = $1)', ['C-FIND worklist'])).length === 1);
}

beforeAll(async () => {
  if (isMissing) return;
  journey = await startJourney();
  ris = await startWlmscpfs([item(), item({ accession: 'WL-2', step: 'SPS2', patientId: 'W-2', name: 'Later^Visit', date: '20991231', studyInstanceUid: '1.2.3.2' })]);
  await changeSettings(journey.gateway, 'PACS', {
    assigning_authority: 'NORTH', time_zone: 'Europe/Berlin', worklist: { every_seconds: 3600, days_ahead: 1 },
    destination: { host: '127.0.0.1', port: ris.port, called_ae_title: ris.aeTitle, calling_ae_title: 'MEDSCAN' },
  });
});
afterAll(async () => {
  await ris?.stop();
  await journey?.stop();
});

describe.skipIf(isMissing)('the worklist of a RIS', () => {
  test('becomes scheduled scans, each item an exchange of its own', async () => {
    const [first] = await eventually(async () => { const rows = await items(); return rows.length > 0 && rows; });
    expect(first).toMatchObject({ direction: 'inbound', message_status: 'accepted', peer_application: 'RIS', answer_status: 'unanswered' });
    expect(await items(), 'the item of another day is not asked for').toHaveLength(1);
    const [scan] = await journey.gateway.db.asOwner("SELECT s.*, s.scheduled_at AT TIME ZONE 'Europe/Berlin' AS local FROM scans s WHERE accession_number = 'WL-1'");
    expect(scan).toMatchObject({ status: 'scheduled', order_status: 'ordered', priority: 'urgent', scan_type: 'ct', procedure_description: 'CT thorax', study_instance_uid: study.studyInstanceUid, referring_physician: 'House^Gregory' });
    expect(String((scan as { scheduled_at: Date }).scheduled_at.toISOString())).toMatch(/T0[78]:30:00/);
    const [who] = await journey.gateway.db.asOwner("SELECT family_name, given_name, birth_date::text, sex FROM patients WHERE patient_number = 'W-1'");
    expect(who).toEqual({ family_name: 'Müller', given_name: 'Jörg', birth_date: '1980-05-17', sex: 'male' });
    await expectAudited(journey.gateway, await items());
  });

  test('is not taken in again when nothing changed, and what changed is', async () => {
    await readAgain();
    expect(await items()).toHaveLength(1);
    expect(await journey.gateway.db.asOwner('SELECT items_seen, items_changed, last_text FROM worklist_polls')).toEqual([{ items_seen: 1, items_changed: 0, last_text: null }]);
    await ris.change([item({ time: '140000', priority: 'STAT' })]);
    await readAgain();
    expect(await items()).toHaveLength(2);
    const scan = () => journey.gateway.db.asOwner("SELECT priority, to_char(scheduled_at AT TIME ZONE 'Europe/Berlin', 'HH24:MI') AS at FROM scans WHERE accession_number = 'WL-1'");
    expect(await scan()).toEqual([{ priority: 'stat', at: '14:00' }]);
    await ris.change([item()]);
    await readAgain();
    expect(await scan(), 'changed back').toEqual([{ priority: 'urgent', at: '09:30' }]);
    await readAgain();
    expect((await items()).map((row) => [row.message_status, row.control_id.endsWith('#2') || row.control_id.endsWith('#3')])).toEqual([['accepted', false], ['accepted', true], ['accepted', true]]);
  });

  test('finds the images of its study when they come', async () => {
    await journey.hospital.pacs.store(study.objects);
    await eventually(async () => (await scanOf(journey.gateway, study.studyInstanceUid)).completeness_proof === 'quiet_time');
    expect(await scanOf(journey.gateway, study.studyInstanceUid)).toMatchObject({ accession_number: 'WL-1', order_status: 'ordered' });
  });

  test('refuses an item that names no order, once, and takes the others', async () => {
    await ris.change([item({ accession: '', studyInstanceUid: '', step: 'SPS6' }), item({ accession: 'WL-7', step: 'SPS7', studyInstanceUid: '1.2.3.7' })]);
    await readAgain();
    await readAgain();
    expect((await items("message_status = 'rejected'")).map((row) => [row.error_location, row.answer_status])).toEqual([['(0008,0050)', 'answered']]);
    expect(await journey.gateway.db.asOwner("SELECT FROM scans WHERE accession_number = 'WL-7'")).toHaveLength(1);
  });

  test('cancels an order by the status of its step', async () => {
    await ris.change([item({ accession: 'WL-5', step: 'SPS5', studyInstanceUid: '1.2.3.5' })]);
    await readAgain();
    await ris.change([item({ accession: 'WL-5', step: 'SPS5', studyInstanceUid: '1.2.3.5', status: 'CANCELED' })]);
    await readAgain();
    expect(await journey.gateway.db.asOwner("SELECT order_status FROM scans WHERE accession_number = 'WL-5'")).toEqual([{ order_status: 'cancelled' }]);
  });

  test('tells of a RIS that is away, and goes on when it is back', async () => {
    await changeSettings(journey.gateway, 'PACS', { destination: { port: 1 } });
    await journey.gateway.db.asOwner('UPDATE worklist_polls SET next_poll_at = now()');
    await eventually(async () => (await journey.gateway.db.asOwner("SELECT FROM system_alerts WHERE kind = 'integration_down' AND subject = 'PACS worklist' AND resolved_at IS NULL")).length === 1);
    await changeSettings(journey.gateway, 'PACS', { destination: { port: ris.port } });
    await readAgain();
    expect(await journey.gateway.db.asOwner("SELECT FROM system_alerts WHERE kind = 'integration_down' AND subject = 'PACS worklist' AND resolved_at IS NULL")).toEqual([]);
  });
});
