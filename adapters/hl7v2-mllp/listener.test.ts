/** The listener as a sender meets it: bytes in, answers out; and as an attacker does (H1 to H9 are the findings on the npm servers). */
import net from 'node:net';
import tls from 'node:tls';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { certificateDirectory, haveOpenssl } from '../../test/support/certificates.ts';
import type { Integration, Listener, ListenerTls } from '#gateway/adapter.ts';
import { parseMessage } from '#standards/hl7v2/parse.ts';
import type { Hl7v2Config } from './config.ts';
import { Sender, adt, fakeGateway, integration, startListener } from './testing/fake-gateway.ts';
import type { FakeGateway } from './testing/fake-gateway.ts';
import type { MllpListenOptions } from './listener.ts';
import { frame } from './mllp.ts';

let listener: Listener | undefined;
const senders: Sender[] = [];
afterEach(async () => { for (const sender of senders.splice(0)) sender.close(); await listener?.close(0); listener = undefined; });

async function start(integrations?: readonly Integration<Hl7v2Config>[], options?: MllpListenOptions): Promise<{ gateway: FakeGateway; sender: Sender; port: number }> {
  const gateway = fakeGateway();
  listener = await startListener(gateway, integrations, options);
  return { gateway, sender: await connect(listener.port), port: listener.port };
}
async function connect(port: number): Promise<Sender> { const sender = await Sender.connect(port); senders.push(sender); return sender; }
/** A whole message, and in the same chunk the first half of another. Resolves with the other half when the first is answered: the second has begun then. */
async function begin(sender: Sender, controlId: string): Promise<Buffer> {
  const bytes = frame(Buffer.from(adt(controlId))), middle = bytes.length >> 1;
  sender.write(Buffer.concat([frame(Buffer.from(adt('FIRST'))), bytes.subarray(0, middle)]));
  expect(await sender.answer()).toContain('MSA|AA|FIRST');
  return bytes.subarray(middle);
}
const segmentsOf = (answer: string | undefined): string[] => (answer ?? '').split('\r').filter(Boolean).map((segment) => segment.slice(0, 3));

test('answers AA after the commit and not before', async () => {
  const { gateway, sender } = await start();
  let commit: () => void = () => {};
  const committed = new Promise<void>((resolve) => { commit = resolve; });
  let reached: () => void = () => {};
  const received = new Promise<void>((resolve) => { reached = resolve; });
  gateway.decide = async () => { reached(); await committed; return undefined; };
  let answered = false;
  const answer = sender.send(adt('M1')).then((text) => { answered = true; return text; });
  await received;
  await new Promise((resolve) => { setImmediate(resolve); });
  expect(answered).toBe(false);
  commit();
  expect(await answer).toMatch(/^MSH\|\^~\\&\|MEDSCAN\|AI\|RIS\|HOSP\|20260105100006\+0000\|\|ACK\^A08\^ACK\|MSGW[0-9A-Z]+\|P\|2\.5\.1\rMSA\|AA\|M1\r$/);
  expect(gateway.received[0]?.answers).toEqual([{ code: 'AA', heard: true }]);
});

test('two messages in one chunk are two exchanges with two answers in order (H2)', async () => {
  const { gateway, sender } = await start();
  sender.write(Buffer.concat([frame(Buffer.from(adt('M1'))), frame(Buffer.from(adt('M2')))]));
  expect(await sender.answer()).toContain('MSA|AA|M1');
  expect(await sender.answer()).toContain('MSA|AA|M2');
  expect(gateway.received.map(({ message }) => message.controlId)).toEqual(['M1', 'M2']); // each once (H9)
});

test('the start of the next message in a chunk damages neither (H3)', async () => {
  const { gateway, sender } = await start();
  const second = frame(Buffer.from(adt('M2')));
  sender.write(Buffer.concat([frame(Buffer.from(adt('M1'))), second.subarray(0, 7)]));
  expect(await sender.answer()).toContain('MSA|AA|M1');
  sender.write(second.subarray(7));
  expect(await sender.answer()).toContain('MSA|AA|M2');
  expect(gateway.received[1]?.message.head.toString()).toBe(adt('M2'));
});

