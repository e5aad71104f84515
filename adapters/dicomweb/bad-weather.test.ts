/** Clients that leave, objects that come twice at once, a disk or database that cannot, bytes mutated at random: nothing half is kept or told. */
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AdapterContext, InboundMessage, Integration, Receipt } from '#gateway/adapter.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { eventually, testGateway, type TestGateway } from '../../test/support/gateway.ts';
import { insertIntegration } from '../../test/support/pipeline.ts';
import { configSchema, type Config } from './config.ts';
import { handle } from './handle.ts';
import { boundary, DicomwebTestClient, multipartOf, relatedType } from './testing/client.ts';
import { multiframe, native, object, root } from './testing/objects.ts';

let gateway: TestGateway, client: DicomwebTestClient, token: string;
beforeAll(async () => {
  gateway = await testGateway({ MEDSCAN_ROLES: 'gateway,api' });
  await insertIntegration(gateway.db, 'Stormy Hospital', 'VNA', 'dicomweb');
  await gateway.db.asOwner('UPDATE external_integrations SET settings = \'{"allow_query": true, "allow_retrieve": true, "callers": ["storm"]}\'');
  await gateway.integrations.reload();
  ({ token } = await createApiToken(gateway.db.database, { organizationName: 'Stormy Hospital', role: 'service', name: 'storm' }));
  client = new DicomwebTestClient(gateway.ports.http!, token);
});
afterAll(() => gateway?.stop());

const temporary = (): string[] => readdirSync(path.join(gateway.home, 'storage', 'incoming'), { recursive: true }).map(String).filter((name) => name.endsWith('.part'));
const stored = (uid: string) => gateway.db.asOwner<{ status: string; conflict_of: string | null }>('SELECT status, conflict_of FROM scan_files WHERE sop_instance_uid = $1', [uid]);

test('a sender that leaves inside an object leaves no file and no row of it; what came before is stored', async () => {
  const whole = object(), cut = object({}, { pixelData: native('OW', Buffer.alloc(4 << 20)) });
  const body = multipartOf([whole.file, cut.file]);
  const outgoing = request(`${client.base}/studies`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': relatedType, 'transfer-encoding': 'chunked' } });
  outgoing.on('error', () => undefined);
  outgoing.write(body.subarray(0, 3 << 20));
  await eventually(async () => temporary().length > 0 && (await stored(whole.sopInstanceUid)).length === 1);
  outgoing.destroy();
  await eventually(async () => temporary().length === 0);
  expect(await stored(cut.sopInstanceUid)).toEqual([]);
  const answer = await eventually(async () => (await gateway.db.asOwner<{ answer_status: string }>("SELECT answer_status FROM sync_logs WHERE control_id = $1 AND answer_status = 'unanswered' AND answer_code IS NOT NULL", [whole.sopInstanceUid]))[0]);
  expect(answer.answer_status).toBe('unanswered');
});

test('a client that leaves inside a retrieve is on record as not answered', async () => {
  const large = object({ '(0008,0016)': multiframe, '(0020,000d)': `${root}.31`, '(0020,000e)': `${root}.31.1` }, { pixelData: native('OW', Buffer.alloc(64 << 20)) });
  expect((await client.store([large.file])).status).toBe(200);
  const incoming = request(`${client.base}/studies/${root}.31`, { headers: { authorization: `Bearer ${token}` } }, (response) => { response.once('data', () => response.destroy()); });
  incoming.on('error', () => undefined);
  incoming.end();
  const row = await eventually(async () => (await gateway.db.asOwner<{ answer_status: string; answer_text: string; answer_code: string }>("SELECT answer_status, answer_text, answer_code FROM sync_logs WHERE interaction = 'WADO-RS study' AND finished_at IS NOT NULL ORDER BY started_at DESC LIMIT 1"))[0]);
  expect(row).toEqual({ answer_status: 'unanswered', answer_code: '200', answer_text: 'the client left before the end' });
});

test('the same object twice in one request is one row; with other bytes a second version', async () => {
  const one = object();
  const changed = Buffer.from(one.file);
  changed.write('X', changed.indexOf('CHEST'), 'latin1');
  const answer = await client.store([one.file, one.file, changed]);
  expect([answer.status, answer.json['00081199'].Value.length]).toEqual([200, 3]);
  const rows = await stored(one.sopInstanceUid);
  expect(rows.filter(({ conflict_of }) => conflict_of !== null)).toHaveLength(1);
  expect(rows).toHaveLength(2);
});

test('requests at the same time do not mix', async () => {
  const batches = Array.from({ length: 6 }, () => Array.from({ length: 5 }, () => object()));
  const answers = await Promise.all(batches.map((batch) => client.store(batch.map(({ file }) => file))));
  expect(answers.map(({ json }) => json['00081199'].Value.map((item: any) => item['00081155'].Value[0]))).toEqual(batches.map((batch) => batch.map(({ sopInstanceUid }) => sopInstanceUid)));
});

test('bytes mutated at random are answered, stored or not, and leave no file behind', async () => {
  const seed = randomBytes(4).readUInt32LE();
  let state = seed;
  const random = (below: number): number => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return Math.floor((state / 2 ** 32) * below); };
  for (let round = 0; round < 40; round += 1) {
    const files = Array.from({ length: 25 }, () => {
      const file = Buffer.from(object().file);
      for (let times = 1 + random(8); times > 0; times -= 1) file[128 + random(file.length - 128)] = random(256);
      return random(6) === 0 ? file.subarray(0, random(file.length)) : file;
    });
    const answer = await client.store(files);
    expect([200, 202, 409, 400], `seed ${seed} round ${round}: ${answer.body.toString().slice(0, 200)}`).toContain(answer.status);
    if (answer.status !== 400) expect(['00081198', '00081199', '0008119A'].reduce((sum, tag) => sum + (answer.json[tag]?.Value.length ?? 0), 0), `seed ${seed}`).toBe(25);
  }
  expect(temporary()).toEqual([]);
  for (const level of ['/studies', '/instances']) expect((await client.get(level)).status).toBe(200);
});

