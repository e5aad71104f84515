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
