-- The association log is kept for a time (setting association_log_days), and searched by caller and by time.
CREATE INDEX association_logs_started ON association_logs (organization_id, started_at);
CREATE INDEX association_logs_caller ON association_logs (organization_id, calling_ae_title, association_id DESC);
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT DELETE ON association_logs TO medscan_app;
  END IF;
END $$;
