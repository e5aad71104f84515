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
