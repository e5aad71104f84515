/**
 * Which tables an endpoint reads and writes, by the names of src/api/permissions.ts. test/schemas.test.ts wants a line for every route, calls each
 * and compares the statements that reach the database with its line. Left out, because every route does it: looking up the caller
 * (user_sessions, users, organizations) and writing audit_logs.
 */
export interface RouteTables { readonly reads: readonly string[]; readonly writes: readonly string[] }

const reads = (...tables: string[]): RouteTables => ({ reads: tables, writes: [] });
const writes = (written: string[], ...tables: string[]): RouteTables => ({ reads: tables, writes: written });
const scan = ['scans', 'patients'] as const;
const integration = ['external_integrations', 'configuration_versions'];

export const routeTables: Readonly<Record<string, RouteTables>> = {
  'POST /auth/login': writes(['users', 'user_sessions'], 'organizations'),
  'POST /auth/logout': writes(['user_sessions']),
  'GET /auth/me': reads('users'),
  'GET /auth/me/preferences': reads('user_preferences'),
  'PUT /auth/me/preferences/{preference_key}': writes(['user_preferences']),

  'GET /organizations': reads('organizations'),
  'GET /organizations/{organization_id}': reads('organizations'),
  'PATCH /organizations/{organization_id}': writes(['organizations']),

  'GET /users': reads('users'),
  'POST /users': writes(['users'], 'users'),
  'GET /users/{user_id}': reads('users'),
  'PATCH /users/{user_id}': writes(['users', 'user_sessions'], 'users'),
  'DELETE /users/{user_id}': writes(['users', 'user_sessions'], 'users'),

  'POST /patients/search': reads('patients', 'patient_identifiers'),
  'GET /patients/{patient_id}': reads('patients'),
  'GET /patients/{patient_id}/identifiers': reads('patients', 'patient_identifiers'),
  'GET /patients/{patient_id}/history': reads('patients', 'patient_medical_history'),
  'GET /patients/{patient_id}/scans': reads(...scan),
  'GET /patients/{patient_id}/merges': reads('patients', 'patient_merges'),
  'GET /patients/{patient_id}/links': reads('patients', 'patient_links'),
  'POST /patient-merges/{merge_id}/undo': writes(['patient_merges', 'patients', 'patient_identifiers', 'patient_medical_history', 'scans'], 'patient_merges', 'patients', 'patient_identifiers', 'patient_medical_history', 'scans', 'reports', 'deliveries'),

  'GET /scans': reads(...scan),
  'GET /scans/{scan_id}': reads(...scan),
  'GET /scans/{scan_id}/files': reads(...scan, 'scan_files'),
  'GET /scans/{scan_id}/sources': reads(...scan, 'source_counts', 'prior_searches', 'study_retrievals', 'external_integrations'),
  'POST /scans/{scan_id}/fetch-priors': writes(['prior_searches'], 'scans', 'patients'),
  'POST /scans/{scan_id}/force-complete': writes(['scans', 'scan_queue', 'ai_analyses'], 'workflow_rules', 'ai_models', 'scan_files'),
  'GET /scan-files/{scan_file_id}': reads('scan_files', 'scans'),
  'GET /scan-files/{scan_file_id}/content': reads('scan_files', 'scans'),
  'POST /scan-files/{scan_file_id}/use': writes(['scan_files', 'scans', 'scan_queue', 'system_alerts', 'ai_analyses', 'source_counts'], 'scan_files', 'scans'),
  'POST /scan-files/{scan_file_id}/set-aside': writes(['scan_files', 'system_alerts'], 'scan_files', 'scans'),

  'GET /analyses': reads('ai_analyses', 'scans', 'ai_models'),
  'GET /analyses/{analysis_id}': reads('ai_analyses', 'scans', 'ai_models'),
  'GET /findings': reads('findings', 'ai_analyses', 'scans'),
  'GET /findings/critical-unreviewed': reads('findings', 'ai_analyses', ...scan),
  'GET /findings/{finding_id}': reads('findings', 'ai_analyses', 'scans'),
  'PATCH /findings/{finding_id}': writes(['findings', 'system_alerts'], 'findings', 'ai_analyses', 'scans'),
  'GET /reports': reads('reports', 'scans'),
  'GET /reports/{report_id}': reads('reports', 'scans', 'deliveries', 'external_integrations'),
  'POST /reports/{report_id}/withdraw': writes(['reports', 'deliveries'], 'reports', 'scans', 'patients', 'patient_identifiers', 'organizations', 'deliveries'),

  'GET /integrations': reads('external_integrations'),
  'POST /integrations': writes(integration, 'external_integrations'),
  'GET /integrations/{integration_id}': reads('external_integrations'),
  'PUT /integrations/{integration_id}': writes(integration, 'external_integrations'),
  'PATCH /integrations/{integration_id}': writes(integration, 'external_integrations'),
  'POST /integrations/{integration_id}/test': reads('external_integrations'),
  'POST /integrations/{integration_id}/dry-run': reads('external_integrations'),
  'PUT /integrations/{integration_id}/pause': writes(integration, 'external_integrations'),
  'GET /adapters': reads(),
  'GET /adapters/{adapter}/conformance': reads('external_integrations'),

  'GET /sync-logs': reads('sync_logs', 'external_integrations'),
  'POST /sync-logs/search': reads('sync_logs', 'external_integrations', 'scans', 'patient_identifiers'),
  'GET /sync-logs/{sync_id}/view': reads('sync_logs', 'external_integrations', 'exchange_payloads', 'message_identities', 'patients', 'scans', 'reports', 'scan_files', 'patient_medical_history', 'patient_merges'),
  'GET /sync-logs/{sync_id}': reads('sync_logs', 'external_integrations'),
  'GET /sync-logs/{sync_id}/payload': reads('sync_logs', 'external_integrations', 'exchange_payloads'),
  'POST /sync-logs/{sync_id}/replay': writes(['sync_logs', 'exchange_payloads', 'message_identities', 'patients', 'patient_identifiers', 'patient_medical_history', 'patient_merges', 'scans', 'scan_queue', 'reports', 'system_alerts'], 'external_integrations'),
  'GET /associations': reads('association_logs', 'external_integrations'),
  'GET /associations/{association_id}': reads('association_logs', 'external_integrations'),
  'POST /message-replays/count': reads('sync_logs', 'message_replay_items'),
  'POST /message-replays': writes(['message_replays', 'message_replay_items'], 'sync_logs'),
  'GET /message-replays': reads('message_replays', 'message_replay_items'),
  'GET /message-replays/{replay_id}': reads('message_replays', 'message_replay_items'),
  'GET /message-replays/{replay_id}/messages': reads('message_replays', 'message_replay_items', 'sync_logs'),
  'POST /message-replays/{replay_id}/cancel': writes(['message_replays'], 'message_replay_items'),
  'GET /deliveries': reads('deliveries', 'external_integrations', 'reports', 'scans'),
  'GET /deliveries/{delivery_id}': reads('deliveries', 'external_integrations', 'reports', 'scans'),
  'POST /deliveries/resend': writes(['deliveries', 'order_notices', 'system_alerts'], 'reports', 'scans'),
  'POST /deliveries/{delivery_id}/resend': writes(['deliveries', 'order_notices', 'system_alerts'], 'external_integrations', 'reports', 'scans'),
  'POST /deliveries/{delivery_id}/discard': writes(['deliveries', 'system_alerts'], 'external_integrations', 'reports', 'scans'),
  'GET /order-notices': reads('order_notices', 'external_integrations', 'scans'),
  'GET /order-notices/{notice_id}': reads('order_notices', 'external_integrations', 'scans'),
  'POST /order-notices/resend': writes(['order_notices', 'system_alerts'], 'deliveries', 'external_integrations', 'reports', 'scans', 'sync_logs'),
  'POST /order-notices/{notice_id}/resend': writes(['order_notices', 'system_alerts'], 'deliveries', 'external_integrations', 'reports', 'scans', 'sync_logs'),
  'POST /order-notices/{notice_id}/discard': writes(['order_notices', 'system_alerts'], 'deliveries', 'external_integrations', 'reports', 'scans', 'sync_logs'),
  'GET /dead-jobs': reads('dead_jobs', 'external_integrations'),
  'GET /dead-jobs/{dead_job_id}': reads('dead_jobs', 'external_integrations'),
  'POST /dead-jobs/{dead_job_id}/retry': writes(['dead_jobs', 'system_alerts', 'scans', 'scan_queue', 'ai_analyses'], 'external_integrations', 'workflow_rules', 'ai_models', 'scan_files'),
  'POST /dead-jobs/{dead_job_id}/discard': writes(['dead_jobs', 'system_alerts'], 'external_integrations'),
  'GET /audit-logs': reads('audit_logs'),
  'POST /audit-logs/verify': reads('audit_logs', 'audit_seals', 'audit_checkpoints'),

  'GET /scan-queue': reads('scan_queue', 'scans'),
  'GET /scan-queue/mine': reads('scan_queue', ...scan),
  'GET /analytics/model-performance': reads('ai_analyses', 'ai_models'),
  'GET /ai-models': reads('ai_models'),
  'GET /ai-models/{model_id}': reads('ai_models'),
  'POST /ai-models': writes(['ai_models', 'configuration_versions'], 'ai_models'),
  'PUT /ai-models/{model_id}': writes(['ai_models', 'configuration_versions'], 'ai_models'),
  'GET /workflow-rules': reads('workflow_rules'),
  'GET /workflow-rules/{rule_id}': reads('workflow_rules'),
  'POST /workflow-rules': writes(['workflow_rules', 'configuration_versions'], 'ai_models', 'external_integrations', 'users'),
  'PUT /workflow-rules/{rule_id}': writes(['workflow_rules', 'configuration_versions'], 'ai_models', 'external_integrations', 'users'),
  'GET /report-templates': reads('report_templates'),
  'GET /report-templates/{template_id}': reads('report_templates'),
  'POST /report-templates': writes(['report_templates']),
  'PUT /report-templates/{template_id}': writes(['report_templates']),
  'GET /system-settings': reads('system_settings'),
  'PUT /system-settings/{setting_key}': writes(['system_settings'], 'system_settings'),
  'GET /system-alerts': reads('system_alerts'),
  'POST /system-alerts/{alert_id}/acknowledge': writes(['system_alerts']),
};

/** Read by no route. */
export const withoutRoute: Readonly<Record<string, string>> = {
  performed_procedures: 'a matter between DICOM systems',
  storage_commitments: 'a matter between DICOM systems',
  system_metrics: 'written by the sampler; the same figures are at `/metrics`',
  audit_checkpoints: 'signed heads; `POST /audit-logs/verify` uses them',
};
