/** The benchmark of HL7 v2 runs, every message is acknowledged, and the gateway is no order of magnitude away. Its figures are for `npm run bench:hl7`. */
import { expect, inject, test } from 'vitest';
import { benchHl7, ratioToGroupCommit } from '../../bench/hl7.ts';

test('the gateway is measured beside a bare and a group-commit server', async () => {
  const rows = await benchHl7({ rounds: 1, seconds: 1.5, connections: 4, serverUrl: inject('serverUrl') });
  expect(rows.map(({ server, connections }) => [server, connections])).toEqual([1, 4].flatMap((connections) => ['bare', 'group commit', 'gateway'].map((server) => [server, connections])));
  for (const row of rows) {
    expect(row.refused).toBe(0);
    expect(row.messages).toBeGreaterThan(0);
    expect(row.p99).toBeGreaterThanOrEqual(row.p50);
  }
  // Cold, not synced and beside other tests: far from the goal, which only a quiet machine can judge.
  expect(ratioToGroupCommit(rows, 4)).toBeGreaterThan(0.02);
  expect(ratioToGroupCommit(rows, 4)).toBeLessThan(5);
}, 120_000);
