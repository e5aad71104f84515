/**
 * Thirty canaries (names, numbers, birth dates, addresses, telephone numbers) go in on every way, the ways that end in an error too. Afterwards
 * none of them is in the log at trace level, in a job of the queue, in the metrics, or in the body of an error.
 */
import net from 'node:net';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seedSampleHospital } from '../../src/db/seed.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { startHospital, type Hospital } from '../../src/simulator/hospital.ts';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/gateway.ts';
import { startGatewayProcess, type GatewayProcess } from '../support/gateway-process.ts';
import { anOrder, smallStudy } from '../support/journey.ts';

/** Words that nothing else contains; dates and numbers that do not come about by chance. */
const WORDS = ['Quokkaby', 'Zephyrine', 'Xanthopple', 'Vexlington', 'Jabberholm', 'Wyvernstad', 'Plimsollen', 'Grobnitzky', 'Oxbowdale', 'Thrumsgate', 'Kestrelbane', 'Fjordwick', 'Umbrellan', 'Nettlecomb', 'Yarrowfen',
  'Quillfeather', 'Brackenmoor', 'Saltmarshy', 'Drumlinson', 'Corvidell'] as const;
const DATES = ['19470229', '19470313', '19480427', '1949-05-31', '1947-03-13'] as const;
const NUMBERS = ['MRN-88442200', 'MRN-77331199', '+49-30-7654321', '555-0198-776', 'SSN-078051120'] as const;
const CANARIES: readonly string[] = [...WORDS, ...DATES, ...NUMBERS];
const [w, d, n] = [WORDS, DATES, NUMBERS];

let db: TestDatabase;
let home: string;
let gateway: GatewayProcess;
let hospital: Hospital;
let tokens: { service: string; administrator: string };
let log = '';
/** What senders and API clients were told when something was refused. */
const errorBodies: { readonly from: string; readonly text: string }[] = [];

