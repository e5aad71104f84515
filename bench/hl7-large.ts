/**
 * `node --expose-gc bench/hl7-large.ts [segments=20000]`: one ORU^R01 with that many OBX from bytes to rows, as the listener does it: cut, parsed,
 * checked, mapped. Prints the median time of seven messages and by how much the process grew over them.
 */
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { hl7v2Config } from '../adapters/hl7v2-mllp/config.ts';
import { normalize } from '../adapters/hl7v2-mllp/normalize.ts';
import { receiveFrame } from '../adapters/hl7v2-mllp/receive-frame.ts';
import type { InboundMessage, Integration } from '../src/gateway/adapter.ts';
import { createMapper } from '../src/mapping/mapper.ts';
import { splitFrame } from '../src/standards/hl7v2/batch.ts';
import { parseMessage } from '../src/standards/hl7v2/parse.ts';
import type { Hl7v2Config } from '../adapters/hl7v2-mllp/config.ts';

export interface LargeResult { readonly bytes: number; readonly parseMilliseconds: number; readonly milliseconds: number; readonly growthMebibytes: number; readonly answers: readonly string[] }

export function largeReport(segments: number): Buffer {
  const head = ['MSH|^~\\&|LAB|HOSP|MEDSCAN|AI|20260105101500+0000||ORU^R01^ORU_R01|LARGE1|P|2.5.1', 'PID|1||MRN1^^^HOSP^MR||Doe^Jane||19800517|F',
    'ORC|RE|P1|F1', 'OBR|1|P1|F1|24627-2^CT Chest^LN|||20260105100000|||||||||||A1||||20260105101000||RAD|F'];
  const observations = Array.from({ length: segments }, (_, index) => `OBX|${index + 1}|TX|19005-8^Impression^LN||Line ${index + 1} of a report that a device has measured point by point||||||F|||20260105100000`);
  return Buffer.from(`${[...head, ...observations].join('\r')}\r`);
}

export async function benchLarge(segments: number, rounds = 7): Promise<LargeResult> {
  const map = createMapper(fileURLToPath(new URL('../mappings', import.meta.url)));
  const config = hl7v2Config.parse({});
  const integration: Integration<Hl7v2Config> = { integrationId: '1', organizationId: '2', name: 'LAB', kind: 'ris', adapter: 'hl7v2-mllp', config } as unknown as Integration<Hl7v2Config>;
  const receive = async (message: InboundMessage): Promise<{ kind: 'accepted'; links: object; exchangeId: string; answered(): void }> => {
    await normalize({ ...message, integration }, map);
    return { kind: 'accepted', links: {}, exchangeId: '3', answered: () => undefined };
  };
  const to = { integrations: () => [integration], receive: receive as never, now: () => new Date(), onError: (error: unknown) => { throw error; } };
  const bytes = largeReport(segments), times: number[] = [], parseTimes: number[] = [];
  let answers: string[] = [];
  for (let warm = 0; warm < 200; warm++) await receiveFrame(largeReport(20), { address: '127.0.0.1', port: 1 }, to);
  for (let round = 0; round < rounds; round++) parseTimes.push(parseTime(bytes));
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  let most = before;
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    answers = (await receiveFrame(Buffer.from(bytes), { address: '127.0.0.1', port: 1 }, to)).map((answer) => answer.bytes.toString('latin1'));
    times.push(performance.now() - started);
    await setImmediate(); // as between two messages of a connection
    most = Math.max(most, process.memoryUsage().rss);
  }
  const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(rounds / 2)]!;
  return { bytes: bytes.length, parseMilliseconds: median(parseTimes), milliseconds: median(times), growthMebibytes: (most - before) / 2 ** 20, answers };
}

/** Cut out of its frame, parsed, every field of every segment split. */
function parseTime(bytes: Buffer): number {
  const started = performance.now();
  for (const message of splitFrame(bytes).messages) for (const { fields } of parseMessage(message).segments) if (fields.length === 0) throw new Error('a segment has a name at least');
  return performance.now() - started;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const segments = Number(process.argv.find((argument) => argument.startsWith('segments='))?.slice(9) ?? 20_000);
  const { bytes, parseMilliseconds, milliseconds, growthMebibytes } = await benchLarge(segments);
  process.stdout.write(`ORU^R01 with ${segments} OBX, ${(bytes / 2 ** 20).toFixed(1)} MiB: parsed in ${parseMilliseconds.toFixed(0)} ms, ${milliseconds.toFixed(0)} ms from bytes to rows, the process grew by ${growthMebibytes.toFixed(0)} MiB\n`);
}
