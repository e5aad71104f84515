-- The MedScan Gateway's database, schema version 1.16.2. Generated from migrations/ by "npm run schemas"; change those, not this file.
--
--   createdb -E UTF8 -T template0 medscan_ai
--   psql -v ON_ERROR_STOP=1 medscan_ai < schemas/medscan_schema.sql
--
-- For an empty database of PostgreSQL 13 or newer. The role that loads it owns the tables; it may create extensions (uuid-ossp, pgcrypto)
-- and, for row level security to hold, the role medscan_app. Start the gateway with that role in DATABASE_URL: it finds every migration
-- applied and adds its queue's schema (pgboss) and its own login.

BEGIN;

-- ======== migrations/0001_organizations_and_access.sql ========

-- schema-version: 1.0.0
-- Organizations, users, sessions and preferences; the functions every other table uses.
-- Every table of a tenant starts its keys with organization_id; row level security is switched on in 0007 for all of them at once.

CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
CREATE EXTENSION IF NOT EXISTS pgcrypto;

-- The role that the gateway works as: not the owner, so that row level security holds. `medscan migrate` gives it a login.
DO $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    CREATE ROLE medscan_app NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;
  WHEN insufficient_privilege THEN RAISE NOTICE 'medscan_app cannot be created by this role; the gateway will work as %', current_user;
END $$;

-- UUID version 7 (RFC 9562 5.7): the first 48 bits are milliseconds, so that new keys lie next to each other in an index.
CREATE FUNCTION medscan_uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

CREATE FUNCTION medscan_touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END $$;

CREATE TABLE organizations (
  organization_id    uuid PRIMARY KEY DEFAULT medscan_uuid_v7(),
  name               text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  organization_type  text NOT NULL DEFAULT 'hospital' CHECK (organization_type IN ('hospital', 'clinic', 'imaging_center', 'research')),
  subscription_plan  text NOT NULL DEFAULT 'professional' CHECK (subscription_plan IN ('basic', 'professional', 'enterprise')),
  time_zone          text NOT NULL DEFAULT 'UTC',
  is_active          boolean NOT NULL DEFAULT true,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now()
);
-- Names tell tenants apart at the command line, so they are unique there; no tenant can read another's row.
CREATE UNIQUE INDEX organizations_name_key ON organizations (lower(name));

-- Traffic that no organization claims (an unknown AE title, an unknown sending application) is on record here.
INSERT INTO organizations (organization_id, name, organization_type, subscription_plan)
VALUES ('00000000-0000-0000-0000-000000000000', 'Unassigned', 'research', 'basic');

CREATE TABLE users (
  organization_id    uuid NOT NULL REFERENCES organizations,
  user_id            uuid NOT NULL DEFAULT medscan_uuid_v7(),
  email              text NOT NULL CHECK (email LIKE '%_@_%'),
  display_name       text NOT NULL,
  role               text NOT NULL CHECK (role IN ('radiologist', 'physician', 'administrator', 'technician', 'nurse', 'integrator', 'service')),
  password_hash      text,
  mfa_secret_sealed  text,
  is_active          boolean NOT NULL DEFAULT true,
  failed_attempts    integer NOT NULL DEFAULT 0,
  locked_until       timestamptz,
  last_login_at      timestamptz,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, user_id)
);
CREATE UNIQUE INDEX users_email_key ON users (organization_id, lower(email));
CREATE INDEX users_email_login ON users (lower(email));

-- Browser sessions and API tokens: only the SHA-256 of the 256-bit token is here.
CREATE TABLE user_sessions (
  organization_id    uuid NOT NULL,
  session_id         uuid NOT NULL DEFAULT medscan_uuid_v7(),
  user_id            uuid NOT NULL,
  kind               text NOT NULL DEFAULT 'browser' CHECK (kind IN ('browser', 'api_token')),
  token_name         text,
  token_hash         text NOT NULL,
  scopes             text[] NOT NULL DEFAULT '{}',
  ip_address         text,
  user_agent         text,
  created_at         timestamptz NOT NULL DEFAULT now(),
  last_seen_at       timestamptz NOT NULL DEFAULT now(),
  idle_expires_at    timestamptz,
  expires_at         timestamptz,
  revoked_at         timestamptz,
  updated_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, session_id),
  FOREIGN KEY (organization_id, user_id) REFERENCES users ON DELETE CASCADE
);
CREATE UNIQUE INDEX user_sessions_token_key ON user_sessions (organization_id, token_hash);
CREATE INDEX user_sessions_token_lookup ON user_sessions (token_hash);

CREATE TABLE user_preferences (
  organization_id    uuid NOT NULL,
  user_id            uuid NOT NULL,
  preference_key     text NOT NULL,
  value              jsonb NOT NULL,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, user_id, preference_key),
  FOREIGN KEY (organization_id, user_id) REFERENCES users ON DELETE CASCADE
);

-- ======== migrations/0002_patients.sql ========

-- Patients, their identifiers, their history, and the journal of merges.
-- Text columns of a patient hold either the value or, when MEDSCAN_ENCRYPTION_KEY is configured, its sealed form 'v1.<key>.<...>'.

CREATE TABLE patients (
  organization_id        uuid NOT NULL REFERENCES organizations,
  patient_id             uuid NOT NULL DEFAULT medscan_uuid_v7(),
  patient_number         text NOT NULL,
  family_name            text,
  given_name             text,
  middle_name            text,
  name_prefix            text,
  name_suffix            text,
  ideographic_name       text,
  phonetic_name          text,
  birth_date             text,  -- ISO 8601 cut to its precision: 1980, 1980-05, 1980-05-17
  birth_date_precision   text CHECK (birth_date_precision IN ('year', 'month', 'day')),
  sex                    text CHECK (sex IN ('male', 'female', 'other', 'unknown')),
  address                jsonb,
  telecom                jsonb,
  deceased               boolean,
  deceased_at            text,
  is_active              boolean NOT NULL DEFAULT true,
  merged_into_patient_id uuid,
  -- 'quarantined': the sender gave no usable identifier, or one that contradicts what is stored; a person or a late ADT decides.
  identity_status        text NOT NULL DEFAULT 'established' CHECK (identity_status IN ('established', 'quarantined')),
  -- column -> {authority, sync_id, at}: who said it last.
  provenance             jsonb NOT NULL DEFAULT '{}',
  created_at             timestamptz NOT NULL DEFAULT now(),
  updated_at             timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, patient_id),
  FOREIGN KEY (organization_id, merged_into_patient_id) REFERENCES patients
);
CREATE INDEX patients_merged_into ON patients (organization_id, merged_into_patient_id) WHERE merged_into_patient_id IS NOT NULL;
CREATE INDEX patients_number ON patients (organization_id, patient_number);

-- value_index is what is searched: the value itself, or its keyed HMAC when values are sealed.
CREATE TABLE patient_identifiers (
  organization_id        uuid NOT NULL,
  patient_identifier_id  uuid NOT NULL DEFAULT medscan_uuid_v7(),
  patient_id             uuid NOT NULL,
  assigning_authority    text NOT NULL DEFAULT '',
  value                  text NOT NULL,
  value_index            text NOT NULL,
  type_code              text,
  is_current             boolean NOT NULL DEFAULT true,
  created_at             timestamptz NOT NULL DEFAULT now(),
  updated_at             timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, patient_identifier_id),
  FOREIGN KEY (organization_id, patient_id) REFERENCES patients,
  UNIQUE (organization_id, value_index, assigning_authority)
);
CREATE INDEX patient_identifiers_patient ON patient_identifiers (organization_id, patient_id);

CREATE TABLE patient_medical_history (
  organization_id    uuid NOT NULL,
  history_id         uuid NOT NULL DEFAULT medscan_uuid_v7(),
  patient_id         uuid NOT NULL,
  kind               text NOT NULL CHECK (kind IN ('condition', 'allergy', 'procedure', 'medication', 'visit')),
  code               text,
  code_system        text,
  display            text NOT NULL,
  onset              text,
  status             text,
  severity           text,
  detail             jsonb NOT NULL DEFAULT '{}',
  -- what makes two statements the same one: kind, code and onset
  statement_key      text NOT NULL,
  source_sync_id     uuid,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, history_id),
  FOREIGN KEY (organization_id, patient_id) REFERENCES patients,
  UNIQUE (organization_id, patient_id, statement_key)
);

CREATE TABLE patient_merges (
  organization_id      uuid NOT NULL,
  merge_id             uuid NOT NULL DEFAULT medscan_uuid_v7(),
  survivor_patient_id  uuid NOT NULL,
  prior_patient_id     uuid NOT NULL,
  source_sync_id       uuid,
  -- what moved, so that the merge can be undone: {scans: [...], identifiers: [...], history: [...]}
  moved                jsonb NOT NULL DEFAULT '{}',
  merged_at            timestamptz NOT NULL DEFAULT now(),
  unmerged_at          timestamptz,
  created_at           timestamptz NOT NULL DEFAULT now(),
  updated_at           timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, merge_id),
  FOREIGN KEY (organization_id, survivor_patient_id) REFERENCES patients,
  FOREIGN KEY (organization_id, prior_patient_id) REFERENCES patients
);

-- ======== migrations/0003_integrations.sql ========

-- Remote systems and the record of every exchange with them.

CREATE TABLE external_integrations (
  organization_id     uuid NOT NULL REFERENCES organizations,
  integration_id      uuid NOT NULL DEFAULT medscan_uuid_v7(),
  name                text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
  kind                text NOT NULL CHECK (kind IN ('pacs', 'ris', 'emr', 'modality', 'ai', 'archive')),
  adapter             text NOT NULL,
  direction           text NOT NULL CHECK (direction IN ('inbound', 'outbound', 'both')),
  settings            jsonb NOT NULL DEFAULT '{}',
  credentials_sealed  text,
  mapping_overrides   jsonb NOT NULL DEFAULT '{}',
  is_enabled          boolean NOT NULL DEFAULT true,
  state               text NOT NULL DEFAULT 'active' CHECK (state IN ('draft', 'active')),
  version             integer NOT NULL DEFAULT 1,
  health_status       text NOT NULL DEFAULT 'unknown' CHECK (health_status IN ('unknown', 'ok', 'degraded', 'down')),
  last_ok_at          timestamptz,
  last_error          text,
  last_error_at       timestamptz,
  owner_contact       text,
  purpose             text,
  created_at          timestamptz NOT NULL DEFAULT now(),
  updated_at          timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, integration_id),
  UNIQUE (organization_id, name)
);

-- One row per message, either direction, refused ones too. Two legs: message_status says what became of the message,
-- answer_status whether the other side heard our answer (inbound) or we heard theirs (outbound).
CREATE TABLE sync_logs (
  organization_id   uuid NOT NULL,
  sync_id           uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id    uuid,
  adapter           text NOT NULL,
  direction         text NOT NULL CHECK (direction IN ('inbound', 'outbound')),
  interaction       text NOT NULL,
  control_id        text NOT NULL,
  message_status    text NOT NULL CHECK (message_status IN ('received', 'accepted', 'duplicate', 'rejected', 'failed', 'queued', 'sending', 'delivered', 'refused', 'unreachable', 'unconfirmed')),
  answer_status     text NOT NULL DEFAULT 'unanswered' CHECK (answer_status IN ('answered', 'unanswered')),
  answer_code       text,
  answer_text       text,
  attempt           integer NOT NULL DEFAULT 1,
  started_at        timestamptz NOT NULL DEFAULT now(),
  finished_at       timestamptz,
  duration_ms       double precision,
  byte_size         bigint,
  sha256            text,
  -- 'store:<path>' for a file of the object store, 'database' for exchange_payloads
  payload_location  text,
  correlation_id    uuid,
  peer_address      text,
  peer_application  text,
  error_class       text CHECK (error_class IN ('transient', 'ambiguous', 'permanent')),
  error_text        text,
  error_location    text,
  patient_id        uuid,
  scan_id           uuid,
  report_id         uuid,
  delivery_id       uuid,
  mapping_version   text,
  warnings          jsonb,
  facts             jsonb,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, sync_id, started_at)
) PARTITION BY RANGE (started_at);
CREATE INDEX sync_logs_recent ON sync_logs (organization_id, started_at DESC);
CREATE INDEX sync_logs_control ON sync_logs (organization_id, control_id);
CREATE INDEX sync_logs_scan ON sync_logs (organization_id, scan_id) WHERE scan_id IS NOT NULL;
CREATE INDEX sync_logs_patient ON sync_logs (organization_id, patient_id) WHERE patient_id IS NOT NULL;

-- The bytes of messages that are not DICOM objects, and of answers worth keeping.
CREATE TABLE exchange_payloads (
  organization_id  uuid NOT NULL,
  sync_id          uuid NOT NULL,
  part             text NOT NULL CHECK (part IN ('message', 'answer')),
  media_type       text NOT NULL,
  content          bytea NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, sync_id, part)
);

-- What a sender called its message, with the digest of what it sent: the same pair again is a repeat and is answered as before;
-- the same name with other bytes is another version, kept and never taken for the first.
CREATE TABLE message_identities (
  organization_id  uuid NOT NULL,
  integration_id   uuid NOT NULL,
  sender           text NOT NULL DEFAULT '',
  control_id       text NOT NULL,
  sha256           text NOT NULL,
  interaction      text NOT NULL,
  sync_id          uuid NOT NULL,
  links            jsonb NOT NULL DEFAULT '{}',
  answer_code      text,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, integration_id, sender, control_id, sha256),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);

-- ======== migrations/0004_scans.sql ========

-- Scans (one per study), their files, and the queue a person sees.

CREATE SEQUENCE scan_number_sequence;

CREATE TABLE scans (
  organization_id        uuid NOT NULL REFERENCES organizations,
  scan_id                uuid NOT NULL DEFAULT medscan_uuid_v7(),
  scan_number            text NOT NULL DEFAULT 'S' || to_char(now(), 'YYMMDD') || '-' || lpad(nextval('scan_number_sequence')::text, 6, '0'),
  patient_id             uuid NOT NULL,
  scan_type              text NOT NULL CHECK (scan_type IN ('xray', 'ct', 'mri', 'ultrasound', 'mammogram', 'pet', 'nuclear', 'other')),
  study_instance_uid     text,
  study_id               text,
  accession_number       text,
  placer_order_number    text,
  filler_order_number    text,
  order_status           text CHECK (order_status IN ('ordered', 'held', 'cancelled')),
  procedure_code         text,
  procedure_system       text,
  procedure_description  text,
  study_description      text,
  reason                 text,
  requesting_physician   text,
  referring_physician    text,
  modalities             text[] NOT NULL DEFAULT '{}',
  body_part              text,
  laterality             text,
  priority               text NOT NULL DEFAULT 'routine' CHECK (priority IN ('routine', 'urgent', 'emergency', 'stat')),
  status                 text NOT NULL DEFAULT 'in_progress' CHECK (status IN ('scheduled', 'in_progress', 'completed', 'cancelled', 'failed')),
  scheduled_at           timestamptz,
  study_at               timestamptz,
  institution_name       text,
  station_name           text,
  instance_count         integer NOT NULL DEFAULT 0,
  series_count           integer NOT NULL DEFAULT 0,
  total_bytes            bigint NOT NULL DEFAULT 0,
  expected_instances     integer,
  first_instance_at      timestamptz,
  last_instance_at       timestamptz,
  images_complete_at     timestamptz,
  -- which proof fired: quiet_time, forced, mpps, instance_count
  completeness_proof     text CHECK (completeness_proof IN ('quiet_time', 'forced', 'mpps', 'instance_count', 'series_list')),
  completion_run         integer NOT NULL DEFAULT 0,
  created_at             timestamptz NOT NULL DEFAULT now(),
  updated_at             timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, scan_id),
  UNIQUE (organization_id, scan_number),
  FOREIGN KEY (organization_id, patient_id) REFERENCES patients
);
CREATE UNIQUE INDEX scans_study_key ON scans (organization_id, study_instance_uid) WHERE study_instance_uid IS NOT NULL;
CREATE INDEX scans_accession ON scans (organization_id, accession_number) WHERE accession_number IS NOT NULL;
CREATE INDEX scans_placer_order ON scans (organization_id, placer_order_number) WHERE placer_order_number IS NOT NULL;
CREATE INDEX scans_filler_order ON scans (organization_id, filler_order_number) WHERE filler_order_number IS NOT NULL;
CREATE INDEX scans_patient ON scans (organization_id, patient_id);
CREATE INDEX scans_recent ON scans (organization_id, created_at DESC);

CREATE TABLE scan_files (
  organization_id        uuid NOT NULL,
  scan_file_id           uuid NOT NULL DEFAULT medscan_uuid_v7(),
  scan_id                uuid NOT NULL,
  series_instance_uid    text NOT NULL,
  series_number          integer,
  series_description     text,
  modality               text,
  body_part              text,
  sop_instance_uid       text NOT NULL,
  sop_class_uid          text NOT NULL,
  transfer_syntax_uid    text NOT NULL,
  instance_number        integer,
  rows                   integer,
  columns                integer,
  number_of_frames       integer,
  bits_allocated         integer,
  byte_size              bigint NOT NULL,
  dataset_offset         integer NOT NULL,
  sha256                 text NOT NULL,  -- of the dataset as received
  storage_location       text NOT NULL,
  received_at            timestamptz NOT NULL,
  source_integration_id  uuid,
  source_sync_id         uuid,
  status                 text NOT NULL DEFAULT 'stored' CHECK (status IN ('stored', 'quarantined', 'archived', 'deleted')),
  conflict_of            uuid,
  created_at             timestamptz NOT NULL DEFAULT now(),
  updated_at             timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, scan_file_id),
  UNIQUE (organization_id, sop_instance_uid, sha256),
  FOREIGN KEY (organization_id, scan_id) REFERENCES scans
);
CREATE INDEX scan_files_scan ON scan_files (organization_id, scan_id, series_instance_uid);

CREATE TABLE scan_queue (
  organization_id      uuid NOT NULL,
  queue_id             uuid NOT NULL DEFAULT medscan_uuid_v7(),
  scan_id              uuid NOT NULL,
  status               text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'assigned', 'in_progress', 'completed', 'paused', 'cancelled')),
  priority_score       integer NOT NULL DEFAULT 0,
  queue_entered_at     timestamptz NOT NULL DEFAULT now(),
  assigned_to_user_id  uuid,
  assigned_at          timestamptz,
  started_at           timestamptz,
  completed_at         timestamptz,
  sla_due_at           timestamptz,
  sla_breached_at      timestamptz,
  why_waiting          text,
  job_id               uuid,
  created_at           timestamptz NOT NULL DEFAULT now(),
  updated_at           timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, queue_id),
  UNIQUE (organization_id, scan_id),
  FOREIGN KEY (organization_id, scan_id) REFERENCES scans,
  FOREIGN KEY (organization_id, assigned_to_user_id) REFERENCES users (organization_id, user_id)
);
CREATE INDEX scan_queue_worklist ON scan_queue (organization_id, assigned_to_user_id, status, priority_score DESC, queue_entered_at);
CREATE INDEX scan_queue_open ON scan_queue (organization_id, status, priority_score DESC, queue_entered_at);

-- ======== migrations/0005_ai_and_reports.sql ========

-- Models, analyses, findings, reports, templates, and the outbox of deliveries.

CREATE TABLE ai_models (
  organization_id    uuid NOT NULL REFERENCES organizations,
  model_id           uuid NOT NULL DEFAULT medscan_uuid_v7(),
  model_name         text NOT NULL,
  model_version      text NOT NULL,
  manufacturer       text NOT NULL DEFAULT '',
  runtime            text NOT NULL CHECK (runtime IN ('onnx', 'kserve', 'http', 'command', 'dicom-node')),
  scan_types         text[] NOT NULL DEFAULT '{}',
  body_parts         text[] NOT NULL DEFAULT '{}',
  config             jsonb NOT NULL DEFAULT '{}',
  checksum           text,
  not_for_clinical_use boolean NOT NULL DEFAULT true,
  status             text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'active', 'retired')),
  baseline_metrics   jsonb NOT NULL DEFAULT '{}',
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, model_id),
  UNIQUE (organization_id, model_name, model_version)
);

