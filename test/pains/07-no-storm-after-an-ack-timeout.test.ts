/**
 * "Thousands of duplicate messages after ACK timeout"; "message 1001 never delivered". Here a result that is not acknowledged is sent again later and
 * later, under one MSH-10, one at a time; nothing overtakes it, nothing is left out, and an answer to another message is no answer.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { changeSettings, startJourney, type Journey } from '../support/journey.ts';
import { eventually } from '../support/gateway.ts';
import { sampleReport } from '../../adapters/hl7v2-mllp/testing/sample-report.ts';

let journey: Journey;
let ris: string;
beforeAll(async () => {
  journey = await startJourney();
  await changeSettings(journey.gateway, 'RIS', { acknowledgment_timeout_milliseconds: 150 });
  [{ integration_id: ris }] = await journey.gateway.db.asOwner<{ integration_id: string }>("SELECT integration_id FROM external_integrations WHERE name = 'RIS'") as [{ integration_id: string }];
});
afterAll(() => journey?.stop());

/** Puts that many results into the outbox of the RIS at once. */
async function queueResults(count: number): Promise<void> {
  const { gateway } = journey;
  await gateway.db.asOwner(`
    WITH o AS (SELECT organization_id FROM external_integrations WHERE integration_id = $1),
    p AS (INSERT INTO patients (organization_id, patient_number) SELECT organization_id, 'STORM' FROM o RETURNING organization_id, patient_id),
    s AS (INSERT INTO scans (organization_id, patient_id, scan_type) SELECT organization_id, patient_id, 'ct' FROM p RETURNING organization_id, scan_id),
    r AS (INSERT INTO reports (organization_id, lineage_id, scan_id, version, status, findings_text, impression, author_kind, author_name, document)
      SELECT organization_id, medscan_uuid_v7(), scan_id, 1, 'preliminary', '', '', 'device', 'm', jsonb_set($2::jsonb, '{scan,accessionNumber}', to_jsonb('STORM-' || n)) FROM s, generate_series(1, $3) n RETURNING organization_id, report_id)
    INSERT INTO deliveries (organization_id, integration_id, report_id) SELECT organization_id, $1, report_id FROM r`, [ris, JSON.stringify(sampleReport), count]);
  await gateway.boss.send('deliver', { organizationId: journey.seeded.organizationId, integrationId: ris }, { singletonKey: ris });
}

test('a receiver that answers nothing gets the same message ever more seldom, and then everything once and in order', async () => {
  const { hospital, gateway } = journey;
  await hospital.ris.behaviour.set('silent');
  await queueResults(25);
  await hospital.ris.received.count(5, 30_000);
  const early = hospital.ris.received.items.slice();
  expect(new Set(early.map(({ controlId }) => controlId)).size, 'one message in flight, the same each time').toBe(1);
  const gaps = early.slice(1).map(({ at }, index) => at.getTime() - early[index]!.at.getTime());
  expect(gaps[3]!, 'waits grow: 0.3 s, 0.6 s, 1.2 s, 2.4 s, a fifth more or less; nobody sends earlier').toBeGreaterThan(1_900);
  const [{ rows }] = await gateway.db.asOwner<{ rows: number }>("SELECT count(*)::int AS rows FROM sync_logs WHERE direction = 'outbound' AND message_status = 'unconfirmed' AND integration_id = $1", [ris]) as [{ rows: number }];
  expect(rows, 'each attempt is on record as sent and not acknowledged').toBeGreaterThanOrEqual(2);

  // From here on each answer counts, also one that takes its time.
  await changeSettings(gateway, 'RIS', { acknowledgment_timeout_milliseconds: 20_000 });
  await hospital.ris.behaviour.set('accept');
  await eventually(async () => (await gateway.db.asOwner("SELECT FROM deliveries WHERE integration_id = $1 AND status <> 'delivered'", [ris])).length === 0, 30_000);
  const taken = hospital.ris.received.items.filter(({ answered }) => answered === 'AA').map(({ text }) => /STORM-\d+/.exec(text)?.[0]);
  expect(taken, 'none left out, none twice, none overtaken').toEqual(Array.from({ length: 25 }, (_, index) => `STORM-${index + 1}`));
  const order = await gateway.db.asOwner<{ report: string }>("SELECT r.document->'scan'->>'accessionNumber' AS report FROM deliveries d JOIN reports r USING (organization_id, report_id) WHERE d.integration_id = $1 ORDER BY d.position", [ris]);
  expect(order.map(({ report }) => report)).toEqual(taken);
});
