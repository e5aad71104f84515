import fc from 'fast-check';
import { expect, test } from 'vitest';
import { processorMilliseconds } from '../../test/support/processor-time.ts';
import { FrameTooLargeError, MllpDecoder, frame } from './mllp.ts';

/** Any bytes but those that end a frame: FS CR, and FS VT which is tolerated as an end. */
const content = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)).filter((bytes) => bytes.at(-1) !== 0x1c && !bytes.includes('\x1c\r') && !bytes.includes('\x1c\x0b'));

test('property: whatever the chunks, the messages come out whole and in order', () => {
  fc.assert(fc.property(fc.array(content, { maxLength: 5 }), fc.infiniteStream(fc.integer({ min: 1, max: 40 })), (messages, sizes) => {
    const stream = Buffer.concat(messages.map(frame));
    const decoder = new MllpDecoder();
    const got: Buffer[] = [];
    for (let at = 0; at < stream.length;) {
      const size = sizes.next().value as number;
      got.push(...decoder.push(stream.subarray(at, at + size)));
      at += size;
    }
    expect(got).toEqual(messages);
    expect(decoder.inFrame).toBe(false);
    expect(decoder.bytesOutsideFrames).toBe(0);
  }), { numRuns: 500 });
});

test('bytes between frames are skipped and counted, line ends are not counted', () => {
  const decoder = new MllpDecoder();
  expect(decoder.push(Buffer.concat([Buffer.from('GET /\r\n'), frame(Buffer.from('A')), Buffer.from('\r\n'), frame(Buffer.from('B'))])).map(String)).toEqual(['A', 'B']);
  expect(decoder.bytesOutsideFrames).toBe(5);
});

test('an end block without its carriage return ends the frame when the next one begins', () => {
  expect(new MllpDecoder().push(Buffer.from('\x0bA\x1c\x0bB\x1c\r')).map(String)).toEqual(['A', 'B']);
});

test('a file separator inside a message is data, also at the edge of a chunk', () => {
  const decoder = new MllpDecoder();
  expect([...decoder.push(Buffer.from('\x0bA\x1c')), ...decoder.push(Buffer.from('B\x1c\r'))].map(String)).toEqual(['A\x1cB']);
});

test('a frame over the limit is refused with its first bytes while it is still coming', () => {
  const decoder = new MllpDecoder(1000);
  decoder.push(Buffer.from(`\x0bMSH${'x'.repeat(900)}`));
  try {
    decoder.push(Buffer.alloc(200, 'y'));
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(FrameTooLargeError);
    expect((error as FrameTooLargeError).head.toString().startsWith('MSHx')).toBe(true);
    expect((error as FrameTooLargeError).byteSize).toBe(1103);
  }
});

test('ten megabytes in small chunks cost their length, not its square', () => {
  const body = Buffer.alloc(9 << 20, 'x');
  const stream = frame(body);
  const decoder = new MllpDecoder();
  const started = processorMilliseconds();
  const got: Buffer[] = [];
  for (let at = 0; at < stream.length; at += 1460) got.push(...decoder.push(stream.subarray(at, at + 1460)));
  expect(got[0]?.equals(body)).toBe(true);
  expect(processorMilliseconds() - started).toBeLessThan(1000); // the library needs 13.6 s for 32 MB
});
