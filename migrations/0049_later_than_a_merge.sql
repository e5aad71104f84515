-- schema-version: 1.16.1
-- Whoever undoes a merge is asked about the scans that came after it, and reports made after it are corrected. now() is when a transaction began: one that
-- waited for a merge, or had other work before, wrote scans and reports of the patient who remained that looked earlier than the merge, and nobody was asked.
ALTER TABLE scans ALTER COLUMN created_at SET DEFAULT clock_timestamp();
ALTER TABLE reports ALTER COLUMN created_at SET DEFAULT clock_timestamp();
