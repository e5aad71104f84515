import { auditEvents } from '../../audit/event.ts';
import { pathId } from '../fields.ts';
import { listOf, toPage } from '../pagination.ts';
import { notFound } from '../problem.ts';
import { acknowledgeAlert, Alert, alertQuery, listAlerts } from '../queries/system-alerts.ts';
import type { ApiRouter } from '../router.ts';

export function alertRoutes(router: ApiRouter): void {
  router.route('GET /system-alerts', { summary: 'Alerts, newest first', tag: 'alerts', query: alertQuery, returns: listOf(Alert), unaudited: 'tells about the system, not about patients' }, ({ transact, query }) =>
    transact(async (tx) => toPage(await listAlerts(tx, query), query, (alert) => alert.alert_id)));

  router.route('POST /system-alerts/{alert_id}/acknowledge', {
    summary: 'Take note of an alert', tag: 'alerts', params: pathId('alert_id'), returns: Alert,
  }, ({ transact, params, caller }) => transact(async (tx, audit) => {
    const alert = await acknowledgeAlert(tx, params.alert_id, caller.userId);
    if (!alert) throw notFound('alert');
    await audit({ ...auditEvents.applicationActivity, action: 'U', object: { type: 'alert', id: alert.alert_id }, detail: { acknowledged: alert.kind } });
    return alert;
  }));
}
