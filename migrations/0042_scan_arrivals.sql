-- schema-version: 1.13.0
-- A quiet time alone does not say that a study is complete while its sender is still at it. Whoever receives keeps here, once in a few seconds and never per
-- image, for which scans more may come; completion waits while holds_until is ahead. No reference to scans: it would lock their rows against the receiver.
CREATE TABLE scan_arrivals (
  organization_id  uuid NOT NULL,
  -- of the association or request that brought the images; of the start of the gateway, for 'restarted'
  arrival_id       uuid NOT NULL,
  scan_id          uuid NOT NULL,
  -- the process that receives: it alone renews the row, and what it no longer has ends with its next look
  gateway_id       uuid NOT NULL,
  -- open: it may bring more. broken: it ended without a release, and its sender may try again. restarted: the gateway was away
  state            text NOT NULL CHECK (state IN ('open', 'broken', 'restarted')),
  -- what the sender calls itself
  peer             text,
  -- a process that died renews nothing, and the row ends by itself
  holds_until      timestamptz NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, arrival_id, scan_id)
);
CREATE INDEX scan_arrivals_scan ON scan_arrivals (organization_id, scan_id);

ALTER TABLE scan_arrivals ENABLE ROW LEVEL SECURITY;
ALTER TABLE scan_arrivals FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON scan_arrivals USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT SELECT, INSERT, UPDATE, DELETE ON scan_arrivals TO medscan_app;
  END IF;
END $$;
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON scan_arrivals FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();
