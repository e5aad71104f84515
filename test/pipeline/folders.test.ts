/** A folder of files belongs to one organization: when settings are saved, and for what was stored before that was looked at. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sampleReport } from '../../adapters/hl7v2-mllp/testing/sample-report.ts';
import { integrationCommands } from '../../src/gateway/integration-commands.ts';
import { eventually, testGateway, type TestGateway } from '../support/gateway.ts';
import { insertIntegration } from '../support/pipeline.ts';

let gateway: TestGateway, folders: string;
const organizations = {} as Record<'North' | 'South', string>;
beforeAll(async () => {
  folders = await mkdtemp(path.join(tmpdir(), 'medscan-folders-'));
  gateway = await testGateway({ MEDSCAN_FOLDERS: folders, MEDSCAN_RETRY_SECONDS: '0.2' });
  for (const side of ['North', 'South'] as const) organizations[side] = (await insertIntegration(gateway.db, side, 'RIS', 'hl7v2-mllp')).organizationId;
});
afterAll(async () => { await gateway?.stop(); await rm(folders, { recursive: true, force: true }); });

const change = (settings: Record<string, unknown>, isEnabled = true) => ({ name: 'Files', kind: 'ris' as const, adapter: 'hl7v2-mllp', direction: 'both' as const, settings, isEnabled });
async function save(side: 'North' | 'South', settings: Record<string, unknown>, isEnabled?: boolean) {
  const commands = await integrationCommands(gateway.installation);
  return commands.saveIntegration(organizations[side], undefined, { ...change(settings, isEnabled), name: `Files ${JSON.stringify(settings)}` }, { kind: 'system', id: 'test' });
}

test('settings that name a folder of another organization are refused, to read from and to write to, whatever the case of its letters', async () => {
  expect(await save('North', { folder: 'ris', deliver_folder: 'results' })).toMatchObject({ kind: 'saved' });
  expect(await save('North', { folder: 'north-off' }, false)).toMatchObject({ kind: 'saved' });
  for (const settings of [{ folder: 'ris' }, { deliver_folder: 'ris' }, { folder: 'results' }, { deliver_folder: 'RESULTS' }, { folder: 'north-off' }]) {
    const [setting] = Object.keys(settings);
    expect(await save('South', settings), JSON.stringify(settings)).toEqual({ kind: 'invalid', errors: [{ pointer: `/settings/${setting}`, message: expect.stringContaining('another organization') as string }] });
  }
  expect(await save('North', { deliver_folder: 'results' }), 'its own').toMatchObject({ kind: 'saved' });
  expect(await save('South', { folder: 'ris2', deliver_folder: 'results2' })).toMatchObject({ kind: 'saved' });
});

test('of two organizations that name a folder at the same time, one is told that it is the other\'s', async () => {
  const kinds = (await Promise.all([save('North', { folder: 'race' }), save('South', { folder: 'race' })])).map(({ kind }) => kind);
  expect(kinds.toSorted((a, b) => a.localeCompare(b))).toEqual(['invalid', 'saved']);
});

test('a result is not written into a folder that another organization names, and is when it does no longer', async () => {
  const set = (side: 'North' | 'South', settings: object) => gateway.db.asOwner("UPDATE external_integrations SET settings = $2 WHERE organization_id = $1 AND name = 'RIS'", [organizations[side], JSON.stringify(settings)]);
  await set('North', { deliver_folder: 'old' });
  await set('South', { deliver_folder: 'old' });
  await gateway.integrations.reload();
  await gateway.db.asOwner(`
    WITH p AS (INSERT INTO patients (organization_id, patient_number) VALUES ($1, 'P1') RETURNING organization_id, patient_id),
      s AS (INSERT INTO scans (organization_id, patient_id, scan_number, scan_type) SELECT organization_id, patient_id, 'S1', 'ct' FROM p RETURNING organization_id, scan_id),
      r AS (INSERT INTO reports (organization_id, lineage_id, scan_id, status, findings_text, impression, author_kind, author_name, document) SELECT organization_id, medscan_uuid_v7(), scan_id, 'preliminary', '', '', 'device', 'm', $2 FROM s RETURNING organization_id, report_id)
    INSERT INTO deliveries (organization_id, integration_id, report_id) SELECT r.organization_id, i.integration_id, r.report_id FROM r JOIN external_integrations i ON i.organization_id = r.organization_id AND i.name = 'RIS'`,
  [organizations.South, JSON.stringify(sampleReport)]);
  const outcome = async () => (await gateway.db.asOwner<{ status: string; last_text: string | null; attempts: number }>('SELECT status, last_text, attempts FROM deliveries'))[0]!;
  expect(await eventually(async () => { const now = await outcome(); return now.attempts > 1 && now.status === 'queued' && now; })).toMatchObject({ last_text: expect.stringContaining('another organization') as string });
  expect(await readdir(path.join(folders, 'old'))).toEqual([]);
  await set('North', {});
  await gateway.integrations.reload();
  await eventually(async () => (await outcome()).status === 'delivered');
  expect(await readdir(path.join(folders, 'old'))).toHaveLength(1);
});
