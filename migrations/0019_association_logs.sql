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