test('a stray file separator at the edge of a chunk ends no message (H4)', async () => {
  const { gateway, sender } = await start();
  const text = adt('M1', ['PID|1||PID-1||A\x1cB']);
  const bytes = frame(Buffer.from(text));
  const edge = bytes.indexOf(0x1c) + 1;
  sender.write(bytes.subarray(0, edge));
  sender.write(bytes.subarray(edge));
  expect(await sender.answer()).toContain('MSA|AA|M1');
  expect(gateway.received[0]?.message.head.toString()).toBe(text);
});

test('a frame over the limit is answered AR, recorded with its first bytes, and the connection ends (H5)', async () => {
  const { gateway, sender, port } = await start(undefined, { limits: { frameBytes: 100_000 } });
  sender.write(frame(Buffer.from(adt('M1'))));
  sender.write(Buffer.concat([Buffer.from(`\x0b${adt('BIG')}`), Buffer.alloc(200_000, 'x')]));
  expect(await sender.answer()).toContain('MSA|AA|M1');
  expect(await sender.answer()).toMatch(/MSA\|AR\|BIG\|.*larger than 100000 bytes/);
  await sender.closed;
  expect(gateway.received[1]?.message.head.length).toBeLessThanOrEqual(4096);
  expect(gateway.received[1]?.refusal?.reason).toBe('malformed');
  expect(await (await connect(port)).send(adt('M2'))).toContain('MSA|AA|M2');
});

test('MSH-10 with an escaped line end is refused and starts no segment in the answer (H7)', async () => {
  const { gateway, sender } = await start();
  const answer = await sender.send(adt('M1\\X0D\\MSA|AA|M1'));
  expect(segmentsOf(answer)).toEqual(['MSH', 'MSA', 'ERR']);
  expect(answer).toContain('MSA|AR||');
  expect(gateway.received[0]?.message.controlId).toMatch(/^sha256:[0-9a-f]{16}$/);
});

test('property: no header value can add a segment or field to the answer', async () => {
  const { sender } = await start();
  const value = fc.string({ unit: fc.constantFrom('\\X0D\\', '\\X0A\\', '\\F\\', '\\S\\', '\\E\\', '\\', '^', '&', '~', 'MSA', 'x', 'é', '\x07', '\n', '\u2028') });
  await fc.assert(fc.asyncProperty(value, value, value, async (application, facility, controlId) => {
    const answer = await sender.send(`MSH|^~\\&|${application}|${facility}|${controlId}|AI|20260105||ADT^A08|${controlId}|P|2.5.1\rPID|1||1\r`);
    expect(segmentsOf(answer).filter((name) => !['MSH', 'MSA', 'ERR'].includes(name))).toEqual([]);
    const [msh = ''] = (answer ?? '').split('\r');
    expect(msh.split('|').length === 12 || msh.endsWith('|UNICODE UTF-8')).toBe(true);
    expect(parseMessage(Buffer.from(answer ?? '')).header(9)).toBe('ACK');
  }), { numRuns: 200 });
});

test('property: every frame gets an answer, whatever bytes are in it', async () => {
  const { sender } = await start();
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.string({ unit: fc.constantFrom('MSH', '|', '^', '~', '\\', '&', '\r', '\n', 'PID', 'BHS', 'FHS', 'BTS', 'ORC', 'A08', 'ADT', '2.5', '\0', '\ufeff', '""') }).map((text) => Buffer.from(text)))
    .map((part) => Buffer.from(Buffer.from(part).filter((byte) => byte !== 0x1c)));
  await fc.assert(fc.asyncProperty(bytes, async (part) => {
    expect(segmentsOf(await sender.send(part))).toContain('MSA');
  }), { numRuns: 400 });
  // A frame with several messages has got several answers; those not read yet come first.
  let last = await sender.send(adt('STILL-THERE'));
  while (last !== undefined && !last.includes('STILL-THERE')) last = await sender.answer();
  expect(last).toContain('MSA|AA|STILL-THERE');
});

test('a pipeline that throws is answered AE 207 and the connection lives on (H9)', async () => {
  const { gateway, sender } = await start();
  gateway.decide = () => { throw new Error('boom'); };
  expect(await sender.send(adt('M1'))).toMatch(/MSA\|AE\|M1\|.*try again\rERR\|\|\|207\^Application internal error\^HL70357\|E\|\|\|\|.*try again\r/);
  gateway.decide = undefined;
  expect(await sender.send(adt('M1'))).toContain('MSA|AA|M1');
  expect(gateway.logged.join()).not.toContain('boom');
});

