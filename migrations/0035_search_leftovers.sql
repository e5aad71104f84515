-- schema-version: 1.12.0
-- Two searches that had to look at everything: persons by birth date, and exchanges of a system that seldom speaks.

-- In "C" order, so that a day, a month or a year is a range of it; = and < are all that an index serves under row level security (0023).
CREATE INDEX patients_birth_date ON patients (organization_id, birth_date COLLATE "C") WHERE birth_date IS NOT NULL;

-- Which systems have exchanges in which stretch of the log. An ordinary index would cost every message that comes in or goes out; this one is written
-- when a stretch is full, and does not keep an update from staying on its page (from PostgreSQL 16 on).
DO $$
BEGIN
  IF current_setting('server_version_num')::integer >= 160000 THEN
    CREATE INDEX sync_logs_integration ON sync_logs USING brin (integration_id uuid_minmax_multi_ops) WITH (pages_per_range = 16, autosummarize = on);
  END IF;
END $$;
