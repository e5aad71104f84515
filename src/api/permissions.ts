/**
 * Who may do what. Every route of the API is named here with the one permission it needs; a route that is not listed stops the
 * start of the gateway (router.ts), and a role has only what its line says.
 */
export const roles = ['radiologist', 'physician', 'administrator', 'technician', 'nurse', 'integrator', 'service'] as const;
export type Role = (typeof roles)[number];

/** 'public': no sign-in. 'signed-in': any account, about itself only. */
export const routePermissions = {
  'POST /auth/login': 'public',
  'POST /auth/logout': 'signed-in',
  'GET /auth/me': 'signed-in',
  'GET /auth/me/preferences': 'signed-in',
  'PUT /auth/me/preferences/{preference_key}': 'signed-in',

  'GET /organizations': 'organizations:read',
  'GET /organizations/{organization_id}': 'organizations:read',
  'PATCH /organizations/{organization_id}': 'organizations:write',

  'GET /users': 'users:read',
  'POST /users': 'users:write',
  'GET /users/{user_id}': 'users:read',
  'PATCH /users/{user_id}': 'users:write',
  'DELETE /users/{user_id}': 'users:write',

  'POST /patients/search': 'patients:read',
  'GET /patients/{patient_id}': 'patients:read',
  'GET /patients/{patient_id}/identifiers': 'patients:read',
  'GET /patients/{patient_id}/history': 'patients:read',
  'GET /patients/{patient_id}/scans': 'patients:read',
  'GET /patients/{patient_id}/merges': 'patients:read',
  'GET /patients/{patient_id}/links': 'patients:read',
  'POST /patient-merges/{merge_id}/undo': 'patients:unmerge',

  'GET /scans': 'scans:read',
  'GET /scans/{scan_id}': 'scans:read',
  'GET /scans/{scan_id}/files': 'scans:read',
  'GET /scans/{scan_id}/sources': 'scans:read',
  'POST /scans/{scan_id}/force-complete': 'scans:complete',
  'POST /scans/{scan_id}/fetch-priors': 'scans:complete',
  'GET /scan-files/{scan_file_id}': 'scans:read',
  'GET /scan-files/{scan_file_id}/content': 'images:read',
  'POST /scan-files/{scan_file_id}/use': 'scans:complete',
  'POST /scan-files/{scan_file_id}/set-aside': 'scans:complete',

  'GET /analyses': 'analyses:read',
  'GET /analyses/{analysis_id}': 'analyses:read',
  'GET /findings': 'analyses:read',
  'GET /findings/critical-unreviewed': 'analyses:read',
  'GET /findings/{finding_id}': 'analyses:read',
  'PATCH /findings/{finding_id}': 'findings:review',
  'GET /reports': 'reports:read',
  'GET /reports/{report_id}': 'reports:read',
  'POST /reports/{report_id}/withdraw': 'reports:withdraw',

  'GET /integrations': 'integrations:read',
  'POST /integrations': 'integrations:write',
  'GET /integrations/{integration_id}': 'integrations:read',
  'PUT /integrations/{integration_id}': 'integrations:write',
  'PATCH /integrations/{integration_id}': 'integrations:write',
  'POST /integrations/{integration_id}/test': 'integrations:test',
  'POST /integrations/{integration_id}/dry-run': 'integrations:test',
  'PUT /integrations/{integration_id}/pause': 'integrations:write',
  'GET /adapters': 'integrations:read',
  'GET /adapters/{adapter}/conformance': 'integrations:read',

  'GET /sync-logs': 'exchanges:read',
  'POST /sync-logs/search': 'exchanges:payload',
  'GET /sync-logs/{sync_id}': 'exchanges:read',
  'GET /sync-logs/{sync_id}/view': 'exchanges:payload',
  'GET /sync-logs/{sync_id}/payload': 'exchanges:payload',
  'POST /sync-logs/{sync_id}/replay': 'exchanges:replay',
  'GET /associations': 'exchanges:read',
  'GET /associations/{association_id}': 'exchanges:read',
  'POST /message-replays/count': 'exchanges:replay',
  'POST /message-replays': 'exchanges:replay',
  'GET /message-replays': 'exchanges:replay',
  'GET /message-replays/{replay_id}': 'exchanges:replay',
  'GET /message-replays/{replay_id}/messages': 'exchanges:replay',
  'POST /message-replays/{replay_id}/cancel': 'exchanges:replay',
  'GET /deliveries': 'exchanges:read',
  'GET /deliveries/{delivery_id}': 'exchanges:read',
  'POST /deliveries/resend': 'deliveries:decide',
  'POST /deliveries/{delivery_id}/resend': 'deliveries:decide',
  'POST /deliveries/{delivery_id}/discard': 'deliveries:decide',
  'GET /order-notices': 'exchanges:read',
  'GET /order-notices/{notice_id}': 'exchanges:read',
  'POST /order-notices/resend': 'deliveries:decide',
  'POST /order-notices/{notice_id}/resend': 'deliveries:decide',
  'POST /order-notices/{notice_id}/discard': 'deliveries:decide',
  'GET /dead-jobs': 'exchanges:read',
  'GET /dead-jobs/{dead_job_id}': 'exchanges:read',
  'POST /dead-jobs/{dead_job_id}/retry': 'deliveries:decide',
  'POST /dead-jobs/{dead_job_id}/discard': 'deliveries:decide',
  'GET /audit-logs': 'audit:read',
  'POST /audit-logs/verify': 'audit:read',

  'GET /scan-queue': 'queue:read',
  'GET /scan-queue/mine': 'queue:read',
  'GET /analytics/model-performance': 'configuration:read',
  'GET /ai-models': 'configuration:read',
  'GET /ai-models/{model_id}': 'configuration:read',
  'POST /ai-models': 'configuration:write',
  'PUT /ai-models/{model_id}': 'configuration:write',
  'GET /workflow-rules': 'configuration:read',
  'GET /workflow-rules/{rule_id}': 'configuration:read',
  'POST /workflow-rules': 'configuration:write',
  'PUT /workflow-rules/{rule_id}': 'configuration:write',
  'GET /report-templates': 'configuration:read',
  'GET /report-templates/{template_id}': 'configuration:read',
  'POST /report-templates': 'configuration:write',
  'PUT /report-templates/{template_id}': 'configuration:write',
  'GET /system-settings': 'configuration:read',
  'PUT /system-settings/{setting_key}': 'configuration:write',
  'GET /system-alerts': 'alerts:read',
  'POST /system-alerts/{alert_id}/acknowledge': 'alerts:acknowledge',
} as const satisfies Record<string, string>;