CREATE TABLE ai_analyses (
  organization_id              uuid NOT NULL,
  analysis_id                  uuid NOT NULL DEFAULT medscan_uuid_v7(),
  scan_id                      uuid NOT NULL,
  model_id                     uuid NOT NULL,
  status                       text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'processing', 'completed', 'failed', 'cancelled', 'timeout')),
  completion_run               integer NOT NULL DEFAULT 1,
  input_digest                 text NOT NULL,
  supersedes_analysis_id       uuid,
  processing_start_time        timestamptz,
  processing_end_time          timestamptz,
  processing_duration_seconds  double precision,
  confidence_score             double precision,
  result                       jsonb,
  error_class                  text,
  error_text                   text,
  attempt                      integer NOT NULL DEFAULT 0,
  worker                       text,
  created_at                   timestamptz NOT NULL DEFAULT now(),
  updated_at                   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, analysis_id),
  -- one run per model and study content: a resent study is not analysed twice
  UNIQUE (organization_id, scan_id, model_id, input_digest),
  FOREIGN KEY (organization_id, scan_id) REFERENCES scans,
  FOREIGN KEY (organization_id, model_id) REFERENCES ai_models,
  FOREIGN KEY (organization_id, supersedes_analysis_id) REFERENCES ai_analyses (organization_id, analysis_id)
);
CREATE INDEX ai_analyses_performance ON ai_analyses (organization_id, processing_start_time) WHERE status = 'completed';
CREATE INDEX ai_analyses_open ON ai_analyses (organization_id, status) WHERE status IN ('queued', 'processing');

CREATE TABLE findings (
  organization_id        uuid NOT NULL,
  finding_id             uuid NOT NULL DEFAULT medscan_uuid_v7(),
  analysis_id            uuid NOT NULL,
  tracking_uid           text NOT NULL,
  finding_type           text NOT NULL,
  finding_code           text,
  finding_code_system    text,
  severity               text NOT NULL CHECK (severity IN ('low', 'medium', 'high', 'critical')),
  confidence_percentage  double precision NOT NULL CHECK (confidence_percentage BETWEEN 0 AND 100),
  description            text NOT NULL,
  body_site              jsonb,
  laterality             text CHECK (laterality IN ('left', 'right', 'bilateral')),
  location               jsonb,
  measurements           jsonb NOT NULL DEFAULT '[]',
  is_confirmed           boolean,
  confirmed_by           uuid,
  confirmed_at           timestamptz,
  created_at             timestamptz NOT NULL DEFAULT now(),
  updated_at             timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, finding_id),
  FOREIGN KEY (organization_id, analysis_id) REFERENCES ai_analyses,
  FOREIGN KEY (organization_id, confirmed_by) REFERENCES users (organization_id, user_id)
);
CREATE INDEX findings_analysis ON findings (organization_id, analysis_id);
CREATE INDEX findings_unreviewed ON findings (organization_id, severity) WHERE is_confirmed IS NULL;

CREATE TABLE report_templates (
  organization_id    uuid NOT NULL REFERENCES organizations,
  template_id        uuid NOT NULL DEFAULT medscan_uuid_v7(),
  name               text NOT NULL,
  scan_types         text[] NOT NULL DEFAULT '{}',
  body_parts         text[] NOT NULL DEFAULT '{}',
  version            integer NOT NULL DEFAULT 1,
  -- section -> text with named slots {{findings}}, {{finding_count}} ...
  sections           jsonb NOT NULL,
  is_active          boolean NOT NULL DEFAULT true,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, template_id),
  UNIQUE (organization_id, name, version)
);

CREATE TABLE reports (
  organization_id        uuid NOT NULL,
  report_id              uuid NOT NULL DEFAULT medscan_uuid_v7(),
  -- the report_id of the first version: what receivers know the report by
  lineage_id             uuid NOT NULL,
  version                integer NOT NULL DEFAULT 1,
  supersedes_report_id   uuid,
  scan_id                uuid NOT NULL,
  analysis_id            uuid,
  status                 text NOT NULL CHECK (status IN ('preliminary', 'final', 'amended', 'corrected', 'cancelled', 'entered-in-error')),
  template_id            uuid,
  indication             text,
  technique              text,
  findings_text          text NOT NULL,
  impression             text NOT NULL,
  conclusion_codes       jsonb NOT NULL DEFAULT '[]',
  author_kind            text NOT NULL CHECK (author_kind IN ('device', 'user', 'external')),
  author_name            text NOT NULL,
  signed_by              uuid,
  signed_at              timestamptz,
  -- the ReportDocument as it is sent: what every destination gets, also after rows have moved on
  document               jsonb NOT NULL,
  created_at             timestamptz NOT NULL DEFAULT now(),
  updated_at             timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, report_id),
  UNIQUE (organization_id, lineage_id, version),
  FOREIGN KEY (organization_id, scan_id) REFERENCES scans,
  FOREIGN KEY (organization_id, analysis_id) REFERENCES ai_analyses,
  FOREIGN KEY (organization_id, supersedes_report_id) REFERENCES reports (organization_id, report_id),
  FOREIGN KEY (organization_id, template_id) REFERENCES report_templates
);
CREATE INDEX reports_scan ON reports (organization_id, scan_id);

-- The outbox: one row per report version and destination, sent in order of `position`.
CREATE SEQUENCE delivery_position_sequence;
CREATE TABLE deliveries (
  organization_id  uuid NOT NULL,
  delivery_id      uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id   uuid NOT NULL,
  report_id        uuid NOT NULL,
  position         bigint NOT NULL DEFAULT nextval('delivery_position_sequence'),
  status           text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'sending', 'delivered', 'refused', 'skipped')),
  attempts         integer NOT NULL DEFAULT 0,
  next_attempt_at  timestamptz NOT NULL DEFAULT now(),
  last_outcome     text,
  last_text        text,
  delivered_at     timestamptz,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, delivery_id),
  UNIQUE (organization_id, integration_id, report_id),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations,
  FOREIGN KEY (organization_id, report_id) REFERENCES reports
);
CREATE INDEX deliveries_open ON deliveries (organization_id, integration_id, position) WHERE status IN ('queued', 'sending');

-- ======== migrations/0006_operations.sql ========

-- Audit, metrics, alerts, settings, rules, and the history of configuration.

-- Append-only for the application role (0007 grants INSERT and SELECT only). Sealed behind the writer by audit_seals.
CREATE SEQUENCE audit_sequence;
CREATE TABLE audit_logs (
  organization_id   uuid NOT NULL,
  audit_id          uuid NOT NULL DEFAULT medscan_uuid_v7(),
  sequence          bigint NOT NULL DEFAULT nextval('audit_sequence'),
  occurred_at       timestamptz NOT NULL DEFAULT now(),
  -- DICOM PS3.15 A.5 event code (DCM 110104 Instances Transferred ...), or our own in the same manner
  event_code        text NOT NULL,
  event_name        text NOT NULL,
  action            text NOT NULL CHECK (action IN ('C', 'R', 'U', 'D', 'E')),
  outcome           text NOT NULL CHECK (outcome IN ('success', 'minor_failure', 'serious_failure', 'major_failure')),
  actor_kind        text NOT NULL CHECK (actor_kind IN ('user', 'application', 'system')),
  actor_id          text NOT NULL,
  actor_role        text,
  network_address   text,
  object_type       text,
  object_id         text,
  patient_id        uuid,
  sync_id           uuid,
  request_id        text,
  detail            jsonb NOT NULL DEFAULT '{}',
  created_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, audit_id, occurred_at)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX audit_logs_recent ON audit_logs (organization_id, occurred_at DESC);
CREATE INDEX audit_logs_sequence ON audit_logs (organization_id, sequence);
CREATE INDEX audit_logs_patient ON audit_logs (organization_id, patient_id) WHERE patient_id IS NOT NULL;

-- A hash chain per organization over its audit rows, made behind the writers: hash = SHA-256(previous hash, the row's canonical JSON).
CREATE TABLE audit_seals (
  organization_id   uuid NOT NULL,
  position          bigint NOT NULL,
  audit_id          uuid NOT NULL,
  audit_sequence    bigint NOT NULL,
  occurred_at       timestamptz NOT NULL,
  previous_hash     text NOT NULL,
  hash              text NOT NULL,
  created_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, position),
  UNIQUE (organization_id, audit_id)
);

CREATE TABLE audit_checkpoints (
  organization_id   uuid NOT NULL,
  position          bigint NOT NULL,
  hash              text NOT NULL,
  signature         text NOT NULL,
  public_key        text NOT NULL,
  created_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, position)
);

CREATE TABLE system_metrics (
  organization_id   uuid NOT NULL,
  metric_id         uuid NOT NULL DEFAULT medscan_uuid_v7(),
  measured_at       timestamptz NOT NULL DEFAULT now(),
  metric_name       text NOT NULL,
  labels            jsonb NOT NULL DEFAULT '{}',
  value             double precision NOT NULL,
  node              text NOT NULL,
  created_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, metric_id, measured_at)
) PARTITION BY RANGE (measured_at);
CREATE INDEX system_metrics_series ON system_metrics (organization_id, metric_name, measured_at DESC);

CREATE TABLE system_alerts (
  organization_id   uuid NOT NULL REFERENCES organizations,
  alert_id          uuid NOT NULL DEFAULT medscan_uuid_v7(),
  kind              text NOT NULL,
  severity          text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
  subject           text NOT NULL,
  message           text NOT NULL,
  occurrences       integer NOT NULL DEFAULT 1,
  opened_at         timestamptz NOT NULL DEFAULT now(),
  last_seen_at      timestamptz NOT NULL DEFAULT now(),
  acknowledged_by   uuid,
  acknowledged_at   timestamptz,
  resolved_at       timestamptz,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, alert_id)
);
CREATE UNIQUE INDEX system_alerts_one_open ON system_alerts (organization_id, kind, subject) WHERE resolved_at IS NULL;

-- Every change is a new version; the highest is in force. Settings of the whole installation belong to the organization 'Unassigned'.
CREATE TABLE system_settings (
  organization_id   uuid NOT NULL REFERENCES organizations,
  setting_key       text NOT NULL,
  version           integer NOT NULL,
  value             jsonb NOT NULL,
  changed_by        text NOT NULL,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, setting_key, version)
);

CREATE TABLE workflow_rules (
  organization_id   uuid NOT NULL REFERENCES organizations,
  rule_id           uuid NOT NULL DEFAULT medscan_uuid_v7(),
  name              text NOT NULL,
  rule_order        integer NOT NULL DEFAULT 100,
  -- {all|any: [{field, equals|in|exists}, ...]} over the scan's columns
  conditions        jsonb NOT NULL DEFAULT '{}',
  -- [{action: run_model, model_name, model_version?}, {action: set_priority, priority}, {action: assign, user_email}, {action: deliver_to, integration}]
  actions           jsonb NOT NULL DEFAULT '[]',
  is_enabled        boolean NOT NULL DEFAULT true,
  state             text NOT NULL DEFAULT 'active' CHECK (state IN ('draft', 'active')),
  version           integer NOT NULL DEFAULT 1,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, rule_id),
  UNIQUE (organization_id, name)
);

CREATE TABLE configuration_versions (
  organization_id   uuid NOT NULL,
  table_name        text NOT NULL,
  row_id            uuid NOT NULL,
  version           integer NOT NULL,
  value             jsonb NOT NULL,
  changed_by        text NOT NULL,
  created_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, table_name, row_id, version)
);

-- ======== migrations/0007_partitions_and_row_level_security.sql ========

-- Monthly partitions of the append-only tables; triggers; row level security; what the application role may do.

-- Makes the partitions from last month to `months_ahead` months from now that do not exist yet. Returns how many it made.
CREATE FUNCTION medscan_ensure_partitions(months_ahead integer DEFAULT 3) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  parent text;
  first_day date;
  partition_name text;
  made integer := 0;
BEGIN
  FOREACH parent IN ARRAY ARRAY['sync_logs', 'audit_logs', 'system_metrics'] LOOP
    FOR i IN -1..months_ahead LOOP
      first_day := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i))::date;
      partition_name := parent || '_' || to_char(first_day, 'YYYY_MM');
      IF to_regclass(partition_name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', partition_name, parent,
          first_day || ' 00:00:00+00', (first_day + interval '1 month')::date || ' 00:00:00+00');
        -- Reached through the parent only: no policy and no grant here means no direct access.
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', partition_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', partition_name);
        made := made + 1;
      END IF;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;
-- A row outside every month is kept rather than refused.
CREATE TABLE sync_logs_default PARTITION OF sync_logs DEFAULT;
CREATE TABLE audit_logs_default PARTITION OF audit_logs DEFAULT;
CREATE TABLE system_metrics_default PARTITION OF system_metrics DEFAULT;
SELECT medscan_ensure_partitions();

DO $$
DECLARE
  t record;
BEGIN
  FOR t IN SELECT c.oid, c.relname, c.relispartition FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
             AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped) LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t.relname);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t.relname);
    IF NOT t.relispartition THEN
      EXECUTE format('CREATE POLICY tenant ON %I USING (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)', t.relname);
      IF EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = t.oid AND attname = 'updated_at') THEN
        EXECUTE format('CREATE TRIGGER touch_updated_at BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at()', t.relname);
      END IF;
    END IF;
  END LOOP;
END $$;

-- Reads that come before the tenant is known: which organization an AE title, a login or a token belongs to, and the lists that
-- schedules walk. Reading only, and only when a transaction says so (app.scope = 'system').
CREATE POLICY system_reads ON organizations FOR SELECT USING (current_setting('app.scope', true) = 'system');
CREATE POLICY system_reads ON users FOR SELECT USING (current_setting('app.scope', true) = 'system');
CREATE POLICY system_reads ON user_sessions FOR SELECT USING (current_setting('app.scope', true) = 'system');
CREATE POLICY system_reads ON external_integrations FOR SELECT USING (current_setting('app.scope', true) = 'system');
-- Settings of the installation are read by everyone.
CREATE POLICY installation_settings ON system_settings FOR SELECT USING (organization_id = '00000000-0000-0000-0000-000000000000');

DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO medscan_app', current_schema());
    GRANT SELECT, INSERT, UPDATE ON organizations, users, user_sessions, user_preferences, patients, patient_identifiers, patient_medical_history,
      patient_merges, external_integrations, sync_logs, exchange_payloads, message_identities, scans, scan_files, scan_queue, ai_models, ai_analyses,
      findings, report_templates, reports, deliveries, system_alerts, workflow_rules TO medscan_app;
    GRANT DELETE ON user_sessions, user_preferences, patient_identifiers, exchange_payloads, message_identities TO medscan_app;
    GRANT SELECT, INSERT ON audit_logs, audit_seals, audit_checkpoints, system_metrics, system_settings, configuration_versions TO medscan_app;
    GRANT USAGE ON SEQUENCE scan_number_sequence, delivery_position_sequence, audit_sequence TO medscan_app;
  END IF;
END $$;

-- ======== migrations/0008_store_instances.sql ========

-- schema-version: 1.1.0
-- The hot path of C-STORE as one statement: instances of studies that are open and whose patient was compared before. Everything else
-- (a study's first instance, a conflict, a completed scan) is left to the application: those items come back as 'slow', untouched.
-- One call is one transaction: files, counts, exchanges and audit rows of many senders commit together or not at all.

CREATE FUNCTION medscan_store_instances(p_organization_id uuid, p_items jsonb)
RETURNS TABLE (item integer, outcome text, out_scan_file_id uuid, out_scan_id uuid, out_patient_id uuid) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.organization_id', p_organization_id::text, true);
  -- Batches lock their scans in one order, and wait for a completion that holds one.
  PERFORM 1 FROM scans s WHERE s.organization_id = p_organization_id
    AND s.scan_id IN (SELECT (i->>'scan_id')::uuid FROM jsonb_array_elements(p_items) i) ORDER BY s.scan_id FOR UPDATE;
  RETURN QUERY
  WITH items AS MATERIALIZED (
    SELECT r.*, row_number() OVER (PARTITION BY r.sop_instance_uid, r.sha256 ORDER BY r.item) AS nth,
      EXISTS (SELECT 1 FROM jsonb_array_elements(p_items) o WHERE o->>'sop_instance_uid' = r.sop_instance_uid AND o->>'sha256' <> r.sha256) AS is_contested
    FROM jsonb_to_recordset(p_items) AS r(item int, sync_id uuid, scan_file_id uuid, scan_id uuid, patient_id uuid, integration_id uuid, adapter text, interaction text,
      series_instance_uid text, series_number int, series_description text, modality text, body_part text, sop_instance_uid text, sop_class_uid text,
      transfer_syntax_uid text, instance_number int, rows int, columns int, number_of_frames int, bits_allocated int, byte_size bigint, dataset_offset int, sha256 text,
      storage_location text, received_at timestamptz, finished_at timestamptz, duration_ms float8, scan_type text, peer_address text, peer_application text,
      mapping_version text, warnings jsonb, facts jsonb)),
  judged AS MATERIALIZED (
    SELECT i.*, f.scan_file_id AS stored_file_id, f.scan_id AS stored_scan_id, CASE
      WHEN s.scan_id IS NULL OR i.is_contested THEN 'slow'
      WHEN f.sha256 = i.sha256 THEN 'duplicate'
      WHEN f.scan_file_id IS NOT NULL THEN 'slow'
      WHEN i.nth > 1 THEN 'duplicate'
      ELSE 'accepted' END AS verdict
    FROM items i
    LEFT JOIN scans s ON s.organization_id = p_organization_id AND s.scan_id = i.scan_id AND s.patient_id = i.patient_id AND s.status = 'in_progress' AND s.images_complete_at IS NULL
    LEFT JOIN LATERAL (SELECT x.scan_file_id, x.scan_id, x.sha256 FROM scan_files x WHERE x.organization_id = p_organization_id AND x.sop_instance_uid = i.sop_instance_uid
      ORDER BY x.sha256 = i.sha256 DESC LIMIT 1) f ON true),
  placed AS MATERIALIZED (
    SELECT j.*, CASE WHEN j.verdict = 'accepted' THEN j.scan_file_id
      ELSE coalesce(j.stored_file_id, (SELECT k.scan_file_id FROM judged k WHERE k.sop_instance_uid = j.sop_instance_uid AND k.verdict = 'accepted')) END AS final_file_id
    FROM judged j),
  fresh AS (SELECT * FROM placed WHERE verdict = 'accepted'),
  new_series AS (
    SELECT d.scan_id, count(*) AS series FROM (SELECT DISTINCT x.scan_id, x.series_instance_uid FROM fresh x) d
    WHERE NOT EXISTS (SELECT 1 FROM scan_files f WHERE f.organization_id = p_organization_id AND f.scan_id = d.scan_id AND f.series_instance_uid = d.series_instance_uid)
    GROUP BY d.scan_id),
  arrived AS (
    SELECT x.scan_id, count(*) AS instances, sum(x.byte_size) AS bytes, max(x.received_at) AS last_at, array_agg(DISTINCT x.modality) FILTER (WHERE x.modality IS NOT NULL) AS modalities,
      min(x.scan_type) FILTER (WHERE x.scan_type <> 'other') AS scan_type FROM fresh x GROUP BY x.scan_id),
  inserted AS (
    INSERT INTO scan_files (organization_id, scan_file_id, scan_id, series_instance_uid, series_number, series_description, modality, body_part, sop_instance_uid, sop_class_uid,
      transfer_syntax_uid, instance_number, rows, columns, number_of_frames, bits_allocated, byte_size, dataset_offset, sha256, storage_location, received_at, source_integration_id, source_sync_id)
    SELECT p_organization_id, x.scan_file_id, x.scan_id, x.series_instance_uid, x.series_number, x.series_description, x.modality, x.body_part, x.sop_instance_uid, x.sop_class_uid,
      x.transfer_syntax_uid, x.instance_number, x.rows, x.columns, x.number_of_frames, x.bits_allocated, x.byte_size, x.dataset_offset, x.sha256, x.storage_location, x.received_at,
      x.integration_id, x.sync_id FROM fresh x),
  counted AS (
    UPDATE scans s SET instance_count = s.instance_count + a.instances, series_count = s.series_count + coalesce(n.series, 0), total_bytes = s.total_bytes + a.bytes,
      last_instance_at = greatest(s.last_instance_at, a.last_at),
      modalities = CASE WHEN s.modalities @> coalesce(a.modalities, '{}') THEN s.modalities ELSE ARRAY(SELECT DISTINCT unnest(s.modalities || a.modalities) ORDER BY 1) END,
      scan_type = CASE WHEN s.scan_type = 'other' THEN coalesce(a.scan_type, s.scan_type) ELSE s.scan_type END
    FROM arrived a LEFT JOIN new_series n ON n.scan_id = a.scan_id WHERE s.organization_id = p_organization_id AND s.scan_id = a.scan_id),
  exchanges AS (
    INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at, finished_at, duration_ms, byte_size, sha256,
      payload_location, peer_address, peer_application, patient_id, scan_id, mapping_version, warnings, facts)
    SELECT p_organization_id, x.sync_id, x.integration_id, x.adapter, 'inbound', x.interaction, x.sop_instance_uid, x.verdict, x.received_at, x.finished_at, x.duration_ms, x.byte_size,
      x.sha256, CASE WHEN x.verdict = 'accepted' THEN 'store:' || x.storage_location END, x.peer_address, x.peer_application, x.patient_id, coalesce(x.stored_scan_id, x.scan_id),
      x.mapping_version, x.warnings, x.facts
    FROM placed x WHERE x.verdict <> 'slow'),
  audited AS (
    INSERT INTO audit_logs (organization_id, event_code, event_name, action, outcome, actor_kind, actor_id, network_address, object_type, object_id, patient_id, sync_id, detail)
    SELECT p_organization_id, '110104', 'DICOM Instances Transferred', 'C', 'success', 'application', coalesce(x.peer_application, 'unknown'), x.peer_address, 'scan_file',
      x.final_file_id::text, x.patient_id, x.sync_id, CASE WHEN x.verdict = 'duplicate' THEN '{"repeat": true}'::jsonb ELSE '{}'::jsonb END
    FROM placed x WHERE x.verdict <> 'slow' ORDER BY x.item)
  SELECT x.item, x.verdict, x.final_file_id, coalesce(x.stored_scan_id, x.scan_id), x.patient_id FROM placed x ORDER BY x.item;
