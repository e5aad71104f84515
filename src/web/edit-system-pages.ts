/** The pages on which a system is connected and changed: the form goes to the same command, and the same checks, as the API and an integrations file. */
import type { Hono } from 'hono';
import { auditEvents } from '../audit/event.ts';
import { actorOf, type ApiDependencies, type ApiEnv } from '../api/context.ts';
import { notFound, Problem, toProblem, type ProblemError } from '../api/problem.ts';
import { IntegrationInput, readIntegration, type Integration } from '../api/queries/integrations.ts';
import { chooseAdapterPage, editSystemPage, readSettings, startOf, valuesOf, withoutSecrets, type CatalogEntry, type SystemForm } from './edit-system.ts';
import { form, uuid, visitor, type Visit } from './visit.ts';

export function editSystemPages(app: Hono<ApiEnv>, dependencies: ApiDependencies): void {
  const { commands } = dependencies;
  const visit = visitor(dependencies);
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
      return withoutSecrets(system, catalog(system.adapter));
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
}
