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
