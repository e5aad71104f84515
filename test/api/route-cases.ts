/** One case per route: what to send so that it succeeds. A route without a case fails the tests that walk the route table. */
import type { RouteName } from '../../src/api/permissions.ts';

export interface RouteCase { readonly body?: unknown; readonly query?: string; readonly status?: number;
  /** Not by an API token: needs a person's session. */
  readonly session?: true }

export const routeCases: Readonly<Record<RouteName, RouteCase>> = {
  'POST /auth/login': { body: { email: 'nobody@nowhere.example', password: 'wrong' }, status: 401 },
  'POST /auth/logout': { status: 204 },
  'GET /auth/me': {},
  'GET /auth/me/preferences': {},
  'PUT /auth/me/preferences/{preference_key}': { body: { value: { columns: ['scan_number'] } } },
  'GET /organizations': {},
  'GET /organizations/{organization_id}': {},
  'PATCH /organizations/{organization_id}': { body: { time_zone: 'Europe/Berlin' } },
  'GET /users': {},
  'POST /users': { body: { email: 'new@north.example', display_name: 'New', role: 'nurse', password: 'long enough password' }, status: 201 },
  'GET /users/{user_id}': {},
  'PATCH /users/{user_id}': { body: { display_name: 'Renamed' } },
  'DELETE /users/{user_id}': { status: 204 },
  'POST /patients/search': { body: { name: 'mül an' } },
  'GET /patients/{patient_id}': {},
  'GET /patients/{patient_id}/identifiers': {},
  'GET /patients/{patient_id}/history': {},
  'GET /patients/{patient_id}/scans': {},
  'GET /patients/{patient_id}/merges': {},
  'GET /patients/{patient_id}/links': {},
  'POST /patient-merges/{merge_id}/undo': { body: { later_scan_ids: [] } },
  'GET /scans': { query: 'status=in_progress&scan_type=ct&created_from=2020-01-01&study_before=2100-01-01T00:00:00Z' },
  'GET /scans/{scan_id}': {},
  'GET /scans/{scan_id}/files': {},
  'POST /scans/{scan_id}/force-complete': { status: 202 },
  'GET /scan-files/{scan_file_id}': {},
  'GET /scan-files/{scan_file_id}/content': {},
  'GET /analyses': { query: 'status=completed' },
  'GET /analyses/{analysis_id}': {},
  'GET /findings': { query: 'review=open&severity=critical' },
  'GET /findings/critical-unreviewed': {},
  'GET /findings/{finding_id}': {},
  'PATCH /findings/{finding_id}': { body: { is_confirmed: true }, session: true },
  'GET /reports': {},
  'GET /reports/{report_id}': {},
  'GET /integrations': {},
  'POST /integrations': { body: { name: 'RIS', kind: 'ris', adapter: 'fake', direction: 'both', settings: { port: 1, password: 'x' } }, status: 201 },
  'GET /integrations/{integration_id}': {},
  'PUT /integrations/{integration_id}': { body: { name: 'PACS', kind: 'pacs', adapter: 'fake', direction: 'both', settings: {} } },
  'PATCH /integrations/{integration_id}': { body: { is_enabled: false } },
  'POST /integrations/{integration_id}/test': {},
  'POST /integrations/{integration_id}/dry-run': { body: { message: 'MSH|^~\\&|A|B|C|D|20260105||ADT^A08|1|P|2.5' } },
  'GET /adapters': {},
  'GET /sync-logs': { query: 'direction=inbound&message_status=accepted' },
  'GET /sync-logs/{sync_id}': {},
  'GET /sync-logs/{sync_id}/payload': {},
  'POST /sync-logs/{sync_id}/replay': {},
  'GET /associations': { query: 'outcome=rejected&calling_ae_title=CT1' },
  'GET /associations/{association_id}': {},
  'GET /audit-logs': {},
  'POST /audit-logs/verify': {},
  'GET /scan-queue': { query: 'status=assigned' },
  'GET /scan-queue/mine': {},
  'GET /analytics/model-performance': {},
  'GET /ai-models': {},
  'GET /ai-models/{model_id}': {},
  'GET /workflow-rules': {},
  'GET /workflow-rules/{rule_id}': {},
  'GET /report-templates': {},
  'GET /report-templates/{template_id}': {},
  'GET /system-settings': {},
  'PUT /system-settings/{setting_key}': { body: { value: 20 } },
  'GET /system-alerts': {},
  'POST /system-alerts/{alert_id}/acknowledge': {},
};

export function pathOf(name: string, ids: Readonly<Record<string, string>>, { query }: RouteCase = {}): { method: string; path: string } {
  const [method = '', path = ''] = name.split(' ');
  const filled = path.replaceAll(/\{(\w+)\}/g, (_match, idName: string) => {
    const id = ids[idName];
    if (id === undefined) throw new Error(`the fixture has no row for ${idName}`);
    return id;
  });
  return { method, path: `/api/v1${filled}${query ? `?${query}` : ''}` };
}