test('answers AE and says try again while nothing can be stored', async () => {
  const { gateway, sender } = await start();
  gateway.decide = () => ({ kind: 'failed', text: 'database away', retryable: true });
  const answer = await sender.send(adt('M1'));
  expect(answer).toMatch(/MSA\|AE\|M1\|.*try again/);
  expect(answer).toContain('207^Application internal error^HL70357');
});

test('the same message again is answered as before and has no second effect', async () => {
  const { gateway, sender } = await start();
  expect(await sender.send(adt('M1'))).toContain('MSA|AA|M1');
  expect(await sender.send(adt('M1'))).toContain('MSA|AA|M1');
  expect(gateway.received.map(({ receipt }) => receipt.kind)).toEqual(['accepted', 'duplicate']);
  gateway.decide = () => ({ kind: 'duplicate', answerCode: 'CR', links: {} });
  expect(await sender.send(adt('M3'))).toContain('MSA|AR|M3');
});

test('content errors are answered AE with the place in ERR-2, before v2.5 in ERR-1', async () => {
  const { sender } = await start();
  expect(await sender.send(adt('M1', ['PID|1||']))).toContain('\rERR||PID^1^3|101^Required field missing^HL70357|E|');
  expect(await sender.send(adt('M2', ['PID|1||']).replace('2.5.1', '2.3.1'))).toContain('\rERR|PID^1^3^101&Required field missing&HL70357\r');
});

test.each([
  ['another message type', 'ADT^A08', 'BAR^P01', 'ERR||MSH^1^9|200^'],
  ['another event', 'ADT^A08', 'ADT^A43', 'ERR||MSH^1^9|201^'],
  ['another version', '|2.5.1', '|3.0', 'ERR||MSH^1^12|203^'],
  ['an unknown processing id', '|P|', '|X|', 'ERR||MSH^1^11|202^'],
  ['no control id', '|M1|', '||', 'ERR||MSH^1^10|101^'],
])('%s is answered AR and recorded', async (_name, from, to, error) => {
  const { gateway, sender } = await start();
  const answer = await sender.send(adt('M1').replace(from, to));
  expect(answer).toMatch(/\rMSA\|AR\|/);
  expect(answer).toContain(error);
  expect(gateway.received).toHaveLength(1);
});

test('unknown events are accepted and have no effect where the integration says so', async () => {
  const { gateway, sender } = await start([integration({ unknown_events: 'accept' })]);
  expect(await sender.send(adt('M1').replace('ADT^A08', 'BAR^P01'))).toContain('MSA|AA|M1');
  expect(gateway.received[0]?.normalized).toMatchObject({ mapping: 'none', warnings: [{ location: 'MSH-9' }] });
  expect(gateway.received[0]?.normalized?.patient).toBeUndefined();
});

test('a sender no integration claims is answered AR and recorded without integration', async () => {
  const { gateway, sender } = await start([integration({ sending_application: ['OTHER'] }), integration({ addresses: ['10.0.0.0/8'] })]);
  expect(await sender.send(adt('M1'))).toMatch(/MSA\|AR\|M1\|No integration takes messages/);
  expect(gateway.received[0]?.message.integration).toBeUndefined();
  expect(gateway.received[0]?.refusal?.reason).toBe('not-allowed');
});

test('the most specific integration gets the message; two organizations with equal claims get nothing', async () => {
  const anyone = integration({}, 'anyone');
  const byName = integration({ sending_application: ['RI*'] }, 'byName');
  const exact = integration({ sending_application: ['RIS'], sending_facility: ['HOSP'], addresses: ['127.0.0.0/8'] }, 'exact');
  const { gateway, sender } = await start([anyone, byName, exact]);
  await sender.send(adt('M1'));
  await sender.send(adt('M2').replace('|RIS|', '|RIT|'));
  await sender.send(adt('M3').replace('|RIS|', '|X|'));
  expect(gateway.received.map(({ message }) => message.integration?.organizationId)).toEqual(['exact', 'byName', 'anyone']);
  await listener?.close(0);
  const tied = await start([integration({}, 'one'), integration({}, 'two')]);
  expect(await tied.sender.send(adt('M1'))).toContain('MSA|AR|M1');
});

