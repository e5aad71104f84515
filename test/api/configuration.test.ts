/** Models, rules and templates changed over the API: what is wrong is said with its place, what is secret stays, and earlier states are kept. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { activeRules } from '../../src/db/analyses.ts';
import { inOrganization } from '../../src/db/transaction.ts';
import { holds } from '../../src/pipeline/rules.ts';
import { apiFixture, auditOf, expectProblem, type Answer, type ApiFixture } from './support.ts';
import { modelConfig } from './route-cases.ts';

let api: ApiFixture;
beforeAll(async () => { api = await apiFixture(); });
afterAll(() => api.close());

const call = (method: string, path: string, body?: unknown): Promise<Answer> => api.call(method, `/api/v1${path}`, { token: api.north.tokens.administrator, body });
const pointersOf = (answer: Answer): string[] => (answer.body.errors ?? []).map((error: { pointer: string }) => error.pointer);

test('a model is added, changed and kept in its earlier states; its name and version stay', async () => {
  const added = await call('POST', '/ai-models', { model_name: 'chest', model_version: '1.0.0', runtime: 'kserve', scan_types: ['xray'], status: 'active', config: modelConfig });
  expect(added.status, added.text).toBe(201);
  expect(await auditOf(api.db, added)).toMatchObject([{ action: 'C', object_type: 'ai_model', object_id: added.body.model_id }]);
  const changed = await call('PUT', `/ai-models/${added.body.model_id}`, { runtime: 'kserve', config: modelConfig, status: 'retired' });
  expect(changed.body).toMatchObject({ model_name: 'chest', model_version: '1.0.0', status: 'retired', scan_types: [] });
  expect((await call('PUT', `/ai-models/${added.body.model_id}`, { model_name: 'head', runtime: 'kserve', config: modelConfig })).status).toBe(422);
  expectProblem(await call('POST', '/ai-models', { model_name: 'chest', model_version: '1.0.0', runtime: 'kserve', config: modelConfig }), 409);
  expect(await api.db.asOwner("SELECT version, value->>'status' AS status FROM configuration_versions WHERE table_name = 'ai_models' AND row_id = $1 ORDER BY version", [added.body.model_id])).toEqual([{ version: 1, status: 'active' }, { version: 2, status: 'retired' }]);
});

test('every mistake of a model is named with its place, and nothing is stored', async () => {
  const wrong = await call('POST', '/ai-models', { model_name: 'wrong', model_version: '1', runtime: 'kserve', config: { ...modelConfig, endpoint: { url: 'ftp://x', model: '' }, colour: 'red' } });
  expectProblem(wrong, 422);
  expect(pointersOf(wrong)).toEqual(expect.arrayContaining(['#/config/endpoint/url', '#/config/endpoint/model', '#/config']));
  expect(await api.db.asOwner("SELECT FROM ai_models WHERE model_name = 'wrong'")).toEqual([]);
});

test('what signs in to a model server is never shown, is kept when left out, and never follows to another address', async () => {
  const headers = { authorization: 'Bearer model-secret' };
  const endpoint = { ...modelConfig.endpoint, headers };
  const added = await call('POST', '/ai-models', { model_name: 'secret', model_version: '1', runtime: 'kserve', config: { ...modelConfig, endpoint } });
  const stored = async () => (await api.db.asOwner<{ config: any }>('SELECT config FROM ai_models WHERE model_id = $1', [added.body.model_id]))[0]!.config.endpoint.headers;
  await call('PUT', `/ai-models/${added.body.model_id}`, { runtime: 'kserve', config: modelConfig });
  expect(await stored()).toEqual(headers);
  const moved = await call('PUT', `/ai-models/${added.body.model_id}`, { runtime: 'kserve', config: { ...modelConfig, endpoint: { ...modelConfig.endpoint, url: 'http://elsewhere.example:8000' } } });
  expect(moved.status).toBe(200);
  expect(await stored()).toBeUndefined();
  for (const answer of [added, moved, await call('GET', `/ai-models/${added.body.model_id}`)]) expect(answer.text).not.toContain('model-secret');
  expect(JSON.stringify(await api.db.asOwner('SELECT value FROM configuration_versions')) + JSON.stringify(await api.db.asOwner("SELECT detail FROM audit_logs WHERE object_type = 'ai_model'"))).not.toContain('model-secret');
});

test('a rule says what it means or is refused, and holds as soon as it is stored', async () => {
  const wrong = await call('POST', '/workflow-rules', { name: 'Wrong', conditions: { field: 'colour', equals: 'red' }, actions: [{ action: 'run_model', model_name: 'chest' }, { action: 'fly' }] });
  expectProblem(wrong, 422);
  expect(pointersOf(wrong)).toEqual(expect.arrayContaining(['#/conditions']));
  expect(pointersOf(wrong).some((pointer) => pointer.startsWith('#/actions/1'))).toBe(true);
  const unknown = await call('POST', '/workflow-rules', { name: 'Unknown', actions: [{ action: 'run_model', model_name: 'none' }, { action: 'deliver_to', integration: 'FAX' }, { action: 'assign', user_email: 'x@south.example' }] });
  expect(pointersOf(unknown)).toEqual(['#/actions/0/model_name', '#/actions/1/integration', '#/actions/2/user_email']);
  const added = await call('POST', '/workflow-rules', { name: 'Chest first', rule_order: 5, conditions: { all: [{ field: 'scan_type', equals: 'xray' }, { not: { field: 'priority', equals: 'routine' } }] }, actions: [{ action: 'run_model', model_name: 'chest', model_version: '1.0.0' }, { action: 'deliver_to', integration: 'PACS' }] });
  expect(added.status, added.text).toBe(201);
  const [first] = await inOrganization(api.db.database, api.north.organizationId, activeRules);
  expect(first).toMatchObject({ name: 'Chest first' });
  expect([holds(first!.conditions, { scan_type: 'xray', priority: 'stat' }), holds(first!.conditions, { scan_type: 'ct', priority: 'stat' })]).toEqual([true, false]);
  expect((await call('PUT', `/workflow-rules/${added.body.rule_id}`, { name: 'Chest first', is_enabled: false, expected_version: 1 })).body).toMatchObject({ version: 2, is_enabled: false });
  expect((await call('PUT', `/workflow-rules/${added.body.rule_id}`, { name: 'Chest first', expected_version: 1 })).body).toMatchObject({ status: 409, detail: expect.stringContaining('version 2') });
});

test('a changed template is its next version, and one with an unknown slot is refused', async () => {
  const added = await call('POST', '/report-templates', { name: 'Short', scan_types: ['ct'], sections: { findings: '{{finding_count}}: {{ findings }}', impression: '{{impression}}' } });
  const wrong = await call('PUT', `/report-templates/${added.body.template_id}`, { sections: { findings: '{{findngs}}' } });
  expect([wrong.status, pointersOf(wrong), wrong.text.includes('{{findngs}} is no slot')]).toEqual([422, ['#/sections/findings'], true]);
  const next = await call('PUT', `/report-templates/${added.body.template_id}`, { sections: { findings: '{{findings}}' }, expected_version: 1 });
  expect(next.body).toMatchObject({ name: 'Short', version: 2, is_active: true });
  expect(next.body.template_id).not.toBe(added.body.template_id);
  expect((await call('GET', `/report-templates/${added.body.template_id}`)).body).toMatchObject({ version: 1, is_active: false });
  expect((await call('PUT', `/report-templates/${added.body.template_id}`, { sections: {}, expected_version: 1 })).status).toBe(409);
  expect((await call('GET', `/report-templates/${next.body.template_id}`)).body.is_active, 'and the newest stays in use').toBe(true);
});