END $$;

-- ======== migrations/0010_store_messages.sql ========

-- The hot path of HL7 v2 and FHIR messages: a batch is read by one statement and written by another. What it means is decided in between, by
-- the application (pipeline/persist-messages.ts); the writer refuses when a patient it was decided upon has changed since.

-- Answers find the identity of their exchange by it.
CREATE INDEX message_identities_sync ON message_identities (organization_id, sync_id);

-- Everything the decisions need: earlier messages of these names, the owners of these identifier values, and their rows. `version` is what
-- medscan_store_messages compares. p_lock: the rows are held for this transaction instead, in one order for all.
-- Plans are made once per connection, and until autovacuum has looked at a new installation every index that begins with organization_id seems as
-- good as the right one: the connection forgets its plans each time the table of names has doubled. Names and statements are looked up one by one
-- behind OFFSET 0, which the planner does not reorder.
CREATE FUNCTION medscan_load_messages(p_organization_id uuid, p_names jsonb, p_identifier_values text[], p_lock boolean, OUT identities jsonb, OUT patients jsonb, OUT identifiers jsonb)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  owners uuid[];
  doublings text := floor(log(2, greatest(pg_relation_size('message_identities') / 8192, 1)))::text;
BEGIN
  PERFORM set_config('app.organization_id', p_organization_id::text, true);
  IF current_setting('medscan.doublings', true) IS DISTINCT FROM doublings THEN
    DISCARD PLANS;
    PERFORM set_config('medscan.doublings', doublings, false);
  END IF;
  IF p_lock THEN
    PERFORM 1 FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = ANY(ARRAY(
      SELECT i.patient_id FROM patient_identifiers i WHERE i.organization_id = p_organization_id AND i.value_index = ANY(p_identifier_values))) ORDER BY p.patient_id FOR NO KEY UPDATE;
  END IF;
  SELECT jsonb_agg(jsonb_build_array(i.patient_id, i.value, i.assigning_authority)), array_agg(DISTINCT i.patient_id) INTO identifiers, owners
    FROM patient_identifiers i WHERE i.organization_id = p_organization_id AND i.value_index = ANY(p_identifier_values);
  SELECT jsonb_agg(jsonb_build_object('patient_id', p.patient_id, 'version', p.xmin::text, 'identity_status', p.identity_status, 'is_active', p.is_active, 'family_name', p.family_name,
      'given_name', p.given_name, 'middle_name', p.middle_name, 'name_prefix', p.name_prefix, 'name_suffix', p.name_suffix, 'ideographic_name', p.ideographic_name,
      'phonetic_name', p.phonetic_name, 'birth_date', p.birth_date, 'sex', p.sex, 'address', p.address, 'telecom', p.telecom, 'deceased', p.deceased, 'deceased_at', p.deceased_at,
      'provenance', p.provenance)) INTO patients
    FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = ANY(owners);
  SELECT jsonb_agg(jsonb_build_object('name', n.name, 'sha256', m.sha256, 'links', m.links, 'answer_code', m.answer_code) ORDER BY m.created_at) INTO identities
    FROM jsonb_to_recordset(p_names) AS n(name int, integration_id uuid, sender text, control_id text)
    CROSS JOIN LATERAL (SELECT i.sha256, i.links, i.answer_code, i.created_at FROM message_identities i
      WHERE i.organization_id = p_organization_id AND i.integration_id = n.integration_id AND i.sender = n.sender AND i.control_id = n.control_id OFFSET 0) m;
END $$;

-- Writes a decided batch. False, and nothing written: a patient of `compared` is no longer as it was read. `p_messages` are the exchanges
-- with their audit rows and identities, in order; their bytes lie one after the other in `p_contents`.
CREATE FUNCTION medscan_store_messages(p_organization_id uuid, p_patients jsonb, p_messages jsonb, p_contents bytea) RETURNS boolean
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  unchanged integer;
BEGIN
  PERFORM set_config('app.organization_id', p_organization_id::text, true);
  IF p_patients ? 'compared' THEN
    WITH held AS (
      SELECT 1 FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = ANY(ARRAY(SELECT c.key::uuid FROM jsonb_each(p_patients->'compared') c))
        AND p_patients->'compared'->>p.patient_id::text = p.xmin::text
      ORDER BY p.patient_id FOR NO KEY UPDATE)
    SELECT count(*) INTO unchanged FROM held;
    IF unchanged < (SELECT count(*) FROM jsonb_object_keys(p_patients->'compared')) THEN
      RETURN false;
    END IF;
  END IF;
  IF p_patients ? 'inserted' THEN
    INSERT INTO patients (organization_id, patient_id, patient_number, identity_status, is_active, family_name, given_name, middle_name, name_prefix, name_suffix, ideographic_name,
      phonetic_name, birth_date, birth_date_precision, sex, address, telecom, deceased, deceased_at, provenance)
    SELECT p_organization_id, r.patient_id, r.patient_number, r.identity_status, r.is_active, r.family_name, r.given_name, r.middle_name, r.name_prefix, r.name_suffix, r.ideographic_name,
      r.phonetic_name, r.birth_date, CASE length(r.birth_date) WHEN 4 THEN 'year' WHEN 7 THEN 'month' WHEN 10 THEN 'day' END, r.sex, r.address, r.telecom, r.deceased, r.deceased_at, r.provenance
    FROM jsonb_to_recordset(p_patients->'inserted') AS r(patient_id uuid, patient_number text, identity_status text, is_active boolean, family_name text, given_name text, middle_name text,
      name_prefix text, name_suffix text, ideographic_name text, phonetic_name text, birth_date text, sex text, address jsonb, telecom jsonb, deceased boolean, deceased_at text, provenance jsonb);
  END IF;
  IF p_patients ? 'updated' THEN
    UPDATE patients p SET identity_status = r.identity_status, is_active = r.is_active, family_name = r.family_name, given_name = r.given_name, middle_name = r.middle_name,
      name_prefix = r.name_prefix, name_suffix = r.name_suffix, ideographic_name = r.ideographic_name, phonetic_name = r.phonetic_name, birth_date = r.birth_date,
      birth_date_precision = CASE length(r.birth_date) WHEN 4 THEN 'year' WHEN 7 THEN 'month' WHEN 10 THEN 'day' END, sex = r.sex, address = r.address, telecom = r.telecom,
      deceased = r.deceased, deceased_at = r.deceased_at, provenance = r.provenance
    FROM jsonb_to_recordset(p_patients->'updated') AS r(patient_id uuid, identity_status text, is_active boolean, family_name text, given_name text, middle_name text, name_prefix text,
      name_suffix text, ideographic_name text, phonetic_name text, birth_date text, sex text, address jsonb, telecom jsonb, deceased boolean, deceased_at text, provenance jsonb)
    WHERE p.organization_id = p_organization_id AND p.patient_id = r.patient_id AND p.patient_id = ANY(ARRAY(SELECT (u->>'patient_id')::uuid FROM jsonb_array_elements(p_patients->'updated') u));
  END IF;
  IF p_patients ? 'identifiers' THEN
    INSERT INTO patient_identifiers (organization_id, patient_id, assigning_authority, value, value_index, type_code)
    SELECT p_organization_id, r.patient_id, r.assigning_authority, r.value, r.value, r.type_code
    FROM jsonb_to_recordset(p_patients->'identifiers') AS r(patient_id uuid, assigning_authority text, value text, type_code text);
  END IF;
  IF p_patients ? 'history' THEN
    -- What is stored already is left alone: most messages repeat what they said before.
    INSERT INTO patient_medical_history (organization_id, patient_id, kind, code, code_system, display, onset, status, severity, detail, statement_key, source_sync_id)
    SELECT p_organization_id, r.patient_id, r.kind, r.code, r.code_system, r.display, r.onset, r.status, r.severity, r.detail, r.statement_key, r.source_sync_id
    FROM jsonb_to_recordset(p_patients->'history') AS r(patient_id uuid, kind text, code text, code_system text, display text, onset text, status text, severity text, detail jsonb,
      statement_key text, source_sync_id uuid, has_changed boolean)
    LEFT JOIN LATERAL (SELECT s.* FROM patient_medical_history s WHERE s.organization_id = p_organization_id AND s.patient_id = r.patient_id AND s.statement_key = r.statement_key OFFSET 0) h ON true
    WHERE h.history_id IS NULL OR r.has_changed OR (h.display, h.status, h.severity, h.detail) IS DISTINCT FROM (r.display, r.status, r.severity, r.detail)
    ON CONFLICT (organization_id, patient_id, statement_key) DO UPDATE SET display = excluded.display, status = excluded.status, severity = excluded.severity,
      detail = excluded.detail, source_sync_id = excluded.source_sync_id;
  END IF;
  IF p_patients ? 'alerts' THEN
    INSERT INTO system_alerts (organization_id, kind, severity, subject, message, occurrences)
    SELECT p_organization_id, r.kind, r.severity, r.subject, r.message, r.occurrences
    FROM jsonb_to_recordset(p_patients->'alerts') AS r(kind text, severity text, subject text, message text, occurrences int)
    ON CONFLICT (organization_id, kind, subject) WHERE resolved_at IS NULL DO UPDATE SET occurrences = system_alerts.occurrences + excluded.occurrences, last_seen_at = now(),
      message = excluded.message, severity = excluded.severity;
  END IF;
  IF p_messages IS NOT NULL THEN
    WITH messages AS MATERIALIZED (
      SELECT * FROM jsonb_to_recordset(p_messages) AS r(item int, sync_id uuid, integration_id uuid, adapter text, interaction text, control_id text, message_status text,
        started_at timestamptz, finished_at timestamptz, duration_ms float8, byte_size bigint, sha256 text, payload_location text, peer_address text, peer_application text,
        patient_id uuid, scan_id uuid, mapping_version text, warnings jsonb, facts jsonb, links jsonb, media_type text, content_start int, content_length int,
        audit_id uuid, event_code text, event_name text, object_type text, object_id text, detail jsonb)),
    exchanges AS (
      INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at, finished_at, duration_ms, byte_size, sha256,
        payload_location, peer_address, peer_application, patient_id, scan_id, mapping_version, warnings, facts)
      SELECT p_organization_id, m.sync_id, m.integration_id, m.adapter, 'inbound', m.interaction, m.control_id, m.message_status, m.started_at, m.finished_at, m.duration_ms, m.byte_size, m.sha256,
        m.payload_location, m.peer_address, m.peer_application, m.patient_id, m.scan_id, m.mapping_version, m.warnings, m.facts FROM messages m),
    payloads AS (
      INSERT INTO exchange_payloads (organization_id, sync_id, part, media_type, content)
      SELECT p_organization_id, m.sync_id, 'message', m.media_type, substring(p_contents FROM m.content_start FOR m.content_length) FROM messages m),
    named AS (
      INSERT INTO message_identities (organization_id, integration_id, sender, control_id, sha256, interaction, sync_id, links)
      SELECT p_organization_id, m.integration_id, coalesce(m.peer_application, ''), m.control_id, m.sha256, m.interaction, m.sync_id, m.links
      FROM messages m WHERE m.message_status = 'accepted')
    INSERT INTO audit_logs (organization_id, audit_id, event_code, event_name, action, outcome, actor_kind, actor_id, network_address, object_type, object_id, patient_id, sync_id, detail)
    SELECT p_organization_id, m.audit_id, m.event_code, m.event_name, 'U', 'success', 'application', coalesce(m.peer_application, 'unknown'), m.peer_address, m.object_type, m.object_id,
      m.patient_id, m.sync_id, m.detail FROM messages m ORDER BY m.item;
  END IF;
  RETURN true;
END $$;

-- The answer leg of inbound exchanges; the code is kept with the message's identity too, so that a repeat is answered alike.
CREATE FUNCTION medscan_record_answers(p_organization_id uuid, p_answers jsonb) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
  PERFORM set_config('app.organization_id', p_organization_id::text, true);
  UPDATE message_identities m SET answer_code = a.answer_code
    FROM jsonb_to_recordset(p_answers) AS a(sync_id uuid, answer_code text)
    WHERE m.organization_id = p_organization_id AND m.sync_id = a.sync_id AND m.answer_code IS NULL;
  UPDATE sync_logs s SET answer_status = a.answer_status, answer_code = a.answer_code
    FROM jsonb_to_recordset(p_answers) AS a(sync_id uuid, started_at timestamptz, answer_status text, answer_code text)
    WHERE s.organization_id = p_organization_id AND s.sync_id = a.sync_id AND s.started_at = a.started_at;
END $$;

-- ======== migrations/0012_holdings.sql ========

-- schema-version: 1.2.0
-- What other systems ask of the gateway: queries, storage commitment, performed procedure steps.

-- Indexes for queries (C-FIND, QIDO-RS, worklist). None on what an arriving instance writes.

CREATE INDEX scans_study_at ON scans (organization_id, study_at) WHERE study_at IS NOT NULL;
CREATE INDEX scans_scheduled ON scans (organization_id, scheduled_at) WHERE status = 'scheduled';
-- Few rows: versions that are kept and not in use.
CREATE INDEX scan_files_not_in_use ON scan_files (organization_id, scan_id) WHERE status <> 'stored';

-- One N-ACTION of Storage Commitment Push: what was asked for, what the look at the files said, and whether the asker heard it.
CREATE TABLE storage_commitments (
  organization_id   uuid NOT NULL,
  commitment_id     uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id    uuid NOT NULL,
  transaction_uid   text NOT NULL,
  requestor         text NOT NULL,  -- AE title
  -- [{sop_class_uid, sop_instance_uid, failure_reason?}]; failure_reason of PS3.3 C.14.1.1, absent: committed
  items             jsonb NOT NULL,
  status            text NOT NULL DEFAULT 'received' CHECK (status IN ('received', 'checked', 'delivered', 'given_up')),
  attempts          integer NOT NULL DEFAULT 0,
  last_text         text,
  source_sync_id    uuid,
  delivered_at      timestamptz,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, commitment_id),
  UNIQUE (organization_id, integration_id, transaction_uid),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);

-- Modality Performed Procedure Steps (PS3.4 annex F): what a modality says it did.
CREATE TABLE performed_procedures (
  organization_id        uuid NOT NULL,
  performed_procedure_id uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id         uuid NOT NULL,
  sop_instance_uid       text NOT NULL,
  scan_id                uuid,
  study_instance_uid     text,
  status                 text NOT NULL CHECK (status IN ('in_progress', 'completed', 'discontinued')),
  -- SOP Instance UIDs that the completed step refers to
  referenced_instances   text[] NOT NULL DEFAULT '{}',
  finished_at            timestamptz,
  source_sync_id         uuid,
  created_at             timestamptz NOT NULL DEFAULT now(),
  updated_at             timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, performed_procedure_id),
  UNIQUE (organization_id, sop_instance_uid),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations,
  FOREIGN KEY (organization_id, scan_id) REFERENCES scans
);
CREATE INDEX performed_procedures_scan ON performed_procedures (organization_id, scan_id) WHERE scan_id IS NOT NULL;

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['storage_commitments', 'performed_procedures'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY tenant ON %I USING (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)', t);
    EXECUTE format('CREATE TRIGGER touch_updated_at BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at()', t);
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO medscan_app', t);
    END IF;
  END LOOP;
END $$;

-- ======== migrations/0014_one_version_in_use.sql ========

-- schema-version: 1.4.0
-- Of one SOP Instance UID one version is in use; every other is a conflict of it. Two that arrive at the same moment meet here: the second
-- fails, is looked at again, and finds the first.
CREATE UNIQUE INDEX scan_files_in_use ON scan_files (organization_id, sop_instance_uid) WHERE conflict_of IS NULL;

-- ======== migrations/0015_asking_other_systems.sql ========

-- schema-version: 1.4.1
-- What the gateway asks of other systems: how many images a study has at its source, earlier studies of the patient, the worklist of a RIS.

-- The last word of the source about a scan's images; the quiet time asks, and completion reads.
CREATE TABLE source_counts (
  organization_id   uuid NOT NULL,
  scan_id           uuid NOT NULL,
  integration_id    uuid NOT NULL,
  -- proven: all are here. missing: some are not. unknown_study: the source does not know the study. no_answer. given_up: completed, or left to a person, without proof
  status            text NOT NULL CHECK (status IN ('asking', 'proven', 'missing', 'unknown_study', 'no_answer', 'given_up')),
  instances_there   integer,
  instances_here    integer,
  attempts          integer NOT NULL DEFAULT 0,
  -- since when it is asked about the images that are here now
  first_asked_at    timestamptz NOT NULL DEFAULT now(),
  asked_at          timestamptz,
  next_at           timestamptz NOT NULL DEFAULT now(),
  last_text         text,
  source_sync_id    uuid,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, scan_id),
  FOREIGN KEY (organization_id, scan_id) REFERENCES scans,
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);

-- One question for earlier studies, by scan and source.
CREATE TABLE prior_searches (
  organization_id   uuid NOT NULL,
  scan_id           uuid NOT NULL,
  integration_id    uuid NOT NULL,
  status            text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'done', 'skipped', 'failed')),
  studies_found     integer,
  studies_chosen    integer,
  attempts          integer NOT NULL DEFAULT 0,
  next_at           timestamptz NOT NULL DEFAULT now(),
  last_text         text,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, scan_id, integration_id),
  FOREIGN KEY (organization_id, scan_id) REFERENCES scans,
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);
CREATE INDEX prior_searches_due ON prior_searches (organization_id, next_at) WHERE status = 'queued';

