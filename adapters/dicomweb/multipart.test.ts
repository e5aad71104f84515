/** The multipart reader: any chunking gives the same parts, and what is no multipart ends with words, quickly. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { processorMilliseconds } from '../../test/support/processor-time.ts';
import { SilentSenderError, withIdleLimit } from './idle-limit.ts';
import { MultipartError, MultipartReader, defaultLimits, isBoundary, type MultipartLimits } from './multipart.ts';
import { accepts, parseAccept, parseMediaType, rootType } from './media-type.ts';
import { multipartWriter } from './multipart-writer.ts';

async function* chunked(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  for (let at = 0, index = 0; at < bytes.length; index += 1) {
    const size = sizes.length === 0 ? bytes.length : Math.max(1, sizes[index % sizes.length]!);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

interface Part { headers: Record<string, string>; bytes: Buffer }
async function read(body: Buffer, boundary: string, sizes: readonly number[] = [], limits: Partial<MultipartLimits> = {}): Promise<Part[]> {
  const reader = new MultipartReader(chunked(body, sizes), boundary, { ...defaultLimits, ...limits });
  const parts: Part[] = [];
  for (let headers = await reader.next(); headers !== undefined; headers = await reader.next()) {
    const bytes = Buffer.concat(await Array.fromAsync(reader.bytes()));
    parts.push({ headers: { ...headers }, bytes });
  }
  return parts;
}

/** Bytes that look like delimiters as often as not. */
const trickyBytes = (boundary: string): fc.Arbitrary<Buffer> => fc.array(fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom('\r', '\n', '\r\n', '--', '\r\n--', '\r\n\r\n', `--${boundary}`, `\r\n--${boundary.slice(0, -1)}`, `\n--${boundary}`, `\r\r\n--${boundary.slice(0, 3)}`).map((text) => Buffer.from(text)),
), { maxLength: 12 }).map((pieces) => Buffer.concat(pieces)).filter((bytes) => !Buffer.concat([Buffer.from('\r\n'), bytes, Buffer.from('\r\n')]).includes(`\r\n--${boundary}`));

test('parts come out as they went in, whatever the chunks', async () => {
  const boundary = 'aab-aab';
  await fc.assert(fc.asyncProperty(fc.array(trickyBytes(boundary), { minLength: 1, maxLength: 5 }), fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 8 }), fc.boolean(), async (bodies, sizes, withPreamble) => {
    const body = Buffer.concat([
      Buffer.from(withPreamble ? 'this is a preamble\r\n' : ''), ...bodies.flatMap((bytes, index) => [Buffer.from(`--${boundary}${index % 2 ? ' \t' : ''}\r\nContent-Type: application/dicom\r\nX-N: ${index}\r\n\r\n`), bytes, Buffer.from('\r\n')]),
      Buffer.from(`--${boundary}--\r\nan epilogue`),
    ]);
    const parts = await read(body, boundary, sizes);
    expect(parts).toEqual(bodies.map((bytes, index) => ({ headers: { 'content-type': 'application/dicom', 'x-n': String(index) }, bytes })));
  }), { numRuns: 400 });
});

test('nonsense ends in a MultipartError or in parts, never otherwise', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.constantFrom('--b', '\r\n', '--', 'A: b', ':', '\r\n\r\n', 'x', '\0', '--b--', '\r\n--b'), { maxLength: 30 }), fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 4 }), async (pieces, sizes) => {
    await read(Buffer.from(pieces.join('')), 'b', sizes).catch((error: unknown) => { expect(error).toBeInstanceOf(MultipartError); });
  }), { numRuns: 500 });
});

test('what the writer writes the reader reads', async () => {
  const writer = multipartWriter('application/dicom');
  const type = parseMediaType(writer.contentType)!;
  expect([type.type, rootType(type), isBoundary(type.parameters['boundary'])]).toEqual(['multipart/related', 'application/dicom', true]);
  const body = Buffer.concat([writer.head({ 'Content-Type': 'application/dicom' }), Buffer.from('one'), writer.head({}), Buffer.alloc(0), writer.end()]);
  expect((await read(body, type.parameters['boundary']!)).map(({ bytes }) => bytes.toString())).toEqual(['one', '']);
});

