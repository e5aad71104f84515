import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase } from '../../src/db/pool.ts';
import { createLog } from '../../src/log.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';
import { tcpRelay } from '../support/tcp-relay.ts';

let db: TestDatabase;
beforeAll(async () => { db = await testDatabase(); });
afterAll(() => db.drop());

test('a connection that is reset while a commit is held back fails that statement, and nothing else', async () => {
  const url = new URL(db.appUrl);
  const relay = await tcpRelay({ host: url.hostname, port: Number(url.port) });
  url.port = String(relay.port);
  const database = await createDatabase(url.href, createLog({ logLevel: 'silent' }));
  const statement = { name: 'held_test', text: 'SELECT 1::text', values: [] };
  const until = Promise.withResolvers<void>();
  const running = database.held.run(statement, until.promise).catch((error: unknown) => error);
  await expect.poll(() => db.asOwner("SELECT FROM pg_stat_activity WHERE query = 'SELECT 1::text' AND datname = current_database()")).toHaveLength(1);
  await relay.pullOut();
  until.resolve();
  expect(await running).toBeInstanceOf(Error);
  await relay.plugIn();
  expect(await database.held.run(statement, Promise.resolve())).toEqual([['1']]);
  await database.close();
  await relay.pullOut();
});

test('more held commits than connections wait for their turn, however long the disks take', async () => {
  const until = Promise.withResolvers<void>();
  const statement = { name: 'held_turn', text: 'SELECT 2::text', values: [] };
  const running = Array.from({ length: 6 }, () => db.database.held.run(statement, until.promise));
  const settled = Promise.allSettled(running);
  await new Promise((resolve) => { setTimeout(resolve, 5_500); }); // longer than the pool's patience
  until.resolve();
  expect((await settled).map(({ status }) => status)).toEqual(Array(6).fill('fulfilled'));
});
