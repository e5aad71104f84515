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
