-- Monthly partitions of the append-only tables; triggers; row level security; what the application role may do.

-- Makes the partitions from last month to `months_ahead` months from now that do not exist yet. Returns how many it made.
CREATE FUNCTION medscan_ensure_partitions(months_ahead integer DEFAULT 3) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  parent text;
  first_day date;
  partition_name text;
  made integer := 0;
BEGIN
  FOREACH parent IN ARRAY ARRAY['sync_logs', 'audit_logs', 'system_metrics'] LOOP
    FOR i IN -1..months_ahead LOOP
      first_day := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => i))::date;
      partition_name := parent || '_' || to_char(first_day, 'YYYY_MM');
      IF to_regclass(partition_name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', partition_name, parent,
          first_day || ' 00:00:00+00', (first_day + interval '1 month')::date || ' 00:00:00+00');
        -- Reached through the parent only: no policy and no grant here means no direct access.
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', partition_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', partition_name);
        made := made + 1;
      END IF;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;
-- A row outside every month is kept rather than refused.
CREATE TABLE sync_logs_default PARTITION OF sync_logs DEFAULT;
CREATE TABLE audit_logs_default PARTITION OF audit_logs DEFAULT;
CREATE TABLE system_metrics_default PARTITION OF system_metrics DEFAULT;
SELECT medscan_ensure_partitions();

DO $$
DECLARE
  t record;
BEGIN
  FOR t IN SELECT c.oid, c.relname, c.relispartition FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
             AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped) LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t.relname);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t.relname);
    IF NOT t.relispartition THEN
      EXECUTE format('CREATE POLICY tenant ON %I USING (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)', t.relname);
      IF EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = t.oid AND attname = 'updated_at') THEN
        EXECUTE format('CREATE TRIGGER touch_updated_at BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at()', t.relname);
      END IF;
    END IF;
  END LOOP;
END $$;

-- Reads that come before the tenant is known: which organization an AE title, a login or a token belongs to, and the lists that
-- schedules walk. Reading only, and only when a transaction says so (app.scope = 'system').
CREATE POLICY system_reads ON organizations FOR SELECT USING (current_setting('app.scope', true) = 'system');
CREATE POLICY system_reads ON users FOR SELECT USING (current_setting('app.scope', true) = 'system');
CREATE POLICY system_reads ON user_sessions FOR SELECT USING (current_setting('app.scope', true) = 'system');
CREATE POLICY system_reads ON external_integrations FOR SELECT USING (current_setting('app.scope', true) = 'system');
-- Settings of the installation are read by everyone.
CREATE POLICY installation_settings ON system_settings FOR SELECT USING (organization_id = '00000000-0000-0000-0000-000000000000');

DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO medscan_app', current_schema());
    GRANT SELECT, INSERT, UPDATE ON organizations, users, user_sessions, user_preferences, patients, patient_identifiers, patient_medical_history,
      patient_merges, external_integrations, sync_logs, exchange_payloads, message_identities, scans, scan_files, scan_queue, ai_models, ai_analyses,
      findings, report_templates, reports, deliveries, system_alerts, workflow_rules TO medscan_app;
    GRANT DELETE ON user_sessions, user_preferences, patient_identifiers, exchange_payloads, message_identities TO medscan_app;
    GRANT SELECT, INSERT ON audit_logs, audit_seals, audit_checkpoints, system_metrics, system_settings, configuration_versions TO medscan_app;
    GRANT USAGE ON SEQUENCE scan_number_sequence, delivery_position_sequence, audit_sequence TO medscan_app;
  END IF;
END $$;
