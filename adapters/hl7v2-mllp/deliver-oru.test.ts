/** Deliveries against a scripted receiver: what the report looks like on the wire, and what each behaviour of the receiver makes of it. */
import { once } from 'node:events';
import net from 'node:net';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import type { AdapterContext, Delivery, DeliveryOutcome } from '#gateway/adapter.ts';
import { hl7Reader } from '#standards/hl7v2/reader.ts';
import { parseMessage, parseText } from '#standards/hl7v2/parse.ts';
import adapter from './adapter.ts';
import type { ClosingReceiverOptions } from './closing-receiver.ts';
import { hl7v2Config } from './config.ts';
import { deliverOru } from './deliver-oru.ts';
import { fakeGateway } from './testing/fake-gateway.ts';
import { MllpClient } from './mllp-client.ts';
import { MllpDecoder, frame } from './mllp.ts';
import { reportToOru } from './report-to-oru.ts';
import { sampleReport as report } from './testing/sample-report.ts';

const delivery: Delivery = { deliveryId: 'd', organizationId: 'o', controlId: 'REPORT-77', attempt: 1, document: report };

type Behaviour = (message: string, socket: net.Socket) => void;
const cleanUp: (() => Promise<void> | void)[] = [];
afterEach(async () => { for (const step of cleanUp.splice(0).toReversed()) await step(); });

