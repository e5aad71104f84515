-- schema-version: 1.16.2
-- The first image of a patient whom another transaction holds (a merge, a registration, a person's correction) goes the long way, which waits for it. Here all
-- images of the organization would wait. The function is that of 0041 but for this.
DO $$
DECLARE
  before text := 'p.patient_id = owners[1] FOR SHARE;';
  after text := 'p.patient_id = owners[1] FOR SHARE SKIP LOCKED;
      CONTINUE WHEN NOT FOUND;';
  definition text := (SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = 'medscan_open_studies');
BEGIN
  IF definition IS NULL OR position(before IN definition) = 0 THEN RAISE EXCEPTION 'medscan_open_studies is not as this migration knows it'; END IF;
  EXECUTE replace(definition, before, after);
END $$;