-- A study, or the missing images of one, that a source is to send. Each once, however many scans want it.
CREATE TABLE study_retrievals (
  organization_id       uuid NOT NULL,
  retrieval_id          uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id        uuid NOT NULL,
  study_instance_uid    text NOT NULL,
  purpose               text NOT NULL CHECK (purpose IN ('prior', 'missing')),
  -- the scan that wanted it first
  for_scan_id           uuid NOT NULL,
  -- a prior is analysed only when the rule says so
  is_analyzed           boolean NOT NULL DEFAULT false,
  status                text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'retrieved', 'failed')),
  expected_instances    integer,
  retrieved_instances   integer,
  attempts              integer NOT NULL DEFAULT 0,
  next_at               timestamptz NOT NULL DEFAULT now(),
  last_text             text,
  created_at            timestamptz NOT NULL DEFAULT now(),
  updated_at            timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, retrieval_id),
  UNIQUE (organization_id, integration_id, study_instance_uid, purpose),
  FOREIGN KEY (organization_id, for_scan_id) REFERENCES scans,
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);
CREATE INDEX study_retrievals_study ON study_retrievals (organization_id, study_instance_uid);
CREATE INDEX study_retrievals_due ON study_retrievals (organization_id, next_at) WHERE status = 'queued';

-- When a RIS was asked for its worklist, and what came of it.
CREATE TABLE worklist_polls (
  organization_id   uuid NOT NULL,
  integration_id    uuid NOT NULL,
  next_poll_at      timestamptz NOT NULL,
  polled_at         timestamptz,
  last_ok_at        timestamptz,
  items_seen        integer,
  items_changed     integer,
  last_text         text,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, integration_id),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['source_counts', 'prior_searches', 'study_retrievals', 'worklist_polls'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY tenant ON %I USING (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)', t);
    EXECUTE format('CREATE TRIGGER touch_updated_at BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at()', t);
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO medscan_app', t);
    END IF;
  END LOOP;
END $$;

-- ======== migrations/0016_asked_commitments.sql ========

-- schema-version: 1.4.2
-- Storage commitment that the gateway asks for, for what its deliveries stored.

-- Where the destination is asked for storage commitment: awaited until it says yes. Null: it is not asked.
ALTER TABLE deliveries ADD COLUMN commitment text CHECK (commitment IN ('awaited', 'committed', 'refused'));

-- One row per successful delivery that is to be committed to.
CREATE TABLE asked_commitments (
  organization_id   uuid NOT NULL,
  request_id        uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id    uuid NOT NULL,
  delivery_id       uuid NOT NULL,
  transaction_uid   text NOT NULL,
  -- asked under these before, without a result
  earlier_transaction_uids text[] NOT NULL DEFAULT '{}',
  -- [{sop_class_uid, sop_instance_uid}]
  items             jsonb NOT NULL,
  status            text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'asked', 'committed', 'failed')),
  attempts          integer NOT NULL DEFAULT 0,
  asked_at          timestamptz,
  next_at           timestamptz NOT NULL DEFAULT now(),
  answered_at       timestamptz,
  last_text         text,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, request_id),
  UNIQUE (organization_id, transaction_uid),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations,
  FOREIGN KEY (organization_id, delivery_id) REFERENCES deliveries
);
CREATE INDEX asked_commitments_open ON asked_commitments (organization_id, next_at) WHERE status IN ('queued', 'asked');
CREATE INDEX asked_commitments_delivery ON asked_commitments (organization_id, delivery_id);

ALTER TABLE asked_commitments ENABLE ROW LEVEL SECURITY;
ALTER TABLE asked_commitments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON asked_commitments USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON asked_commitments FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT SELECT, INSERT, UPDATE ON asked_commitments TO medscan_app;
  END IF;
END $$;

-- ======== migrations/0017_reidentification_vault.sql ========

-- What stands behind the UIDs and pseudonyms under which images left: sealed, for what comes back. A replacement is made by a secret function, so
-- that the same original always has the same one.
CREATE TABLE reidentification_vault (
  organization_id  uuid NOT NULL,
  -- UID that was sent
  replacement      text NOT NULL CHECK (replacement <> '' AND length(replacement) <= 64),
  kind             text NOT NULL CHECK (kind IN ('uid', 'instance', 'study')),
  scan_id          uuid NOT NULL,
  -- the original UID and, of instances and studies, what was taken out; only this installation's key opens it
  sealed           text NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, replacement),
  FOREIGN KEY (organization_id, scan_id) REFERENCES scans
);
CREATE INDEX reidentification_vault_scan ON reidentification_vault (organization_id, scan_id);

ALTER TABLE reidentification_vault ENABLE ROW LEVEL SECURITY;
ALTER TABLE reidentification_vault FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON reidentification_vault USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON reidentification_vault FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT SELECT, INSERT, UPDATE ON reidentification_vault TO medscan_app;
  END IF;
END $$;

-- ======== migrations/0019_association_logs.sql ========

-- schema-version: 1.5.0
-- One DICOM association: who called, what was offered and accepted, how it ended, how much was moved. A burst of equal refusals is one row.
CREATE TABLE association_logs (
  organization_id            uuid NOT NULL REFERENCES organizations,
  association_id             uuid NOT NULL,
  integration_id             uuid,
  started_at                 timestamptz NOT NULL,
  finished_at                timestamptz NOT NULL,
  duration_ms                double precision NOT NULL,
  calling_ae_title           text,
  called_ae_title            text,
  peer_address               text NOT NULL,
  peer_port                  integer NOT NULL,
  tls_protocol               text,
  tls_subject                text,
  implementation_class_uid   text,
  implementation_version     text,
  peer_maximum_length        bigint,
  -- [{id, abstract_syntax, transfer_syntaxes, result, transfer_syntax?}], result of PS3.8 table 9-18
  contexts                   jsonb NOT NULL DEFAULT '[]',
  contexts_accepted          integer NOT NULL DEFAULT 0,
  outcome                    text NOT NULL CHECK (outcome IN ('released', 'rejected', 'aborted-by-peer', 'aborted-by-gateway', 'connection-lost', 'unreadable')),
  rejection                  text,  -- result/source/reason of PS3.8 table 9-21
  reason                     text,
  advice                     text,
  bytes_received             bigint NOT NULL DEFAULT 0,
  bytes_sent                 bigint NOT NULL DEFAULT 0,
  requests                   jsonb NOT NULL DEFAULT '{}',
  objects                    jsonb NOT NULL DEFAULT '{}',
  repeats                    integer NOT NULL DEFAULT 0,
  PRIMARY KEY (organization_id, association_id),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);
CREATE INDEX association_logs_refused ON association_logs (organization_id, association_id DESC) WHERE outcome <> 'released';

ALTER TABLE association_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE association_logs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON association_logs USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT SELECT, INSERT, UPDATE ON association_logs TO medscan_app;
  END IF;
END $$;

-- ======== migrations/0020_merges_and_links.sql ========

-- schema-version: 1.5.1
-- Who is who, after all: what a merge said, so that it can be judged when it comes again and undone; and patients that are one person without
-- being one record (ADT^A24).

-- merge: two patients became one. renumber: the earlier number belonged to nobody else here. inverse: survivor and earlier number changed places.
ALTER TABLE patient_merges
  ADD COLUMN kind text NOT NULL DEFAULT 'merge' CHECK (kind IN ('merge', 'renumber', 'inverse')),
  -- as the message named them: [{value, assigning_authority}]; null in rows older than this column
  ADD COLUMN survivor_identifiers jsonb,
  ADD COLUMN prior_identifiers jsonb,
  ALTER COLUMN prior_patient_id DROP NOT NULL,
  ADD CONSTRAINT patient_merges_prior CHECK (kind <> 'merge' OR prior_patient_id IS NOT NULL);
CREATE INDEX patient_merges_survivor ON patient_merges (organization_id, survivor_patient_id);
CREATE INDEX patient_merges_prior ON patient_merges (organization_id, prior_patient_id) WHERE prior_patient_id IS NOT NULL;

CREATE TABLE patient_links (
  organization_id   uuid NOT NULL,
  link_id           uuid NOT NULL DEFAULT medscan_uuid_v7(),
  patient_id        uuid NOT NULL,
  other_patient_id  uuid NOT NULL,
  linked_at         timestamptz NOT NULL DEFAULT now(),
  source_sync_id    uuid,
  unlinked_at       timestamptz,
  unlinked_sync_id  uuid,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, link_id),
  CHECK (patient_id < other_patient_id),
  FOREIGN KEY (organization_id, patient_id) REFERENCES patients,
  FOREIGN KEY (organization_id, other_patient_id) REFERENCES patients
);
-- A pair is linked once at a time.
CREATE UNIQUE INDEX patient_links_open ON patient_links (organization_id, patient_id, other_patient_id) WHERE unlinked_at IS NULL;
CREATE INDEX patient_links_other ON patient_links (organization_id, other_patient_id);

ALTER TABLE patient_links ENABLE ROW LEVEL SECURITY;
ALTER TABLE patient_links FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON patient_links USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON patient_links FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT SELECT, INSERT, UPDATE ON patient_links TO medscan_app;
  END IF;
END $$;

-- ======== migrations/0021_order_notices.sql ========

-- Who placed an order may want to hear what becomes of it: its first image is here, all of them, the AI is done. One row per destination and milestone,
-- written by the database where the scan changes, so that no way to a milestone misses it.

CREATE SEQUENCE order_notice_sequence;
CREATE TABLE order_notices (
  organization_id  uuid NOT NULL,
  notice_id        uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id   uuid NOT NULL,
  scan_id          uuid NOT NULL,
  event            text NOT NULL CHECK (event IN ('received', 'complete', 'analysed')),
  -- completion run, or version of the report: late images make another
  run              integer NOT NULL DEFAULT 0,
  position         bigint NOT NULL DEFAULT nextval('order_notice_sequence'),
  status           text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'delivered', 'refused')),
  attempts         integer NOT NULL DEFAULT 0,
  next_attempt_at  timestamptz NOT NULL DEFAULT now(),
  last_text        text,
  delivered_at     timestamptz,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, notice_id),
  UNIQUE (organization_id, integration_id, scan_id, event, run),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations,
  FOREIGN KEY (organization_id, scan_id) REFERENCES scans
);
CREATE INDEX order_notices_open ON order_notices (organization_id, integration_id, position) WHERE status = 'queued';
CREATE INDEX order_notices_scan ON order_notices (organization_id, scan_id);

ALTER TABLE order_notices ENABLE ROW LEVEL SECURITY;
ALTER TABLE order_notices FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON order_notices USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON order_notices FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT SELECT, INSERT, UPDATE ON order_notices TO medscan_app;
    GRANT USAGE ON SEQUENCE order_notice_sequence TO medscan_app;
  END IF;
END $$;

-- The integrations whose setting order_status_messages names the event.
CREATE FUNCTION medscan_note_order(p_organization_id uuid, p_scan_id uuid, p_event text, p_run integer) RETURNS void LANGUAGE sql AS $$
  INSERT INTO order_notices (organization_id, integration_id, scan_id, event, run)
  SELECT i.organization_id, i.integration_id, p_scan_id, p_event, p_run FROM external_integrations i
  WHERE i.organization_id = p_organization_id AND i.is_enabled AND i.state = 'active' AND i.direction IN ('outbound', 'both') AND i.settings->'order_status_messages' ? p_event
  ON CONFLICT DO NOTHING
$$;

CREATE FUNCTION medscan_note_order_of_scan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM medscan_note_order(NEW.organization_id, NEW.scan_id, TG_ARGV[0], CASE TG_ARGV[0] WHEN 'complete' THEN NEW.completion_run ELSE 0 END);
  RETURN NULL;
END $$;
CREATE FUNCTION medscan_note_order_of_report() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM scans s WHERE s.organization_id = NEW.organization_id AND s.scan_id = NEW.scan_id AND s.order_status = 'ordered') THEN
    PERFORM medscan_note_order(NEW.organization_id, NEW.scan_id, 'analysed', NEW.version);
  END IF;
  RETURN NULL;
END $$;

-- Conditions first: an image that is not the first of its scan costs a comparison and no call.
CREATE TRIGGER note_received AFTER UPDATE OF first_instance_at, order_status ON scans FOR EACH ROW
  WHEN ((OLD.first_instance_at IS NULL OR OLD.order_status IS NULL) AND NEW.first_instance_at IS NOT NULL AND NEW.order_status = 'ordered')
  EXECUTE FUNCTION medscan_note_order_of_scan('received');
CREATE TRIGGER note_complete AFTER UPDATE OF images_complete_at ON scans FOR EACH ROW
  WHEN (OLD.images_complete_at IS NULL AND NEW.images_complete_at IS NOT NULL AND NEW.order_status = 'ordered')
  EXECUTE FUNCTION medscan_note_order_of_scan('complete');
CREATE TRIGGER note_analysed AFTER INSERT ON reports FOR EACH ROW WHEN (NEW.author_kind = 'device')
  EXECUTE FUNCTION medscan_note_order_of_report();

-- ======== migrations/0022_operating_messages.sql ========

-- schema-version: 1.6.0
-- What a person does with messages: pausing a system, replaying what was refused, deciding on what was given up.

-- While receive_paused_at is set, what the system sends is answered "not now" and not taken; while deliver_paused_at is set, its results wait.
ALTER TABLE external_integrations ADD COLUMN receive_paused_at timestamptz;
ALTER TABLE external_integrations ADD COLUMN deliver_paused_at timestamptz;

-- One request to receive refused messages again: which (the filter, as asked), how many, by whom, how far.
CREATE TABLE message_replays (
  organization_id   uuid NOT NULL REFERENCES organizations,
  replay_id         uuid NOT NULL DEFAULT medscan_uuid_v7(),
  filter            jsonb NOT NULL DEFAULT '{}',
  status            text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'finished', 'cancelled')),
  requested_kind    text NOT NULL CHECK (requested_kind IN ('user', 'application', 'system')),
  requested_by      text NOT NULL,
  requested_role    text,
  message_count     integer NOT NULL DEFAULT 0,
  started_at        timestamptz,
  finished_at       timestamptz,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, replay_id)
);

-- Its messages, in the order in which they were received, with what became of each. outcome null: not yet.
CREATE TABLE message_replay_items (
  organization_id   uuid NOT NULL,
  replay_id         uuid NOT NULL,
  sync_id           uuid NOT NULL,
  outcome           text CHECK (outcome IN ('accepted', 'duplicate', 'rejected', 'failed', 'left_out')),
  replayed_as       uuid[] NOT NULL DEFAULT '{}',
  outcome_text      text,
  outcome_location  text,
  finished_at       timestamptz,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, replay_id, sync_id),
  FOREIGN KEY (organization_id, replay_id) REFERENCES message_replays
);
CREATE INDEX message_replay_items_open ON message_replay_items (organization_id, replay_id, sync_id) WHERE outcome IS NULL;

CREATE INDEX message_replay_items_done ON message_replay_items (organization_id, sync_id) WHERE outcome IN ('accepted', 'duplicate');

-- Jobs that failed for good. `job_data` holds ids only, as every job does.
CREATE TABLE dead_jobs (
  organization_id   uuid NOT NULL REFERENCES organizations,
  dead_job_id       uuid NOT NULL DEFAULT medscan_uuid_v7(),
  queue_name        text NOT NULL,
  job_data          jsonb NOT NULL,
  scan_id           uuid,
  integration_id    uuid,
  error_text        text,
  died_at           timestamptz NOT NULL DEFAULT now(),
  status            text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'retried', 'discarded')),
  decided_by        text,
  decided_at        timestamptz,
  reason            text,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, dead_job_id)
);
CREATE INDEX dead_jobs_open ON dead_jobs (organization_id, dead_job_id) WHERE status = 'open';

-- Deliveries that wait for a person, and the lists of what went wrong: few rows among many.
CREATE INDEX deliveries_parked ON deliveries (organization_id, delivery_id) WHERE status = 'refused';
CREATE INDEX deliveries_report ON deliveries (organization_id, report_id);
CREATE INDEX sync_logs_problems ON sync_logs (organization_id, message_status, sync_id) WHERE message_status IN ('rejected', 'failed', 'refused', 'unreachable', 'unconfirmed');

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['message_replays', 'message_replay_items', 'dead_jobs'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY tenant ON %I USING (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)', t);
    EXECUTE format('CREATE TRIGGER touch_updated_at BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at()', t);
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO medscan_app', t);
    END IF;
  END LOOP;
END $$;

-- ======== migrations/0023_search.sql ========

-- schema-version: 1.7.0
-- Searches of other systems over a million scans. Under row level security an index serves only comparisons that cannot tell anything of rows of
-- others (leakproof): = and < of plain columns, but no LIKE, no lower(), no function of a column. So what is searched for is a column of its own.

-- The alphabetic name as a query has it, in small letters: family^given^middle^prefix^suffix. In "C" order, so that a beginning is a range.
ALTER TABLE patients ADD COLUMN name_key text COLLATE "C" GENERATED ALWAYS AS (lower(rtrim(coalesce(family_name, '') || '^' || coalesce(given_name, '') || '^' || coalesce(middle_name, '')
  || '^' || coalesce(name_prefix, '') || '^' || coalesce(name_suffix, ''), '^'))) STORED;
-- With what else a person is looked for by, so that a part of a name is looked for in the index alone.
CREATE INDEX patients_name_key ON patients (organization_id, name_key) INCLUDE (patient_id, birth_date);
-- Names in other writings: few rows where few have them.
CREATE INDEX patients_other_names ON patients (organization_id, patient_id) WHERE ideographic_name IS NOT NULL OR phonetic_name IS NOT NULL;

-- "What changed since": reports are written seldom. Scans and patients change with every image and message, and an ordinary index would cost each of
-- these changes; a BRIN costs next to nothing from PostgreSQL 16 on, where it does not keep an update from staying on its page.
CREATE INDEX reports_updated ON reports (organization_id, updated_at);
CREATE INDEX reports_created ON reports (organization_id, created_at);
DO $$
BEGIN
  IF current_setting('server_version_num')::integer >= 160000 THEN
    CREATE INDEX scans_updated ON scans USING brin (updated_at) WITH (pages_per_range = 32, autosummarize = on);
    CREATE INDEX patients_updated ON patients USING brin (updated_at) WITH (pages_per_range = 32, autosummarize = on);
  END IF;
END $$;

-- Lists of what is not done yet.
CREATE INDEX scans_unfinished ON scans (organization_id, status, scan_id) WHERE status IN ('scheduled', 'cancelled', 'failed');

-- ======== migrations/0024_record_names.sql ========

-- What senders call records of ours: the logical ids under which a FHIR client PUT them. A patient's are identifiers of the patient instead.
CREATE TABLE record_names (
  organization_id  uuid NOT NULL,
  integration_id   uuid NOT NULL,
  kind             text NOT NULL CHECK (kind IN ('order', 'study', 'task', 'condition', 'allergy')),
  name             text NOT NULL,
  -- a scan's id, or that of a row of patient_medical_history
  record_id        uuid NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, integration_id, kind, name),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);

-- Search of patients by the beginning of a name.
CREATE INDEX patients_family_name ON patients (organization_id, lower(family_name) text_pattern_ops);

ALTER TABLE record_names ENABLE ROW LEVEL SECURITY;
ALTER TABLE record_names FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON record_names USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON record_names FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT SELECT, INSERT, UPDATE ON record_names TO medscan_app;
  END IF;
END $$;

-- ======== migrations/0025_record_versions.sql ========

-- What patients and orders were before they changed, for those who read their history (FHIR _history, vread). A row is kept when something changes that is
-- told of it; images that arrive change nothing of an order, and cost it nothing here.
CREATE TABLE record_versions (
  organization_id  uuid NOT NULL,
  version_id       uuid NOT NULL DEFAULT medscan_uuid_v7(),
  kind             text NOT NULL CHECK (kind IN ('patient', 'order')),
  record_id        uuid NOT NULL,
  -- the row as it was; of a patient with `identifiers`
  content          jsonb NOT NULL,
  -- until when it was so
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, version_id)
);
CREATE INDEX record_versions_record ON record_versions (organization_id, kind, record_id, version_id DESC);

CREATE FUNCTION medscan_keep_patient_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO record_versions (organization_id, kind, record_id, content)
  SELECT OLD.organization_id, 'patient', OLD.patient_id, to_jsonb(OLD) - 'provenance' || jsonb_build_object('identifiers', coalesce((
    SELECT jsonb_agg(jsonb_build_object('value', i.value, 'assigning_authority', i.assigning_authority, 'type_code', i.type_code, 'is_current', i.is_current) ORDER BY i.is_current DESC, i.created_at)
    FROM patient_identifiers i WHERE i.organization_id = OLD.organization_id AND i.patient_id = OLD.patient_id), '[]'));
  RETURN NULL;