async function receiver(behave: Behaviour): Promise<{ port: number; messages: string[]; connections: () => number }> {
  const messages: string[] = [];
  let connections = 0;
  const server = net.createServer((socket) => {
    connections++;
    const decoder = new MllpDecoder();
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => { for (const message of decoder.push(chunk)) { messages.push(message.toString()); behave(message.toString(), socket); } });
    cleanUp.push(() => { socket.destroy(); });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUp.push(() => new Promise<void>((resolve) => { server.close(() => resolve()); }));
  return { port: (server.address() as net.AddressInfo).port, messages, connections: () => connections };
}
const answerWith = (code: string, id?: string, more = ''): Behaviour => (message, socket) => {
  socket.write(frame(Buffer.from(`MSH|^~\\&|EMR|HOSP|MEDSCAN||20260105||ACK^R01^ACK|A1|P|2.5.1\rMSA|${code}|${id ?? message.split('|')[9]}\r${more}`)));
};
function context(): AdapterContext {
  const stop = new AbortController();
  cleanUp.push(() => stop.abort());
  return { ...fakeGateway().context, signal: stop.signal };
}
/** For receivers that are waited for in vain; those that answer have all the time they need. */
const soon = { acknowledgment_timeout_milliseconds: 300 };
const configFor = (port: number, settings: Record<string, unknown> = {}): ReturnType<typeof hl7v2Config.parse> =>
  hl7v2Config.parse({ host: '127.0.0.1', port, acknowledgment_timeout_milliseconds: 20_000, connect_timeout_milliseconds: 20_000, ...settings });

test('a report is an ORU^R01 with study, findings, impression, coded finding, certainty and measurement', () => {
  const text = reportToOru(report, 'REPORT-77', configFor(1, { own_facility: 'AI', receiving_application: 'EMR', receiving_facility: 'HOSP', request_acknowledgment: 'enhanced' }), new Date('2026-01-05T10:00:06Z'));
  expect(text.split('\r')).toEqual([
    'MSH|^~\\&|MEDSCAN|AI|EMR|HOSP|20260105100006+0000||ORU^R01^ORU_R01|REPORT-77|P|2.5.1|||AL|NE||UNICODE UTF-8',
    'PID|1||PID-1^^^ADT1^MR||Smith^Lucy^^^^^L||201410|F',
    'PV1|1|U||||||^Patel^Vikram',
    'ORC|RE|PLC-1|FIL-1',
    'OBR|1|PLC-1|FIL-1|36643-5^XR Chest 2 Views^LN|||20260105095000+0000|||||||||||ACC1||||20260105100005+0000||RAD|P',
    'OBX|1|ST|113014^DICOM Study^DCM||1.2.392.1||||||P|||20260105095000+0000',
    'OBX|2|FT|59776-5^Procedure Findings^LN||Line one.\\.br\\Line two.||||||P|||20260105095000+0000',
    'OBX|3|TX|19005-8^Radiology Imaging study [Impression]^LN||Pneumothorax suspected (93 %)||||||P|||20260105095000+0000',
    'OBX|4|CWE|36118008^Pneumothorax^SCT|1|52101004^Present^SCT^^^^^^Right apical pneumothorax|||AA|||P|||20260105095000+0000|||CXR-AI^CXR-AI 2.3.1^99AI|CXR-AI 2.3.1^AI Ltd||3341006^Right lung^SCT',
    'OBX|5|ST|112040^Tracking Unique Identifier^DCM|1|2.25.1||||||P|||20260105095000+0000',
    'OBX|6|NM|111012^Certainty of Finding^DCM|1|93.5|%^percent^UCUM|||||P|||20260105095000+0000|||CXR-AI^CXR-AI 2.3.1^99AI|CXR-AI 2.3.1^AI Ltd',
    'OBX|7|NM|121207^Height^DCM|1|12.5|mm^mm^UCUM|||||P|||20260105095000+0000|||CXR-AI^CXR-AI 2.3.1^99AI|CXR-AI 2.3.1^AI Ltd',
    '',
  ]);
});

test.each([['final', 'F', 'F'], ['amended', 'C', 'C'], ['corrected', 'C', 'C'], ['cancelled', 'X', 'X'], ['entered-in-error', 'X', 'W']] as const)('a report that is %s has OBR-25 %s and OBX-11 %s', (status, obr, obx) => {
  const reader = hl7Reader(parseText(reportToOru({ ...report, status }, 'X', configFor(1), new Date(0))));
  expect([reader.first('OBR-25'), ...new Set(reader.all('OBX-11'))]).toEqual([obr, obx]);
});

test('every version names the same order, or the report itself where there was no order, and says what it replaces', () => {
  const { fillerOrderNumber: _, placerOrderNumber: _placer, ...unordered } = report.scan;
  const versions = ([['preliminary', 1], ['preliminary', 2], ['corrected', 3], ['entered-in-error', 4]] as const)
    .map(([status, version]) => hl7Reader(parseText(reportToOru({ ...report, scan: unordered, status, version }, `V${version}`, configFor(1), new Date(0)))));
  expect(versions.map((reader) => [reader.first('ORC-3.1'), reader.first('OBR-3.1'), reader.first('OBR-3.2'), reader.first('OBR-25'), reader.first('NTE-3')])).toEqual([
    ['r1', 'r1', 'MEDSCAN', 'P', undefined], ['r1', 'r1', 'MEDSCAN', 'P', 'Version 2 of report r1; it replaces the earlier ones'],
    ['r1', 'r1', 'MEDSCAN', 'C', 'Version 3 of report r1; it replaces the earlier ones'], ['r1', 'r1', 'MEDSCAN', 'X', 'Report r1 is withdrawn in all its versions; do not use it'],
  ]);
});

test('property: no value can start a segment, a field or a component; every value comes back (H6)', () => {
  const nasty = fc.string({ unit: fc.constantFrom('|', '^', '~', '\\', '&', '\r', '\n', '\x0b', '\x1c', '\\F\\', 'PID|', 'é', '漢', 'x', ' ', '\\X0D\\', '\0') });
  const readBack = (value: string): string => value.replaceAll(/\r\n|\r/g, '\n').replaceAll('\0', '');
  const lines = reportToOru(report, 'X', configFor(1), new Date(0)).split('\r').map((line) => [line.slice(0, 3), line.split('|').length]);
  fc.assert(fc.property(nasty, nasty, nasty, nasty, (family, impression, display, description) => {
    const full = (value: string): string => `x${value}x`;
    const text = reportToOru({
      ...report, patient: { ...report.patient, familyName: full(family) }, sections: { findings: 'f', impression: full(impression) },
      findings: report.findings.map((finding) => ({ ...finding, type: { ...finding.type, display: full(display) }, description: full(description) })),
    }, 'X', configFor(1), new Date(0));
    for (const byte of ['\n', '\x0b', '\x1c', '\0']) expect(text).not.toContain(byte);
    expect(text.split('\r').map((line) => [line.slice(0, 3), line.split('|').length])).toEqual(lines);
    const reader = hl7Reader(parseText(text));
    expect(['PID-5.1', 'OBX[3]-5', 'OBX[4]-3.2', 'OBX[4]-5.9'].map((path) => reader.first(path))).toEqual([family, impression, display, description].map((value) => readBack(full(value))));
  }), { numRuns: 300 });
});

test.each([
  ['AA', answerWith('AA'), 'delivered'], ['CA', answerWith('CA'), 'delivered'],
  ['AR', answerWith('AR'), 'refused'], ['CR', answerWith('CR'), 'refused'], ['AE', answerWith('AE', undefined, 'ERR||PID^1^3|204^Unknown key identifier^HL70357|E\r'), 'refused'],
  ['AE 207, its own trouble,', answerWith('AE', undefined, 'ERR|||207^Application internal error^HL70357|E\r'), 'unreachable'],
  ['AE 206, locked, in the form before v2.5', answerWith('AE', undefined, 'ERR|^^^206&Application record locked&HL70357\r'), 'unreachable'],
  ['AA for another message (H8)', answerWith('AA', 'OTHER'), 'unconfirmed'], ['something that is no acknowledgment', answerWith('??'), 'unconfirmed'],
  ['no HL7 at all', (_message: string, socket: net.Socket) => { socket.write(frame(Buffer.from('hello'))); }, 'unconfirmed'],
  ['nothing', () => {}, 'unconfirmed'], ['by closing the connection', (_message: string, socket: net.Socket) => { socket.destroy(); }, 'unconfirmed'],
] as [string, Behaviour, DeliveryOutcome['kind']][])('a receiver that answers %s', async (_name, behave, kind) => {
  const { port, messages } = await receiver(behave);
  const outcome = await deliverOru(delivery, configFor(port, kind === 'unconfirmed' ? soon : {}), context());
  expect(outcome.kind).toBe(kind);
  expect(outcome.interaction).toBe('ORU^R01');
  expect(outcome.sent?.toString()).toBe(messages[0]);
});

test.each([
  [['text'], 'ST FT TX'], [['findings'], 'ST CWE ST'], [['measurements'], 'ST NM NM'], [['findings', 'measurements'], 'ST CWE ST NM NM'], [['text', 'pdf'], 'ST FT TX ED'],
  [['link'], 'ST RP'], [['text', 'findings', 'measurements', 'pdf', 'link'], 'ST FT TX CWE ST NM NM ED RP'],
] as const)('a result that carries %j has OBX of types %s', async (deliver_content, types) => {
  const { port, messages } = await receiver(answerWith('AA'));
  await deliverOru(delivery, configFor(port, { deliver_content, link_address: 'https://viewer.example/r/{report_id}?study={study_instance_uid}&a={accession_number}' }), context());
  const reader = hl7Reader(parseText(messages[0] ?? ''));
  expect(reader.all('OBX-2').join(' ')).toBe(types);
  expect(reader.all('OBX-1')).toEqual(types.split(' ').map((_, index) => String(index + 1)));
});

test('the PDF is Base64 of the report as a document, the same at each attempt; the link holds the values of the report', async () => {
  const { port, messages } = await receiver(answerWith('AA'));
  const scan = { ...report.scan, accessionNumber: 'A/1 &' };
  const config = configFor(port, { deliver_content: ['pdf', 'link'], link_address: 'https://viewer.example/r/{report_id}?a={accession_number}' });
  for (const attempt of [1, 2]) await deliverOru({ ...delivery, attempt, document: { ...report, scan } }, config, context());
  const [first, second] = messages.map((message) => hl7Reader(parseText(message)));
  expect([1, 2, 3, 4].map((component) => first?.first(`OBX[2]-5.${component}`))).toEqual(['MEDSCAN', 'Application', 'PDF', 'Base64']);
  const pdf = Buffer.from(first?.first('OBX[2]-5.5') ?? '', 'base64');
  expect(pdf.subarray(0, 5).toString()).toBe('%PDF-');
  expect(pdf.toString('latin1').trimEnd().endsWith('%%EOF')).toBe(true);
  expect(second?.first('OBX[2]-5.5')).toBe(first?.first('OBX[2]-5.5'));
  expect([1, 2, 3, 4].map((component) => first?.first(`OBX[3]-5.${component}`))).toEqual(['https://viewer.example/r/r1?a=A%2F1%20%26', 'MEDSCAN', 'TEXT', 'HTML']);
});

test.each(['8859/2', 'ISO IR87', 'GB 18030-2000', 'KS X 1001', 'WINDOWS-1252'] as const)('a result in %s is what its receiver reads', async (deliver_character_set) => {
  const family = { '8859/2': 'Dvořák', 'ISO IR87': '山田', 'GB 18030-2000': '王小东', 'KS X 1001': '김희중', 'WINDOWS-1252': 'Müller €' }[deliver_character_set];
  const frames: Buffer[] = [];
  const server = net.createServer((socket) => { const decoder = new MllpDecoder(); socket.on('data', (chunk: Buffer) => { for (const message of decoder.push(chunk)) { frames.push(message); answerWith('AA')(message.toString('latin1'), socket); } }); cleanUp.push(() => { socket.destroy(); }); }).listen(0, '127.0.0.1');
  cleanUp.push(() => { server.close(); });
  await once(server, 'listening');
  const outcome = await deliverOru({ ...delivery, document: { ...report, patient: { ...report.patient, familyName: family } } }, configFor((server.address() as net.AddressInfo).port, { deliver_character_set }), context());
  expect(outcome.kind).toBe('delivered');
  const message = parseMessage(frames[0] ?? Buffer.alloc(0), deliver_character_set === 'WINDOWS-1252' ? { characterSet: 'WINDOWS-1252' } : {});
  expect(hl7Reader(message).first('PID-5.1')).toBe(family);
});

test.each([['AE', 'AE'], ['AR', 'AR'], ['CE', 'CE'], ['CR', 'CR']] as const)('%s is parked, or sent again where the rule says so, as often as it says', async (code, rule) => {
  const { port, messages } = await receiver(answerWith(code));
  const shared = context();
  expect(await deliverOru(delivery, configFor(port), shared)).toMatchObject({ kind: 'refused', answerCode: code });
  const rules = configFor(port, { resend_on: [rule], resend_attempts: 3 });
  const kinds = [];
  for (const attempt of [1, 2, 3]) kinds.push(await deliverOru({ ...delivery, attempt }, rules, shared));
  expect(kinds).toMatchObject([{ kind: 'unreachable', retryAfterMilliseconds: 60_000, text: expect.stringContaining('1 of 3') as string }, { kind: 'unreachable' }, { kind: 'refused', answerCode: code, text: expect.stringContaining('3 times') as string }]);
  expect(new Set(messages.map((message) => message.split('|')[9])), 'one MSH-10').toEqual(new Set(['REPORT-77']));
});

test.each([
  ['CA then AA', ['CA', 'AA'], 'delivered'], ['CA then AE', ['CA', 'AE'], 'refused'], ['CA and nothing more', ['CA'], 'unconfirmed'], ['CR', ['CR'], 'refused'], ['AA alone', ['AA'], 'delivered'],
] as const)('a receiver that is asked for both answers and says %s', async (_name, codes, kind) => {
  const { port, messages } = await receiver((message, socket) => { for (const code of codes) answerWith(code)(message, socket); });
  const outcome = await deliverOru(delivery, configFor(port, { request_acknowledgment: 'both', ...(kind === 'unconfirmed' ? soon : {}) }), context());
  expect(outcome.kind).toBe(kind);
  expect(messages[0]?.split('\r')[0]).toContain('|2.5.1|||AL|AL|');
});

test('a second answer that comes when nobody asked for it is not taken for the next message', async () => {
  const { port } = await receiver((message, socket) => { answerWith('CA')(message, socket); answerWith('AA')(message, socket); });
  const shared = context();
  for (const controlId of ['R-1', 'R-2', 'R-3']) expect((await deliverOru({ ...delivery, controlId }, configFor(port, { request_acknowledgment: 'enhanced' }), shared)).kind).toBe('delivered');
});

test('a resend has the same MSH-10, and a long control id is cut to 20 characters the same way each time', async () => {
  const { port, messages } = await receiver(() => {});
  const long = { ...delivery, controlId: 'urn:uuid:0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b#ORU' };
  for (const attempt of [1, 2]) await deliverOru({ ...long, attempt }, configFor(port, soon), context());
  const ids = messages.map((message) => parseMessage(Buffer.from(message)).header(10));
  expect(ids[0]).toMatch(/^[0-9A-F]{20}$/);
  expect(ids[1]).toBe(ids[0]);
});

test('nobody listening is unreachable; no host is refused; a character the set has not is refused', async () => {
  const { port } = await receiver(() => {});
  await cleanUp.splice(0, 1)[0]?.();
  expect(await deliverOru(delivery, configFor(port), context())).toMatchObject({ kind: 'unreachable' });
  expect(await deliverOru(delivery, hl7v2Config.parse({}), context())).toMatchObject({ kind: 'refused' });
  const umlaut = { ...delivery, document: { ...report, patient: { ...report.patient, familyName: '山田' } } };
  expect(await deliverOru(umlaut, configFor(port, { deliver_character_set: '8859/1' }), context())).toMatchObject({ kind: 'refused', text: expect.stringContaining('8859/1') as string });
});

test('deliveries at once share one connection, one message in flight at a time (H1)', async () => {
  let inFlight = 0;
  let most = 0;
  const { port, messages, connections } = await receiver((message, socket) => {
    most = Math.max(most, ++inFlight);
    setImmediate(() => { inFlight--; answerWith('AA')(message, socket); });
  });
  const shared = context();
  const outcomes = await Promise.all(Array.from({ length: 20 }, (_, index) => deliverOru({ ...delivery, controlId: `R-${index}` }, configFor(port), shared)));
  expect(new Set(outcomes.map(({ kind }) => kind))).toEqual(new Set(['delivered']));
  expect(messages.map((message) => message.split('|')[9])).toEqual(Array.from({ length: 20 }, (_, index) => `R-${index}`));
  expect([most, connections()]).toEqual([1, 1]);
});

test('after the receiver closed an idle connection the next delivery opens a new one', async () => {
  const { port, connections } = await receiver((message, socket) => { answerWith('AA')(message, socket); socket.end(); });
  const client = new MllpClient({ host: '127.0.0.1', port, connectTimeoutMilliseconds: 1000 });
  cleanUp.push(() => client.close());
  for (const id of ['1', '2']) {
    expect((await client.send(Buffer.from(`MSH|^~\\&|||||||ORU^R01|${id}|P|2.5.1\r`), 500)).kind).toBe('answered');
    await new Promise((resolve) => { setTimeout(resolve, 30); }); // the receiver's FIN has no event on this side that a test can see
  }
  expect(connections()).toBe(2);
});

const closings: readonly (readonly [string, (socket: net.Socket) => void])[] = [['in order', (socket) => socket.end()], ['at once', (socket) => socket.destroy()], ['with a reset', (socket) => socket.resetAndDestroy()]];
const answerAndClose = (close: (socket: net.Socket) => void): Behaviour => (message, socket) => {
  socket.write(frame(Buffer.from(`MSH|^~\\&|EMR|HOSP|MEDSCAN||20260105||ACK^R01^ACK|A1|P|2.5.1\rMSA|AA|${message.split('|')[9]}\r`)), () => close(socket));
};
async function kindsOf(port: number, count: number, settings: Record<string, unknown>): Promise<string[]> {
  const config = configFor(port, settings), stopping = context(), kinds: string[] = [];
  for (let index = 0; index < count; index++) kinds.push((await deliverOru({ ...delivery, controlId: `R-${index}` }, config, stopping)).kind);
  return kinds;
}

test.each(closings)('a receiver that closes the connection after each answer, %s, gets every message once where the setting says so', async (_, close) => {
  const { port, messages, connections } = await receiver(answerAndClose(close));
  expect(await kindsOf(port, 20, { connection: 'per-message' })).toEqual(Array.from({ length: 20 }, () => 'delivered'));
  expect([messages.length, connections()]).toEqual([20, 20]);
});

test.each(closings)('... and else soon, because it is seen: %s', async (_, close) => {
  const { port } = await receiver(answerAndClose(close));
  const kinds = await kindsOf(port, 40, {});
  expect(kinds.filter((kind) => kind !== 'delivered').length, 'not every second one').toBeLessThanOrEqual(10);
  expect(new Set(kinds)).not.toContain('refused');
});

const text = (id: number): Buffer => Buffer.from(`MSH|^~\\&|||||||ORU^R01|${id}|P|2.5.1\r`);
function learning(port: number, options: ClosingReceiverOptions): MllpClient {
  const client = new MllpClient({ host: '127.0.0.1', port, connectTimeoutMilliseconds: 60_000 }, options);
  cleanUp.push(() => client.close());
  return client;
}
async function answered(client: MllpClient, from: number, count: number): Promise<number> {
  let answers = 0;
  for (let id = from; id < from + count; id++) if ((await client.send(text(id), 60_000)).kind === 'answered') answers++;
  return answers;
}

test.each(closings)('one close after an answer, %s, changes nothing but that the next connection is watched', async (_, close) => {
  let closed = false;
  const { port, connections } = await receiver((message, socket) => { if (closed) answerWith('AA')(message, socket); else { closed = true; answerAndClose(close)(message, socket); } });
  const client = learning(port, { now: () => 0, soonMilliseconds: 20 });
  expect(await answered(client, 1, 10)).toBeGreaterThanOrEqual(9);
  expect([client.use, connections()]).toEqual([{ kind: 'kept' }, 2]);
});

test.each(closings)('a receiver that always closes, %s, is tried again after a time, without a message lost to it', async (_, close) => {
  let now = 0;
  const learned: unknown[] = [];
  const { port, connections } = await receiver(answerAndClose(close));
  const client = learning(port, { now: () => now, soonMilliseconds: 60_000, onLearned: (use) => learned.push(use) });
  expect(await answered(client, 1, 5)).toBeGreaterThanOrEqual(4);
  expect(learned).toEqual([{ kind: 'per-message', until: new Date(600_000) }]);
  now = 600_000;
  const before = connections();
  expect(await answered(client, 6, 5)).toBe(5);
  expect([learned.at(-1), connections() - before]).toEqual([{ kind: 'per-message', until: new Date(1_800_000) }, 5]);
});

test('an integrator sees in the exchange, in the log and in the connection test that each message gets a connection of its own', async () => {
  const { port } = await receiver(answerAndClose((socket) => socket.end()));
  const config = configFor(port), gateway = fakeGateway(), shared = { ...gateway.context, now: () => new Date() };
  const facts: unknown[] = [];
  for (let sent = 0; sent < 40 && facts.at(-1) === undefined; sent++) facts.push((await deliverOru({ ...delivery, controlId: `R-${sent}` }, config, shared)).facts);
  expect([facts[0], facts.at(-1)]).toEqual([undefined, { connection: 'per-message', because: expect.stringContaining('closed') as string, kept_one_tried_from: expect.any(String) as string }]);
  expect(gateway.logged.filter((line) => line.startsWith('the receiver closes the connection after its answer'))).toHaveLength(1);
  expect(await adapter.testConnection(config, shared)).toMatchObject({ ok: true, steps: [{ ok: true, advice: expect.stringContaining('connection: per-message') as string }] });
  expect(await adapter.testConnection(configFor(port, { connection: 'per-message' }), shared)).toEqual({ ok: true, steps: [expect.not.objectContaining({ advice: expect.anything() as unknown })] });
});

test('a connection that stays open is kept', async () => {
  const { port, connections } = await receiver(answerWith('AA'));
  expect(new Set(await kindsOf(port, 20, {}))).toEqual(new Set(['delivered']));
  expect(connections()).toBe(1);
});

test('the connection test connects, sends nothing, and gives advice when nobody listens', async () => {
  const { port, messages } = await receiver(() => {});
  expect(await adapter.testConnection(configFor(port), context())).toMatchObject({ ok: true, steps: [{ step: 'TCP connection', ok: true }] });
  expect(messages).toEqual([]);
  await cleanUp.splice(0, 1)[0]?.();
  expect(await adapter.testConnection(configFor(port), context())).toMatchObject({ ok: false, steps: [{ ok: false, advice: expect.stringContaining('Nothing listens') as string }] });
  expect(await adapter.testConnection(hl7v2Config.parse({}), context())).toMatchObject({ ok: true, steps: [{ advice: expect.stringContaining('sending_application') as string }] });
});

test("what a receiver says in words, wherever it puts them, is in its answer alone", async () => {
  const words = 'Patient Zaphod Beeblebrox born 1942-03-11 is unknown';
  const { port } = await receiver(answerWith('AE', undefined, `ERR||${words}^1|${words}^${words}|E||||${words}\r`));
  const outcome = await deliverOru(delivery, configFor(port), context());
  expect(outcome).toMatchObject({ kind: 'refused', text: 'The receiver answered AE' });
  expect(outcome.answer?.toString()).toContain(words);
});
