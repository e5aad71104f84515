/**
 * The pages about connected systems: how they are, pause and resume, trying a connection or a message, conformance statements, DICOM associations, alerts. In and out as in console.ts.
 */
import type { Hono } from 'hono';
import { auditEvents } from '../audit/event.ts';
import { actorOf, type ApiDependencies, type ApiEnv } from '../api/context.ts';
import { toPage } from '../api/pagination.ts';
import { notFound, Problem, toProblem, type ProblemError } from '../api/problem.ts';
import { associationQuery, listAssociations, readAssociation } from '../api/queries/associations.ts';
import { IntegrationInput, listIntegrations, readIntegration, type Integration } from '../api/queries/integrations.ts';
import { acknowledgeAlert, alertQuery, listAlerts } from '../api/queries/system-alerts.ts';
import { alertList } from './alerts.ts';
import { associationList, associationPage } from './associations.ts';
import { choicesOf } from './choices.ts';
import { chooseAdapterPage, editSystemPage, readSettings, startOf, valuesOf, type CatalogEntry, type SystemForm } from './edit-system.ts';
import { statementPage } from './statement.ts';
import { systemPage, type OneSystem } from './system.ts';
import { systemsPage, tryPage } from './systems.ts';
import { readUnclaimed, unclaimedSection } from './unclaimed.ts';
import { form, uuid, visitor, withoutEmpty, wordsOf, type Visit } from './visit.ts';

