/** The pages of the DICOM associations and of the alerts: what went on, and what is wrong. In and out as in console.ts. */
import type { Hono } from 'hono';
import { auditEvents } from '../audit/event.ts';
import type { ApiDependencies, ApiEnv } from '../api/context.ts';
import { toPage } from '../api/pagination.ts';
import { notFound } from '../api/problem.ts';
import { associationQuery, listAssociations, readAssociation } from '../api/queries/associations.ts';
import { acknowledgeAlert, alertQuery, listAlerts } from '../api/queries/system-alerts.ts';
import { alertList } from './alerts.ts';
import { associationList, associationPage } from './associations.ts';
import { choicesOf } from './choices.ts';
import { form, uuid, visitor, withoutEmpty, wordsOf } from './visit.ts';

export function associationPages(app: Hono<ApiEnv>, dependencies: ApiDependencies): void {
  const visit = visitor(dependencies);

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