END $$;
CREATE TRIGGER keep_version AFTER UPDATE ON patients FOR EACH ROW
  WHEN ((OLD.family_name, OLD.given_name, OLD.middle_name, OLD.name_prefix, OLD.name_suffix, OLD.ideographic_name, OLD.phonetic_name, OLD.birth_date, OLD.sex, OLD.deceased, OLD.is_active, OLD.merged_into_patient_id)
    IS DISTINCT FROM (NEW.family_name, NEW.given_name, NEW.middle_name, NEW.name_prefix, NEW.name_suffix, NEW.ideographic_name, NEW.phonetic_name, NEW.birth_date, NEW.sex, NEW.deceased, NEW.is_active, NEW.merged_into_patient_id))
  EXECUTE FUNCTION medscan_keep_patient_version();

CREATE FUNCTION medscan_keep_order_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO record_versions (organization_id, kind, record_id, content) VALUES (OLD.organization_id, 'order', OLD.scan_id, to_jsonb(OLD));
  RETURN NULL;
END $$;
CREATE TRIGGER keep_order_version AFTER UPDATE ON scans FOR EACH ROW
  WHEN (OLD.order_status IS NOT NULL AND (
    (OLD.images_complete_at IS NULL) <> (NEW.images_complete_at IS NULL)
    OR (OLD.patient_id, OLD.order_status, OLD.accession_number, OLD.placer_order_number, OLD.filler_order_number, OLD.procedure_code, OLD.procedure_system, OLD.procedure_description, OLD.reason, OLD.body_part, OLD.priority, OLD.scheduled_at)
      IS DISTINCT FROM (NEW.patient_id, NEW.order_status, NEW.accession_number, NEW.placer_order_number, NEW.filler_order_number, NEW.procedure_code, NEW.procedure_system, NEW.procedure_description, NEW.reason, NEW.body_part, NEW.priority, NEW.scheduled_at)))
  EXECUTE FUNCTION medscan_keep_order_version();

ALTER TABLE record_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE record_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON record_versions USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON record_versions FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT SELECT, INSERT ON record_versions TO medscan_app;
  END IF;
END $$;

-- ======== migrations/0026_result_subscriptions.sql ========

-- schema-version: 1.8.0
-- Who wants to hear of results at once (FHIR Subscription, topic "result ready"), and the events that each of them is told of, in order.

CREATE TABLE result_subscriptions (
  organization_id    uuid NOT NULL,
  subscription_id    uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id     uuid NOT NULL,
  user_id            uuid NOT NULL,
  channel            text NOT NULL CHECK (channel IN ('rest-hook', 'websocket')),
  -- endpoint and headers, which may hold a secret, and what else of the resource is given back as it came
  settings_sealed    text NOT NULL,
  endpoint_origin    text,
  content            text NOT NULL CHECK (content IN ('empty', 'id-only', 'full-resource')),
  -- {patient_ids?: [uuid], statuses?: [text]}
  filter             jsonb NOT NULL DEFAULT '{}',
  heartbeat_seconds  integer CHECK (heartbeat_seconds BETWEEN 1 AND 86400),
  timeout_seconds    integer CHECK (timeout_seconds BETWEEN 1 AND 600),
  max_count          integer NOT NULL DEFAULT 10 CHECK (max_count BETWEEN 1 AND 100),
  status             text NOT NULL DEFAULT 'requested' CHECK (status IN ('requested', 'active', 'error', 'off')),
  is_greeted         boolean NOT NULL DEFAULT false,
  -- number of the newest event, and of the newest that the subscriber has heard
  event_count        bigint NOT NULL DEFAULT 0,
  heard_count        bigint NOT NULL DEFAULT 0,
  error_count        integer NOT NULL DEFAULT 0,
  last_error         text,
  failing_since      timestamptz,
  told_at            timestamptz,
  next_attempt_at    timestamptz NOT NULL DEFAULT now(),
  ends_at            timestamptz,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, subscription_id),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);

CREATE TABLE result_subscription_events (
  organization_id  uuid NOT NULL,
  subscription_id  uuid NOT NULL,
  event_number     bigint NOT NULL,
  report_id        uuid NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, subscription_id, event_number),
  FOREIGN KEY (organization_id, subscription_id) REFERENCES result_subscriptions ON DELETE CASCADE
);

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['result_subscriptions', 'result_subscription_events'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY tenant ON %I USING (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)', t);
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO medscan_app', t);
    END IF;
  END LOOP;
END $$;
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON result_subscriptions FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();

-- ======== migrations/0027_exports_and_pulls.sql ========

-- schema-version: 1.8.1
-- Whole sets of records for other systems (FHIR Bulk Data), and what is fetched from systems that do not send.

CREATE TABLE record_exports (
  organization_id  uuid NOT NULL,
  export_id        uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id   uuid NOT NULL,
  user_id          uuid NOT NULL,
  request_url      text NOT NULL,
  types            text[] NOT NULL,
  since            timestamptz,
  -- what changed up to here is in it
  transaction_at   timestamptz NOT NULL DEFAULT now(),
  status           text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
  record_count     integer NOT NULL DEFAULT 0,
  -- [{type, count, byte_length}]
  outputs          jsonb NOT NULL DEFAULT '[]',
  error_text       text,
  expires_at       timestamptz NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, export_id),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);

CREATE TABLE record_pulls (
  organization_id  uuid NOT NULL,
  integration_id   uuid NOT NULL,
  resource_type    text NOT NULL,
  -- everything that the system changed before this was read
  read_until       timestamptz,
  next_run_at      timestamptz NOT NULL DEFAULT now(),
  last_run_at      timestamptz,
  last_ok_at       timestamptz,
  failure_count    integer NOT NULL DEFAULT 0,
  last_error       text,
  read_count       bigint NOT NULL DEFAULT 0,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, integration_id, resource_type),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['record_exports', 'record_pulls'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY tenant ON %I USING (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)', t);
    EXECUTE format('CREATE TRIGGER touch_updated_at BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at()', t);
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO medscan_app', t);
    END IF;
  END LOOP;
END $$;

-- ======== migrations/0028_message_throughput.sql ========

-- Throughput of HL7 v2 and FHIR messages: patients that the application remembers need no reading before a batch is written, and answers are recorded
-- without planning for tables that have grown.

-- The code of an answer stands in sync_logs alone; a repeat reads it there, so nothing has to find a name by its exchange.
DROP INDEX message_identities_sync;

-- As before, but every identifier value and every patient is looked up by itself behind OFFSET 0: a plan made while the tables were empty stays good.
CREATE OR REPLACE FUNCTION medscan_load_messages(p_organization_id uuid, p_names jsonb, p_identifier_values text[], p_lock boolean, OUT identities jsonb, OUT patients jsonb, OUT identifiers jsonb)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  owners uuid[];
  doublings text := floor(log(2, greatest(pg_relation_size('message_identities') / 8192, 1)))::text;
BEGIN
  PERFORM set_config('app.organization_id', p_organization_id::text, true);
  IF current_setting('medscan.doublings', true) IS DISTINCT FROM doublings THEN
    DISCARD PLANS;
    PERFORM set_config('medscan.doublings', doublings, false);
  END IF;
  IF p_lock THEN
    PERFORM 1 FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = ANY(ARRAY(
      SELECT i.patient_id FROM patient_identifiers i WHERE i.organization_id = p_organization_id AND i.value_index = ANY(p_identifier_values))) ORDER BY p.patient_id FOR NO KEY UPDATE;
  END IF;
  SELECT jsonb_agg(jsonb_build_array(i.patient_id, i.value, i.assigning_authority)), array_agg(DISTINCT i.patient_id) INTO identifiers, owners
    FROM unnest(p_identifier_values) v CROSS JOIN LATERAL (SELECT o.patient_id, o.value, o.assigning_authority FROM patient_identifiers o
      WHERE o.organization_id = p_organization_id AND o.value_index = v OFFSET 0) i;
  SELECT jsonb_agg(jsonb_build_object('patient_id', p.patient_id, 'version', p.xmin::text, 'identity_status', p.identity_status, 'is_active', p.is_active, 'family_name', p.family_name,
      'given_name', p.given_name, 'middle_name', p.middle_name, 'name_prefix', p.name_prefix, 'name_suffix', p.name_suffix, 'ideographic_name', p.ideographic_name,
      'phonetic_name', p.phonetic_name, 'birth_date', p.birth_date, 'sex', p.sex, 'address', p.address, 'telecom', p.telecom, 'deceased', p.deceased, 'deceased_at', p.deceased_at,
      'provenance', p.provenance)) INTO patients
    FROM unnest(owners) v CROSS JOIN LATERAL (SELECT o.*, o.xmin FROM patients o WHERE o.organization_id = p_organization_id AND o.patient_id = v OFFSET 0) p;
  SELECT jsonb_agg(jsonb_build_object('name', n.name, 'sha256', m.sha256, 'links', m.links, 'answer_code', coalesce(m.answer_code,
      (SELECT l.answer_code FROM sync_logs l WHERE l.organization_id = p_organization_id AND l.sync_id = m.sync_id LIMIT 1))) ORDER BY m.created_at) INTO identities
    FROM jsonb_to_recordset(p_names) AS n(name int, integration_id uuid, sender text, control_id text)
    CROSS JOIN LATERAL (SELECT i.sha256, i.links, i.answer_code, i.created_at, i.sync_id FROM message_identities i
      WHERE i.organization_id = p_organization_id AND i.integration_id = n.integration_id AND i.sender = n.sender AND i.control_id = n.control_id OFFSET 0) m;
END $$;


-- A statement of a patient's history that changes or goes makes a new version of the patient: what is remembered of it, history included, is valid as
-- long as its row is.
CREATE FUNCTION medscan_history_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE patients SET updated_at = now() WHERE organization_id = OLD.organization_id AND patient_id = OLD.patient_id;
  RETURN NULL;
END $$;
CREATE TRIGGER history_changed AFTER UPDATE OR DELETE ON patient_medical_history FOR EACH ROW EXECUTE FUNCTION medscan_history_changed();

-- Writes a decided batch. False, and nothing written: what it was decided upon is no longer so. In `p_patients`
--   compared   patient -> version: patients that the messages name and that do not change
--   held       patient -> version: those that change; held for this transaction
--   owned      identifiers by which the patients were found
--   names_unread   the names of the messages were not looked up: none of them may be there
-- `p_messages` are the exchanges with their audit rows and identities, in order; their bytes lie one after the other in `p_contents`. `version` is that of
-- every patient that was inserted or updated, and of `touched`: those whose stored history changed.
DROP FUNCTION medscan_store_messages(uuid, jsonb, jsonb, bytea);
CREATE FUNCTION medscan_store_messages(p_organization_id uuid, p_patients jsonb, p_messages jsonb, p_contents bytea, OUT is_written boolean, OUT version text, OUT touched jsonb)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  found_rows integer;
BEGIN
  PERFORM set_config('app.organization_id', p_organization_id::text, true);
  is_written := false;
  IF p_patients ? 'names_unread' THEN
    PERFORM 1 FROM jsonb_to_recordset(p_messages) AS n(integration_id uuid, peer_application text, control_id text)
      CROSS JOIN LATERAL (SELECT 1 FROM message_identities i WHERE i.organization_id = p_organization_id AND i.integration_id = n.integration_id
        AND i.sender = coalesce(n.peer_application, '') AND i.control_id = n.control_id OFFSET 0) m;
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;
  IF p_patients ? 'held' THEN
    SELECT count(*) INTO found_rows FROM jsonb_each_text(p_patients->'held') c
      CROSS JOIN LATERAL (SELECT 1 FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = c.key::uuid AND p.xmin::text = c.value OFFSET 0 FOR NO KEY UPDATE) h;
    IF found_rows < (SELECT count(*) FROM jsonb_object_keys(p_patients->'held')) THEN
      RETURN;
    END IF;
  END IF;
  IF p_patients ? 'compared' THEN
    SELECT count(*) INTO found_rows FROM jsonb_each_text(p_patients->'compared') c
      CROSS JOIN LATERAL (SELECT 1 FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = c.key::uuid AND p.xmin::text = c.value OFFSET 0) h;
    IF found_rows < (SELECT count(*) FROM jsonb_object_keys(p_patients->'compared')) THEN
      RETURN;
    END IF;
  END IF;
  IF p_patients ? 'owned' THEN
    SELECT count(*) INTO found_rows FROM jsonb_to_recordset(p_patients->'owned') AS o(patient_id uuid, value text, assigning_authority text)
      CROSS JOIN LATERAL (SELECT 1 FROM patient_identifiers i WHERE i.organization_id = p_organization_id AND i.value_index = o.value
        AND i.assigning_authority = o.assigning_authority AND i.patient_id = o.patient_id OFFSET 0) h;
    IF found_rows < jsonb_array_length(p_patients->'owned') THEN
      RETURN;
    END IF;
  END IF;
  IF p_patients ? 'inserted' THEN
    INSERT INTO patients (organization_id, patient_id, patient_number, identity_status, is_active, family_name, given_name, middle_name, name_prefix, name_suffix, ideographic_name,
      phonetic_name, birth_date, birth_date_precision, sex, address, telecom, deceased, deceased_at, provenance)
    SELECT p_organization_id, r.patient_id, r.patient_number, r.identity_status, r.is_active, r.family_name, r.given_name, r.middle_name, r.name_prefix, r.name_suffix, r.ideographic_name,
      r.phonetic_name, r.birth_date, CASE length(r.birth_date) WHEN 4 THEN 'year' WHEN 7 THEN 'month' WHEN 10 THEN 'day' END, r.sex, r.address, r.telecom, r.deceased, r.deceased_at, r.provenance
    FROM jsonb_to_recordset(p_patients->'inserted') AS r(patient_id uuid, patient_number text, identity_status text, is_active boolean, family_name text, given_name text, middle_name text,
      name_prefix text, name_suffix text, ideographic_name text, phonetic_name text, birth_date text, sex text, address jsonb, telecom jsonb, deceased boolean, deceased_at text, provenance jsonb);
  END IF;
  IF p_patients ? 'updated' THEN
    UPDATE patients p SET identity_status = r.identity_status, is_active = r.is_active, family_name = r.family_name, given_name = r.given_name, middle_name = r.middle_name,
      name_prefix = r.name_prefix, name_suffix = r.name_suffix, ideographic_name = r.ideographic_name, phonetic_name = r.phonetic_name, birth_date = r.birth_date,
      birth_date_precision = CASE length(r.birth_date) WHEN 4 THEN 'year' WHEN 7 THEN 'month' WHEN 10 THEN 'day' END, sex = r.sex, address = r.address, telecom = r.telecom,
      deceased = r.deceased, deceased_at = r.deceased_at, provenance = r.provenance
    FROM jsonb_to_recordset(p_patients->'updated') AS r(patient_id uuid, identity_status text, is_active boolean, family_name text, given_name text, middle_name text, name_prefix text,
      name_suffix text, ideographic_name text, phonetic_name text, birth_date text, sex text, address jsonb, telecom jsonb, deceased boolean, deceased_at text, provenance jsonb)
    WHERE p.organization_id = p_organization_id AND p.patient_id = r.patient_id AND p.patient_id = ANY(ARRAY(SELECT (u->>'patient_id')::uuid FROM jsonb_array_elements(p_patients->'updated') u));
  END IF;
  IF p_patients ? 'identifiers' THEN
    INSERT INTO patient_identifiers (organization_id, patient_id, assigning_authority, value, value_index, type_code)
    SELECT p_organization_id, r.patient_id, r.assigning_authority, r.value, r.value, r.type_code
    FROM jsonb_to_recordset(p_patients->'identifiers') AS r(patient_id uuid, assigning_authority text, value text, type_code text);
  END IF;
  IF p_patients ? 'history' THEN
    -- What is stored already is left alone: most messages repeat what they said before.
    INSERT INTO patient_medical_history (organization_id, patient_id, kind, code, code_system, display, onset, status, severity, detail, statement_key, source_sync_id)
    SELECT p_organization_id, r.patient_id, r.kind, r.code, r.code_system, r.display, r.onset, r.status, r.severity, r.detail, r.statement_key, r.source_sync_id
    FROM jsonb_to_recordset(p_patients->'history') AS r(patient_id uuid, kind text, code text, code_system text, display text, onset text, status text, severity text, detail jsonb,
      statement_key text, source_sync_id uuid, has_changed boolean)
    LEFT JOIN LATERAL (SELECT s.* FROM patient_medical_history s WHERE s.organization_id = p_organization_id AND s.patient_id = r.patient_id AND s.statement_key = r.statement_key OFFSET 0) h ON true
    WHERE h.history_id IS NULL OR r.has_changed OR (h.display, h.status, h.severity, h.detail) IS DISTINCT FROM (r.display, r.status, r.severity, r.detail)
    ON CONFLICT (organization_id, patient_id, statement_key) DO UPDATE SET display = excluded.display, status = excluded.status, severity = excluded.severity,
      detail = excluded.detail, source_sync_id = excluded.source_sync_id;
    SELECT jsonb_agg(h.patient_id) INTO touched FROM (SELECT DISTINCT r.patient_id FROM jsonb_to_recordset(p_patients->'history') AS r(patient_id uuid)) h
      CROSS JOIN LATERAL (SELECT 1 FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = h.patient_id AND p.xmin = pg_current_xact_id()::xid OFFSET 0) t;
  END IF;
  IF p_patients ? 'alerts' THEN
    INSERT INTO system_alerts (organization_id, kind, severity, subject, message, occurrences)
    SELECT p_organization_id, r.kind, r.severity, r.subject, r.message, r.occurrences
    FROM jsonb_to_recordset(p_patients->'alerts') AS r(kind text, severity text, subject text, message text, occurrences int)
    ON CONFLICT (organization_id, kind, subject) WHERE resolved_at IS NULL DO UPDATE SET occurrences = system_alerts.occurrences + excluded.occurrences, last_seen_at = now(),
      message = excluded.message, severity = excluded.severity;
  END IF;
  IF p_messages IS NOT NULL THEN
    WITH messages AS MATERIALIZED (
      SELECT * FROM jsonb_to_recordset(p_messages) AS r(item int, sync_id uuid, integration_id uuid, adapter text, interaction text, control_id text, message_status text,
        started_at timestamptz, finished_at timestamptz, duration_ms float8, byte_size bigint, sha256 text, payload_location text, peer_address text, peer_application text,
        patient_id uuid, scan_id uuid, mapping_version text, warnings jsonb, facts jsonb, links jsonb, media_type text, content_start int, content_length int,
        audit_id uuid, event_code text, event_name text, object_type text, object_id text, detail jsonb)),
    exchanges AS (
      INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at, finished_at, duration_ms, byte_size, sha256,
        payload_location, peer_address, peer_application, patient_id, scan_id, mapping_version, warnings, facts)
      SELECT p_organization_id, m.sync_id, m.integration_id, m.adapter, 'inbound', m.interaction, m.control_id, m.message_status, m.started_at, m.finished_at, m.duration_ms, m.byte_size, m.sha256,
        m.payload_location, m.peer_address, m.peer_application, m.patient_id, m.scan_id, m.mapping_version, m.warnings, m.facts FROM messages m),
    payloads AS (
      INSERT INTO exchange_payloads (organization_id, sync_id, part, media_type, content)
      SELECT p_organization_id, m.sync_id, 'message', m.media_type, substring(p_contents FROM m.content_start FOR m.content_length) FROM messages m),
    named AS (
      INSERT INTO message_identities (organization_id, integration_id, sender, control_id, sha256, interaction, sync_id, links)
      SELECT p_organization_id, m.integration_id, coalesce(m.peer_application, ''), m.control_id, m.sha256, m.interaction, m.sync_id, m.links
      FROM messages m WHERE m.message_status = 'accepted')
    INSERT INTO audit_logs (organization_id, audit_id, event_code, event_name, action, outcome, actor_kind, actor_id, network_address, object_type, object_id, patient_id, sync_id, detail)
    SELECT p_organization_id, m.audit_id, m.event_code, m.event_name, 'U', 'success', 'application', coalesce(m.peer_application, 'unknown'), m.peer_address, m.object_type, m.object_id,
      m.patient_id, m.sync_id, m.detail FROM messages m ORDER BY m.item;
  END IF;
  is_written := true;
  version := pg_current_xact_id()::xid::text;
