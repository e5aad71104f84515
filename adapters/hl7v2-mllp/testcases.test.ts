/**
 * Odd messages, one folder each: message.hl7 (one segment a line) and expected.yaml with the answer and what must come of it.
 * A new oddity becomes a folder here before it becomes a fix; no code is needed.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { Sender, fakeGateway, integration, startListener } from './testing/fake-gateway.ts';

const folder = join(import.meta.dirname, 'testcases');
const expectation = z.strictObject({
  title: z.string(), /** Location and condition of ERR, e.g. 'PID^1^3 101'. */
  error: z.string().optional(),
  answer: z.enum(['AA', 'AE', 'AR', 'CA', 'CE', 'CR']), answer_starts: z.string().optional(),
  settings: z.record(z.string(), z.unknown()).default({}), encoding: z.enum(['utf8', 'latin1']).default('utf8'), line_ends: z.string().default('\r'),
  /** What Normalized holds at least; lists whole. */
  normalized: z.record(z.string(), z.unknown()).optional(),
  /** Paths that must not be there: the message says nothing about them. */
  absent: z.array(z.string()).default([]),
});

test.for(readdirSync(folder))('%s', async (name) => {
  const expected = expectation.parse(parse(readFileSync(join(folder, name, 'expected.yaml'), 'utf8')));
  const text = readFileSync(join(folder, name, 'message.hl7'), 'utf8').replaceAll('\n', expected.line_ends);
  const gateway = fakeGateway();
  const listener = await startListener(gateway, [integration(expected.settings)]);
  const sender = await Sender.connect(listener.port);
  try {
    const answer = await sender.send(Buffer.from(text, expected.encoding)) ?? '';
    expect(answer).toMatch(new RegExp(`\\rMSA.${expected.answer}.`));
    if (expected.error !== undefined) expect(errorOf(answer)).toBe(expected.error);
    if (expected.answer_starts !== undefined) expect(answer.startsWith(expected.answer_starts)).toBe(true);
    const { normalized } = gateway.received[0] ?? {};
    if (expected.normalized !== undefined) expect(normalized).toMatchObject(expected.normalized);
    for (const path of expected.absent) {
      const [table = '', key = ''] = path.split('.');
      expect(normalized?.[table as 'patient'] ?? {}).not.toHaveProperty(key);
    }
  } finally {
    sender.close();
    await listener.close(0);
  }
});

/** ERR-2 and ERR-3.1, or the same from ERR-1 before v2.5. */
function errorOf(answer: string): string | undefined {
  const [, eld = '', location = '', code = ''] = answer.split('\r').find((segment) => segment.startsWith('ERR'))?.split('|') ?? [];
  if (location !== '') return `${location} ${code.split('^')[0]}`;
  const parts = eld.split('^');
  return `${parts.slice(0, 3).join('^')} ${parts[3]?.split('&')[0]}`;
}
