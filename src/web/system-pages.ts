/**
 * The pages about connected systems: how they are, pause and resume, trying a connection or a message, conformance statements. In and out as in console.ts.
 */
import type { Hono } from 'hono';
import { auditEvents } from '../audit/event.ts';
import { actorOf, type ApiDependencies, type ApiEnv } from '../api/context.ts';
import { notFound } from '../api/problem.ts';
import { listIntegrations, readIntegration, type Integration } from '../api/queries/integrations.ts';
import { withoutSecrets } from './edit-system.ts';
import { statementPage } from './statement.ts';
import { systemPage, type OneSystem } from './system.ts';
import { systemsPage, tryPage } from './systems.ts';
import { readUnclaimed, unclaimedSection } from './unclaimed.ts';
import { form, uuid, visitor, type Visit } from './visit.ts';

export function systemPages(app: Hono<ApiEnv>, dependencies: ApiDependencies): void {
  const { commands } = dependencies;
  const visit = visitor(dependencies);
  const adapterOf = (system: Integration) => commands.adapterCatalog().find(({ name }) => name === system.adapter);

  app.get('/systems', visit('integrations:read', async (v) => {
    const systems = await v.read(async (tx, audit) => {
      await audit({ ...auditEvents.query, action: 'R', object: { type: 'integration', id: '*' } });
      return listIntegrations(tx, { limit: 199 });
    });
    return v.page('/systems', 'Systems', systemsPage({ systems: systems.toSorted((a, b) => a.name.localeCompare(b.name)), dryRuns: new Set(commands.adapterCatalog().filter(({ dryRun }) => dryRun).map(({ name }) => name)), mayPause: v.may('integrations:write'), mayTry: v.may('integrations:test'), unclaimed: v.may('exchanges:read') ? unclaimedSection(await readUnclaimed(dependencies.database), v.now) : '', done: v.done, problem: v.problem, now: v.now }));
  }));

  const show = async (v: Visit, system: Integration, result: Pick<OneSystem, 'test' | 'tried'>): Promise<Response> => v.page('/systems', system.name, systemPage({
    ...result, system: withoutSecrets(system, adapterOf(system)), storesObject: system.adapter.startsWith('dicom') && system.direction !== 'inbound', hasDryRun: adapterOf(system)?.dryRun === true, hasAssociations: system.adapter === 'dicom-dimse',
    statesConformance: await commands.conformanceStatement(v.caller.organizationId, system.adapter, system.name).then((statement) => statement !== undefined, () => false),
    mayPause: v.may('integrations:write'), mayTry: v.may('integrations:test'), mayReadMessages: v.may('exchanges:read'), done: v.done, problem: v.problem, now: v.now,
  }));
  app.get(`/systems/:id{${uuid}}`, visit('integrations:read', async (v) => {
    const found = await v.read(async (tx, audit) => {
      const system = await readIntegration(tx, v.c.req.param('id')!);
      if (!system) throw notFound('system');
      await audit({ ...auditEvents.query, action: 'R', object: { type: 'integration', id: system.integration_id } });
      return system;
    });
    return show(v, found, { test: undefined, tried: undefined });
  }));

  app.post(`/systems/:id{${uuid}}/pause`, form, visit('integrations:write', async (v) => {
    const { receive, deliver, back } = await v.fields(), id = v.c.req.param('id')!;
    const pause = { ...(receive === undefined ? {} : { receive: receive === 'on' }), ...(deliver === undefined ? {} : { deliver: deliver === 'on' }) };
    const decision = await commands.pauseIntegration(v.caller.organizationId, id, pause, actorOf(v.c, v.caller));
    if (decision.kind === 'not-found') throw notFound('system');
    await commands.reloadIntegrations();
    return v.back(back === undefined ? '/systems' : `/systems/${id}`, { done: Object.values(pause).includes(true) ? 'Paused.' : 'Resumed.' });
  }));

  // What a test shows is of that moment: it is on the page that asked, and a reload of that page asks again.
  app.post(`/systems/:id{${uuid}}/test`, form, visit('integrations:test', async (v) => {
    const id = v.c.req.param('id')!, stores = (await v.fields())['store'] === 'true';
    const test = await commands.testIntegration(v.caller.organizationId, id, { stores });
    const found = await v.read(async (tx, audit) => {
      const system = await readIntegration(tx, id);
      if (!system || !test) throw notFound('system');
      await audit({ ...auditEvents.applicationActivity, action: 'E', outcome: test.ok ? 'success' : 'minor_failure', object: { type: 'integration', id }, detail: { connection_test: test.ok, ...(stores ? { stored: true } : {}) } });
      return system;
    });
    return show(v, found, { test: { ok: test!.ok, steps: test!.steps.map((step) => ({ ...step })) }, tried: stores ? 'object' : 'connection' });
  }));

  const system = (v: Visit): Promise<Integration> => v.read(async (tx, audit) => {
    const found = await readIntegration(tx, v.c.req.param('id')!);
    if (!found) throw notFound('system');
    await audit({ ...auditEvents.applicationActivity, action: 'E', object: { type: 'integration', id: found.integration_id }, detail: { dry_run: v.c.req.method === 'POST' } });
    return found;
  });
  app.get(`/systems/:id{${uuid}}/try`, visit('integrations:test', async (v) => {
    const found = await system(v);
    return v.page('/systems', `Try a message of ${found.name}`, tryPage({ system: found, text: '', messages: undefined, problem: undefined }));
  }));
  app.post(`/systems/:id{${uuid}}/try`, form, visit('integrations:test', async (v) => {
    const found = await system(v), text = (await v.fields())['message'] ?? '';
    const dryRun = await commands.dryRun(v.caller.organizationId, found.integration_id, Buffer.from(text.replaceAll('\r\n', '\r').replaceAll('\n', '\r')));
    return v.page('/systems', `Try a message of ${found.name}`, tryPage({
      system: found, text, messages: dryRun.kind === 'read' ? dryRun.messages : undefined, problem: dryRun.kind === 'refused' ? dryRun.reason : dryRun.kind === 'not-found' ? 'The gateway does not know its settings; are they valid?' : undefined,
    }));
  }));

  app.get(`/systems/:id{${uuid}}/conformance`, visit('integrations:read', async (v) => {
    const found = await v.read(async (tx, audit) => {
      const one = await readIntegration(tx, v.c.req.param('id')!);
      if (!one) throw notFound('system');
      await audit({ ...auditEvents.query, action: 'R', object: { type: 'integration', id: one.integration_id }, detail: { part: 'conformance' } });
      return one;
    });
    const markdown = await commands.conformanceStatement(v.caller.organizationId, found.adapter, found.name);
    if (markdown === undefined) throw notFound('conformance statement; one is made of a system that is switched on');
    return v.page('/systems', `Conformance of ${found.name}`, statementPage({ back: `/systems/${found.integration_id}`, name: found.name, markdown, download: `/api/v1/adapters/${encodeURIComponent(found.adapter)}/conformance?integration=${encodeURIComponent(found.name)}` }));
  }));
}