describe('attacks', () => {
  const fails = (body: string | Buffer, words: RegExp, limits: Partial<MultipartLimits> = {}) => expect(read(Buffer.from(body), 'b', [1000], limits)).rejects.toThrow(words);
  test('a head without end', () => fails(`--b\r\nX: ${'a'.repeat(1_000_000)}`, /headers of a part have more than 8192 bytes/));
  test('a head of very many lines', () => fails(`--b\r\n${'a: b\r\n'.repeat(100_000)}\r\n`, /headers of a part have more than/));
  test('no boundary at all', () => fails(Buffer.alloc(1_000_000, 0x2d), /does not occur at the beginning/));
  test('a boundary inside the data, with more behind it', () => fails('--b\r\n\r\nabc\r\n--bcd\r\nef\r\n--b--', /occurs inside a part/));
  test('blanks without end behind a boundary', () => fails(`--b${' '.repeat(5000)}\r\n`, /occurs inside a part/));
  test('more parts than allowed', () => fails('--b\r\n\r\nx\r\n'.repeat(1000), /more than 100 parts/, { parts: 100 }));
  test.each(['', '--b', '--b\r\n', '--b\r\nA: b\r\n', '--b\r\n\r\nabc', '--b\r\n\r\nabc\r\n--b', '--b\r\n\r\nabc\r\n--b-'])('a body cut after %j', (body) => fails(body, /ends/));
  test('a header line that is none', () => fails('--b\r\nnot a header\r\n\r\nx\r\n--b--', /header line/));
  test('__proto__ as a header is a name like others', async () => {
    expect((await read(Buffer.from('--b\r\n__proto__: x\r\n\r\ny\r\n--b--'), 'b'))[0]!.bytes.toString()).toBe('y');
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });
  test('near-boundaries all over 16 MiB are read in linear time', async () => {
    const body = Buffer.concat([Buffer.from('--boundary\r\n\r\n'), Buffer.from('\r\n--boundar'.repeat((16 << 20) / 11)), Buffer.from('\r\n--boundary--')]);
    const started = processorMilliseconds();
    const [part] = await read(body, 'boundary', [64 * 1024]);
    expect(part!.bytes.length).toBe(11 * Math.floor((16 << 20) / 11));
    expect(processorMilliseconds() - started).toBeLessThan(3000);
  });
  test('a part comes as it arrives: of an endless one no more is held than a chunk', async () => {
    let given = 0;
    const endless = (async function* () { yield Buffer.from('--b\r\n\r\n'); for (;;) { given += 1; yield Buffer.alloc(1000); } })();
    const reader = new MultipartReader(endless, 'b');
    await reader.next();
    let taken = 0;
    for await (const bytes of reader.bytes()) { taken += bytes.length; if (taken > 100_000) break; }
    expect(given * 1000 - taken).toBeLessThan(2000);
    await reader.cancel();
  });
});

test('Accept and Content-Type are read with quotes, parameters and weights', () => {
  expect(parseMediaType('Multipart/Related; TYPE="application/dicom"; boundary="a b=c"')).toEqual({ type: 'multipart/related', parameters: { type: 'application/dicom', boundary: 'a b=c' } });
  expect(parseMediaType('application/dicom, text/html')).toBeUndefined();
  expect(parseMediaType('nonsense')).toBeUndefined();
  expect(parseAccept('text/html;q=0.1, multipart/related; type="application/dicom"; transfer-syntax=*, image/png;q=0').map(({ type }) => type)).toEqual(['multipart/related', 'text/html']);
  expect(parseAccept(null)).toEqual([{ type: '*/*', parameters: {} }]);
  expect(accepts({ type: 'application/*', parameters: {} }, 'application/dicom+json')).toBe(true);
  expect(isBoundary('')).toBe(false);
  expect(isBoundary('d69b13d7-a484-4e01-add1-9568a75490eb-d69b13d7-a484-4e01-add1-9568a75490eb'), 'of Orthanc').toBe(true);
  expect(isBoundary('x'.repeat(201))).toBe(false);
  expect(isBoundary('a\r\nb')).toBe(false);
});

test('a sender that falls silent is given up; one that is only slow is not', async () => {
  const slow = (async function* () { for (let index = 0; index < 6; index += 1) { await new Promise((resolve) => { setTimeout(resolve, 20); }); yield Buffer.from('x'); } })();
  expect(Buffer.concat(await Array.fromAsync(withIdleLimit(slow, 100))).toString()).toBe('xxxxxx');
  const silent = (async function* () { yield Buffer.from('--b\r\n'); await new Promise(() => undefined); })();
  const reader = new MultipartReader(withIdleLimit(silent, 50), 'b');
  await expect(reader.next()).rejects.toThrow(SilentSenderError);
  await reader.cancel();
});

test('a sender is not charged for the time that the gateway takes', async () => {
  const ready = (async function* () { yield Buffer.from('a'); yield Buffer.from('b'); })();
  const taken: string[] = [];
  for await (const chunk of withIdleLimit(ready, 20)) { await new Promise((resolve) => { setTimeout(resolve, 60); }); taken.push(Buffer.from(chunk).toString()); }
  expect(taken).toEqual(['a', 'b']);
});
