import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { processorMilliseconds } from '../../../test/support/processor-time.ts';
import { buildMeasurementReport } from './sr-tid1500.ts';
import { buildPart10Header } from './part10.ts';
import { dicomReader } from './reader.ts';
import { corpusFiles } from './test/dcmtk.ts';
import { sampleReport } from './test/sample-report.ts';

/** mulberry32: the same inputs in every run. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const spiteful = ['ffffffff', 'fffffffe', 'feff00e0', 'feff0de0', 'feffdde0', '00000000', '5351', '554e', '1b2442', '1b242943', '7fffffff', '0200', 'e07f1000'].map((hex) => Buffer.from(hex, 'hex'));

function mutated(source: Buffer, random: () => number): Buffer {
  const bytes = Buffer.from(source.subarray(0, Math.floor(random() * Math.min(source.length, 8192)) + 1));
  for (let count = Math.floor(random() * 12); count > 0; count -= 1) {
    const at = Math.floor(random() * bytes.length);
    if (random() < 0.5) bytes[at] = Math.floor(random() * 256);
    else spiteful[Math.floor(random() * spiteful.length)]?.copy(bytes, at);
  }
  return bytes;
}

test('2000 damaged prefixes are read to the end of their sense, without an error and in bounded time', () => {
  const report = buildMeasurementReport(sampleReport(), { controlId: 'c', now: new Date(0) });
  const sources = [Buffer.concat([buildPart10Header(report), report.dataset]), report.dataset, ...corpusFiles().map((file) => readFileSync(file))];
  const random = randomNumbers(20260301);
  const paths = ['(0010,0010).1', '(0010,0010).ideographic', '(0008,1115)>(0020,000e)', '(0040,a730)>(0040,a730)>(0008,1199)>(0008,1155)', '(0028,0010)', '(0008,0018)', 'fact:transferSyntaxUid'];
  let slowestMilliseconds = 0, withElements = 0;
  for (let run = 0; run < 2000; run += 1) {
    const bytes = mutated(sources[run % sources.length] ?? Buffer.alloc(0), random);
    const started = processorMilliseconds();
    const reader = dicomReader(bytes, random() < 0.3 ? { transferSyntaxUid: '1.2.840.10008.1.2' } : {});
    for (const path of paths) { reader.first(path); reader.all(path); }
    for (const tag of reader.header.dataset.keys()) reader.all(tag.toString(16).padStart(8, '0'));
    reader.unread();
    slowestMilliseconds = Math.max(slowestMilliseconds, processorMilliseconds() - started);
    if (reader.header.dataset.size > 3) withElements += 1;
  }
  expect(withElements).toBeGreaterThan(500);
  expect(slowestMilliseconds).toBeLessThan(2000);
});
