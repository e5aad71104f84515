-- schema-version: 1.7.0
-- Searches of other systems over a million scans. Under row level security an index serves only comparisons that cannot tell anything of rows of
-- others (leakproof): = and < of plain columns, but no LIKE, no lower(), no function of a column. So what is searched for is a column of its own.

-- The alphabetic name as a query has it, in small letters: family^given^middle^prefix^suffix. In "C" order, so that a beginning is a range.
ALTER TABLE patients ADD COLUMN name_key text COLLATE "C" GENERATED ALWAYS AS (lower(rtrim(coalesce(family_name, '') || '^' || coalesce(given_name, '') || '^' || coalesce(middle_name, '')
  || '^' || coalesce(name_prefix, '') || '^' || coalesce(name_suffix, ''), '^'))) STORED;
-- With what else a person is looked for by, so that a part of a name is looked for in the index alone.
CREATE INDEX patients_name_key ON patients (organization_id, name_key) INCLUDE (patient_id, birth_date);
-- Names in other writings: few rows where few have them.
CREATE INDEX patients_other_names ON patients (organization_id, patient_id) WHERE ideographic_name IS NOT NULL OR phonetic_name IS NOT NULL;

-- "What changed since": reports are written seldom. Scans and patients change with every image and message, and an ordinary index would cost each of
-- these changes; a BRIN costs next to nothing from PostgreSQL 16 on, where it does not keep an update from staying on its page.
CREATE INDEX reports_updated ON reports (organization_id, updated_at);
CREATE INDEX reports_created ON reports (organization_id, created_at);
DO $$
BEGIN
  IF current_setting('server_version_num')::integer >= 160000 THEN
    CREATE INDEX scans_updated ON scans USING brin (updated_at) WITH (pages_per_range = 32, autosummarize = on);
    CREATE INDEX patients_updated ON patients USING brin (updated_at) WITH (pages_per_range = 32, autosummarize = on);
  END IF;
END $$;

-- Lists of what is not done yet.
CREATE INDEX scans_unfinished ON scans (organization_id, status, scan_id) WHERE status IN ('scheduled', 'cancelled', 'failed');
