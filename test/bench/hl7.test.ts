/** The benchmark of HL7 v2 runs, every message is acknowledged, and the gateway is no order of magnitude away. Its figures are for `npm run bench:hl7`. */
import { once } from 'node:events';
import net from 'node:net';
import { expect, inject, test } from 'vitest';
import { benchHl7, gatewayOver } from '../../bench/hl7.ts';
import { benchLarge } from '../../bench/hl7-large.ts';
import { benchOutbound } from '../../bench/hl7-outbound.ts';

test('the gateway is measured beside a bare and a group-commit server, and any other that is named', async () => {
  const peer = net.createServer((socket) => { socket.on('data', (frame) => { socket.write(`\x0bMSH|^~\\&|\rMSA|AA|${String(frame).split('|')[9]}\r\x1c\r`); }); }).listen(0, '127.0.0.1');
  await once(peer, 'listening');
  const rows = await benchHl7({ rounds: 1, seconds: 1, connections: 4, warmUpSeconds: 0.3, peer: { port: (peer.address() as net.AddressInfo).port }, serverUrl: inject('serverUrl') });
  expect(rows.map(({ server, connections }) => [server, connections])).toEqual([1, 4].flatMap((connections) => ['bare', 'group commit', 'gateway', 'peer'].map((server) => [server, connections])));
  for (const row of rows) {
    expect(row.refused).toBe(0);
    expect(row.messages).toBeGreaterThan(0);
    expect(row.p99).toBeGreaterThanOrEqual(row.p50);
  }
  // Cold, not synced and beside other tests: far from the goal, which only a quiet machine can judge.
  expect(gatewayOver('group commit', rows, 4)).toBeGreaterThan(0.02);
  expect(gatewayOver('group commit', rows, 4)).toBeLessThan(5);
  peer.close();
}, 120_000);

test('results go out to every destination in order, and a backlog waits and drains in order', async () => {
  const { fanOut, backlog } = await benchOutbound({ reports: 40, destinations: 3, backlog: 300, seconds: 1, serverUrl: inject('serverUrl') });
  expect(fanOut).toMatchObject({ messages: 120, orderErrors: 0 });
  expect(backlog).toMatchObject({ messages: 300, orderErrors: 0 });
  expect(backlog.inboundDuring).toBeGreaterThan(0);
}, 120_000);

test('a report of 20,000 OBX becomes rows', async () => {
  const { answers, parseMilliseconds, milliseconds } = await benchLarge(20_000, 1);
  expect(answers).toEqual([expect.stringContaining('MSA|AA|LARGE1')]);
  // Beside other tests: the figures are for the command.
  expect(parseMilliseconds).toBeLessThan(2_000);
  expect(milliseconds).toBeLessThan(10_000);
});