test.each([
  ['one-answer', 'AL|NE', ['CA']], ['one-answer', 'AL|AL', ['CA']], ['one-answer', 'NE|AL', ['AA']], ['one-answer', 'NE|NE', ['AA']], ['one-answer', '|', ['AA']], ['one-answer', 'ER|', ['AA']],
  ['original', 'AL|NE', ['AA']], ['enhanced', 'AL|AL', ['CA', 'AA']], ['enhanced', 'NE|AL', ['AA']], ['enhanced', 'SU|ER', ['CA']], ['enhanced', '|', ['AA']],
])('acknowledgment %s: MSH-15|16 %s gets %s', async (mode, conditions, codes) => {
  const { sender } = await start([integration({ acknowledgment: mode })]);
  sender.write(frame(Buffer.from(adt('M1').replace('|P|2.5.1', `|P|2.5.1|||${conditions}`))));
  for (const code of codes) expect(await sender.answer()).toContain(`MSA|${code}|M1`);
  expect(await sender.send(adt('M2'))).toContain('MSA|AA|M2');
});

test('enhanced mode keeps quiet where the sender wants no answer, and records that', async () => {
  const { gateway, sender } = await start([integration({ acknowledgment: 'enhanced' })]);
  sender.write(frame(Buffer.from(adt('M1').replace('|P|2.5.1', '|P|2.5.1|||NE|NE'))));
  expect(await sender.send(adt('M2'))).toContain('MSA|AA|M2');
  expect(gateway.received[0]?.answers).toEqual([{ code: 'none', heard: false }]);
});

test('a rejection in enhanced mode is CR', async () => {
  const { sender } = await start();
  expect(await sender.send(adt('M1').replace('ADT^A08', 'ADT^A43').replace('|P|2.5.1', '|P|2.5.1|||AL|NE'))).toContain('MSA|CR|M1');
});

test('an acknowledgment of our acknowledgment is not answered', async () => {
  const { gateway, sender } = await start();
  const answer = await sender.send(adt('M1'));
  const ours = parseMessage(Buffer.from(answer ?? '')).header(10);
  sender.write(frame(Buffer.from(`MSH|^~\\&|RIS|HOSP|MEDSCAN|AI|20260105||ACK|A1|P|2.5.1\rMSA|AA|${ours}\r`)));
  expect(await sender.send(adt('M2'))).toContain('MSA|AA|M2');
  expect(gateway.received).toHaveLength(2);
});

test('an acknowledgment of a delivery that comes as a message of its own is kept and not acknowledged; one that asks to be heard is', async () => {
  const { gateway, sender } = await start();
  const late = (id: string, conditions: string): Buffer => frame(Buffer.from(`MSH|^~\\&|RIS|HOSP|MEDSCAN|AI|20260105||ACK^R01|${id}|P|2.5.1${conditions}\rMSA|AE|0123456789ABCDEF0123\r`));
  sender.write(late('A1', ''));
  expect(await sender.send(adt('M2'))).toContain('MSA|AA|M2');
  sender.write(late('A2', '|||AL|NE'));
  const heard = await sender.answer();
  expect(heard).toContain('MSA|CA|A2');
  expect(heard).not.toContain('ERR|');
  expect(gateway.received.map(({ message, refusal, answers }) => [message.controlId, refusal?.text.slice(0, 17), answers[0]?.code])).toEqual([['A1', 'An acknowledgment', 'none'], ['M2', undefined, 'AA'], ['A2', 'An acknowledgment', 'CA']]);
});

test('bytes that are no message are recorded as they came and answered AR', async () => {
  const { gateway, sender } = await start();
  expect(await sender.send('hello')).toMatch(/MSA\|AR\|\|/);
  expect(gateway.received[0]?.message).toMatchObject({ interaction: 'unreadable', head: Buffer.from('hello'), byteSize: 5 });
});

test('a batch is answered with one batch of acknowledgments; messages without batch header get one each', async () => {
  const { gateway, sender } = await start();
  const answer = await sender.send(`FHS|^~\\&|RIS\rBHS|^~\\&|RIS\r${adt('M1')}${adt('M2', ['PID|1||'])}BTS|2\rFTS|1\r`);
  expect(segmentsOf(answer)).toEqual(['BHS', 'MSH', 'MSA', 'MSH', 'MSA', 'ERR', 'BTS']);
  expect(answer).toContain('MSA|AE|M2');
  sender.write(frame(Buffer.from(adt('M3') + adt('M4'))));
  expect(await sender.answer()).toContain('MSA|AA|M3');
  expect(await sender.answer()).toContain('MSA|AA|M4');
  expect(gateway.received.map(({ message }) => message.controlId)).toEqual(['M1', 'M2', 'M3', 'M4']);
});