END $$;

-- The answer leg of inbound exchanges. Planned at every call, ten a second at most: a plan kept from when the tables were empty reads all of an
-- organization's exchanges for each answer.
CREATE OR REPLACE FUNCTION medscan_record_answers(p_organization_id uuid, p_answers jsonb) RETURNS void
LANGUAGE plpgsql SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off AS $$
DECLARE
  earliest timestamptz;
  latest timestamptz;
BEGIN
  PERFORM set_config('app.organization_id', p_organization_id::text, true);
  SELECT min(a.started_at), max(a.started_at) INTO earliest, latest FROM jsonb_to_recordset(p_answers) AS a(started_at timestamptz);
  UPDATE sync_logs s SET answer_status = a.answer_status, answer_code = a.answer_code
    FROM jsonb_to_recordset(p_answers) AS a(sync_id uuid, started_at timestamptz, answer_status text, answer_code text)
    WHERE s.organization_id = p_organization_id AND s.sync_id = a.sync_id AND s.started_at = a.started_at AND s.started_at BETWEEN earliest AND latest;
END $$;

-- ======== migrations/0029_deliver_next.sql ========

-- One statement between two results on their way to a destination: what was delivered is written down, and the next attempt begins. Anything but a plain
-- delivery is left to the application (pipeline/deliver.ts).
--   p_finished   the attempt that was just delivered, with its bytes in p_sent and p_answer; NULL: none
--   p_attempt    the exchange to begin with the head of the outbox, {sync_id, started_at, adapter, interaction}; NULL: begin none
-- Rows are named by every key they have, and never by the index of open deliveries: a plan made while the outbox was empty stays good behind a
-- backlog. A report is found by one key alone: plans are made anew each time that table has doubled (as in 0010).
-- `state`: begun, later (the head is not due), taken (another worker has it) or empty. `head` is that of the outbox; `attempts` counts those before this one.
CREATE FUNCTION medscan_deliver_next(p_organization_id uuid, p_integration_id uuid, p_finished jsonb, p_sent bytea, p_answer bytea, p_attempt jsonb, OUT state text, OUT head jsonb)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  f record;
  a record;
  d record;
  doublings text := floor(log(2, greatest(pg_relation_size('reports') / 8192, 1)))::text;
BEGIN
  PERFORM set_config('app.organization_id', p_organization_id::text, true);
  IF current_setting('medscan.report_doublings', true) IS DISTINCT FROM doublings THEN
    DISCARD PLANS;
    PERFORM set_config('medscan.report_doublings', doublings, false);
  END IF;
  IF p_finished IS NOT NULL THEN
    SELECT * INTO f FROM jsonb_to_record(p_finished) AS r(delivery_id uuid, attempt int, sync_id uuid, started_at timestamptz, finished_at timestamptz, duration_ms float8, interaction text,
      peer_address text, answer_code text, byte_size bigint, sha256 text, sent_type text, answer_type text, report_id uuid, patient_id uuid, destination text, facts jsonb, event_code text,
      event_name text, detail jsonb);
    UPDATE deliveries SET status = 'delivered', last_outcome = 'delivered', last_text = NULL, delivered_at = now()
      WHERE organization_id = p_organization_id AND delivery_id = f.delivery_id AND integration_id = p_integration_id AND report_id = f.report_id AND attempts = f.attempt
        AND status || '' = 'sending';
    IF FOUND THEN
      UPDATE sync_logs s SET message_status = 'delivered', answer_status = 'answered', answer_code = f.answer_code, interaction = f.interaction, peer_address = f.peer_address,
        finished_at = f.finished_at, duration_ms = f.duration_ms, byte_size = f.byte_size, sha256 = f.sha256, payload_location = CASE WHEN p_sent IS NOT NULL THEN 'database' END,
        facts = CASE WHEN f.facts IS NULL THEN s.facts ELSE coalesce(s.facts, '{}') || f.facts END
        WHERE s.organization_id = p_organization_id AND s.sync_id = f.sync_id AND s.started_at = f.started_at AND s.control_id = f.delivery_id::text;
      INSERT INTO exchange_payloads (organization_id, sync_id, part, media_type, content)
        SELECT p_organization_id, f.sync_id, p.part, p.media_type, p.content
        FROM (VALUES ('message', f.sent_type, p_sent), ('answer', f.answer_type, p_answer)) AS p(part, media_type, content) WHERE p.content IS NOT NULL ON CONFLICT DO NOTHING;
      INSERT INTO audit_logs (organization_id, event_code, event_name, action, outcome, actor_kind, actor_id, network_address, object_type, object_id, patient_id, sync_id, detail)
        VALUES (p_organization_id, f.event_code, f.event_name, 'R', 'success', 'system', 'deliver', f.peer_address, 'report', f.report_id::text, f.patient_id, f.sync_id, f.detail);
      -- Its last success to a few seconds: one row that every delivery would write anew.
      UPDATE external_integrations SET health_status = 'ok', last_ok_at = now() WHERE organization_id = p_organization_id AND integration_id = p_integration_id
        AND (health_status <> 'ok' OR last_ok_at IS NULL OR last_ok_at < now() - interval '5 seconds');
      UPDATE system_alerts SET resolved_at = now() WHERE organization_id = p_organization_id AND kind = 'integration_down' AND subject = f.destination AND resolved_at IS NULL;
    END IF;
  END IF;
  state := 'empty';
  IF p_attempt IS NULL THEN
    RETURN;
  END IF;
  SELECT h.delivery_id, h.report_id, h.attempts, h.status, h.next_attempt_at INTO d FROM deliveries h
    WHERE h.organization_id = p_organization_id AND h.integration_id = p_integration_id AND h.status IN ('queued', 'sending') ORDER BY h.position LIMIT 1;
  IF NOT FOUND OR (SELECT i.deliver_paused_at IS NOT NULL FROM external_integrations i WHERE i.organization_id = p_organization_id AND i.integration_id = p_integration_id) THEN
    RETURN;
  END IF;
  SELECT * INTO a FROM jsonb_to_record(p_attempt) AS r(sync_id uuid, started_at timestamptz, adapter text, interaction text);
  SELECT jsonb_build_object('delivery_id', d.delivery_id, 'report_id', d.report_id, 'patient_id', s.patient_id, 'scan_id', r.scan_id, 'attempts', d.attempts, 'status', d.status,
      'next_attempt_at', d.next_attempt_at, 'document', r.document) INTO head
    FROM (SELECT x.scan_id, x.document FROM reports x WHERE x.organization_id = p_organization_id AND x.report_id = d.report_id OFFSET 0) r
      CROSS JOIN LATERAL (SELECT x.patient_id FROM scans x WHERE x.organization_id = p_organization_id AND x.scan_id = r.scan_id OFFSET 0) s;
  IF d.next_attempt_at > a.started_at THEN
    state := 'later';
    RETURN;
  END IF;
  UPDATE deliveries SET status = 'sending', attempts = d.attempts + 1
    WHERE organization_id = p_organization_id AND delivery_id = d.delivery_id AND integration_id = p_integration_id AND report_id = d.report_id AND attempts = d.attempts
      AND status || '' IN ('queued', 'sending');
  IF NOT FOUND THEN
    state := 'taken';
    RETURN;
  END IF;
  IF d.status = 'sending' THEN
    UPDATE sync_logs SET message_status = 'unconfirmed', error_class = 'ambiguous', error_text = 'the gateway stopped before the answer came; sent again under the same id', finished_at = now()
      WHERE organization_id = p_organization_id AND delivery_id = d.delivery_id AND message_status = 'sending';
  END IF;
  INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, attempt, started_at, patient_id, scan_id, report_id, delivery_id)
    VALUES (p_organization_id, a.sync_id, p_integration_id, a.adapter, 'outbound', a.interaction, d.delivery_id::text, 'sending', d.attempts + 1, a.started_at,
      (head->>'patient_id')::uuid, (head->>'scan_id')::uuid, d.report_id, d.delivery_id);
  state := 'begun';
END $$;

-- ======== migrations/0030_store_instances_in_turn.sql ========

-- schema-version: 1.5.0
-- medscan_store_instances (0008) once more, with the same promise: instances of open studies whose patient was compared before; what needs the
-- application comes back as 'slow', untouched; one call is one transaction. The one large statement of 0008 searched every scan and file of the
-- organization wherever the planner had not yet learnt better, and took as long to start as these short ones take to run.
-- Scans are taken in one order, so that batches cannot lock each other out; an instance that is in the batch twice finds the first one stored.
-- Plans are made once per connection: it forgets them each time the tables have doubled.

CREATE OR REPLACE FUNCTION medscan_store_instances(p_organization_id uuid, p_items jsonb)
RETURNS TABLE (item integer, outcome text, out_scan_file_id uuid, out_scan_id uuid, out_patient_id uuid)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
  i record;
  scan scans;
  stored record;
  arrived record;
  tenant text := p_organization_id::text;
  is_open boolean;
  doublings text := floor(log(2, greatest((pg_relation_size('scans') + pg_relation_size('scan_files')) / 8192, 1)))::text;
BEGIN
  IF current_setting('app.organization_id', true) IS DISTINCT FROM tenant THEN PERFORM set_config('app.organization_id', tenant, true); END IF;
  IF current_setting('medscan.instance_doublings', true) IS DISTINCT FROM doublings THEN
    DISCARD PLANS;
    PERFORM set_config('medscan.instance_doublings', doublings, false);
  END IF;
  FOR i IN
    SELECT r.*, lead(r.scan_id) OVER (ORDER BY r.scan_id, r.item) IS DISTINCT FROM r.scan_id AS is_last
    FROM jsonb_to_recordset(p_items) AS r(item int, sync_id uuid, scan_file_id uuid, scan_id uuid, patient_id uuid, integration_id uuid, adapter text, interaction text,
      series_instance_uid text, series_number int, series_description text, modality text, body_part text, sop_instance_uid text, sop_class_uid text,
      transfer_syntax_uid text, instance_number int, rows int, columns int, number_of_frames int, bits_allocated int, byte_size bigint, dataset_offset int, sha256 text,
      storage_location text, received_at timestamptz, finished_at timestamptz, duration_ms float8, scan_type text, peer_address text, peer_application text,
      mapping_version text, warnings jsonb, facts jsonb)
    ORDER BY r.scan_id, r.item
  LOOP
    IF scan.scan_id IS DISTINCT FROM i.scan_id THEN
      -- Waits for a completion that holds the scan.
      SELECT s.* INTO scan FROM scans s WHERE s.organization_id = p_organization_id AND s.scan_id = i.scan_id FOR UPDATE;
      is_open := scan.status = 'in_progress' AND scan.images_complete_at IS NULL;
      scan.scan_id := i.scan_id;
      SELECT 0 AS series, 0 AS instances, 0::bigint AS bytes, scan.last_instance_at AS last_at, scan.modalities AS modalities, scan.scan_type AS scan_type INTO arrived;
    END IF;
    item := i.item;
    out_scan_file_id := NULL;
    out_scan_id := i.scan_id;
    out_patient_id := i.patient_id;
    SELECT f.scan_file_id, f.scan_id, f.sha256 INTO stored FROM scan_files f
      WHERE f.organization_id = p_organization_id AND f.sop_instance_uid = i.sop_instance_uid ORDER BY f.sha256 = i.sha256 DESC LIMIT 1;
    outcome := CASE
      WHEN is_open IS NOT TRUE OR scan.patient_id IS DISTINCT FROM i.patient_id THEN 'slow'
      WHEN stored.scan_file_id IS NULL THEN 'accepted'
      WHEN stored.sha256 = i.sha256 THEN 'duplicate'
      ELSE 'slow' END;

    IF outcome = 'accepted' THEN
      out_scan_file_id := i.scan_file_id;
      PERFORM 1 FROM scan_files f WHERE f.organization_id = p_organization_id AND f.scan_id = i.scan_id AND f.series_instance_uid = i.series_instance_uid LIMIT 1;
      arrived.series := arrived.series + CASE WHEN FOUND THEN 0 ELSE 1 END;
      INSERT INTO scan_files (organization_id, scan_file_id, scan_id, series_instance_uid, series_number, series_description, modality, body_part, sop_instance_uid, sop_class_uid,
        transfer_syntax_uid, instance_number, rows, columns, number_of_frames, bits_allocated, byte_size, dataset_offset, sha256, storage_location, received_at, source_integration_id, source_sync_id)
      VALUES (p_organization_id, i.scan_file_id, i.scan_id, i.series_instance_uid, i.series_number, i.series_description, i.modality, i.body_part, i.sop_instance_uid, i.sop_class_uid,
        i.transfer_syntax_uid, i.instance_number, i.rows, i.columns, i.number_of_frames, i.bits_allocated, i.byte_size, i.dataset_offset, i.sha256, i.storage_location, i.received_at,
        i.integration_id, i.sync_id);
      arrived.instances := arrived.instances + 1;
      arrived.bytes := arrived.bytes + i.byte_size;
      arrived.last_at := greatest(arrived.last_at, i.received_at);
      IF i.modality <> ALL (arrived.modalities) THEN arrived.modalities := ARRAY(SELECT m FROM unnest(arrived.modalities || i.modality) m ORDER BY 1); END IF;
      IF arrived.scan_type = 'other' THEN arrived.scan_type := coalesce(i.scan_type, 'other'); END IF;
    ELSIF outcome = 'duplicate' THEN
      out_scan_file_id := stored.scan_file_id;
      out_scan_id := stored.scan_id;
    END IF;

    IF outcome <> 'slow' THEN
      INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at, finished_at, duration_ms, byte_size, sha256,
        payload_location, peer_address, peer_application, patient_id, scan_id, mapping_version, warnings, facts)
      VALUES (p_organization_id, i.sync_id, i.integration_id, i.adapter, 'inbound', i.interaction, i.sop_instance_uid, outcome, i.received_at, i.finished_at, i.duration_ms, i.byte_size,
        i.sha256, CASE WHEN outcome = 'accepted' THEN 'store:' || i.storage_location END, i.peer_address, i.peer_application, i.patient_id, out_scan_id,
        i.mapping_version, i.warnings, i.facts);
      INSERT INTO audit_logs (organization_id, event_code, event_name, action, outcome, actor_kind, actor_id, network_address, object_type, object_id, patient_id, sync_id, detail)
      VALUES (p_organization_id, '110104', 'DICOM Instances Transferred', 'C', 'success', 'application', coalesce(i.peer_application, 'unknown'), i.peer_address, 'scan_file',
        out_scan_file_id::text, i.patient_id, i.sync_id, CASE WHEN outcome = 'duplicate' THEN '{"repeat": true}'::jsonb ELSE '{}'::jsonb END);
    END IF;

    IF i.is_last AND arrived.instances > 0 THEN
      UPDATE scans s SET instance_count = s.instance_count + arrived.instances, series_count = s.series_count + arrived.series, total_bytes = s.total_bytes + arrived.bytes,
        last_instance_at = arrived.last_at, modalities = arrived.modalities, scan_type = arrived.scan_type
      WHERE s.organization_id = p_organization_id AND s.scan_id = i.scan_id;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;

-- ======== migrations/0031_withdrawn_is_not_analysed.sql ========

-- Who placed an order is not told that it was analysed when a report of it is withdrawn: the withdrawal itself is sent.
DROP TRIGGER note_analysed ON reports;
CREATE TRIGGER note_analysed AFTER INSERT ON reports FOR EACH ROW WHEN (NEW.author_kind = 'device' AND NEW.status NOT IN ('entered-in-error', 'cancelled'))
  EXECUTE FUNCTION medscan_note_order_of_report();

-- ======== migrations/0033_message_cost.sql ========

-- What a message costs no longer grows with the patients and messages that its organization holds. Under row level security an index serves a condition
-- only when nothing in the condition could leak a row. A cast or coalesce() inside it kept PostgreSQL 15 from the keys, so that every batch walked all
-- names of its sender and, for each of its patients, all patients; the join of the UPDATE walked all patients once on PostgreSQL 18 too. Keys are made
-- before the look-up now, behind OFFSET 0: the condition compares columns alone.

-- As before (0028); and the connection forgets its plans when the table of names has doubled, as medscan_load_messages does.
CREATE OR REPLACE FUNCTION medscan_store_messages(p_organization_id uuid, p_patients jsonb, p_messages jsonb, p_contents bytea, OUT is_written boolean, OUT version text, OUT touched jsonb)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  found_rows integer;
  patient record;
  doublings text := floor(log(2, greatest(pg_relation_size('message_identities') / 8192, 1)))::text;
