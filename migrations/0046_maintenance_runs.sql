-- schema-version: 1.16.0
-- What maintenance did for an organization, and for which time: the review of a week, what its models did in a quarter, which part of the audit log is in a file.
CREATE TABLE maintenance_runs (
  organization_id  uuid NOT NULL REFERENCES organizations,
  run_id           uuid NOT NULL DEFAULT medscan_uuid_v7(),
  task             text NOT NULL CHECK (task IN ('weekly-review', 'model-baselines', 'audit-archive')),
  period_start     timestamptz NOT NULL,
  period_end       timestamptz NOT NULL CHECK (period_end > period_start),
  -- figures, ids and names of models, systems and files; nothing of a patient
  result           jsonb NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, run_id),
  UNIQUE (organization_id, task, period_start)
);
ALTER TABLE maintenance_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE maintenance_runs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON maintenance_runs USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON maintenance_runs FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT SELECT, INSERT, UPDATE ON maintenance_runs TO medscan_app;
  END IF;
END $$;

-- Drops the partitions of system_metrics, and of no other table, whose month ended `keep_months` months ago or earlier. Returns how many. Samples of memory,
-- queues and free bytes only, 15 seconds apart: a hundred thousand rows a day and node.
CREATE FUNCTION medscan_drop_old_metrics(keep_months integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  partition_name text;
  dropped integer := 0;
BEGIN
  IF keep_months < 1 THEN
    RAISE EXCEPTION 'at least one month of metrics is kept';
  END IF;
  FOR partition_name IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'system_metrics'::regclass AND c.relname ~ '^system_metrics_\d{4}_\d{2}$'
      AND to_date(right(c.relname, 7), 'YYYY_MM') < date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => keep_months)
  LOOP
    EXECUTE format('DROP TABLE %I', partition_name);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$;
REVOKE ALL ON FUNCTION medscan_drop_old_metrics(integer) FROM PUBLIC;