test('an order message with two ORC groups is two exchanges and one answer, yes only when both are safe', async () => {
  const { gateway, sender } = await start();
  const order = ['MSH|^~\\&|RIS|HOSP|||20260105||ORM^O01|O1|P|2.5.1', 'PID|1||PID-1^^^ADT1', 'ORC|NW|P1', 'OBR|1|P1||A^CT head^L||||||||||||||ACC1||||||CT', 'ORC|NW|P2', 'OBR|2|P2||B^CT chest^L||||||||||||||ACC2||||||CT', ''].join('\r');
  gateway.decide = (message) => (message.controlId === 'O1#2' && gateway.received.length < 2 ? { kind: 'failed', text: 'away', retryable: true } : undefined);
  expect(await sender.send(order)).toContain('MSA|AE|O1');
  expect(await sender.send(order)).toContain('MSA|AA|O1');
  const accepted = gateway.received.filter(({ receipt }) => receipt.kind === 'accepted');
  expect(accepted.map(({ message, normalized }) => [message.controlId, normalized?.order?.accession_number, normalized?.patient?.identifiers[0]?.value])).toEqual([['O1', 'ACC1', 'PID-1'], ['O1#2', 'ACC2', 'PID-1']]);
});

test('a sender that goes away before its answer is noted as not having heard it', async () => {
  const { gateway, sender } = await start();
  const noted = new Promise<{ code: string; heard: boolean }>((resolve) => {
    gateway.receive = async () => {
      sender.socket.resetAndDestroy();
      await new Promise((passed) => { setTimeout(passed, 50); }); // no event here tells that the other end has seen the reset
      return { kind: 'accepted', links: {}, exchangeId: '1', answered: (code, heard) => resolve({ code, heard }) };
    };
  });
  await listener?.close(0);
  listener = await startListener(gateway);
  const leaving = await connect(listener.port);
  Object.assign(sender, { socket: leaving.socket });
  leaving.write(frame(Buffer.from(adt('M1'))));
  expect(await noted).toEqual({ code: 'AA', heard: false });
});

test.each([
  ['pauses inside a frame', { framePauseMilliseconds: 60, frameMilliseconds: 10_000 }, '\x0bMSH'],
  ['says nothing at all', { idleMilliseconds: 60 }, ''],
])('a peer that %s is disconnected', async (_name, limits, bytes) => {
  const { sender } = await start(undefined, { limits });
  if (bytes) sender.write(Buffer.from(bytes));
  await sender.closed;
});

test('a frame that drips in byte by byte does not outlive the time for a frame', async () => {
  const { sender } = await start(undefined, { limits: { framePauseMilliseconds: 10_000, frameMilliseconds: 150 } });
  sender.write(Buffer.from('\x0bMSH'));
  const drip = setInterval(() => sender.write(Buffer.from('x')), 20);
  await sender.closed;
  clearInterval(drip);
});

test('a peer that sends nothing that can be understood is disconnected', async () => {
  const { sender } = await start(undefined, { limits: { strayBytes: 1000 } });
  sender.write(Buffer.from('x'.repeat(2000)));
  await sender.closed;
});

test.each([
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), 'messages by HTTP go to /hl7v2'], ['TLS', Buffer.from('16030102000100', 'hex'), 'MEDSCAN_HL7_TLS_PORT'], ['DICOM', Buffer.from('010000000123', 'hex'), 'the DICOM port'],
])('a peer that speaks %s is told in the log what to do, and is disconnected at once', async (_name, bytes, advice) => {
  const { gateway, sender } = await start();
  sender.write(bytes);
  await sender.closed;
  expect(gateway.logged.join()).toContain(advice);
  expect(gateway.received).toEqual([]);
});

test('a message without a frame is answered AR with what is missing, recorded as it came, and the connection ends', async () => {
  const { gateway, sender } = await start();
  sender.write(Buffer.from(adt('M1')));
  expect(await sender.answer()).toMatch(/\rMSA\|AR\|M1\|The message has no MLLP frame.*\rERR\|\|\|100\^/);
  await sender.closed;
  expect(gateway.received).toMatchObject([{ message: { interaction: 'unreadable', integration: { name: 'RIS' }, head: Buffer.from(adt('M1')) }, refusal: { reason: 'malformed', text: expect.stringContaining('0x1C 0x0D') as string }, answers: [{ code: 'AR', heard: true }] }]);
});

