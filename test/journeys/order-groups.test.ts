/** Several orders in one message are placed by one commit: a sender that gives up in between leaves no part of its message behind. */
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { seedSampleHospital } from '../../src/db/seed.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { eventually, testGateway, type TestGateway } from '../support/gateway.ts';
import { answered, apiClient, changeSettings, exchanges } from '../support/journey.ts';
import { MllpSender } from '../support/mllp-sender.ts';

let gateway: TestGateway, sender: MllpSender, token: string, folders: string;
beforeAll(async () => {
  folders = await mkdtemp(path.join(tmpdir(), 'medscan-folders-'));
  gateway = await testGateway({ MEDSCAN_FOLDERS: folders });
  await seedSampleHospital(gateway.db.database, gateway.db.keys, { pacs: 9, ris: 9, emr: 9 });
  await changeSettings(gateway, 'RIS', { folder: 'ris' });
  ({ token } = await createApiToken(gateway.db.database, { organizationName: 'Sample Hospital', role: 'service', name: 'ris' }));
  sender = await MllpSender.connect(gateway.ports.hl7!);
});
afterAll(async () => { sender?.close(); await gateway?.stop(); await rm(folders, { recursive: true, force: true }); });

const message = (controlId: string, accessions: readonly string[]): string => [
  `MSH|^~\\&|RIS|NORTH|MEDSCAN|GATEWAY|20260105100000||ORM^O01|${controlId}|P|2.5.1`, `PID|1||${controlId}^^^NORTH^MR||Dent^Arthur||19800517|M`,
  ...accessions.flatMap((accession, index) => [`ORC|NW|P-${accession}|F-${accession}`, `OBR|${index + 1}|P-${accession}|F-${accession}|A^CT head^L||||||||||||||${accession}||||||CT`]), '',
].join('\r');
const placed = async (controlId: string): Promise<string[]> => (await gateway.db.asOwner<{ accession_number: string }>('SELECT accession_number FROM scans JOIN patients USING (organization_id, patient_id) WHERE patient_number = $1 ORDER BY 1', [controlId])).map((row) => row.accession_number);
/** The database fails while the order with this accession number is written; fail_count keeps that it did, for a sequence is not rolled back. */
async function failAt(accession: string, { times = 1_000, code = '53100' } = {}): Promise<void> {
  await gateway.db.asOwner('CREATE SEQUENCE fail_count');
  await gateway.db.asOwner('GRANT USAGE ON SEQUENCE fail_count TO PUBLIC');
  await gateway.db.asOwner(`CREATE FUNCTION fail_at() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.accession_number = '${accession}' AND nextval('fail_count') <= ${times} THEN RAISE EXCEPTION 'the disk is full' USING ERRCODE = '${code}'; END IF; RETURN NEW; END $$`);
  await gateway.db.asOwner('CREATE TRIGGER fail_at BEFORE INSERT OR UPDATE ON scans FOR EACH ROW EXECUTE FUNCTION fail_at()');
}
async function heal(): Promise<void> {
  await gateway.db.asOwner('DROP FUNCTION IF EXISTS fail_at() CASCADE');
  await gateway.db.asOwner('DROP SEQUENCE IF EXISTS fail_count');
}
afterEach(heal);