BEGIN
  PERFORM set_config('app.organization_id', p_organization_id::text, true);
  IF current_setting('medscan.doublings', true) IS DISTINCT FROM doublings THEN
    DISCARD PLANS;
    PERFORM set_config('medscan.doublings', doublings, false);
  END IF;
  is_written := false;
  IF p_patients ? 'names_unread' THEN
    PERFORM 1 FROM (SELECT r.integration_id, coalesce(r.peer_application, '') AS sender, r.control_id
        FROM jsonb_to_recordset(p_messages) AS r(integration_id uuid, peer_application text, control_id text) OFFSET 0) n
      CROSS JOIN LATERAL (SELECT 1 FROM message_identities i WHERE i.organization_id = p_organization_id AND i.integration_id = n.integration_id
        AND i.sender = n.sender AND i.control_id = n.control_id OFFSET 0) m;
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;
  IF p_patients ? 'held' THEN
    SELECT count(*) INTO found_rows FROM (SELECT e.key::uuid AS patient_id, e.value AS version FROM jsonb_each_text(p_patients->'held') e OFFSET 0) c
      CROSS JOIN LATERAL (SELECT 1 FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = c.patient_id AND p.xmin::text = c.version OFFSET 0 FOR NO KEY UPDATE) h;
    IF found_rows < (SELECT count(*) FROM jsonb_object_keys(p_patients->'held')) THEN
      RETURN;
    END IF;
  END IF;
  IF p_patients ? 'compared' THEN
    SELECT count(*) INTO found_rows FROM (SELECT e.key::uuid AS patient_id, e.value AS version FROM jsonb_each_text(p_patients->'compared') e OFFSET 0) c
      CROSS JOIN LATERAL (SELECT 1 FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = c.patient_id AND p.xmin::text = c.version OFFSET 0) h;
    IF found_rows < (SELECT count(*) FROM jsonb_object_keys(p_patients->'compared')) THEN
      RETURN;
    END IF;
  END IF;
  IF p_patients ? 'owned' THEN
    SELECT count(*) INTO found_rows FROM jsonb_to_recordset(p_patients->'owned') AS o(patient_id uuid, value text, assigning_authority text)
      CROSS JOIN LATERAL (SELECT 1 FROM patient_identifiers i WHERE i.organization_id = p_organization_id AND i.value_index = o.value
        AND i.assigning_authority = o.assigning_authority AND i.patient_id = o.patient_id OFFSET 0) h;
    IF found_rows < jsonb_array_length(p_patients->'owned') THEN
      RETURN;
    END IF;
  END IF;
  IF p_patients ? 'inserted' THEN
    INSERT INTO patients (organization_id, patient_id, patient_number, identity_status, is_active, family_name, given_name, middle_name, name_prefix, name_suffix, ideographic_name,
      phonetic_name, birth_date, birth_date_precision, sex, address, telecom, deceased, deceased_at, provenance)
    SELECT p_organization_id, r.patient_id, r.patient_number, r.identity_status, r.is_active, r.family_name, r.given_name, r.middle_name, r.name_prefix, r.name_suffix, r.ideographic_name,
      r.phonetic_name, r.birth_date, CASE length(r.birth_date) WHEN 4 THEN 'year' WHEN 7 THEN 'month' WHEN 10 THEN 'day' END, r.sex, r.address, r.telecom, r.deceased, r.deceased_at, r.provenance
    FROM jsonb_to_recordset(p_patients->'inserted') AS r(patient_id uuid, patient_number text, identity_status text, is_active boolean, family_name text, given_name text, middle_name text,
      name_prefix text, name_suffix text, ideographic_name text, phonetic_name text, birth_date text, sex text, address jsonb, telecom jsonb, deceased boolean, deceased_at text, provenance jsonb);
  END IF;
  IF p_patients ? 'updated' THEN
    -- One by one: joined with the list, all patients of the organization would be walked.
    FOR patient IN SELECT * FROM jsonb_to_recordset(p_patients->'updated') AS u(patient_id uuid, identity_status text, is_active boolean, family_name text, given_name text, middle_name text,
      name_prefix text, name_suffix text, ideographic_name text, phonetic_name text, birth_date text, sex text, address jsonb, telecom jsonb, deceased boolean, deceased_at text, provenance jsonb) LOOP
      UPDATE patients p SET identity_status = patient.identity_status, is_active = patient.is_active, family_name = patient.family_name, given_name = patient.given_name, middle_name = patient.middle_name,
        name_prefix = patient.name_prefix, name_suffix = patient.name_suffix, ideographic_name = patient.ideographic_name, phonetic_name = patient.phonetic_name, birth_date = patient.birth_date,
        birth_date_precision = CASE length(patient.birth_date) WHEN 4 THEN 'year' WHEN 7 THEN 'month' WHEN 10 THEN 'day' END, sex = patient.sex, address = patient.address, telecom = patient.telecom,
        deceased = patient.deceased, deceased_at = patient.deceased_at, provenance = patient.provenance
      WHERE p.organization_id = p_organization_id AND p.patient_id = patient.patient_id;
    END LOOP;
  END IF;
  IF p_patients ? 'identifiers' THEN
    INSERT INTO patient_identifiers (organization_id, patient_id, assigning_authority, value, value_index, type_code)
    SELECT p_organization_id, r.patient_id, r.assigning_authority, r.value, r.value, r.type_code
    FROM jsonb_to_recordset(p_patients->'identifiers') AS r(patient_id uuid, assigning_authority text, value text, type_code text);
  END IF;
  IF p_patients ? 'history' THEN
    -- What is stored already is left alone: most messages repeat what they said before.
    INSERT INTO patient_medical_history (organization_id, patient_id, kind, code, code_system, display, onset, status, severity, detail, statement_key, source_sync_id)
    SELECT p_organization_id, r.patient_id, r.kind, r.code, r.code_system, r.display, r.onset, r.status, r.severity, r.detail, r.statement_key, r.source_sync_id
    FROM jsonb_to_recordset(p_patients->'history') AS r(patient_id uuid, kind text, code text, code_system text, display text, onset text, status text, severity text, detail jsonb,
      statement_key text, source_sync_id uuid, has_changed boolean)
    LEFT JOIN LATERAL (SELECT s.* FROM patient_medical_history s WHERE s.organization_id = p_organization_id AND s.patient_id = r.patient_id AND s.statement_key = r.statement_key OFFSET 0) h ON true
    WHERE h.history_id IS NULL OR r.has_changed OR (h.display, h.status, h.severity, h.detail) IS DISTINCT FROM (r.display, r.status, r.severity, r.detail)
    ON CONFLICT (organization_id, patient_id, statement_key) DO UPDATE SET display = excluded.display, status = excluded.status, severity = excluded.severity,
      detail = excluded.detail, source_sync_id = excluded.source_sync_id;
    SELECT jsonb_agg(h.patient_id) INTO touched FROM (SELECT DISTINCT r.patient_id FROM jsonb_to_recordset(p_patients->'history') AS r(patient_id uuid)) h
      CROSS JOIN LATERAL (SELECT 1 FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = h.patient_id AND p.xmin = pg_current_xact_id()::xid OFFSET 0) t;
  END IF;
  IF p_patients ? 'alerts' THEN
    INSERT INTO system_alerts (organization_id, kind, severity, subject, message, occurrences)
    SELECT p_organization_id, r.kind, r.severity, r.subject, r.message, r.occurrences
    FROM jsonb_to_recordset(p_patients->'alerts') AS r(kind text, severity text, subject text, message text, occurrences int)
    ON CONFLICT (organization_id, kind, subject) WHERE resolved_at IS NULL DO UPDATE SET occurrences = system_alerts.occurrences + excluded.occurrences, last_seen_at = now(),
      message = excluded.message, severity = excluded.severity;
  END IF;
  IF p_messages IS NOT NULL THEN
    WITH messages AS MATERIALIZED (
      SELECT * FROM jsonb_to_recordset(p_messages) AS r(item int, sync_id uuid, integration_id uuid, adapter text, interaction text, control_id text, message_status text,
        started_at timestamptz, finished_at timestamptz, duration_ms float8, byte_size bigint, sha256 text, payload_location text, peer_address text, peer_application text,
        patient_id uuid, scan_id uuid, mapping_version text, warnings jsonb, facts jsonb, links jsonb, media_type text, content_start int, content_length int,
        audit_id uuid, event_code text, event_name text, object_type text, object_id text, detail jsonb)),
    exchanges AS (
      INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at, finished_at, duration_ms, byte_size, sha256,
        payload_location, peer_address, peer_application, patient_id, scan_id, mapping_version, warnings, facts)
      SELECT p_organization_id, m.sync_id, m.integration_id, m.adapter, 'inbound', m.interaction, m.control_id, m.message_status, m.started_at, m.finished_at, m.duration_ms, m.byte_size, m.sha256,
        m.payload_location, m.peer_address, m.peer_application, m.patient_id, m.scan_id, m.mapping_version, m.warnings, m.facts FROM messages m),
    payloads AS (
      INSERT INTO exchange_payloads (organization_id, sync_id, part, media_type, content)
      SELECT p_organization_id, m.sync_id, 'message', m.media_type, substring(p_contents FROM m.content_start FOR m.content_length) FROM messages m),
    named AS (
      INSERT INTO message_identities (organization_id, integration_id, sender, control_id, sha256, interaction, sync_id, links)
      SELECT p_organization_id, m.integration_id, coalesce(m.peer_application, ''), m.control_id, m.sha256, m.interaction, m.sync_id, m.links
      FROM messages m WHERE m.message_status = 'accepted')
    INSERT INTO audit_logs (organization_id, audit_id, event_code, event_name, action, outcome, actor_kind, actor_id, network_address, object_type, object_id, patient_id, sync_id, detail)
    SELECT p_organization_id, m.audit_id, m.event_code, m.event_name, 'U', 'success', 'application', coalesce(m.peer_application, 'unknown'), m.peer_address, m.object_type, m.object_id,
      m.patient_id, m.sync_id, m.detail FROM messages m ORDER BY m.item;
  END IF;
  is_written := true;
  version := pg_current_xact_id()::xid::text;
END $$;

-- ======== migrations/0035_search_leftovers.sql ========

-- schema-version: 1.12.0
-- Two searches that had to look at everything: persons by birth date, and exchanges of a system that seldom speaks.

-- In "C" order, so that a day, a month or a year is a range of it; = and < are all that an index serves under row level security (0023).
CREATE INDEX patients_birth_date ON patients (organization_id, birth_date COLLATE "C") WHERE birth_date IS NOT NULL;

-- Which systems have exchanges in which stretch of the log. An ordinary index would cost every message that comes in or goes out; this one is written
-- when a stretch is full, and does not keep an update from staying on its page (from PostgreSQL 16 on).
DO $$
BEGIN
  IF current_setting('server_version_num')::integer >= 160000 THEN
    CREATE INDEX sync_logs_integration ON sync_logs USING brin (integration_id uuid_minmax_multi_ops) WITH (pages_per_range = 16, autosummarize = on);
  END IF;
END $$;

-- ======== migrations/0036_exports_resume.sql ========

-- schema-version: 1.12.1
-- Where an export stands: a worker that dies half-way through millions of records is followed by one that goes on.
-- {"outputs": [{type, count, byte_length}], "type", "count", "byte_length", "next"}: files that are whole, and the one that is written, up to the page that ends there.
ALTER TABLE record_exports ADD COLUMN progress jsonb;

-- ======== migrations/0037_association_log_ends.sql ========

-- The association log is kept for a time (setting association_log_days), and searched by caller and by time.
CREATE INDEX association_logs_started ON association_logs (organization_id, started_at);
CREATE INDEX association_logs_caller ON association_logs (organization_id, calling_ae_title, association_id DESC);
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT DELETE ON association_logs TO medscan_app;
  END IF;
END $$;

-- ======== migrations/0038_failed_retrievals.sql ========

-- Alerts about earlier studies are looked at by their scan.
CREATE INDEX study_retrievals_failed ON study_retrievals (organization_id, for_scan_id) WHERE status = 'failed';

-- ======== migrations/0039_order_status_in_line.sql ========

-- Order status messages leave in one line with the results for the same system, and one that was refused waits for a person as a refused report does.
--   skipped        overtaken by what the system was told since, or given up by a person; last_text says which
--   last_outcome   of its last try: unreachable (results wait behind it), put off or unconfirmed (results pass it), refused, delivered, overtaken, discarded
ALTER TABLE order_notices DROP CONSTRAINT order_notices_status_check;
ALTER TABLE order_notices ADD CONSTRAINT order_notices_status_check CHECK (status IN ('queued', 'delivered', 'refused', 'skipped'));
ALTER TABLE order_notices ADD COLUMN last_outcome text;
CREATE INDEX order_notices_parked ON order_notices (organization_id, notice_id) WHERE status = 'refused';

-- Its jobs had a queue of their own: what waits there is in order_notices, and leaves with the results from now on.
DO $$
BEGIN
  IF to_regclass('pgboss.job') IS NOT NULL THEN
    DELETE FROM pgboss.job WHERE name = 'tell-order-status' AND state <> 'active';
  END IF;
END $$;

-- ======== migrations/0040_no_index_of_lower_names.sql ========

-- schema-version: 1.12.2
-- Nothing under row level security can be looked up by lower(family_name); as the smallest index it was walked through all the same, for every part of
-- a name, fetching each patient, and every patient paid for it. Names are looked for in patients_name_key (0023).
DROP INDEX patients_family_name;

-- ======== migrations/0041_open_studies_in_turn.sql ========

-- schema-version: 1.13.0
-- The first instance of a study on the short way too. It took fifteen statements of the application, while the other associations of the study
-- waited; every image of a radiograph is a first one. medscan_open_studies finds or makes the patient and the scan of an instance whose
-- place is not known yet, where nothing needs the application: what does is not in the answer, nothing is written for it, and it goes the long way
-- (src/pipeline/persist-instances.ts), whose decisions these are:
--
--   patient  nobody owns a value of its identifiers -> made; one patient owns all of them, and nothing that is said of it would change -> that one
--   study    unknown -> made, or the patient's own scheduled order of that accession number; known, of this patient, its images arriving -> that one
--
-- Patients are locked against change: a merge that runs is waited for, and the identifiers are looked at again after it.

CREATE FUNCTION medscan_open_studies(p_organization_id uuid, p_openings jsonb) RETURNS jsonb
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  o record;
  d record;
  owners uuid[];
  same_authority bigint;
  whole jsonb;
  study scans;
  order_count bigint;
  is_first boolean;
  places jsonb := '{}';
BEGIN
  FOR o IN
    SELECT r.* FROM jsonb_to_recordset(p_openings) AS r(item int, sop_instance_uid text, received_at timestamptz, identifiers jsonb, said jsonb, patient_number text, provenance jsonb, scan_type text,
      study_instance_uid text, study_id text, accession_number text, study_description text, study_at timestamptz, referring_physician text, institution_name text, station_name text,
      body_part text, laterality text, procedure_code text, may_be_own_result boolean, queue jsonb, why_waiting text, entered_at timestamptz)
    ORDER BY r.study_instance_uid, r.item
  LOOP
    PERFORM 1 FROM scan_files f WHERE f.organization_id = p_organization_id AND f.sop_instance_uid = o.sop_instance_uid LIMIT 1;
    CONTINUE WHEN FOUND;

    SELECT array_agg(DISTINCT i.patient_id), count(*) FILTER (WHERE i.assigning_authority = n.assigning_authority) INTO owners, same_authority
    FROM jsonb_to_recordset(o.identifiers) AS n(assigning_authority text, value text)
    JOIN patient_identifiers i ON i.organization_id = p_organization_id AND i.value_index = n.value;
    IF owners IS NOT NULL THEN
      CONTINUE WHEN cardinality(owners) > 1 OR same_authority < jsonb_array_length(o.identifiers);
      SELECT to_jsonb(p) INTO whole FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = owners[1] FOR SHARE;
      PERFORM 1 FROM patient_identifiers i WHERE i.organization_id = p_organization_id AND i.value_index = o.identifiers->0->>'value'
        AND i.assigning_authority = o.identifiers->0->>'assigning_authority' AND i.patient_id = owners[1];
      CONTINUE WHEN NOT FOUND;
      PERFORM 1 FROM jsonb_each(o.said) AS s(name, value) WHERE s.value IS DISTINCT FROM whole->s.name AND CASE
        WHEN whole->'provenance'->s.name->>'authority' IN ('order', 'registration') THEN whole->s.name = 'null'
        ELSE whole->s.name = 'null' OR s.value NOT IN ('"unknown"', '[]') END;
      CONTINUE WHEN FOUND;
    END IF;

    is_first := true;
    SELECT s.* INTO study FROM scans s WHERE s.organization_id = p_organization_id AND s.study_instance_uid = o.study_instance_uid FOR UPDATE;
    IF FOUND THEN
      CONTINUE WHEN study.patient_id IS DISTINCT FROM owners[1] OR study.images_complete_at IS NOT NULL OR study.status NOT IN ('scheduled', 'in_progress');
      is_first := study.instance_count = 0;
      CONTINUE WHEN NOT is_first AND (study.status <> 'in_progress' OR o.may_be_own_result);
    ELSIF o.accession_number IS NOT NULL THEN
      SELECT count(*) INTO order_count FROM scans s WHERE s.organization_id = p_organization_id AND s.accession_number = o.accession_number AND s.study_instance_uid IS NULL;
      IF order_count > 0 THEN
        SELECT s.* INTO study FROM scans s WHERE s.organization_id = p_organization_id AND s.accession_number = o.accession_number AND s.study_instance_uid IS NULL FOR UPDATE;
        CONTINUE WHEN order_count > 1 OR study.scan_id IS NULL OR study.patient_id IS DISTINCT FROM owners[1] OR study.status <> 'scheduled' OR study.instance_count > 0;
      END IF;
    END IF;

    IF owners IS NULL THEN
      INSERT INTO patients (organization_id, patient_number, identity_status, family_name, given_name, middle_name, name_prefix, name_suffix, ideographic_name, phonetic_name, birth_date,
        birth_date_precision, sex, address, telecom, deceased, deceased_at, provenance)
      SELECT p_organization_id, o.patient_number, 'established', r.family_name, r.given_name, r.middle_name, r.name_prefix, r.name_suffix, r.ideographic_name, r.phonetic_name, r.birth_date,
        CASE length(r.birth_date) WHEN 4 THEN 'year' WHEN 7 THEN 'month' WHEN 10 THEN 'day' END, r.sex, r.address, r.telecom, r.deceased, r.deceased_at, o.provenance
      FROM jsonb_to_record(o.said) AS r(family_name text, given_name text, middle_name text, name_prefix text, name_suffix text, ideographic_name text, phonetic_name text, birth_date text,
        sex text, address jsonb, telecom jsonb, deceased boolean, deceased_at text)
      RETURNING ARRAY[patient_id] INTO owners;
      INSERT INTO patient_identifiers (organization_id, patient_id, assigning_authority, value, value_index, type_code)
      SELECT p_organization_id, owners[1], n.assigning_authority, n.value, n.value, n.type_code FROM jsonb_to_recordset(o.identifiers) AS n(assigning_authority text, value text, type_code text);
    END IF;
    IF study.scan_id IS NULL THEN
      INSERT INTO scans (organization_id, patient_id, scan_type, status, study_instance_uid, study_id, accession_number, study_description, study_at, referring_physician, institution_name,
        station_name, body_part, laterality, procedure_code, first_instance_at)
      VALUES (p_organization_id, owners[1], o.scan_type, 'in_progress', o.study_instance_uid, o.study_id, o.accession_number, o.study_description, o.study_at, o.referring_physician, o.institution_name,
        o.station_name, o.body_part, o.laterality, o.procedure_code, o.received_at)
      RETURNING * INTO study;
    ELSIF is_first THEN
      UPDATE scans s SET study_instance_uid = o.study_instance_uid, study_id = coalesce(s.study_id, o.study_id), accession_number = coalesce(s.accession_number, o.accession_number),
        study_description = coalesce(s.study_description, o.study_description), study_at = coalesce(s.study_at, o.study_at), referring_physician = coalesce(s.referring_physician, o.referring_physician),
        institution_name = coalesce(s.institution_name, o.institution_name), station_name = coalesce(s.station_name, o.station_name), body_part = coalesce(s.body_part, o.body_part),
        laterality = coalesce(s.laterality, o.laterality), procedure_code = coalesce(s.procedure_code, o.procedure_code), status = 'in_progress', first_instance_at = coalesce(s.first_instance_at, o.received_at)
      WHERE s.organization_id = p_organization_id AND s.scan_id = study.scan_id;
    END IF;
    SELECT r.* INTO d FROM jsonb_to_record(o.queue->study.priority) AS r(priority_score int, sla_due_at timestamptz);
    INSERT INTO scan_queue (organization_id, scan_id, priority_score, sla_due_at, why_waiting, queue_entered_at)
    VALUES (p_organization_id, study.scan_id, d.priority_score, d.sla_due_at, o.why_waiting, o.entered_at)
    ON CONFLICT (organization_id, scan_id) DO UPDATE SET why_waiting = excluded.why_waiting, priority_score = excluded.priority_score,
      status = CASE WHEN scan_queue.status IN ('completed', 'cancelled') THEN 'pending' ELSE scan_queue.status END,
      completed_at = CASE WHEN scan_queue.status IN ('completed', 'cancelled') THEN NULL ELSE scan_queue.completed_at END,
      sla_due_at = CASE WHEN scan_queue.status IN ('completed', 'cancelled') THEN excluded.sla_due_at ELSE least(scan_queue.sla_due_at, excluded.sla_due_at) END;
    places := places || jsonb_build_object(o.item::text, jsonb_build_object('scan_id', study.scan_id, 'patient_id', study.patient_id, 'is_opened', true));
  END LOOP;
  RETURN places;
END $$;

-- medscan_store_instances (0030) as it was; the places of what was opened stand in for those that the items do not name.
DROP FUNCTION medscan_store_instances(uuid, jsonb);
CREATE FUNCTION medscan_store_instances(p_organization_id uuid, p_items jsonb, p_openings jsonb DEFAULT '[]')
RETURNS TABLE (item integer, outcome text, out_scan_file_id uuid, out_scan_id uuid, out_patient_id uuid, out_is_opened boolean)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
  i record;
  scan scans;
  stored record;
  arrived record;
  tenant text := p_organization_id::text;
  is_open boolean;
  items jsonb := p_items;
  places jsonb;
  doublings text := floor(log(2, greatest((pg_relation_size('scans') + pg_relation_size('scan_files')) / 8192, 1)))::text;
