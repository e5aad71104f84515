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
