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