BEGIN
  IF current_setting('app.organization_id', true) IS DISTINCT FROM tenant THEN PERFORM set_config('app.organization_id', tenant, true); END IF;
  IF current_setting('medscan.instance_doublings', true) IS DISTINCT FROM doublings THEN
    DISCARD PLANS;
    PERFORM set_config('medscan.instance_doublings', doublings, false);
  END IF;
  IF p_openings <> '[]' THEN
    places := medscan_open_studies(p_organization_id, p_openings);
    SELECT jsonb_agg(e || coalesce(places->(e->>'item'), '{}')) INTO items FROM jsonb_array_elements(p_items) AS e;
  END IF;
  SELECT 0 AS instances INTO arrived; -- for what has no place and comes first
  FOR i IN
    SELECT r.*, lead(r.scan_id) OVER (ORDER BY r.scan_id, r.item) IS DISTINCT FROM r.scan_id AS is_last
    FROM jsonb_to_recordset(items) AS r(item int, sync_id uuid, scan_file_id uuid, scan_id uuid, patient_id uuid, integration_id uuid, adapter text, interaction text,
      series_instance_uid text, series_number int, series_description text, modality text, body_part text, sop_instance_uid text, sop_class_uid text,
      transfer_syntax_uid text, instance_number int, rows int, columns int, number_of_frames int, bits_allocated int, byte_size bigint, dataset_offset int, sha256 text,
      storage_location text, received_at timestamptz, finished_at timestamptz, duration_ms float8, scan_type text, peer_address text, peer_application text,
      mapping_version text, warnings jsonb, facts jsonb, is_opened boolean)
    ORDER BY r.scan_id, r.item
  LOOP
    IF scan.scan_id IS DISTINCT FROM i.scan_id THEN
      -- Waits for a completion that holds the scan.
      SELECT s.* INTO scan FROM scans s WHERE s.organization_id = p_organization_id AND s.scan_id = i.scan_id FOR UPDATE;
      is_open := scan.status = 'in_progress' AND scan.images_complete_at IS NULL;
      scan.scan_id := i.scan_id;
      SELECT 0 AS series, 0 AS instances, 0::bigint AS bytes, scan.last_instance_at AS last_at, scan.modalities AS modalities, scan.scan_type AS scan_type INTO arrived;
    END IF;
    item := i.item;
    out_scan_file_id := NULL;
    out_scan_id := i.scan_id;
    out_patient_id := i.patient_id;
    out_is_opened := coalesce(i.is_opened, false);
    SELECT f.scan_file_id, f.scan_id, f.sha256 INTO stored FROM scan_files f
      WHERE f.organization_id = p_organization_id AND f.sop_instance_uid = i.sop_instance_uid ORDER BY f.sha256 = i.sha256 DESC LIMIT 1;
    outcome := CASE
      WHEN is_open IS NOT TRUE OR scan.patient_id IS DISTINCT FROM i.patient_id THEN 'slow'
      WHEN stored.scan_file_id IS NULL THEN 'accepted'
      WHEN stored.sha256 = i.sha256 THEN 'duplicate'
      ELSE 'slow' END;

    IF outcome = 'accepted' THEN
      out_scan_file_id := i.scan_file_id;
      PERFORM 1 FROM scan_files f WHERE f.organization_id = p_organization_id AND f.scan_id = i.scan_id AND f.series_instance_uid = i.series_instance_uid LIMIT 1;
      arrived.series := arrived.series + CASE WHEN FOUND THEN 0 ELSE 1 END;
      INSERT INTO scan_files (organization_id, scan_file_id, scan_id, series_instance_uid, series_number, series_description, modality, body_part, sop_instance_uid, sop_class_uid,
        transfer_syntax_uid, instance_number, rows, columns, number_of_frames, bits_allocated, byte_size, dataset_offset, sha256, storage_location, received_at, source_integration_id, source_sync_id)
      VALUES (p_organization_id, i.scan_file_id, i.scan_id, i.series_instance_uid, i.series_number, i.series_description, i.modality, i.body_part, i.sop_instance_uid, i.sop_class_uid,
        i.transfer_syntax_uid, i.instance_number, i.rows, i.columns, i.number_of_frames, i.bits_allocated, i.byte_size, i.dataset_offset, i.sha256, i.storage_location, i.received_at,
        i.integration_id, i.sync_id);
      arrived.instances := arrived.instances + 1;
      arrived.bytes := arrived.bytes + i.byte_size;
      arrived.last_at := greatest(arrived.last_at, i.received_at);
      IF i.modality <> ALL (arrived.modalities) THEN arrived.modalities := ARRAY(SELECT m FROM unnest(arrived.modalities || i.modality) m ORDER BY 1); END IF;
      IF arrived.scan_type = 'other' THEN arrived.scan_type := coalesce(i.scan_type, 'other'); END IF;
    ELSIF outcome = 'duplicate' THEN
      out_scan_file_id := stored.scan_file_id;
      out_scan_id := stored.scan_id;
    END IF;

    IF outcome <> 'slow' THEN
      INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at, finished_at, duration_ms, byte_size, sha256,
        payload_location, peer_address, peer_application, patient_id, scan_id, mapping_version, warnings, facts)
      VALUES (p_organization_id, i.sync_id, i.integration_id, i.adapter, 'inbound', i.interaction, i.sop_instance_uid, outcome, i.received_at, i.finished_at, i.duration_ms, i.byte_size,
        i.sha256, CASE WHEN outcome = 'accepted' THEN 'store:' || i.storage_location END, i.peer_address, i.peer_application, i.patient_id, out_scan_id,
        i.mapping_version, i.warnings, i.facts);
      INSERT INTO audit_logs (organization_id, event_code, event_name, action, outcome, actor_kind, actor_id, network_address, object_type, object_id, patient_id, sync_id, detail)
      VALUES (p_organization_id, '110104', 'DICOM Instances Transferred', 'C', 'success', 'application', coalesce(i.peer_application, 'unknown'), i.peer_address, 'scan_file',
        out_scan_file_id::text, i.patient_id, i.sync_id, CASE WHEN outcome = 'duplicate' THEN '{"repeat": true}'::jsonb ELSE '{}'::jsonb END);
    END IF;

    IF i.is_last AND arrived.instances > 0 THEN
      UPDATE scans s SET instance_count = s.instance_count + arrived.instances, series_count = s.series_count + arrived.series, total_bytes = s.total_bytes + arrived.bytes,
        last_instance_at = arrived.last_at, modalities = arrived.modalities, scan_type = arrived.scan_type
      WHERE s.organization_id = p_organization_id AND s.scan_id = i.scan_id;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;

-- ======== migrations/0042_scan_arrivals.sql ========

-- schema-version: 1.13.0
-- A quiet time alone does not say that a study is complete while its sender is still at it. Whoever receives keeps here, once in a few seconds and never per
-- image, for which scans more may come; completion waits while holds_until is ahead. No reference to scans: it would lock their rows against the receiver.
CREATE TABLE scan_arrivals (
  organization_id  uuid NOT NULL,
  -- of the association or request that brought the images; of the start of the gateway, for 'restarted'
  arrival_id       uuid NOT NULL,
  scan_id          uuid NOT NULL,
  -- the process that receives: it alone renews the row, and what it no longer has ends with its next look
  gateway_id       uuid NOT NULL,
  -- open: it may bring more. broken: it ended without a release, and its sender may try again. restarted: the gateway was away
  state            text NOT NULL CHECK (state IN ('open', 'broken', 'restarted')),
  -- what the sender calls itself
  peer             text,
  -- a process that died renews nothing, and the row ends by itself
  holds_until      timestamptz NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, arrival_id, scan_id)
);
CREATE INDEX scan_arrivals_scan ON scan_arrivals (organization_id, scan_id);

ALTER TABLE scan_arrivals ENABLE ROW LEVEL SECURITY;
ALTER TABLE scan_arrivals FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON scan_arrivals USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON scan_arrivals TO medscan_app;
  END IF;
END $$;
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON scan_arrivals FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();

-- ======== migrations/0043_images_without_modality.sql ========

-- schema-version: 1.13.1
-- An image without Modality made a NULL of the list of its study's modalities: NULL <> ALL of an empty list is true. No reader of scans takes that, so that
-- the study was never completed. The function is that of 0041 but for this condition.
DO $$
DECLARE
  before text := 'IF i.modality <> ALL (arrived.modalities)';
  after text := 'IF i.modality IS NOT NULL AND i.modality <> ALL (arrived.modalities)';
  definition text := (SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = 'medscan_store_instances');
BEGIN
  IF definition IS NULL OR position('i.modality <> ALL (arrived.modalities)' IN definition) = 0 THEN RAISE EXCEPTION 'medscan_store_instances is not as this migration knows it'; END IF;
  EXECUTE replace(definition, before, after);
END $$;

-- Triggers of scans write in the name of the organization.
DO $$
DECLARE
  o uuid;
BEGIN
  PERFORM set_config('app.scope', 'system', true);
  FOR o IN SELECT organization_id FROM organizations LOOP
    PERFORM set_config('app.organization_id', o::text, true);
    UPDATE scans SET modalities = array_remove(modalities, NULL) WHERE organization_id = o AND array_position(modalities, NULL) IS NOT NULL;
  END LOOP;
  PERFORM set_config('app.organization_id', '', true), set_config('app.scope', '', true);
END $$;

-- ======== migrations/0044_export_attempts.sql ========

-- schema-version: 1.14.0
-- Which worker writes an export: each begins by counting up, and notes a page only while nobody has counted further. So one that was thought dead, and wakes,
-- changes neither the row nor a file of the one that goes on: files are named by the attempt that writes them.
ALTER TABLE record_exports ADD COLUMN attempt integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN record_exports.attempt IS 'Counts the workers that began it; the last one writes. outputs and progress name its files: parts [{attempt, byte_length}], in order; none: one file without a number.';

-- ======== migrations/0045_what_alerts_are_about.sql ========

-- schema-version: 1.15.0
-- What an alert is about, where its subject does not say it: by this it is seen that the cause is gone.
ALTER TABLE system_alerts ADD COLUMN about jsonb;
COMMENT ON COLUMN system_alerts.about IS 'identity_conflict of an order, a report or an appointment: [{patient_id, order_scan_id}], the other patient and the order that was made for him. files_missing: ids of scan_files. Null: of before, or nothing to look up.';

-- ======== migrations/0046_maintenance_runs.sql ========

-- schema-version: 1.16.0
-- What maintenance did for an organization, and for which time: the review of a week, what its models did in a quarter, which part of the audit log is in a file.
CREATE TABLE maintenance_runs (
  organization_id  uuid NOT NULL REFERENCES organizations,
  run_id           uuid NOT NULL DEFAULT medscan_uuid_v7(),
  task             text NOT NULL CHECK (task IN ('weekly-review', 'model-baselines', 'audit-archive')),
  period_start     timestamptz NOT NULL,
  period_end       timestamptz NOT NULL CHECK (period_end > period_start),
  -- figures, ids and names of models, systems and files; nothing of a patient
  result           jsonb NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, run_id),
  UNIQUE (organization_id, task, period_start)
);
ALTER TABLE maintenance_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE maintenance_runs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON maintenance_runs USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON maintenance_runs FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT SELECT, INSERT, UPDATE ON maintenance_runs TO medscan_app;
  END IF;
END $$;

-- Drops the partitions of system_metrics, and of no other table, whose month ended `keep_months` months ago or earlier. Returns how many. Samples of memory,
-- queues and free bytes only, 15 seconds apart: a hundred thousand rows a day and node.
CREATE FUNCTION medscan_drop_old_metrics(keep_months integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  partition_name text;
  dropped integer := 0;
BEGIN
  IF keep_months < 1 THEN
    RAISE EXCEPTION 'at least one month of metrics is kept';
  END IF;
  FOR partition_name IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'system_metrics'::regclass AND c.relname ~ '^system_metrics_\d{4}_\d{2}$'
      AND to_date(right(c.relname, 7), 'YYYY_MM') < date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => keep_months)
  LOOP
    EXECUTE format('DROP TABLE %I', partition_name);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$;
REVOKE ALL ON FUNCTION medscan_drop_old_metrics(integer) FROM PUBLIC;

-- ======== migrations/0049_later_than_a_merge.sql ========

-- schema-version: 1.16.1
-- Whoever undoes a merge is asked about the scans that came after it, and reports made after it are corrected. now() is when a transaction began: one that
-- waited for a merge, or had other work before, wrote scans and reports of the patient who remained that looked earlier than the merge, and nobody was asked.
ALTER TABLE scans ALTER COLUMN created_at SET DEFAULT clock_timestamp();
ALTER TABLE reports ALTER COLUMN created_at SET DEFAULT clock_timestamp();

-- ======== migrations/0052_held_patients_keep_nobody_waiting.sql ========

-- schema-version: 1.16.2
-- The first image of a patient whom another transaction holds (a merge, a registration, a person's correction) goes the long way, which waits for it. Here all
-- images of the organization would wait. The function is that of 0041 but for this.
DO $$
DECLARE
  before text := 'p.patient_id = owners[1] FOR SHARE;';
  after text := 'p.patient_id = owners[1] FOR SHARE SKIP LOCKED;
      CONTINUE WHEN NOT FOUND;';
  definition text := (SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = 'medscan_open_studies');
BEGIN
  IF definition IS NULL OR position(before IN definition) = 0 THEN RAISE EXCEPTION 'medscan_open_studies is not as this migration knows it'; END IF;
  EXECUTE replace(definition, before, after);
END $$;

-- ======== which migrations this file is ========

CREATE TABLE schema_migration (
  id              text PRIMARY KEY,
  sha256          text NOT NULL,
  schema_version  text NOT NULL,
  applied_at      timestamptz NOT NULL DEFAULT now(),
  milliseconds    integer NOT NULL
);
INSERT INTO schema_migration (id, sha256, schema_version, milliseconds) VALUES
  ('0001_organizations_and_access.sql', '69db3869297516de0c6d6d18105d37486fd651895fa1dbe6b4ecb8934aa9bdb7', '1.0.0', 0),
  ('0002_patients.sql', 'c6e39e640125cdce6165f57df1d40a98f149d88ac18c78c104c8bfb43f793480', '1.0.0', 0),
  ('0003_integrations.sql', 'd4d84ca9b053738f8a2568b9c9f6d0061494734bd62c79323ea138f1d9062d7a', '1.0.0', 0),
  ('0004_scans.sql', '68e46127e74dbe117f0aae1f172bdebe4a0de826bc43c6e55201cb66551e41f0', '1.0.0', 0),
  ('0005_ai_and_reports.sql', '328fc17a377568620e117f198d5b6bf71cbb91592111f72693ca4e60eee0f9a9', '1.0.0', 0),
  ('0006_operations.sql', '2a0c7d7badb0dec3ccb991523876e8336578a4067cc36e1e9d71174c2ec8b18b', '1.0.0', 0),
  ('0007_partitions_and_row_level_security.sql', '629571cd23eec70995221922732b4773e59dc326722e42c2b77feda68996f159', '1.0.0', 0),
  ('0008_store_instances.sql', '58397c5bc4124ada8134b59192f3a243d9ac227c9e95212f9668bc34db5e9fa2', '1.1.0', 0),
  ('0010_store_messages.sql', '9340674fc732102cc0b110d90aaf01868f64e9e7a3387e1192fa00acb88dd4a9', '1.1.0', 0),
  ('0012_holdings.sql', '98847628632b7ebef4043b6a48c4bafb4d7d2d8ee018a88377c8042590f89664', '1.2.0', 0),
  ('0014_one_version_in_use.sql', 'df132897ef1d4d8ed6117ed492efa568ccaf1098492534d73a55ffa6065be304', '1.4.0', 0),
  ('0015_asking_other_systems.sql', '6db9f52f30d72968db9262d92a8a6d6a70f4cc348927dc526f2a740c10d35b43', '1.4.1', 0),
  ('0016_asked_commitments.sql', '1c8f3018955475c2e011ba5cbf9601b7568134e9c03dee379dc02ab3b15a9bb5', '1.4.2', 0),
  ('0017_reidentification_vault.sql', '85df4a2c0209a275d2543713b37b8479dfb891aefbb3d6490f05c9590059b5d2', '1.4.2', 0),
  ('0019_association_logs.sql', '435515012556f512ba51eb31d29434d73a41718a3693d910b644480af70eab61', '1.5.0', 0),
  ('0020_merges_and_links.sql', 'ef0678caa7000e0af3a508173ed2421475f001df3994849f9968b4e25c175647', '1.5.1', 0),
  ('0021_order_notices.sql', '6ba27f1ecab2ae5ca2caa6c94113f65e4de337d53b15ee7b99999c01be1e0bd6', '1.5.1', 0),
  ('0022_operating_messages.sql', 'f98ea69ec13a1b25fd2360442d91e9f64250aa6de2f493fe33a72587f57f1876', '1.6.0', 0),
  ('0023_search.sql', '191c5f9058e9e7065dae0cf70bd394ae263a32389ac8846b27b3fcb54687b47b', '1.7.0', 0),
  ('0024_record_names.sql', '87ccb099c0ddae8cebc2e492e6425d8eb3d32ec9eb8fedf263e54d5b36c0fbdf', '1.7.0', 0),
  ('0025_record_versions.sql', '00c333f25c58a8d4e14d4248bb48b671c94a4ea6e377cb228cafc3da62f3b021', '1.7.0', 0),
  ('0026_result_subscriptions.sql', 'bd95a86b5a7a286c95755ae41e63e87bddae3686b82a3d30fc4f3f5d378d9dd0', '1.8.0', 0),
  ('0027_exports_and_pulls.sql', 'd3594f867aad9708041682017da96b292cd3fa93b2305106965017b06906f935', '1.8.1', 0),
  ('0028_message_throughput.sql', '88eff1ab5c71a9ac25ac787acdbccf6ca2475c02545f97db0be83d25afbd7932', '1.8.1', 0),
  ('0029_deliver_next.sql', 'ede6b9d890fa8870cf20358d2c3a0f7706899c9e584d8fef571816c3b42cd7a6', '1.8.1', 0),
  ('0030_store_instances_in_turn.sql', '93b2263284b898359cd4339f1af061dadab0ab2879eaa7fb5c272b0d1385c690', '1.5.0', 0),
  ('0031_withdrawn_is_not_analysed.sql', 'bfe56d018ff6f9ae2412cc048e98afc20863792dc1dc9452acfbbe984d48e816', '1.5.0', 0),
  ('0033_message_cost.sql', '3e17ed55e262fbf7995f31342794693eb8918f9654e27ac8a9ca8fda04d688dc', '1.5.0', 0),
  ('0035_search_leftovers.sql', 'ac6e0d6823bf810f2fb2a44b93d3b25ac29b496bb4c95f4e71bfdd014ca207bb', '1.12.0', 0),
  ('0036_exports_resume.sql', 'ea9b289a326585e3a941d8b10fa01f5b0e82b41d194ff1971b4ea4c674fa8751', '1.12.1', 0),
  ('0037_association_log_ends.sql', '0f6a8689beb82dc033f4f77aaed061bff8f9924011f35f676bac974211ea62ff', '1.12.1', 0),
  ('0038_failed_retrievals.sql', '0b8cf387af637f1b7895ecc5d90c59d3297f320cdc317c6d6888fdc12d79db89', '1.12.1', 0),
  ('0039_order_status_in_line.sql', '1b88ef3d863a4b1a322b9017ab45891dff98491122136e04c1f679595201c516', '1.12.1', 0),
  ('0040_no_index_of_lower_names.sql', '44e9efd7070c4ea77636e34db7dcceab747ddff6947f2f85d70144ba951ae610', '1.12.2', 0),
  ('0041_open_studies_in_turn.sql', '1552e1a24bdd5ceafbd243872b2d80de5cc1bb57c6f910355096c76868ee23c3', '1.13.0', 0),
  ('0042_scan_arrivals.sql', 'd1fe5d55d1e9a8a419bda875c6328d112424ad36df2621142325f1e43d762287', '1.13.0', 0),
  ('0043_images_without_modality.sql', '13c7e068e845d9c250199ef4ab503bf6e77a320769b37dec1b68d6f84aca3a8b', '1.13.1', 0),
  ('0044_export_attempts.sql', '32cf470c332109b620b16b046e0fbde26777077cc258a2b8adc6fbbc292897e6', '1.14.0', 0),
  ('0045_what_alerts_are_about.sql', 'e254e2d0aba92c899d0a60a8f3999166f07f411825e16a1cf92bf6f9d9170ba7', '1.15.0', 0),
  ('0046_maintenance_runs.sql', '0f6417c50a22fbf893e49c857ff2c8b5fdc5f1ef1700cf5c5caff0e876ab369a', '1.16.0', 0),
  ('0049_later_than_a_merge.sql', 'd7eb8ac7381c816dc2c0e91f597299af3c08c25045c01fffa355cda32a67b2dc', '1.16.1', 0),
  ('0052_held_patients_keep_nobody_waiting.sql', '4cfe81ce48ff982fa87ae2dcae31b45f61d42db7484cb0cec63894d4ed4916b0', '1.16.2', 0);

COMMIT;
