import { expect, test } from 'vitest';
import { MessageLanes } from './message-lanes.ts';

interface Item { readonly name: string; readonly keys: readonly string[] | undefined }
const item = (name: string, ...keys: string[]): Item => ({ name, keys });
const alone = (name: string): Item => ({ name, keys: undefined });

/** Batches wait until they are let go; what runs, and what has run, is on record. */
function held(options = { lanes: 2, maximumItems: 64 }): { lanes: MessageLanes<Item, string>; batches: string[][]; finish(index: number, error?: Error): Promise<void> } {
  const batches: string[][] = [], gates: PromiseWithResolvers<void>[] = [];
  const lanes = new MessageLanes<Item, string>(async (items) => {
    batches.push(items.map(({ name }) => name));
    const gate = Promise.withResolvers<void>();
    gates.push(gate);
    await gate.promise;
    return items.map(({ name }) => `${name} done`);
  }, ({ keys }) => keys, options);
  return { lanes, batches, finish: async (index, error) => { if (error) gates[index]!.reject(error); else gates[index]!.resolve(); await turn(); } };
}
const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(() => setImmediate(resolve)); });

test('what arrives in one turn of the event loop is one batch, answered after it', async () => {
  const { lanes, batches, finish } = held();
  const answers = Promise.all([lanes.submit(item('a', 'A')), lanes.submit(item('b', 'B')), lanes.submit(item('a2', 'A'))]);
  await turn();
  expect(batches).toEqual([['a', 'b', 'a2']]);
  await finish(0);
  expect(await answers).toEqual(['a done', 'b done', 'a2 done']);
});

test('other patients go on beside a batch; the same patient waits for it, and so does everything behind that shares a key', async () => {
  const { lanes, batches, finish } = held();
  void lanes.submit(item('a', 'A'));
  await turn();
  for (const next of [item('a-b', 'A', 'B'), item('c', 'C'), item('b', 'B')]) void lanes.submit(next);
  await turn();
  expect(batches).toEqual([['a'], ['c']]);
  await finish(0);
  expect(batches).toEqual([['a'], ['c'], ['a-b', 'b']]);
});

test('an item without keys runs with nothing beside it, and nobody passes it', async () => {
  const { lanes, batches, finish } = held();
  void lanes.submit(item('a', 'A'));
  await turn();
  void lanes.submit(alone('merge'));
  void lanes.submit(item('b', 'B'));
  await turn();
  expect(batches).toEqual([['a']]);
  await finish(0);
  void lanes.submit(item('c', 'C'));
  await turn();
  expect(batches).toEqual([['a'], ['merge', 'b']]);
  await finish(1);
  expect(batches.at(-1)).toEqual(['c']);
});

test('no more batches at once than lanes, no more items than a batch takes', async () => {
  const { lanes, batches, finish } = held({ lanes: 2, maximumItems: 2 });
  for (const name of ['a', 'b', 'c', 'd', 'e']) void lanes.submit(item(name, name));
  await turn();
  expect(batches).toEqual([['a', 'b'], ['c', 'd']]);
  await finish(1);
  expect(batches).toEqual([['a', 'b'], ['c', 'd'], ['e']]);
});

test('a batch that fails is done again one by one, in order', async () => {
  const { lanes, batches, finish } = held();
  const answers = Promise.allSettled([lanes.submit(item('a', 'A')), lanes.submit(item('b', 'B'))]);
  await turn();
  await finish(0, new Error('batch'));
  await finish(1, new Error('a itself'));
  await finish(2);
  expect(batches).toEqual([['a', 'b'], ['a'], ['b']]);
  expect((await answers).map((answer) => (answer.status === 'fulfilled' ? answer.value : String(answer.reason)))).toEqual(['Error: a itself', 'b done']);
});
