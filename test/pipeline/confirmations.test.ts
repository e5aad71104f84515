import { afterAll, beforeAll, expect, test } from 'vitest';
import { deliverAgain } from '../../src/db/asked-commitments.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline;
beforeAll(async () => { pipeline = await testPipeline(); });
afterAll(() => pipeline.close());

test('a report that the archive does not keep is sent again, but not after its next version', async () => {
  const { organizationId, integrationId } = pipeline.integration;
  const receipt = await pipeline.receive({ interaction: 'C-STORE', controlId: '30.1', normalized: { patient: patient('30'), instance: instance('30', '30.1') } });
  const scanId = receipt.kind === 'accepted' ? receipt.links['scans'] : undefined;
  const version = async (number: number, lineage: string | null): Promise<{ report_id: string; delivery_id: string }> => {
    const [row] = await pipeline.db.asOwner<{ report_id: string; delivery_id: string }>(`
      WITH r AS (INSERT INTO reports (organization_id, report_id, lineage_id, version, scan_id, status, findings_text, impression, author_kind, author_name, document)
        SELECT $1, id, coalesce($4::uuid, id), $2, $3, 'preliminary', '', '', 'device', 'model 1', '{}' FROM medscan_uuid_v7() id RETURNING *)
      INSERT INTO deliveries (organization_id, integration_id, report_id, status) SELECT organization_id, $5, report_id, 'delivered' FROM r RETURNING report_id, delivery_id`, [organizationId, number, scanId, lineage, integrationId]);
    return row!;
  };
  const statusAfter = async (deliveryId: string): Promise<string> => {
    await inOrganization(pipeline.db.database, organizationId, (tx) => deliverAgain(tx, deliveryId));
    const [row] = await pipeline.db.asOwner<{ status: string }>('SELECT status FROM deliveries WHERE delivery_id = $1', [deliveryId]);
    return row!.status;
  };
  const first = await version(1, null);
  expect(await statusAfter(first.delivery_id)).toBe('queued');
  await pipeline.db.asOwner("UPDATE deliveries SET status = 'delivered' WHERE delivery_id = $1", [first.delivery_id]);
  const second = await version(2, first.report_id);
  expect(await statusAfter(first.delivery_id)).toBe('delivered');
  expect(await statusAfter(second.delivery_id)).toBe('queued');
});
