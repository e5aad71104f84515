/** Servers that answer the DICOMweb client in every way a server can: wrong, too much, never, something else than was asked for. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { withIdleLimit } from '../idle-limit.ts';
import { asking, serve, sha256, type Asking, type TestServer } from '../testing/asking.ts';
import { boundary, multipartOf, relatedType } from '../testing/client.ts';
import { explicitLittleEndian, object, root, type TestObject } from '../testing/objects.ts';
import { countInstances, findStudies } from './find.ts';
import { retrieve } from './retrieve.ts';
import { takeAnswer } from './take-answer.ts';

const study = `${root}.1`;
const question = { patientId: 'P-77', describeSeries: 0 };
let server: TestServer | undefined;
afterEach(() => { server?.close(); server = undefined; });

type Answer = (response: ServerResponse, request: IncomingMessage, url: URL) => void;
async function facing(answer: Answer, settings: Readonly<Record<string, unknown>> = {}, more: Parameters<typeof asking>[1] = {}): Promise<Asking> {
  const listener: RequestListener = (request, response) => { response.on('error', () => undefined); answer(response, request, new URL(request.url!, 'http://x')); };
  server = await serve(listener);
  return asking({ base_url: server.url, request_timeout_milliseconds: 60_000, retrieve_timeout_seconds: 60, ...settings }, more);
}
const json = (response: ServerResponse, body: unknown): void => { response.writeHead(200, { 'content-type': 'application/dicom+json' }).end(JSON.stringify(body)); };
const status = (code: number, headers: Record<string, string> = {}): Answer => (response) => { response.writeHead(code, headers).end(); };
const element = (...values: (string | number)[]) => ({ vr: 'UN', Value: values });
const aStudy = (uid: string, more: object = {}) => ({ '0020000D': element(uid), '00100020': element('P-77'), '00080020': element('20250101'), ...more });
const patientStudies = ({ integration, context }: Asking) => findStudies(question, integration, context);
const count = ({ integration, context }: Asking, byName = false) => countInstances({ studyInstanceUid: study, byName }, integration, context);

describe('a search', () => {
  test.each<[string, Answer, string]>([
    ['HTML', (response) => { response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'); }, 'HTTP 200: the answer to a search is no DICOM JSON (text/html); check base_url'],
    ['an object instead of a list', (response) => json(response, { error: 'no' }), 'HTTP 200: the answer to a search is no DICOM JSON (application/dicom+json); check base_url'],
    ['JSON that ends in the middle', (response) => { response.writeHead(200, { 'content-type': 'application/dicom+json' }).end('[{"0020000D":'); }, 'HTTP 200: the answer to a search is no DICOM JSON (application/dicom+json); check base_url'],
    ['JSON a million levels deep', (response) => { response.writeHead(200, { 'content-type': 'application/dicom+json' }).end('['.repeat(1_000_000)); }, 'HTTP 200: the answer to a search is no DICOM JSON (application/dicom+json); check base_url'],
    ['a gzip bomb', (response) => { response.writeHead(200, { 'content-type': 'application/dicom+json', 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(5_000_000))); }, 'the answer is compressed although none was asked for; switch compression off for the gateway'],
    ['401', status(401), 'HTTP 401: the server does not accept our login'],
    ['404', status(404), 'HTTP 404: there is no DICOMweb service at this address; check base_url'],
    ['a redirect', status(302, { location: 'http://127.0.0.1:1/elsewhere' }), 'HTTP 302: the server points elsewhere; redirects are not followed, put the final address into base_url'],
  ])('that is answered with %s is refused in words', async (_, answer, text) => {
    expect(await patientStudies(await facing(answer))).toMatchObject({ kind: 'refused', text, interaction: 'QIDO-RS studies', peer: server!.url });
  });

  test('that is answered without end is cut off: what was read is bounded', async () => {
    let written = 0, isClosed: () => void;
    const closed = new Promise<void>((resolve) => { isClosed = resolve; });
    const outcome = await patientStudies(await facing((response) => {
      response.writeHead(200, { 'content-type': 'application/dicom+json' }).write('[');
      const more = (): void => { while (!response.destroyed && written < 1024 ** 3) { written += 1024 ** 2; if (!response.write(`"${'x'.repeat(1024 ** 2 - 3)}",`)) { response.once('drain', more); return; } } };
      response.once('close', () => { isClosed(); });
      more();
    }));
    expect(outcome).toMatchObject({ kind: 'refused', text: 'the answer is larger than the gateway reads' });
    await closed;
    expect(written).toBeLessThan(64 * 1024 ** 2);
  });

  test('that is never answered, or not to its end, is given up', async () => {
    expect(await patientStudies(await facing(() => undefined, { request_timeout_milliseconds: 150 }))).toMatchObject({ kind: 'unconfirmed', text: 'no whole answer within request_timeout_milliseconds' });
    server!.close();
    expect(await patientStudies(await facing((response) => { response.writeHead(200, { 'content-type': 'application/dicom+json' }).write('['); setImmediate(() => response.destroy()); }))).toMatchObject({ kind: 'unconfirmed' });
  });

  test('that the server wants later says when', async () => {
    expect(await patientStudies(await facing(status(429, { 'retry-after': '90' })))).toMatchObject({ kind: 'unreachable', text: 'HTTP 429: the server wants fewer requests', retryAfterMilliseconds: 90_000 });
    server!.close();
    expect(await patientStudies(await facing(status(503)))).toMatchObject({ kind: 'unreachable', text: 'HTTP 503: the server is busy or away' });
  });

  test('takes of the answer only what was asked for: this patient, and UIDs that are some', async () => {
    const answer = [aStudy('1.2.3'), aStudy('1.2.3'), aStudy('1.2.4', { '00100020': element('P-778') }), aStudy('../../admin'), aStudy('..'), {}, aStudy('1.2.5', { '00201208': element('many'), '00080061': element('CT', 'SR') })];
    const outcome = await patientStudies(await facing((response) => json(response, answer)));
    expect(outcome).toMatchObject({ kind: 'answered', count: 2, value: [{ studyInstanceUid: '1.2.3', numberOfInstances: undefined }, { studyInstanceUid: '1.2.5', modalities: ['CT', 'SR'], numberOfInstances: undefined }] });
  });

  test('asks by number and dates, for what is needed, with the login', async () => {
    const asked: string[] = [];
    const it = await facing((response, request, url) => { asked.push(`${request.headers.authorization} ${url.pathname} ${[...url.searchParams].map((pair) => pair.join('=')).join(' ')}`); json(response, []); }, { authentication: 'bearer', bearer_token: 'secret-1' });
    await findStudies({ patientId: 'A&B*', from: '20200101', to: '20261122', describeSeries: 0 }, it.integration, it.context);
    expect(asked).toEqual(['Bearer secret-1 /dicom-web/studies 00100020=A&B* 00080020=20200101-20261122 includefield=00080061 includefield=00100021 includefield=00100030 includefield=00201208 limit=500 offset=0']);
  });

  const series = { '0020000E': element(`${study}.1`) };
  const instances = Array.from({ length: 7 }, (_, index) => ({ '00080018': element(`${study}.1.${index}`), '00080016': element('1.2.840.10008.5.1.4.1.1.2') }));
  const archive = (page: (offset: number) => unknown, told: object = {}): Answer => (response, _, url) => {
    if (url.pathname.endsWith('/instances')) return json(response, page(Number(url.searchParams.get('offset'))));
    return json(response, url.pathname.endsWith('/series') ? [{ ...series, ...told }] : [aStudy(study)]);
  };

  test.each<[string, (offset: number) => unknown]>([
    ['shorter than asked for, without a word', (offset) => instances.slice(offset, offset + 3)],
    ['always the whole list, whatever the offset', () => instances],
  ])('counts every image once when a page is %s', async (_, page) => {
    expect(await count(await facing(archive(page)), true)).toMatchObject({ kind: 'answered', count: 7, value: { numberOfInstances: 7, instances: expect.arrayContaining([{ seriesInstanceUid: `${study}.1`, sopInstanceUid: `${study}.1.6`, sopClassUid: '1.2.840.10008.5.1.4.1.1.2' }]) } });
  });

  test('proves nothing by a list that is shorter than the server says it is', async () => {
    expect(await count(await facing(archive((offset) => instances.slice(offset, offset + 7), { '00201209': element(300) })), true)).toMatchObject({ kind: 'unconfirmed', text: 'the server lists 7 of the 300 images that it says a series has' });
  });

  test('nor by a list without some of the series, where only the study says how many there are', async () => {
    const it = await facing((response, _, url) => {
      if (url.pathname.endsWith('/studies')) return json(response, [aStudy(study, { '00201208': element(21) })]);
      // Never more than one series, whatever is asked for.
      return json(response, url.pathname.endsWith('/series') ? [series] : instances);
    });
    expect(await count(it, true)).toMatchObject({ kind: 'unconfirmed', text: 'the server lists 7 of the 21 images that it says the study has' });
  });

  test('neither waits for nor fetches what the settings would refuse', async () => {
    const ct = { ...series, '00080060': element('CT') }, sr = { '0020000E': element(`${study}.9`), '00080060': element('SR') };
    const document = { '00080018': element(`${study}.9.1`), '00080016': element('1.2.840.10008.5.1.4.1.1.88.67') };
    const answer: Answer = (response, _, url) => {
      if (url.pathname.endsWith('/studies')) return json(response, [aStudy(study, { '00201208': element(8) })]);
      if (url.pathname.endsWith('/series')) return json(response, [ct, sr]);
      return json(response, url.pathname.includes(`${study}.9`) ? [document] : instances);
    };
    for (const settings of [{ modalities: ['CT'] }, { sop_classes: ['1.2.840.10008.5.1.4.1.1.2'] }]) {
      expect(await count(await facing(answer, settings))).toMatchObject({ kind: 'answered', value: { numberOfInstances: 7, instances: expect.not.arrayContaining([expect.objectContaining({ seriesInstanceUid: `${study}.9` })]) } });
      server!.close();
    }
    expect(await count(await facing(answer))).toMatchObject({ kind: 'answered', value: { numberOfInstances: 8 } });
  });

  test('ends although the list does not', async () => {
    let next = 0;
    const many = (tag: string) => Array.from({ length: 1_001 }, () => ({ ...aStudy(study), [tag]: element(`${study}.${next += 1}`) }));
    expect(await patientStudies(await facing((response) => json(response, many('0020000D'))))).toMatchObject({ kind: 'answered', count: 1_000, text: 'the server has more studies of the patient than are looked at' });
    server!.close();
    const outcome = await count(await facing((response, _, url) => json(response, url.pathname.endsWith('/series') ? many('0020000E') : [aStudy(study)])), true);
    expect(outcome).toMatchObject({ kind: 'unconfirmed', text: 'the study has more images than can be listed' });
  });

  test('does not know a study of which the server tells others only', async () => {
    const outcome = await count(await facing((response) => json(response, [aStudy('1.2.9', { '00201208': element(5) })])));
    expect(outcome).toMatchObject({ kind: 'answered', value: undefined, count: 0 });
  });
});

describe('a retrieve', () => {
  const whole = ({ integration, context, receive }: Asking) => retrieve({ studyInstanceUid: study }, integration, receive, context);
  const named = ({ integration, context, receive }: Asking, ...objects: readonly TestObject[]) =>
    retrieve({ studyInstanceUid: study, instances: objects.map(({ sopInstanceUid, seriesInstanceUid }) => ({ sopInstanceUid, seriesInstanceUid, sopClassUid: '' })) }, integration, receive, context);
  const related = (body: Buffer, type = relatedType): Answer => (response) => { response.writeHead(200, { 'content-type': type }).end(body); };
  const [one, other] = [object(), object()];

  test('takes each object as it is stored, behind a group 0002 of our own', async () => {
    const it = await facing(related(multipartOf([one.file, other.file])));
    expect(await whole(it)).toMatchObject({ kind: 'answered', value: { completed: 2, failed: 0, warning: 0, byReceive: true }, interaction: 'WADO-RS study', sent: Buffer.from(`/studies/${study}`), count: 2 });
    expect(it.received.map(({ message, bytes }) => [message.interaction, message.controlId, message.sha256, bytes.subarray(-one.dataset.length).equals(message.controlId === one.sopInstanceUid ? one.dataset : other.dataset)]))
      .toEqual([one, other].map(({ sopInstanceUid, dataset }) => ['WADO-RS instance', sopInstanceUid, sha256(dataset), true]));
    expect(it.open()).toBe(0);
  });

  test('believes the file, not a transfer syntax that the part claims; and takes a single object without parts', async () => {
    const it = await facing(related(multipartOf([one.file], 'application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50')));
    expect(await whole(it)).toMatchObject({ kind: 'answered', value: { completed: 1 } });
    expect(it.received[0]!.message.facts).toMatchObject({ transferSyntaxUid: explicitLittleEndian, targetStudyInstanceUid: study, retrieved: 'WADO-RS' });
    server!.close();
    expect(await named(await facing(related(one.file, 'application/dicom')), one)).toMatchObject({ kind: 'answered', value: { completed: 1 } });
  });

  test.each<[string, Answer, object]>([
    ['HTML', related(Buffer.from('<html>'), 'text/html'), { kind: 'refused', text: 'the answer is text/html, not objects as application/dicom' }],
    ['metadata', related(Buffer.from('[]'), 'multipart/related; type="application/dicom+xml"; boundary=x'), { kind: 'refused', text: 'the answer is multipart/related, not objects as application/dicom' }],
    ['no boundary', related(multipartOf([one.file]), 'multipart/related; type="application/dicom"'), { kind: 'refused', text: 'the boundary parameter of the answer is missing or not one' }],
    ['another boundary', related(multipartOf([one.file]), relatedType.replace(boundary, 'another')), { kind: 'unconfirmed', text: 'the answer did not come whole: the body ends before its last boundary' }],
    ['a part of HTML', related(multipartOf([Buffer.from('<html>')], 'text/html')), { kind: 'refused', text: 'a part is not application/dicom' }],
    ['no part', related(multipartOf([])), { kind: 'refused', text: 'the answer holds no object' }],
    ['an empty body', related(Buffer.alloc(0)), { kind: 'unconfirmed' }],
    ['204', status(204), { kind: 'refused', text: 'HTTP 204: the server has nothing to send' }],
    ['404', status(404), { kind: 'refused', answerCode: '404' }],
    ['403', status(403), { kind: 'refused', text: 'HTTP 403: our login may not do this' }],
    ['compressed', (response) => { response.writeHead(200, { 'content-type': relatedType, 'content-encoding': 'gzip' }).end(gzipSync(multipartOf([one.file]))); }, { kind: 'refused', text: expect.stringContaining('compressed') }],
    ['a redirect to another server', status(307, { location: 'http://127.0.0.1:1/dicom-web/studies/1' }), { kind: 'refused', text: expect.stringContaining('redirects are not followed') }],
  ])('that is answered with %s takes nothing', async (_, answer, outcome) => {
    const it = await facing(answer);
    expect(await whole(it)).toMatchObject(outcome);
    expect([it.received.length, it.open()]).toEqual([0, 0]);
  });

  test('refuses, on record, a part that is empty, is no DICOM file, or belongs to another study; the others are taken', async () => {
    const stranger = object({ '(0020,000d)': `${root}.2` });
    const it = await facing(related(multipartOf([Buffer.alloc(0), Buffer.from('not a DICOM file'), stranger.file, one.file])));
    expect(await whole(it)).toMatchObject({ kind: 'answered', value: { completed: 1, failed: 3 }, text: '3 not taken: the part is empty' });
    expect(it.received.map(({ refusal }) => refusal?.reason)).toEqual(expect.arrayContaining(['conflict', 'malformed', 'malformed', undefined]));
    expect(it.received.find(({ message }) => message.controlId === stranger.sopInstanceUid)!.refusal).toEqual({ reason: 'conflict', text: 'the server sent an instance of another study than was asked for', location: '(0020,000d)' });
  });

  test('refuses another instance than was asked for, and objects that the integration does not take', async () => {
    const it = await facing(related(multipartOf([other.file])));
    expect(await named(it, one)).toMatchObject({ kind: 'answered', value: { completed: 0, failed: 1 }, text: '1 not taken: the server sent another instance than was asked for' });
    server!.close();
    const picky = await facing(related(multipartOf([one.file])), { sop_classes: ['1.2.840.10008.5.1.4.1.1.4'] });
    expect(await whole(picky)).toMatchObject({ kind: 'answered', value: { completed: 0, failed: 1 }, text: expect.stringContaining('setting sop_classes') });
  });

  test('ends a part, and an answer, that does not end', async () => {
    const endless = (begin: Buffer, more: Buffer): Answer => (response) => {
      response.writeHead(200, { 'content-type': relatedType }).write(begin);
      const go = (): void => { while (!response.destroyed) if (!response.write(more)) { response.once('drain', go); return; } };
      go();
    };
    const it = await facing(endless(multipartOf([one.file]).subarray(0, -boundary.length - 8), Buffer.alloc(65_536)), { maximum_object_megabytes: 1 });
    expect(await whole(it)).toMatchObject({ kind: 'refused', text: 'the object is larger than 1 MiB (setting maximum_object_megabytes); the rest of the answer was not read' });
    expect([it.received.length, it.received[0]!.refusal?.reason, it.open()]).toEqual([1, 'unsupported', 0]);
    server!.close();
    const part = multipartOf([one.file]).subarray(0, -boundary.length - 6);
    const many = await facing(endless(part, part), { maximum_parts: 20 });
    expect(await whole(many)).toMatchObject({ kind: 'unconfirmed', text: 'the answer did not come whole: the request has more than 20 parts; 20 images until then', count: 20 });
  });

  test('that breaks off keeps what came, and leaves no file of what did not', async () => {
    const body = multipartOf([one.file, other.file]);
    const cut: Answer = (response) => { response.writeHead(200, { 'content-type': relatedType, 'content-length': String(body.length) }); response.write(body.subarray(0, -200), () => setImmediate(() => response.destroy())); };
    const it = await facing(cut);
    expect(await whole(it)).toMatchObject({ kind: 'unconfirmed', text: expect.stringMatching(/^the connection broke before the answer was complete \(.*\); 1 images until then$/), count: 1 });
    expect([it.received.map(({ message }) => message.controlId), it.open()]).toEqual([[one.sopInstanceUid], 0]);
  });

  test('of which nothing comes, at its beginning or in the middle, is given up', async () => {
    expect(await whole(await facing(() => undefined, { retrieve_timeout_seconds: 1 }))).toMatchObject({ kind: 'unconfirmed', text: 'nothing came for retrieve_timeout_seconds' });
    const it = asking({ base_url: 'http://127.0.0.1/dicom-web' }), forever = new Promise<never>(() => undefined);
    const body = async function* () { yield multipartOf([one.file, other.file]).subarray(0, -200); await forever; };
    const answer = { status: 200, retryAfter: undefined, challenge: undefined, contentType: relatedType, bytes: withIdleLimit(body(), 20), end: () => undefined };
    expect(await takeAnswer(answer, { ...it, study }, 10)).toEqual({ stored: 1, refused: 0, failure: { kind: 'unconfirmed', answerCode: 'timeout', text: 'nothing came for retrieve_timeout_seconds' } });
    expect(it.open()).toBe(0);
  });

  test('ends when the gateway stops', async () => {
    const it = await facing((response) => { response.writeHead(200, { 'content-type': relatedType }).write(multipartOf([one.file]).subarray(0, -200)); it.stop(); });
    expect(await whole(it)).toMatchObject({ kind: 'unconfirmed', text: 'the gateway stopped while it waited for the answer' });
    expect(it.open()).toBe(0);
  });

  test('is not begun while there is no room, and ends when the gateway cannot store', async () => {
    let asked = 0;
    const full = await facing(() => { asked += 1; }, {}, { context: { congestion: () => Promise.resolve('the disk is nearly full') } });
    expect(await whole(full)).toMatchObject({ kind: 'unreachable', text: 'nothing is fetched now: the disk is nearly full' });
    expect(asked).toBe(0);
    server!.close();
    const failing = await facing(related(multipartOf([one.file])), {}, { settle: () => ({ kind: 'failed', text: 'x', retryable: true }) });
    expect(await named(failing, one, other)).toMatchObject({ kind: 'unreachable', text: 'the gateway could not store what came' });
  });

  test('asks as the server likes it where it does not know transfer-syntax=*', async () => {
    const accepts: (string | undefined)[] = [];
    const it = await facing((response, request) => {
      accepts.push(request.headers.accept);
      if (accepts.length === 1) response.writeHead(406).end();
      else related(multipartOf([one.file]))(response, request, new URL('http://x'));
    });
    expect(await whole(it)).toMatchObject({ kind: 'answered', value: { completed: 1 } });
    expect(accepts).toEqual(['multipart/related; type="application/dicom"; transfer-syntax=*', 'multipart/related; type="application/dicom"']);
  });

  test('by name goes on when one image is not there, waits where the server asks for a moment, and stops where it may not', async () => {
    const objects = [one, other, object(), object()] as const, tries = new Map<string, number>();
    const it = await facing((response, request, url) => {
      const uid = url.pathname.split('/').at(-1)!, n = (tries.get(uid) ?? 0) + 1;
      tries.set(uid, n);
      if (uid === objects[1].sopInstanceUid) response.writeHead(404).end();
      else if (uid === objects[2].sopInstanceUid && n === 1) response.writeHead(429, { 'retry-after': '0' }).end();
      else related(multipartOf([objects.find(({ sopInstanceUid }) => sopInstanceUid === uid)!.file]))(response, request, url);
    });
    expect(await named(it, ...objects)).toMatchObject({ kind: 'answered', interaction: 'WADO-RS instances', value: { completed: 3, failed: 1 }, text: '1 not taken: HTTP 404: the server does not have it, or there is no WADO-RS at this address' });
    expect(objects.map(({ sopInstanceUid }) => tries.get(sopInstanceUid))).toEqual([1, 1, 2, 1]);
    server!.close();
    expect(await named(await facing(status(429, { 'retry-after': '3600' })), one)).toMatchObject({ kind: 'unreachable', retryAfterMilliseconds: 3_600_000 });
    server!.close();
    expect(await named(await facing(status(401)), ...objects)).toMatchObject({ kind: 'refused', answerCode: '401' });
  });

  test('asks for nothing that cannot stand in an address', async () => {
    let asked = 0;
    const it = await facing((response) => { asked += 1; response.end(); });
    expect(await retrieve({ studyInstanceUid: '../../admin' }, it.integration, it.receive, it.context)).toMatchObject({ kind: 'refused', answerCode: 'uid' });
    expect(await countInstances({ studyInstanceUid: '..', byName: false }, it.integration, it.context)).toMatchObject({ kind: 'refused', answerCode: 'uid' });
    await retrieve({ studyInstanceUid: study, instances: [{ seriesInstanceUid: '..', sopInstanceUid: '1.2', sopClassUid: '' }] }, it.integration, it.receive, it.context);
    expect(asked).toBe(0);
  });
});