export type RouteName = keyof typeof routePermissions;
export type RoutePermission = (typeof routePermissions)[RouteName];
export type Permission = Exclude<RoutePermission, 'public' | 'signed-in'>;

const clinicalReading = ['organizations:read', 'patients:read', 'scans:read', 'images:read', 'analyses:read', 'reports:read', 'queue:read', 'alerts:read', 'configuration:read'] as const;

export const rolePermissions: Readonly<Record<Role, readonly Permission[]>> = {
  radiologist: [...clinicalReading, 'reports:withdraw', 'findings:review', 'alerts:acknowledge'],
  physician: clinicalReading,
  nurse: ['organizations:read', 'patients:read', 'scans:read', 'reports:read', 'queue:read', 'alerts:read'],
  technician: ['organizations:read', 'patients:read', 'scans:read', 'images:read', 'scans:complete', 'queue:read', 'exchanges:read', 'integrations:read', 'integrations:test',
    'alerts:read', 'alerts:acknowledge', 'configuration:read'],
  integrator: ['organizations:read', 'integrations:read', 'integrations:write', 'integrations:test', 'exchanges:read', 'exchanges:payload', 'exchanges:replay', 'deliveries:decide', 'queue:read', 'scans:read', 'scans:complete',
    'alerts:read', 'alerts:acknowledge', 'configuration:read'],
  service: ['organizations:read', 'patients:read', 'scans:read', 'images:read', 'analyses:read', 'reports:read', 'queue:read', 'exchanges:read', 'configuration:read'],
  administrator: [...clinicalReading, 'patients:unmerge', 'reports:withdraw', 'organizations:write', 'users:read', 'users:write', 'findings:review', 'scans:complete', 'integrations:read', 'integrations:write',
    'integrations:test', 'exchanges:read', 'exchanges:payload', 'exchanges:replay', 'deliveries:decide', 'audit:read', 'alerts:acknowledge', 'configuration:write'],
};

/** `scopes`: an API token's own, narrower list; empty means all that the role may. */
export function isAllowed(role: string, scopes: readonly string[], permission: Permission): boolean {
  const granted = rolePermissions[role as Role] as readonly Permission[] | undefined;
  if (!granted?.includes(permission)) return false;
  return scopes.length === 0 || scopes.includes(permission);
}

/** Whose eyes: what may hold a patient's number (control ids of FHIR do) is shown to those who may see patients only. */
export interface Seeing { readonly role: string; readonly scopes: readonly string[] }
export const seesPatients = ({ role, scopes }: Seeing): boolean => isAllowed(role, scopes, 'patients:read');
/** Who reads whole messages, each on record, may find one by the number in its name as well. */
export const findsByNumber = (eyes: Seeing): boolean => seesPatients(eyes) || isAllowed(eyes.role, eyes.scopes, 'exchanges:payload');