export function systemPages(app: Hono<ApiEnv>, dependencies: ApiDependencies): void {
  const { commands } = dependencies;
  const visit = visitor(dependencies);
  const adapterOf = (system: Integration) => commands.adapterCatalog().find(({ name }) => name === system.adapter);
  /** Secrets live sealed in another column; should one stand among the settings (an old row), it still does not leave. */
  const withoutSecrets = (system: Integration): Integration => {
    const secret = new Set(adapterOf(system)?.secretFields);
    return { ...system, settings: Object.fromEntries(Object.entries(system.settings).filter(([name]) => !secret.has(name))) };
  };

  app.get('/systems', visit('integrations:read', async (v) => {
    const systems = await v.read(async (tx, audit) => {
      await audit({ ...auditEvents.query, action: 'R', object: { type: 'integration', id: '*' } });
      return listIntegrations(tx, { limit: 199 });
    });
    return v.page('/systems', 'Systems', systemsPage({ systems: systems.toSorted((a, b) => a.name.localeCompare(b.name)), dryRuns: new Set(commands.adapterCatalog().filter(({ dryRun }) => dryRun).map(({ name }) => name)), mayPause: v.may('integrations:write'), mayTry: v.may('integrations:test'), unclaimed: v.may('exchanges:read') ? unclaimedSection(await readUnclaimed(dependencies.database), v.now) : '', done: v.done, problem: v.problem, now: v.now }));
  }));

  const show = async (v: Visit, system: Integration, result: Pick<OneSystem, 'test' | 'tried'>): Promise<Response> => v.page('/systems', system.name, systemPage({
    ...result, system: withoutSecrets(system), storesObject: system.adapter.startsWith('dicom') && system.direction !== 'inbound', hasDryRun: adapterOf(system)?.dryRun === true, hasAssociations: system.adapter === 'dicom-dimse',
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

  // ---- connect and change

  const catalog = (name: string | undefined): CatalogEntry | undefined => commands.adapterCatalog().find((adapter) => adapter.name === name);
  const save = async (v: Visit, adapter: CatalogEntry, found: Integration | undefined): Promise<Response> => {
    const values: SystemForm = await v.fields();
    const again = (more: { errors?: readonly ProblemError[]; problem?: string }): Promise<Response> => v.page('/systems', found ? `Change ${found.name}` : 'Connect a system', editSystemPage({ adapter, system: found, values, errors: more.errors ?? [], problem: more.problem }), undefined, 422);
    const read = readSettings(values.settings ?? '');
    if ('problem' in read) return again({ problem: read.problem });
    const input = IntegrationInput.safeParse({
      name: values.name, kind: values.kind, direction: values.direction, adapter: adapter.name, settings: read.settings, is_enabled: values.enabled === 'on', owner_contact: values.owner_contact ?? null, purpose: values.purpose ?? null,
      ...(values.expected_version === undefined ? {} : { expected_version: Number(values.expected_version) }),
    });
    if (!input.success) return again({ errors: input.error.issues.map((issue) => ({ pointer: issue.path.join('/'), message: issue.message })) });
    const { name, kind, direction, settings, is_enabled: isEnabled, owner_contact: ownerContact, purpose, expected_version: expectedVersion } = input.data;
    let saved;
    try {
      saved = await commands.saveIntegration(v.caller.organizationId, found?.integration_id, { name, kind, adapter: adapter.name, direction, settings, isEnabled, ownerContact, purpose, expectedVersion }, actorOf(v.c, v.caller));
    } catch (error) {
      if (toProblem(error).problem.status === 409) return again({ problem: `There is a system called ${name} already.` });
      throw error;
    }
    if (saved.kind === 'not-found') throw notFound('system');
    if (saved.kind === 'stale') return again({ problem: `Somebody changed it meanwhile: it has version ${saved.version} now. Open it again in another window, and bring your change into that.` });
    if (saved.kind === 'invalid') return again({ errors: saved.errors });
    await commands.reloadIntegrations();
    return v.back(`/systems/${saved.integrationId}`, { done: `Saved as version ${saved.version}.${isEnabled ? ' Try the connection now.' : ''}` });
  };
  app.get('/systems/new', visit('integrations:write', async (v) => {
    const adapter = catalog(v.c.req.query('adapter'));
    return v.page('/systems', 'Connect a system', adapter ? editSystemPage({ adapter, system: undefined, values: startOf(adapter), errors: [], problem: undefined }) : chooseAdapterPage(commands.adapterCatalog()));
  }));
  app.post('/systems/new', form, visit('integrations:write', async (v) => {
    const adapter = catalog(v.c.req.query('adapter'));
    if (!adapter) throw notFound('adapter');
    return save(v, adapter, undefined);
  }));
  const changing = async (v: Visit): Promise<{ system: Integration; adapter: CatalogEntry }> => {
    const found = await v.read(async (tx, audit) => {
      const system = await readIntegration(tx, v.c.req.param('id')!);
      if (!system) throw notFound('system');
      if (v.c.req.method === 'GET') await audit({ ...auditEvents.query, action: 'R', object: { type: 'integration', id: system.integration_id } });
      return withoutSecrets(system);
    });
    const adapter = catalog(found.adapter);
    if (!adapter) throw new Problem(409, `The adapter ${found.adapter} is not installed any more; the system can only be switched off.`);
    return { system: found, adapter };
  };
  app.get(`/systems/:id{${uuid}}/edit`, visit('integrations:write', async (v) => {
    const { system: found, adapter } = await changing(v);
    return v.page('/systems', `Change ${found.name}`, editSystemPage({ adapter, system: found, values: valuesOf(found), errors: [], problem: undefined }));
  }));
  app.post(`/systems/:id{${uuid}}/edit`, form, visit('integrations:write', async (v) => {
    const { system: found, adapter } = await changing(v);
    return save(v, adapter, found);
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

  // ---- associations

  app.get('/associations', visit('exchanges:read', async (v) => {
    const given = withoutEmpty(v.c.req.query()), parsed = associationQuery.safeParse(given);
    const { choices, page } = await v.read(async (tx, audit) => {
      const query = parsed.success ? parsed.data : associationQuery.parse({});
      const found = toPage(parsed.success ? await listAssociations(tx, query) : [], query, (association) => association.association_id);
      await audit({ ...auditEvents.query, action: 'R', object: { type: 'association', id: '*' }, detail: { results: found.items.length } });
      return { choices: await choicesOf(tx), page: found };
    });
    const { cursor: _, limit: __, ...filter } = given;
    return v.page('/associations', 'Associations', associationList({ filter, choices, items: page.items, nextCursor: page.next_cursor, now: v.now, problem: parsed.success ? undefined : wordsOf(parsed.error) }));
  }));
  app.get(`/associations/:id{${uuid}}`, visit('exchanges:read', async (v) => {
    const association = await v.read(async (tx, audit) => {
      const found = await readAssociation(tx, v.c.req.param('id')!);
      if (!found) throw notFound('association');
      await audit({ ...auditEvents.query, action: 'R', object: { type: 'association', id: found.association_id } });
      return found;
    });
    return v.page('/associations', `Association of ${association.calling_ae_title ?? association.peer_address}`, associationPage({ association, now: v.now }));
  }));

  // ---- alerts

  app.get('/alerts', visit('alerts:read', async (v) => {
    const given = withoutEmpty(v.c.req.query()), parsed = alertQuery.safeParse(given);
    const page = await v.read(async (tx, audit) => {
      const query = parsed.success ? parsed.data : alertQuery.parse({});
      await audit({ ...auditEvents.query, action: 'R', object: { type: 'alert', id: '*' } });
      return toPage(parsed.success ? await listAlerts(tx, query) : [], query, (alert) => alert.alert_id);
    });
    const { cursor: _, limit: __, ...filter } = given;
    return v.page('/alerts', 'Alerts', alertList({ filter, items: page.items, nextCursor: page.next_cursor, mayAcknowledge: v.may('alerts:acknowledge'), done: v.done, problem: v.problem ?? (parsed.success ? undefined : wordsOf(parsed.error)), now: v.now }));
  }));
  app.post(`/alerts/:id{${uuid}}/acknowledge`, form, visit('alerts:acknowledge', async (v) => {
    await v.read(async (tx, audit) => {
      const alert = await acknowledgeAlert(tx, v.c.req.param('id')!, v.caller.userId);
      if (!alert) throw notFound('alert');
      await audit({ ...auditEvents.applicationActivity, action: 'U', object: { type: 'alert', id: alert.alert_id }, detail: { acknowledged: alert.kind } });
    });
    return v.back('/alerts', { done: 'Noted. It stays open until its cause is gone.' });
  }));
}
