/** The object store is below its reserve: the PACS is told to send again, and the house is told too. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { anOrder, request, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';
import { eventually } from '../support/gateway.ts';

let journey: Journey;
beforeAll(async () => { journey = await startJourney({}, { reserveBytes: Number.MAX_SAFE_INTEGER }); });
afterAll(() => journey?.stop());

test('with less than the reserve free an image is refused as out of resources, readiness says so, and an alert is open', async () => {
  const { gateway, hospital: { pacs } } = journey;
  const study = smallStudy({ patient: somebody(), accessionNumber: anOrder().accessionNumber });
  const [answer] = await pacs.store(study.objects.slice(0, 1));
  expect(answer?.status).toBe(0xa700);
  const ready = await request(gateway, 'GET', '/readyz', {});
  expect([ready.status, ready.body]).toEqual([503, { status: 'not ready', reasons: ['the object store has less than its reserve free'] }]);
  const [alert] = await eventually(async () => {
    const rows = await gateway.db.asOwner<{ severity: string; message: string }>("SELECT severity, message FROM system_alerts JOIN organizations USING (organization_id) WHERE kind = 'disk_low' AND name = 'Unassigned' AND resolved_at IS NULL");
    return rows.length > 0 && rows;
  }, 5_000);
  expect(alert).toMatchObject({ severity: 'critical', message: expect.stringMatching(/has \d+ MiB free and keeps \d+ MiB in reserve/) });
});