test('a message without a frame is known by its first bytes, after line ends and however they come', async () => {
  const { gateway, sender, port } = await start();
  sender.write(Buffer.from(`${'\r\n'.repeat(50)}${adt('M1')}`));
  expect(await sender.answer()).toContain('MSA|AR|M1|');
  const second = await connect(port);
  for (const part of ['M', 'S', adt('M2').slice(2)]) {
    second.write(Buffer.from(part));
    await pause(20); // so that it is likely read alone; the answer is the same when it is not
  }
  expect(await second.answer()).toContain('MSA|AR|M2|');
  expect(gateway.received.map(({ message }) => message.head.subarray(0, 8).toString())).toEqual(['\r\n'.repeat(4), 'MSH|^~\\&']);
});

test('bytes between frames that mean nothing are passed over, also those that look like something', async () => {
  const { gateway, sender } = await start();
  expect(await sender.send(adt('M1'))).toContain('MSA|AA|M1');
  sender.write(Buffer.from('\0\r\nMSH GET / '));
  expect(await sender.send(adt('M2'))).toContain('MSA|AA|M2');
  expect(gateway.received).toHaveLength(2);
});

test.each([['FS alone', '\x1c'], ['FS LF', '\x1c\n']])('a sender that ends each frame with %s is answered, each message for itself', async (_name, end) => {
  const { gateway, sender } = await start(undefined, { limits: { bareEndMilliseconds: 20 } });
  for (const id of ['M1', 'M2']) {
    sender.write(Buffer.from(`\x0b${adt(id)}${end}`));
    expect(await sender.answer()).toContain(`MSA|AA|${id}`);
  }
  expect(gateway.received.map(({ message }) => message.head.toString())).toEqual([adt('M1'), adt('M2')]);
  expect(gateway.logged.filter((line) => line.includes('FS alone'))).toHaveLength(1);
});

test.each([['FS CR', '\x1c\r'], ['FS alone', '\x1c'], ['FS LF', '\x1c\n']])('a sender that ends its only frame with %s and then its connection is answered without waiting', async (_name, end) => {
  const { sender } = await start(undefined, { limits: { bareEndMilliseconds: 600_000 } });
  sender.socket.end(`\x0b${adt('M1')}${end}`);
  expect(await sender.answer()).toContain('MSA|AA|M1');
  await sender.closed;
});

test.skipIf(!haveOpenssl).each(['TLSv1.2', 'TLSv1.3'] as const)('a sender that ends its half of a %s connection before the answer is there hears it', async (version) => {
  const certificates = certificateDirectory(), { cert, key } = certificates.authority('Hospital CA').sign('gateway');
  certificates.remove();
  const gateway = fakeGateway(), isEnded = Promise.withResolvers<void>();
  gateway.decide = async () => { await isEnded.promise; return undefined; };
  const createServer: ListenerTls['createServer'] = (options, onConnection) => tls.createServer({ ...options, cert, key }, (socket) => { socket.once('end', isEnded.resolve); onConnection(socket); });
  listener = await startListener(gateway, undefined, { tls: { createServer } });
  const options = { port: listener.port, host: '127.0.0.1', rejectUnauthorized: false, allowHalfOpen: true, minVersion: version, maxVersion: version }, socket = tls.connect(options);
  let answer = '';
  socket.on('data', (chunk: Buffer) => { answer += chunk.toString(); });
  await once(socket, 'secureConnect');
  socket.end(frame(Buffer.from(adt('M1'))));
  await once(socket, 'close');
  expect(answer).toContain('MSA|AA|M1');
  expect(gateway.received[0]?.answers).toEqual([{ code: 'AA', heard: true }]);
});

test('a lone file separator, or one before a line feed, is data as long as more follows, however the chunks fall', async () => {
  const { gateway, sender } = await start(undefined, { limits: { bareEndMilliseconds: 600_000 } });
  const text = adt('M1', ['PID|1||PID-1||A\x1cB\x1c\nC']), bytes = frame(Buffer.from(text));
  for (const byte of bytes) sender.write(Buffer.of(byte));
  expect(await sender.answer()).toContain('MSA|AA|M1');
  expect(gateway.received.map(({ message }) => message.head.toString())).toEqual([text]);
});

