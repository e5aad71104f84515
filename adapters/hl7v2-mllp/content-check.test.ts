/** What no field may hold: numbers of pieces that would keep the process busy, and identifiers with characters nobody sees. */
import { afterEach, expect, test } from 'vitest';
import { watchTurns } from '../../test/support/processor-time.ts';
import type { Listener } from '#gateway/adapter.ts';
import { contentProblem } from './content-check.ts';
import { parseText } from '#standards/hl7v2/parse.ts';
import { Sender, adt, fakeGateway, integration, startListener } from './testing/fake-gateway.ts';
import type { FakeGateway } from './testing/fake-gateway.ts';

let listener: Listener | undefined, sender: Sender | undefined;
afterEach(async () => { sender?.close(); await listener?.close(0); });
async function start(): Promise<{ gateway: FakeGateway; sender: Sender }> {
  const gateway = fakeGateway();
  listener = await startListener(gateway, [integration()]);
  sender = await Sender.connect(listener.port);
  return { gateway, sender };
}

const pid = (field: number, value: string): string[] => [`PID|1${'|'.repeat(field - 1)}${value}`];

test.each([
  ['2.2 million repetitions of PID-5', pid(5, 'A^B~'.repeat(2_200_000)), 'PID^1^5', 'repetitions'],
  ['9 MB of components in PID-3', pid(3, '^'.repeat(9_000_000)), 'PID^1^3', 'components'],
  ['9 MB of subcomponents in PID-11', pid(11, '&'.repeat(9_000_000)), 'PID^1^11', 'subcomponents'],
  ['9 MB of fields', [`PID|${'|'.repeat(9_000_000)}`], 'PID^1', 'fields'],
])('%s are answered AE with their place, and keep nobody waiting', async (_title, segments, location, pieces) => {
  const { gateway, sender } = await start();
  await sender.send(adt('WARM'));
  const message = adt('BIG', segments);
  const turns = watchTurns();
  const answer = await sender.send(message);
  const longest = turns.stop();
  expect(answer).toContain('MSA|AE|BIG|');
  expect(answer).toContain(`ERR||${location}`);
  expect(answer).toContain(`more than 1000 ${pieces}`);
  expect(longest).toBeLessThan(300);
  expect(gateway.received.at(-1)).toMatchObject({ refusal: { reason: 'invalid' }, normalized: undefined });
});

test('1000 pieces of each kind are taken, and each piece counts for its own parent', async () => {
  const { sender } = await start();
  const value = `K${'~'.repeat(999)}`, deep = Array.from({ length: 3 }, () => Array.from({ length: 900 }, () => 'x&y').join('^')).join('~');
  expect(await sender.send(adt('M1', [`PID|1||K^^^A||A^B||||||${deep}`, `NTE|1||${value}`]))).toContain('MSA|AA|M1');
});

test('the segment that is meant is named by its number', () => {
  expect(contentProblem(parseText(adt('M1', ['PID|1||K', 'AL1|1||x', `AL1|2||${'~'.repeat(1000)}`])))).toMatchObject({ location: 'AL1[2]-3', condition: '102' });
});

test.each([
  ['PID-3', 'PID^1^3', adt('M1', ['PID|1||K\0 1'])], ['PID-3 as an escape', 'PID^1^3', adt('M1', ['PID|1||K\\X00\\1'])], ['a later repetition of PID-3', 'PID^1^3', adt('M1', ['PID|1||A~K\x011'])],
  ['PID-3 in a run of bytes', 'PID^1^3', adt('M1', ['PID|1||\\Z\\X4B0731\\'])], ['PID-2 of before v2.3.1', 'PID^1^2', adt('M1', ['PID|1|K\x0c1'])],
  ['the second PID-3', 'PID^2^3', adt('M1', ['PID|1||A', 'MRG|B', 'PID|2||K\x1f1', 'MRG|C'], 'A40')], ['MRG-1', 'MRG^1^1', adt('M1', ['PID|1||A', 'MRG|K\x001'], 'A40')],
  ['ORC-2', 'ORC^1^2', adt('M1', ['PID|1||A', 'ORC|NW|\x001'])], ['ORC-3', 'ORC^1^3', adt('M1', ['PID|1||A', 'ORC|NW||\x001'])], ['OBR-18', 'OBR^1^18', adt('M1', ['PID|1||A', `OBR|1|${'|'.repeat(16)}\x001`])],
])('a control character in %s is answered AE with its place', async (_title, location, message) => {
  const { gateway, sender } = await start();
  expect(await sender.send(message)).toMatch(new RegExp(`MSA\\|AE\\|M1\\|.*\\rERR\\|\\|${location.replaceAll('^', '\\^')}\\|102`));
  expect(gateway.received.at(-1)?.normalized).toBeUndefined();
});

test('a control character in MSH-10 is refused and not echoed, raw or escaped', async () => {
  const { sender } = await start();
  for (const controlId of ['M\x001', 'M\\X00\\1', 'M\x011']) {
    const answer = await sender.send(adt(controlId));
    expect(answer).toMatch(/MSA\|A[ER]\|\|.*\rERR\|\|MSH\^1\^10\|102/);
    expect(answer).not.toContain('\uFFFD');
  }
});

test('line ends and tabs in an identifier, and what escapes yield of the delimiters, are text', async () => {
  const { gateway, sender } = await start();
  expect(await sender.send(adt('M1', ['PID|1||K\\T\\1\t\\.br\\2']))).toContain('MSA|AA|M1');
  expect(gateway.received[0]?.normalized?.patient?.identifiers[0]?.value).toContain('K&1');
});

test('a report of 5,000 lines in one OBX-5 is no attack', () => {
  const report = `MSH|^~\\&|RIS|N|G|N|20260101||ORU^R01|1|P|2.5.1\rOBX|1|TX|59776-5^Findings^LN||${'A line.~'.repeat(5_000)}||||||F\r`;
  expect(contentProblem(parseText(report))).toBeUndefined();
});
