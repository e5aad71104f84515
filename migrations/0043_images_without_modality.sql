-- schema-version: 1.13.1
-- An image without Modality made a NULL of the list of its study's modalities: NULL <> ALL of an empty list is true. No reader of scans takes that, so that
-- the study was never completed. The function is that of 0041 but for this condition.
DO $$
DECLARE
  before text := 'IF i.modality <> ALL (arrived.modalities)';
  after text := 'IF i.modality IS NOT NULL AND i.modality <> ALL (arrived.modalities)';
  definition text := (SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = 'medscan_store_instances');
BEGIN
  IF definition IS NULL OR position('i.modality <> ALL (arrived.modalities)' IN definition) = 0 THEN RAISE EXCEPTION 'medscan_store_instances is not as this migration knows it'; END IF;
  EXECUTE replace(definition, before, after);
END $$;

-- Triggers of scans write in the name of the organization.
DO $$
DECLARE
  o uuid;
BEGIN
  PERFORM set_config('app.scope', 'system', true);
  FOR o IN SELECT organization_id FROM organizations LOOP
    PERFORM set_config('app.organization_id', o::text, true);
    UPDATE scans SET modalities = array_remove(modalities, NULL) WHERE organization_id = o AND array_position(modalities, NULL) IS NOT NULL;
  END LOOP;
  PERFORM set_config('app.organization_id', '', true), set_config('app.scope', '', true);
END $$;
