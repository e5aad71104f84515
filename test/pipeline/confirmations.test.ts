import { afterAll, beforeAll, expect, test } from 'vitest';
import { deliverAgain } from '../../src/db/asked-commitments.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { askCommitment, awaitCommitment, createConfirmations } from '../../src/pipeline/confirmations.ts';
import { instance, patient, testPipeline, type TestPipeline } from '../support/pipeline.ts';

let pipeline: TestPipeline;
beforeAll(async () => { pipeline = await testPipeline(); });
afterAll(() => pipeline.close());

/** A report of the scan that was delivered. */
async function delivered(scanId: string, version = 1, lineage: string | null = null): Promise<{ report_id: string; delivery_id: string }> {
  const { organizationId, integrationId } = pipeline.integration;
  const [row] = await pipeline.db.asOwner<{ report_id: string; delivery_id: string }>(`
    WITH r AS (INSERT INTO reports (organization_id, report_id, lineage_id, version, scan_id, status, findings_text, impression, author_kind, author_name, document)
      SELECT $1, id, coalesce($4::uuid, id), $2, $3, 'preliminary', '', '', 'device', 'model 1', '{}' FROM medscan_uuid_v7() id RETURNING *)
    INSERT INTO deliveries (organization_id, integration_id, report_id, status) SELECT organization_id, $5, report_id, 'delivered' FROM r RETURNING report_id, delivery_id`, [organizationId, version, scanId, lineage, integrationId]);
  return row!;
}
async function scan(study: string): Promise<string> {
  const receipt = await pipeline.receive({ interaction: 'C-STORE', controlId: `${study}.1`, normalized: { patient: patient(study), instance: instance(study, `${study}.1`) } });
  if (receipt.kind !== 'accepted') throw new Error(receipt.kind);
  return receipt.links['scans']!;
}

test('a report that the archive does not keep is sent again, but not after its next version', async () => {
  const scanId = await scan('30');
  const statusAfter = async (deliveryId: string): Promise<string> => {
    await inOrganization(pipeline.db.database, pipeline.integration.organizationId, (tx) => deliverAgain(tx, deliveryId));
    const [row] = await pipeline.db.asOwner<{ status: string }>('SELECT status FROM deliveries WHERE delivery_id = $1', [deliveryId]);
    return row!.status;
  };
  const first = await delivered(scanId);
  expect(await statusAfter(first.delivery_id)).toBe('queued');
  await pipeline.db.asOwner("UPDATE deliveries SET status = 'delivered' WHERE delivery_id = $1", [first.delivery_id]);
  const second = await delivered(scanId, 2, first.report_id);
  expect(await statusAfter(first.delivery_id)).toBe('delivered');
  expect(await statusAfter(second.delivery_id)).toBe('queued');
});

test('a result that was told while the question broke off counts: nothing is asked again, and no alert says that it is missing', async () => {
  const { db: { database }, boss, integration } = pipeline;
  const { organizationId, integrationId } = integration, now = (): Date => new Date();
  const { delivery_id: deliveryId } = await delivered(await scan('31'));
  const items = [{ sopClassUid: '1.2.840.10008.5.1.4.1.1.88.34', sopInstanceUid: '31.9' }];
  await inOrganization(database, organizationId, (tx) => awaitCommitment({ boss }, tx, { organizationId, integrationId, deliveryId }, items));
  const source = {
    adapter: { name: 'fake', commitmentAsker: { async ask(transactionUid: string) {
      await createConfirmations({ database, boss, now }, 'fake').told({ integration, peer: { address: '127.0.0.1', port: 1 }, transactionUid, committed: items, failed: [], message: Buffer.alloc(0), facts: {} });
      return { kind: 'unconfirmed', text: 'no answer to the N-ACTION', interaction: 'N-ACTION Storage Commitment', peer: 'PACS' };
    } } },
    integration, wanted: { assigningAuthority: '', commitment: { askAgainMinutes: 60, alertAfterMinutes: 0 } },
  };
  const [request] = await pipeline.db.asOwner<{ request_id: string }>('SELECT request_id FROM asked_commitments WHERE delivery_id = $1', [deliveryId]);
  expect(await askCommitment({ database, boss, now, retrySeconds: 1, sources: { find: () => source, of: () => [], organizations: () => [] } as never }, { organizationId, requestId: request!.request_id })).toBe('nothing to do');
  expect(await pipeline.db.asOwner('SELECT commitment FROM deliveries WHERE delivery_id = $1', [deliveryId])).toEqual([{ commitment: 'committed' }]);
  expect(await pipeline.db.asOwner("SELECT FROM system_alerts WHERE kind = 'commitment_missing' AND resolved_at IS NULL")).toEqual([]);
});
