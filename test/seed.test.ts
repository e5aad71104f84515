import { afterAll, beforeAll, expect, test } from 'vitest';
import { seed, seedSampleHospital } from '../src/db/seed.ts';
import { keysFrom } from '../src/db/secrets.ts';
import { checkPassword } from '../src/db/users.ts';
import { loadAdapters } from '../src/gateway/registry.ts';
import { actionSchema, conditionSchema } from '../src/pipeline/rules.ts';
import { testDatabase, type TestDatabase } from './support/database.ts';

let db: TestDatabase;
beforeAll(async () => { db = await testDatabase(); });
afterAll(() => db.drop());

const ports = { pacs: 4001, ris: 4002, emr: 4003 };
const counts = async (): Promise<unknown> => (await db.asOwner(`SELECT (SELECT count(*) FROM organizations) AS organizations, (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM external_integrations) AS integrations,
  (SELECT max(version) FROM external_integrations) AS version, (SELECT count(*) FROM ai_models) AS models, (SELECT count(*) FROM workflow_rules) AS rules, (SELECT count(*) FROM report_templates) AS templates`))[0];

test('the sample hospital is there once, however often it is seeded', async () => {
  const first = await seedSampleHospital(db.database, db.keys, ports);
  const after = await counts();
  expect(await seedSampleHospital(db.database, db.keys, ports)).toEqual(first);
  await seed(db.database);
  await seedSampleHospital(db.database, db.keys, ports);
  expect({ ...(await counts() as object), version: null }).toEqual({ ...(after as object), version: null });
  expect(after).toEqual({ organizations: '2', users: '2', integrations: '3', version: 1, models: '1', rules: '3', templates: '2' });
});

test('a simulator on another port makes a new version of its integration only', async () => {
  const read = () => db.asOwner<{ name: string; version: number; settings: { base_url?: string } }>('SELECT name, version, settings FROM external_integrations ORDER BY name');
  await seedSampleHospital(db.database, db.keys, ports);
  const before = await read();
  await seedSampleHospital(db.database, db.keys, { ...ports, emr: 5003 });
  const rows = await read();
  expect(rows.map((row, index) => [row.name, row.version - before[index]!.version])).toEqual([['EMR', 1], ['PACS', 0], ['RIS', 0]]);
  expect(rows[0]!.settings.base_url).toBe('http://127.0.0.1:5003/fhir');
});

test('the administrator signs in with a password of this installation, which another installation does not have', async () => {
  const { adminEmail, adminPassword } = await seedSampleHospital(db.database, db.keys, ports);
  expect(adminPassword).toMatch(/^[\w-]{20}$/);
  expect((await checkPassword(db.database, adminEmail, adminPassword!)).kind).toBe('correct');
  const elsewhere = await seedSampleHospital(db.database, keysFrom(Buffer.alloc(32, 'other')), ports);
  expect(elsewhere.adminPassword).toBeUndefined();
});

test('every seeded integration has settings that its adapter takes, and one assigning authority', async () => {
  const adapters = await loadAdapters();
  const rows = await db.asOwner<{ name: string; adapter: string; settings: { assigning_authority: string } }>('SELECT name, adapter, settings FROM external_integrations ORDER BY name');
  expect(rows.map((row) => [row.name, row.adapter])).toEqual([['EMR', 'fhir-rest'], ['PACS', 'dicom-dimse'], ['RIS', 'hl7v2-mllp']]);
  for (const row of rows) {
    const parsed = adapters.get(row.adapter)!.configSchema.safeParse(row.settings);
    expect(parsed.error?.issues, row.name).toBeUndefined();
    expect(row.settings.assigning_authority).toBe('NORTH');
  }
});

test('every seeded rule can be read by the pipeline and names a model or user that is there', async () => {
  const rules = await db.asOwner<{ name: string; conditions: unknown; actions: unknown[] }>('SELECT name, conditions, actions FROM workflow_rules');
  for (const rule of rules) {
    expect(conditionSchema.safeParse(rule.conditions).error, rule.name).toBeUndefined();
    for (const action of rule.actions.map((entry) => actionSchema.parse(entry))) {
      if (action.action === 'run_model') expect(await db.asOwner('SELECT 1 FROM ai_models WHERE model_name = $1 AND status = \'active\'', [action.model_name])).toHaveLength(1);
      if (action.action === 'assign') expect(await db.asOwner('SELECT 1 FROM users WHERE email = $1', [action.user_email])).toHaveLength(1);
    }
  }
});
