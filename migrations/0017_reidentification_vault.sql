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
