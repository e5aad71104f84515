import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { sql } from '../../src/db/pool.ts';
import { asSystem, inOrganization } from '../../src/db/transaction.ts';
import { testDatabase, type TestDatabase } from '../support/database.ts';

let db: TestDatabase;
beforeAll(async () => { db = await testDatabase(); });
afterAll(() => db.drop());

const count = sql.type(z.object({ n: z.number() }));

async function organization(name: string): Promise<string> {
  const [row] = await db.asOwner<{ organization_id: string }>("INSERT INTO organizations (name, organization_type) VALUES ($1, 'hospital') RETURNING organization_id", [name]);
  return row!.organization_id;
}

test('shows rows of the transaction\'s organization only, and none without one', async () => {
  const [north, south] = [await organization('North'), await organization('South')];
  const visible = (organizationId: string) => inOrganization(db.database, organizationId, (tx) => tx.anyFirst(sql.type(z.object({ name: z.string() }))`SELECT name FROM organizations`));
  expect(await visible(north)).toEqual(['North']);
  expect(await visible(south)).toEqual(['South']);
  expect(await db.database.pool.oneFirst(count`SELECT count(*) AS n FROM organizations`)).toBe(0);
  expect(await asSystem(db.database, 'test', (tx) => tx.anyFirst(sql.type(z.object({ name: z.string() }))`SELECT name FROM organizations WHERE name IN ('North', 'South') ORDER BY name`))).toEqual(['North', 'South']);
});
