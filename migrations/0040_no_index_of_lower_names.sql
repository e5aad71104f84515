-- schema-version: 1.12.2
-- Nothing under row level security can be looked up by lower(family_name); as the smallest index it was walked through all the same, for every part of
-- a name, fetching each patient, and every patient paid for it. Names are looked for in patients_name_key (0023).
DROP INDEX patients_family_name;