/** The adapter alone, with a disk and a database of our making. */
async function storeWith(more: { receive?: (message: InboundMessage) => Promise<Receipt>; store?: AdapterContext['store'] }): Promise<Response> {
  const integration: Integration<Config> = { integrationId: 'i', organizationId: 'o', name: 'test', config: configSchema.parse({}) as Config };
  const context: AdapterContext = {
    log: { debug() { /* quiet */ }, info() { /* quiet */ }, warn() { /* quiet */ }, error() { /* quiet */ } }, signal: new AbortController().signal, now: () => new Date(),
    authenticate: async () => ({ organizationId: 'o', userId: 'u', role: 'service', name: 'n' }),
    store: more.store ?? (async () => ({ write() { /* taken */ }, byteSize: 0, finish: async () => ({ location: 'x', byteSize: 1 }), abort: async () => undefined })),
  };
  const incoming = new Request('http://localhost/dicom-web/studies', { method: 'POST', headers: { authorization: 'Bearer abc', 'content-type': relatedType }, body: new Uint8Array(multipartOf([object().file, object().file])) });
  const accepted = async (): Promise<Receipt> => ({ kind: 'accepted', links: {}, exchangeId: 'e', answered() { /* heard */ } });
  return handle(incoming, { address: '127.0.0.1', port: 1 }, { all: () => [integration] }, (more.receive ?? accepted) as never, context);
}
const full = async (): Promise<never> => { throw new Error('no space left'); };

test.each<[string, Parameters<typeof storeWith>[0]]>([
  ['cannot be opened', { store: full }],
  ['is full while it is written', { store: async () => ({ write: full, byteSize: 0, finish: full, abort: async () => undefined }) }],
  ['cannot be synced', { store: async () => ({ write() { /* taken */ }, byteSize: 0, finish: full, abort: async () => undefined }) }],
  ['takes it, but the database is away', { receive: async () => ({ kind: 'failed', text: 'try again', retryable: true, exchangeId: undefined, answered() { /* none */ } }) }],
  ['takes it, but receiving throws', { receive: full }],
])('when the store %s, no object is told as stored: 503, A700, try again', async (_what, more) => {
  const answer = await storeWith(more);
  const json = await answer.json() as any;
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '30']);
  expect(json['00081199']).toBeUndefined();
  expect(json['00081198'].Value.map((item: any) => item['00081197'].Value[0])).toEqual([0xa700, 0xa700]);
});

test('success is told only after receive has resolved', async () => {
  const order: string[] = [];
  const answer = storeWith({ receive: async () => { await new Promise((resolve) => { setTimeout(resolve, 50); }); order.push('committed'); return { kind: 'accepted', links: {}, exchangeId: 'e', answered: (code) => { order.push(`answered ${code}`); } }; } });
  await answer.then(() => order.push('response'));
  expect(order).toEqual(['committed', 'committed', 'answered 200', 'answered 200', 'response']);
});

test('the boundary is looked for as bytes: one in pixel data without its line is data', async () => {
  const sneaky = object({}, { pixelData: native('OB', Buffer.from(`--${boundary} is here and -- there`)) });
  expect((await client.store([sneaky.file])).status).toBe(200);
});
