import { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { ClosingReceiver } from './closing-receiver.ts';
import type { ConnectionUse } from './closing-receiver.ts';

const minute = 60_000;
function receiverAt(isSetting = false): { receiver: ClosingReceiver; clock: { now: number }; learned: ConnectionUse[]; closes(): void } {
  const clock = { now: 0 }, learned: ConnectionUse[] = [];
  const receiver = new ClosingReceiver(isSetting, { now: () => clock.now, onLearned: (use) => learned.push(use) });
  return { receiver, clock, learned, closes() { const socket = new Socket(); receiver.answered(socket); receiver.closed(socket); receiver.closed(socket); } };
}

test('two connections that end right after an answer make one for each message, for ten minutes; a third look doubles the time, up to four hours', () => {
  const { receiver, clock, learned, closes } = receiverAt();
  closes();
  expect([receiver.isPerMessage, learned]).toEqual([false, []]);
  closes();
  expect([receiver.isPerMessage, receiver.use]).toEqual([true, { kind: 'per-message', until: new Date(10 * minute) }]);
  const periods = [];
  for (let look = 0; look < 6; look++) {
    const { until } = receiver.use as { until: Date };
    clock.now = until.getTime();
    expect(receiver.isPerMessage).toBe(false);
    closes();
    periods.push(((receiver.use as { until: Date }).until.getTime() - clock.now) / minute);
  }
  expect(periods).toEqual([20, 40, 80, 160, 240, 240]);
});

test('a connection that outlives its answer ends the suspicion, and what was learned', () => {
  const { receiver, clock, learned, closes } = receiverAt();
  const stays = (): void => { const socket = new Socket(); receiver.answered(socket); expect(receiver.isWatched(socket)).toBe(true); receiver.outlived(socket); expect(receiver.isWatched(socket)).toBe(false); };
  closes();
  stays();
  closes();
  expect(receiver.use).toEqual({ kind: 'kept' });
  closes();
  clock.now = 10 * minute;
  stays();
  expect([receiver.use, learned.map(({ kind }) => kind)]).toEqual([{ kind: 'kept' }, ['per-message', 'kept']]);
  closes();
  closes();
  expect(receiver.use).toEqual({ kind: 'per-message', until: new Date(20 * minute) });
});

test('a close without an answer before it, or long after one, says nothing; nor does any where the setting decides', () => {
  const { receiver, clock } = receiverAt();
  for (let time = 0; time < 5; time++) {
    receiver.closed(new Socket());
    const socket = new Socket();
    receiver.answered(socket);
    clock.now += 2_000;
    receiver.closed(socket);
  }
  expect(receiver.use).toEqual({ kind: 'kept' });
  const { receiver: set, closes, learned } = receiverAt(true);
  closes();
  closes();
  expect([set.use, learned]).toEqual([{ kind: 'per-message' }, []]);
});