async function post(text: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${gateway.ports.http}/hl7v2`, { method: 'POST', body: text, headers: { 'content-type': 'application/hl7-v2', authorization: `Bearer ${token}` } });
  return response.text();
}
async function drop(text: string): Promise<string> {
  const name = `${crypto.randomUUID()}.hl7`, inbox = path.join(folders, 'ris');
  await mkdir(inbox, { recursive: true });
  await writeFile(path.join(inbox, `${name}.tmp`), text);
  await rename(path.join(inbox, `${name}.tmp`), path.join(inbox, name));
  return name;
}

test.each([['MLLP', (text: string) => sender.send(text)], ['HTTP', post]] as const)('by %s: when the database fails at the third order none is placed; sent again all are, by one commit', async (way, send) => {
  const id = `G-${way}`, text = message(id, ['1', '2', '3'].map((number) => `${id}-${number}`));
  await failAt(`${id}-3`);
  const refused = await send(text);
  expect(refused).toContain(`MSA|AE|${id}`);
  expect(refused).toContain('|207^');
  expect([await placed(id), await exchanges(gateway, 'l.control_id LIKE $1', [`${id}%`])]).toEqual([[], []]);
  await heal();
  expect(await send(text)).toContain(`MSA|AA|${id}`);
  expect(await placed(id)).toEqual([`${id}-1`, `${id}-2`, `${id}-3`]);
  expect(await gateway.db.asOwner("SELECT count(DISTINCT created_at)::int AS commits FROM sync_logs WHERE control_id LIKE $1 AND message_status = 'accepted'", [`${id}%`])).toEqual([{ commits: 1 }]);
  expect(await send(text)).toContain(`MSA|AA|${id}`);
  expect((await answered(gateway, 'l.control_id LIKE $1', [`${id}%`])).map((row) => `${row.control_id} ${row.message_status} ${row.answer_code}`).toSorted((a, b) => a.localeCompare(b))).toEqual(
    ['', '#2', '#3'].flatMap((group) => [`${id}${group} accepted AA`, `${id}${group} duplicate AA`]).toSorted((a, b) => a.localeCompare(b)));
});

test('by folder: the file stays while the database fails, and is done when all orders are placed', async () => {
  await failAt('G-FILE-2');
  const name = await drop(message('G-FILE', ['G-FILE-1', 'G-FILE-2']));
  await eventually(async () => (await gateway.db.asOwner<{ tried: boolean }>('SELECT is_called AS tried FROM fail_count'))[0]!.tried, 30_000);
  expect(await placed('G-FILE')).toEqual([]);
  expect(await readdir(path.join(folders, 'ris'))).toContain(name);
  await heal();
  await eventually(async () => (await readdir(path.join(folders, 'ris', 'done'))).some((done) => done.endsWith(name)), 30_000);
  expect(await placed('G-FILE')).toEqual(['G-FILE-1', 'G-FILE-2']);
  expect((await exchanges(gateway, "l.control_id LIKE 'G-FILE%'")).map((row) => row.message_status)).toEqual(['accepted', 'accepted']);
});

test('an order that cannot be stored refuses all of them, and each exchange says which it is', async () => {
  const text = message('G-BAD', ['G-BAD-1', 'G-BAD-2']).replace('ORC|NW|P-G-BAD-2', 'ORC|ZZ|P-G-BAD-2');
  expect(await sender.send(text)).toMatch(/MSA\|AE\|G-BAD\|.*none of the 2 orders.*\rERR\|\|ORC\^2\^1/s);
  expect((await exchanges(gateway, "l.control_id LIKE 'G-BAD%'")).map((row) => [row.message_status, /this is group (\d)/.exec(row.error_text ?? '')?.[1], row.error_location])).toEqual([['rejected', '1', 'ORC[2]-1'], ['rejected', '2', 'ORC[2]-1']]);
  expect(await placed('G-BAD')).toEqual([]);
});

test('while receiving is paused none of the orders is taken', async () => {
  const api = await apiClient(gateway, 'Sample Hospital');
  const [ris] = await gateway.db.asOwner<{ integration_id: string }>("SELECT integration_id FROM external_integrations WHERE name = 'RIS'");
  expect(await api('PUT', `/api/v1/integrations/${ris!.integration_id}/pause`, { receive: true })).toMatchObject({ status: 200 });
  expect(await sender.send(message('G-PAUSE', ['G-PAUSE-1', 'G-PAUSE-2']))).toContain('MSA|AE|G-PAUSE');
  expect(await placed('G-PAUSE')).toEqual([]);
  expect(await api('PUT', `/api/v1/integrations/${ris!.integration_id}/pause`, { receive: false })).toMatchObject({ status: 200 });
  expect(await sender.send(message('G-PAUSE', ['G-PAUSE-1', 'G-PAUSE-2']))).toContain('MSA|AA|G-PAUSE');
});

test('a deadlock with images of the same studies is tried again here, not by the sender', async () => {
  await failAt('G-DEAD-2', { times: 1, code: '40P01' });
  expect(await sender.send(message('G-DEAD', ['G-DEAD-1', 'G-DEAD-2']))).toContain('MSA|AA|G-DEAD');
  expect(await placed('G-DEAD')).toEqual(['G-DEAD-1', 'G-DEAD-2']);
});