beforeAll(async () => {
  db = await testDatabase();
  home = await mkdtemp(path.join(tmpdir(), 'medscan-canary-'));
  gateway = await startGatewayProcess({ DATABASE_URL: db.ownerUrl, MEDSCAN_HOME: home, MEDSCAN_QUIET_SECONDS: '0.5', MEDSCAN_RETRY_SECONDS: '0.3', MEDSCAN_LOG_LEVEL: 'trace', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex') });
  for (const stream of [gateway.child.stdout!, gateway.child.stderr!]) stream.on('data', (chunk: Buffer) => { log += chunk.toString('utf8'); });
  hospital = await startHospital({ gateway: { host: '127.0.0.1', dicomPort: gateway.ports.dicom, hl7Port: gateway.ports.hl7 } });
  await seedSampleHospital(db.database, db.keys, { pacs: hospital.pacs.port, ris: hospital.ris.port, emr: hospital.emr.port });
  const tokenOf = async (role: string): Promise<string> => (await createApiToken(db.database, { organizationName: 'Sample Hospital', role, name: role })).token;
  tokens = { service: await tokenOf('service'), administrator: await tokenOf('administrator') };
  await eventually(async () => (await hospital.ris.register({ patientId: 'N-1', assigningAuthority: 'NORTH', familyName: 'Plain', givenName: 'Person', birthDate: '19600101', sex: 'F' })).code === 'AA', 10_000);
  await sendEverything();
});
afterAll(async () => {
  await gateway?.stop();
  await hospital?.stop();
  await db?.drop();
  await rm(home, { recursive: true, force: true });
});

async function sendEverything(): Promise<void> {
  await messages();
  await images();
  await resources();
  await apiCalls();
  await eventually(async () => (await db.asOwner("SELECT FROM deliveries WHERE status IN ('delivered', 'refused')")).length >= 3, 30_000);
}

const pid = (more: string): string => `PID|1||${n[0]}^^^NORTH^MR~${n[4]}^^^USSSA^SS||${w[0]}^${w[1]}^${w[2]}||${more}|F||2106-3|${w[3]}^^${w[4]}^^12345^USA||^PRN^PH^^^^^^^^^${n[2]}~${n[3]}|||M||ACC-9|${n[4]}`;
const header = (type: string, controlId: string): string => `MSH|^~\\&|RIS|NORTH|MEDSCAN|GATEWAY|20260101120000||${type}|${controlId}|P|2.5.1||||||UNICODE UTF-8`;

async function messages(): Promise<void> {
  const send = async (from: string, ...segments: string[]): Promise<void> => {
    const answer = await hospital.ris.send(Buffer.from(`${segments.join('\r')}\r`), 5_000);
    if (answer.code !== 'AA') errorBodies.push({ from, text: answer.text });
  };
  const nextOfKin = `NK1|1|${w[5]}^${w[6]}|SPO|${w[7]}^^${w[8]}|${n[3]}`;
  await send('ADT^A04', header('ADT^A04^ADT_A01', 'C1'), 'EVN|A04|20260101120000', pid(d[1]), nextOfKin, `AL1|1|DA|^${w[9]}|SV`, `DG1|1||^${w[10]}|||A`);
  await send('ADT^A08 with an impossible birth date', header('ADT^A08^ADT_A01', 'C2'), 'EVN|A08|20260101120000', pid(d[0]), nextOfKin);
  await send('ADT^A04 without PID-3', header('ADT^A04^ADT_A01', 'C3'), 'EVN|A04|20260101120000', `PID|1||||${w[0]}^${w[1]}||${d[2]}|F|||${w[3]}`);
  await send('an event that is not taken', header('ADT^A99^ADT_A01', 'C4'), pid(d[1]));
  await send('a message of another type', header('MDM^T02^MDM_T02', 'C5'), pid(d[1]), `OBX|1|TX|||${w[11]}`);
  await send('ADT^A40', header('ADT^A40^ADT_A39', 'C6'), 'EVN|A40|20260101120000', pid(d[1]), `MRG|${n[1]}^^^NORTH^MR||||||${w[12]}^${w[13]}`);
  await send('a NUL in a name', header('ADT^A04^ADT_A01', 'C7'), 'EVN|A04|20260101120000', `PID|1||${n[1]}^^^NORTH^MR||${w[14]}\\X00\\^${w[1]}||${d[2]}|F`);
  await send('no MSH', pid(d[1]));
  const socket = net.connect({ host: '127.0.0.1', port: gateway.ports.hl7 });
  await once(socket, 'connect');
  socket.write(`\x0b${w[15]} ${n[0]} is no message\x1c\r${w[15]} outside any frame\r`);
  const [answer] = await Promise.race([once(socket, 'data'), new Promise<[Buffer]>((resolve) => { setTimeout(resolve, 2_000, [Buffer.alloc(0)]); })]) as [Buffer];
  errorBodies.push({ from: 'a frame without a message', text: answer.toString() });
  socket.destroy();
}

async function images(): Promise<void> {
  const patient = { patientId: n[0], assigningAuthority: 'NORTH', familyName: w[0], givenName: w[1], middleName: w[2], birthDate: d[1], sex: 'F' as const };
  await hospital.emr.behaviour.set('422', 1);
  const study = smallStudy({ patient, accessionNumber: anOrder().accessionNumber });
  await hospital.pacs.store(study.objects);
  // Other demographics under the number of the same patient, an impossible date, no Study Instance UID, values of the wrong kind.
  const odd = (elements: Record<string, unknown>, sop: string) => ({
    sopClassUid: '1.2.840.10008.5.1.4.1.1.7', sopInstanceUid: sop, transferSyntaxUid: '1.2.840.10008.1.2.1',
    dataset: encodeDataset({
      '(0008,0016)': '1.2.840.10008.5.1.4.1.1.7', '(0008,0018)': sop, '(0008,0060)': 'OT', '(0010,0010)': `${w[16]}^${w[17]}`, '(0010,0020)': n[1], '(0010,0030)': d[2], '(0010,1040)': w[18], '(0010,2154)': n[2], '(0010,4000)': w[19],
      '(0020,000D)': '1.2.826.0.1.3680043.8.498.55.1', '(0020,000E)': '1.2.826.0.1.3680043.8.498.55.2', ...elements,
    } as never),
  });
  for (const answer of await hospital.pacs.store([
    odd({}, '1.2.826.0.1.3680043.8.498.55.10'), odd({ '(0010,0030)': d[0] }, '1.2.826.0.1.3680043.8.498.55.11'), odd({ '(0020,000D)': '' }, '1.2.826.0.1.3680043.8.498.55.12'),
    odd({ '(0020,000D)': study.studyInstanceUid }, '1.2.826.0.1.3680043.8.498.55.13'), odd({ '(0008,0090)': w[5], '(0010,1001)': w[6] }, '1.2.826.0.1.3680043.8.498.55.14'),
  ])) errorBodies.push({ from: 'C-STORE', text: answer.text });
}

async function http(method: string, address: string, headers: Readonly<Record<string, string>>, body?: unknown): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${gateway.ports.http}${address}`, { method, headers, ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }) });
  const text = await response.text();
  if (response.status >= 400) errorBodies.push({ from: `${method} ${address.split('?')[0]} ${response.status}`, text });
}

async function resources(): Promise<void> {
  const headers = { authorization: `Bearer ${tokens.service}`, 'content-type': 'application/fhir+json' };
  const patient = {
    resourceType: 'Patient', identifier: [{ system: 'urn:oid:1.3.6.1.4.1.5962.99.1.1', value: n[1] }], name: [{ family: w[14], given: [w[15]] }], birthDate: d[4],
    address: [{ line: [w[7]], city: w[8] }], telecom: [{ system: 'phone', value: n[2] }], contact: [{ name: { family: w[13] } }],
  };
  await http('POST', '/fhir/r4/Patient', headers, patient);
  await http('POST', '/fhir/r4/Patient', headers, { ...patient, birthDate: '1947-02-29', gender: w[3] });
  await http('POST', '/fhir/r4/Patient', headers, { ...patient, unknownElement: w[5], birthDate: d[3], name: w[6] });
  await http('POST', '/fhir/r4/Patient', headers, { ...patient, identifier: [{ value: `${n[0]}\u0000` }] });
  await http('POST', '/fhir/r4/Patient', headers, `{"resourceType":"Patient","name":[{"family":"${w[0]}"`);
  await http('POST', '/fhir/r4/Patient', { 'content-type': 'application/fhir+json' }, patient);
  await http('PUT', `/fhir/r4/Patient?identifier=${n[0]}`, headers, { ...patient, identifier: [] });
  await http('POST', '/fhir/r4/ServiceRequest', headers, { resourceType: 'ServiceRequest', status: w[9], subject: { display: w[10] } });
}

async function apiCalls(): Promise<void> {
  const headers = { authorization: `Bearer ${tokens.administrator}`, 'content-type': 'application/json' };
  await http('POST', '/api/v1/patients/search', headers, { name: w[0] });
  await http('POST', '/api/v1/patients/search', headers, { name: { family: w[0] }, unknown_key: n[0], birth_date: d[0] });
  await http('POST', '/api/v1/patients/search', headers, `{"name": "${w[2]}`);
  await http('POST', '/api/v1/auth/login', { 'content-type': 'application/json' }, { email: `${w[0]}@example.org`, password: n[0] });
  await http('GET', `/api/v1/scans?status=${w[0]}&cursor=${n[0]}`, headers);
  await http('GET', `/${w[0]}/${n[0]}`, headers);
}

/** The first canary in it and the words around, so that a failure shows where. */
const found = (text: string): string | undefined => {
  const canary = CANARIES.find((word) => text.toLowerCase().includes(word.toLowerCase()));
  if (canary === undefined) return undefined;
  const at = text.toLowerCase().indexOf(canary.toLowerCase());
  return `${canary}: ...${text.slice(Math.max(0, at - 160), at + 60)}...`;
};

test('the canaries went in: rows hold them, refusals happened on every way', async () => {
  const rows = JSON.stringify([await db.asOwner('SELECT * FROM patients'), await db.asOwner('SELECT * FROM patient_identifiers'), await db.asOwner('SELECT document FROM reports')]);
  for (const word of [w[14], w[15], n[0], n[1], '1947-03-13']) expect(rows).toContain(word);
  const [{ bytes }] = await db.asOwner<{ bytes: string }>("SELECT string_agg(encode(content, 'escape'), ' ') AS bytes FROM exchange_payloads") as [{ bytes: string }];
  for (const word of [w[0], w[5], w[11], w[12], w[15], n[2], n[3], n[4]]) expect(bytes).toContain(word);
  expect(CANARIES).toHaveLength(30);
  const ways = new Set((await db.asOwner<{ adapter: string }>("SELECT DISTINCT adapter FROM sync_logs WHERE message_status = 'rejected'")).map((row) => row.adapter));
  expect(ways).toEqual(new Set(['dicom-dimse', 'hl7v2-mllp', 'fhir-rest']));
  expect(errorBodies.length).toBeGreaterThan(15);
});

test('none is in the log, at trace level', () => {
  expect(log).toContain('"level":"debug"');
  expect(log.split('\n').map(found).filter((hit) => hit !== undefined)).toEqual([]);
});

test('none is in a job of the queue', async () => {
  const jobs = await db.asOwner('SELECT name, data, output FROM pgboss.job');
  expect(jobs.length).toBeGreaterThan(4);
  expect(found(JSON.stringify(jobs))).toBeUndefined();
});

test('none is in the metrics', async () => {
  const metrics = await (await fetch(`http://127.0.0.1:${gateway.ports.http}/metrics`)).text();
  expect(metrics).toContain('# TYPE');
  expect(found(metrics)).toBeUndefined();
});

test('none is in what an error says to the sender or the client', () => {
  expect(errorBodies.map(({ from, text }) => ({ from, hit: found(text) })).filter(({ hit }) => hit !== undefined)).toEqual([]);
});

test('none is in what the record says in words: error texts and alerts', async () => {
  const texts = await db.asOwner("SELECT error_text, answer_text, facts FROM sync_logs UNION ALL SELECT message, subject, NULL FROM system_alerts UNION ALL SELECT why_waiting, NULL, NULL FROM scan_queue UNION ALL SELECT error_text, error_class, NULL FROM ai_analyses");
  expect(texts.map((row) => found(JSON.stringify(row))).filter((hit) => hit !== undefined)).toEqual([]);
  expect(found(JSON.stringify(await db.asOwner('SELECT detail, actor_id, object_id FROM audit_logs')))).toBeUndefined();
});
