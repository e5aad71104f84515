/** The categories of the database's documentation, each with its tables. `additions` are ours beside the 21. */
export interface Category { readonly title: string; readonly tables: Readonly<Record<string, string>>; readonly additions: Readonly<Record<string, string>> }

export const categories: readonly Category[] = [
  {
    title: 'Authentication & access control',
    tables: {
      organizations: 'healthcare institutions: the tenants', users: 'people and service accounts', user_sessions: 'browser sessions and API tokens, hashed',
      user_preferences: 'choices of one user',
    },
    additions: {},
  },
  {
    title: 'Patient management',
    tables: { patients: 'demographics', patient_medical_history: 'conditions, allergies, procedures, medication, visits' },
    additions: { patient_identifiers: 'every number a patient is known by, with its assigning authority', patient_merges: 'journal of merges, by which one can be undone', patient_links: 'two records of one person (ADT^A24)' },
  },
  {
    title: 'Medical imaging',
    tables: { scans: 'one row per study, with its order', scan_files: 'one row per DICOM instance', scan_queue: 'where a scan stands, as a person sees it' },
    additions: { scan_arrivals: 'scans of which a sender may still bring images', performed_procedures: 'what a modality says it did (MPPS)', source_counts: 'how many images the source says a scan has', prior_searches: 'questions for earlier studies', study_retrievals: 'studies and missing images that a source is to send' },
  },
  {
    title: 'AI processing',
    tables: { ai_models: 'models, versions, settings', ai_analyses: 'one model on one scan', findings: 'what a model found, where and how sure' },
    additions: { reidentification_vault: 'sealed: what stands behind the UIDs under which images left' },
  },
  {
    title: 'Reporting & documentation',
    tables: { reports: 'versions of a report', report_templates: 'text with slots' },
    additions: { deliveries: 'outbox: one row per report version and destination', order_notices: 'what those who placed an order are told of it' },
  },
  {
    title: 'Analytics & monitoring',
    tables: { system_metrics: 'samples, by month', audit_logs: 'who did what, by month, append-only', system_alerts: 'what a person should look at' },
    additions: { audit_seals: 'hash chain over audit_logs', audit_checkpoints: 'signed heads of the chain', maintenance_runs: 'reviews of a week, baselines of models, archives of the audit log', dead_jobs: 'jobs that failed for good, for a person to decide about' },
  },
  {
    title: 'Configuration',
    tables: { system_settings: 'versioned settings', workflow_rules: 'conditions and actions' },
    additions: { configuration_versions: 'earlier versions of integrations, rules and models' },
  },
  {
    title: 'Integration',
    tables: { external_integrations: 'connections to PACS, RIS, EMR', sync_logs: 'every exchange, both directions, by month' },
    additions: { exchange_payloads: 'bytes of HL7 and FHIR messages and of answers', message_identities: 'which message is a repeat', message_replays: 'requests to receive refused messages again', message_replay_items: 'their messages, with what became of each', association_logs: 'DICOM associations: who, what was offered, how it ended', record_names: 'what senders call records: logical ids of FHIR resources', record_versions: 'patients and orders as they were before they changed', record_exports: 'whole sets of records in files, asked for by a system', record_pulls: 'how far a system that does not send was read', result_subscriptions: 'who wants to hear of results at once, and what they have heard', result_subscription_events: 'the results each of them is told of, numbered', storage_commitments: 'requests for Storage Commitment and their answers', asked_commitments: 'Storage Commitment that the gateway asks for', worklist_polls: 'when a RIS was asked for its worklist' },
  },
];

export const allTables: ReadonlyMap<string, string> = new Map(categories.flatMap(({ tables, additions }) => [...Object.entries(tables), ...Object.entries(additions)]));
