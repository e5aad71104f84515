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
