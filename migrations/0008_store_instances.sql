-- schema-version: 1.1.0
-- The hot path of C-STORE as one statement: instances of studies that are open and whose patient was compared before. Everything else
-- (a study's first instance, a conflict, a completed scan) is left to the application: those items come back as 'slow', untouched.
-- One call is one transaction: files, counts, exchanges and audit rows of many senders commit together or not at all.

CREATE FUNCTION medscan_store_instances(p_organization_id uuid, p_items jsonb)
RETURNS TABLE (item integer, outcome text, out_scan_file_id uuid, out_scan_id uuid, out_patient_id uuid) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('app.organization_id', p_organization_id::text, true);
  -- Batches lock their scans in one order, and wait for a completion that holds one.
  PERFORM 1 FROM scans s WHERE s.organization_id = p_organization_id
    AND s.scan_id IN (SELECT (i->>'scan_id')::uuid FROM jsonb_array_elements(p_items) i) ORDER BY s.scan_id FOR UPDATE;
  RETURN QUERY
  WITH items AS MATERIALIZED (
    SELECT r.*, row_number() OVER (PARTITION BY r.sop_instance_uid, r.sha256 ORDER BY r.item) AS nth,
      EXISTS (SELECT 1 FROM jsonb_array_elements(p_items) o WHERE o->>'sop_instance_uid' = r.sop_instance_uid AND o->>'sha256' <> r.sha256) AS is_contested
    FROM jsonb_to_recordset(p_items) AS r(item int, sync_id uuid, scan_file_id uuid, scan_id uuid, patient_id uuid, integration_id uuid, adapter text, interaction text,
      series_instance_uid text, series_number int, series_description text, modality text, body_part text, sop_instance_uid text, sop_class_uid text,
      transfer_syntax_uid text, instance_number int, rows int, columns int, number_of_frames int, bits_allocated int, byte_size bigint, dataset_offset int, sha256 text,
      storage_location text, received_at timestamptz, finished_at timestamptz, duration_ms float8, scan_type text, peer_address text, peer_application text,
      mapping_version text, warnings jsonb, facts jsonb)),
  judged AS MATERIALIZED (
    SELECT i.*, f.scan_file_id AS stored_file_id, f.scan_id AS stored_scan_id, CASE
      WHEN s.scan_id IS NULL OR i.is_contested THEN 'slow'
      WHEN f.sha256 = i.sha256 THEN 'duplicate'
      WHEN f.scan_file_id IS NOT NULL THEN 'slow'
      WHEN i.nth > 1 THEN 'duplicate'
      ELSE 'accepted' END AS verdict
    FROM items i
    LEFT JOIN scans s ON s.organization_id = p_organization_id AND s.scan_id = i.scan_id AND s.patient_id = i.patient_id AND s.status = 'in_progress' AND s.images_complete_at IS NULL
    LEFT JOIN LATERAL (SELECT x.scan_file_id, x.scan_id, x.sha256 FROM scan_files x WHERE x.organization_id = p_organization_id AND x.sop_instance_uid = i.sop_instance_uid
      ORDER BY x.sha256 = i.sha256 DESC LIMIT 1) f ON true),
  placed AS MATERIALIZED (
    SELECT j.*, CASE WHEN j.verdict = 'accepted' THEN j.scan_file_id
      ELSE coalesce(j.stored_file_id, (SELECT k.scan_file_id FROM judged k WHERE k.sop_instance_uid = j.sop_instance_uid AND k.verdict = 'accepted')) END AS final_file_id
    FROM judged j),
  fresh AS (SELECT * FROM placed WHERE verdict = 'accepted'),
  new_series AS (
    SELECT d.scan_id, count(*) AS series FROM (SELECT DISTINCT x.scan_id, x.series_instance_uid FROM fresh x) d
    WHERE NOT EXISTS (SELECT 1 FROM scan_files f WHERE f.organization_id = p_organization_id AND f.scan_id = d.scan_id AND f.series_instance_uid = d.series_instance_uid)
    GROUP BY d.scan_id),
  arrived AS (
    SELECT x.scan_id, count(*) AS instances, sum(x.byte_size) AS bytes, max(x.received_at) AS last_at, array_agg(DISTINCT x.modality) FILTER (WHERE x.modality IS NOT NULL) AS modalities,
      min(x.scan_type) FILTER (WHERE x.scan_type <> 'other') AS scan_type FROM fresh x GROUP BY x.scan_id),
  inserted AS (
    INSERT INTO scan_files (organization_id, scan_file_id, scan_id, series_instance_uid, series_number, series_description, modality, body_part, sop_instance_uid, sop_class_uid,
      transfer_syntax_uid, instance_number, rows, columns, number_of_frames, bits_allocated, byte_size, dataset_offset, sha256, storage_location, received_at, source_integration_id, source_sync_id)
    SELECT p_organization_id, x.scan_file_id, x.scan_id, x.series_instance_uid, x.series_number, x.series_description, x.modality, x.body_part, x.sop_instance_uid, x.sop_class_uid,
      x.transfer_syntax_uid, x.instance_number, x.rows, x.columns, x.number_of_frames, x.bits_allocated, x.byte_size, x.dataset_offset, x.sha256, x.storage_location, x.received_at,
      x.integration_id, x.sync_id FROM fresh x),
  counted AS (
    UPDATE scans s SET instance_count = s.instance_count + a.instances, series_count = s.series_count + coalesce(n.series, 0), total_bytes = s.total_bytes + a.bytes,
      last_instance_at = greatest(s.last_instance_at, a.last_at),
      modalities = CASE WHEN s.modalities @> coalesce(a.modalities, '{}') THEN s.modalities ELSE ARRAY(SELECT DISTINCT unnest(s.modalities || a.modalities) ORDER BY 1) END,
      scan_type = CASE WHEN s.scan_type = 'other' THEN coalesce(a.scan_type, s.scan_type) ELSE s.scan_type END
    FROM arrived a LEFT JOIN new_series n ON n.scan_id = a.scan_id WHERE s.organization_id = p_organization_id AND s.scan_id = a.scan_id),
  exchanges AS (
    INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at, finished_at, duration_ms, byte_size, sha256,
      payload_location, peer_address, peer_application, patient_id, scan_id, mapping_version, warnings, facts)
    SELECT p_organization_id, x.sync_id, x.integration_id, x.adapter, 'inbound', x.interaction, x.sop_instance_uid, x.verdict, x.received_at, x.finished_at, x.duration_ms, x.byte_size,
      x.sha256, CASE WHEN x.verdict = 'accepted' THEN 'store:' || x.storage_location END, x.peer_address, x.peer_application, x.patient_id, coalesce(x.stored_scan_id, x.scan_id),
      x.mapping_version, x.warnings, x.facts
    FROM placed x WHERE x.verdict <> 'slow'),
  audited AS (
    INSERT INTO audit_logs (organization_id, event_code, event_name, action, outcome, actor_kind, actor_id, network_address, object_type, object_id, patient_id, sync_id, detail)
    SELECT p_organization_id, '110104', 'DICOM Instances Transferred', 'C', 'success', 'application', coalesce(x.peer_application, 'unknown'), x.peer_address, 'scan_file',
      x.final_file_id::text, x.patient_id, x.sync_id, CASE WHEN x.verdict = 'duplicate' THEN '{"repeat": true}'::jsonb ELSE '{}'::jsonb END
    FROM placed x WHERE x.verdict <> 'slow' ORDER BY x.item)
  SELECT x.item, x.verdict, x.final_file_id, coalesce(x.stored_scan_id, x.scan_id), x.patient_id FROM placed x ORDER BY x.item;
END $$;