test('a message that stalls behind a file separator in a value is not taken for whole', async () => {
  const { gateway, sender } = await start(undefined, { limits: { bareEndMilliseconds: 1, framePauseMilliseconds: 200 } });
  const bytes = frame(Buffer.from(adt('M1', ['PID|1||PID-1||A\x1c\nB\x1cC', 'PV1|1|I'])));
  sender.write(bytes.subarray(0, bytes.indexOf('C', bytes.indexOf(0x1c))));
  await sender.closed; // that it took nothing shows when it has given up
  expect(gateway.received).toEqual([]);
});

test('connections over the limit for one address are closed at once, the others work on', async () => {
  const { sender, port } = await start(undefined, { limits: { connectionsPerAddress: 2 } });
  const second = await connect(port);
  const third = await connect(port);
  await third.closed;
  expect(await sender.send(adt('M1'))).toContain('MSA|AA|M1');
  expect(await second.send(adt('M2'))).toContain('MSA|AA|M2');
});

test('a closing listener answers what it has received, takes nothing new, and ends', async () => {
  const { gateway, sender, port } = await start();
  let closing: Promise<void> | undefined;
  gateway.decide = () => { closing ??= listener?.close(5000); return undefined; };
  expect(await sender.send(adt('M1'))).toContain('MSA|AA|M1');
  await closing;
  await sender.closed;
  const late = net.connect(port, '127.0.0.1');
  const [error] = await once(late, 'error') as [NodeJS.ErrnoException];
  expect(error.code).toBe('ECONNREFUSED');
});

test('a frame that has begun when the listener closes may end, is answered, and is the last; a connection without one ends at once', async () => {
  const { gateway, sender, port } = await start(undefined, { limits: { restMilliseconds: 60_000 } });
  const idle = await connect(port);
  const rest = await begin(sender, 'M1');
  const closing = listener?.close(600_000);
  await idle.closed; // neither waits for the other
  sender.write(rest);
  expect(await sender.answer()).toContain('MSA|AA|M1');
  await closing;
  await sender.closed;
  expect(gateway.received.slice(1).map(({ message, answers }) => [message.controlId, answers])).toEqual([['M1', [{ code: 'AA', heard: true }]]]);
});

test('what follows the begun frame is not waited for, also when it begins in the same chunk', async () => {
  const { gateway, sender } = await start(undefined, { limits: { restMilliseconds: 60_000 } });
  const rest = await begin(sender, 'M1');
  const closing = listener?.close(600_000);
  sender.write(Buffer.concat([rest, frame(Buffer.from(adt('M2'))), frame(Buffer.from(adt('M3'))).subarray(0, 40)]));
  expect(await sender.answer()).toContain('MSA|AA|M1');
  expect(await sender.answer()).toContain('MSA|AA|M2'); // was whole
  await closing;
  expect(await sender.answer()).toBeUndefined();
  expect(gateway.received.map(({ message }) => message.controlId)).toEqual(['FIRST', 'M1', 'M2']);
});

test.each([
  ['its time', { restMilliseconds: 20 }, 600_000], ['half of the time for closing', { restMilliseconds: 600_000 }, 40],
])('the rest of a frame that does not come is waited for no longer than %s', async (_name, limits, graceMilliseconds) => {
  const { gateway, sender } = await start(undefined, { limits });
  await begin(sender, 'M1');
  await listener?.close(graceMilliseconds);
  await sender.closed;
  expect(gateway.received).toHaveLength(1);
  expect(gateway.logged.join()).toContain('the rest of a message did not come in time');
});

test('a sender that ends its connection in the middle of a frame holds up nobody', async () => {
  const { gateway, sender } = await start(undefined, { limits: { restMilliseconds: 600_000 } });
  await begin(sender, 'M1');
  const closing = listener?.close(1_200_000);
  sender.socket.end();
  await closing;
  expect(gateway.received).toHaveLength(1);
});

test('many messages written at once on many connections are each answered once and in order', async () => {
  const { gateway, port } = await start();
  const connections = await Promise.all(Array.from({ length: 8 }, () => connect(port)));
  await Promise.all(connections.map(async (connection, index) => {
    connection.write(Buffer.concat(Array.from({ length: 50 }, (_, number) => frame(Buffer.from(adt(`C${index}-${number}`))))));
    for (let number = 0; number < 50; number++) expect(await connection.answer()).toContain(`MSA|AA|C${index}-${number}\r`);
  }));
  expect(gateway.received).toHaveLength(400);
});
