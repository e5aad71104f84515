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
