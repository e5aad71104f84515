-- schema-version: 1.5.0
-- medscan_store_instances (0008) once more, with the same promise: instances of open studies whose patient was compared before; what needs the
-- application comes back as 'slow', untouched; one call is one transaction. The one large statement of 0008 searched every scan and file of the
-- organization wherever the planner had not yet learnt better, and took as long to start as these short ones take to run.
-- Scans are taken in one order, so that batches cannot lock each other out; an instance that is in the batch twice finds the first one stored.
-- Plans are made once per connection: it forgets them each time the tables have doubled.

CREATE OR REPLACE FUNCTION medscan_store_instances(p_organization_id uuid, p_items jsonb)
RETURNS TABLE (item integer, outcome text, out_scan_file_id uuid, out_scan_id uuid, out_patient_id uuid)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
  i record;
  scan scans;
  stored record;
  arrived record;
  tenant text := p_organization_id::text;
  is_open boolean;
  doublings text := floor(log(2, greatest((pg_relation_size('scans') + pg_relation_size('scan_files')) / 8192, 1)))::text;
BEGIN
  IF current_setting('app.organization_id', true) IS DISTINCT FROM tenant THEN PERFORM set_config('app.organization_id', tenant, true); END IF;
  IF current_setting('medscan.instance_doublings', true) IS DISTINCT FROM doublings THEN
    DISCARD PLANS;
    PERFORM set_config('medscan.instance_doublings', doublings, false);
  END IF;
  FOR i IN
    SELECT r.*, lead(r.scan_id) OVER (ORDER BY r.scan_id, r.item) IS DISTINCT FROM r.scan_id AS is_last
    FROM jsonb_to_recordset(p_items) AS r(item int, sync_id uuid, scan_file_id uuid, scan_id uuid, patient_id uuid, integration_id uuid, adapter text, interaction text,
      series_instance_uid text, series_number int, series_description text, modality text, body_part text, sop_instance_uid text, sop_class_uid text,
      transfer_syntax_uid text, instance_number int, rows int, columns int, number_of_frames int, bits_allocated int, byte_size bigint, dataset_offset int, sha256 text,
      storage_location text, received_at timestamptz, finished_at timestamptz, duration_ms float8, scan_type text, peer_address text, peer_application text,
      mapping_version text, warnings jsonb, facts jsonb)
    ORDER BY r.scan_id, r.item
  LOOP
    IF scan.scan_id IS DISTINCT FROM i.scan_id THEN
      -- Waits for a completion that holds the scan.
      SELECT s.* INTO scan FROM scans s WHERE s.organization_id = p_organization_id AND s.scan_id = i.scan_id FOR UPDATE;
      is_open := scan.status = 'in_progress' AND scan.images_complete_at IS NULL;
      scan.scan_id := i.scan_id;
      SELECT 0 AS series, 0 AS instances, 0::bigint AS bytes, scan.last_instance_at AS last_at, scan.modalities AS modalities, scan.scan_type AS scan_type INTO arrived;
    END IF;
    item := i.item;
    out_scan_file_id := NULL;
    out_scan_id := i.scan_id;
    out_patient_id := i.patient_id;
    SELECT f.scan_file_id, f.scan_id, f.sha256 INTO stored FROM scan_files f
      WHERE f.organization_id = p_organization_id AND f.sop_instance_uid = i.sop_instance_uid ORDER BY f.sha256 = i.sha256 DESC LIMIT 1;
    outcome := CASE
      WHEN is_open IS NOT TRUE OR scan.patient_id IS DISTINCT FROM i.patient_id THEN 'slow'
      WHEN stored.scan_file_id IS NULL THEN 'accepted'
      WHEN stored.sha256 = i.sha256 THEN 'duplicate'
      ELSE 'slow' END;

    IF outcome = 'accepted' THEN
      out_scan_file_id := i.scan_file_id;
      PERFORM 1 FROM scan_files f WHERE f.organization_id = p_organization_id AND f.scan_id = i.scan_id AND f.series_instance_uid = i.series_instance_uid LIMIT 1;
      arrived.series := arrived.series + CASE WHEN FOUND THEN 0 ELSE 1 END;
      INSERT INTO scan_files (organization_id, scan_file_id, scan_id, series_instance_uid, series_number, series_description, modality, body_part, sop_instance_uid, sop_class_uid,
        transfer_syntax_uid, instance_number, rows, columns, number_of_frames, bits_allocated, byte_size, dataset_offset, sha256, storage_location, received_at, source_integration_id, source_sync_id)
      VALUES (p_organization_id, i.scan_file_id, i.scan_id, i.series_instance_uid, i.series_number, i.series_description, i.modality, i.body_part, i.sop_instance_uid, i.sop_class_uid,
        i.transfer_syntax_uid, i.instance_number, i.rows, i.columns, i.number_of_frames, i.bits_allocated, i.byte_size, i.dataset_offset, i.sha256, i.storage_location, i.received_at,
        i.integration_id, i.sync_id);
      arrived.instances := arrived.instances + 1;
      arrived.bytes := arrived.bytes + i.byte_size;
      arrived.last_at := greatest(arrived.last_at, i.received_at);
      IF i.modality <> ALL (arrived.modalities) THEN arrived.modalities := ARRAY(SELECT m FROM unnest(arrived.modalities || i.modality) m ORDER BY 1); END IF;
      IF arrived.scan_type = 'other' THEN arrived.scan_type := coalesce(i.scan_type, 'other'); END IF;
    ELSIF outcome = 'duplicate' THEN
      out_scan_file_id := stored.scan_file_id;
      out_scan_id := stored.scan_id;
    END IF;

    IF outcome <> 'slow' THEN
      INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at, finished_at, duration_ms, byte_size, sha256,
        payload_location, peer_address, peer_application, patient_id, scan_id, mapping_version, warnings, facts)
      VALUES (p_organization_id, i.sync_id, i.integration_id, i.adapter, 'inbound', i.interaction, i.sop_instance_uid, outcome, i.received_at, i.finished_at, i.duration_ms, i.byte_size,
        i.sha256, CASE WHEN outcome = 'accepted' THEN 'store:' || i.storage_location END, i.peer_address, i.peer_application, i.patient_id, out_scan_id,
        i.mapping_version, i.warnings, i.facts);
      INSERT INTO audit_logs (organization_id, event_code, event_name, action, outcome, actor_kind, actor_id, network_address, object_type, object_id, patient_id, sync_id, detail)
      VALUES (p_organization_id, '110104', 'DICOM Instances Transferred', 'C', 'success', 'application', coalesce(i.peer_application, 'unknown'), i.peer_address, 'scan_file',
        out_scan_file_id::text, i.patient_id, i.sync_id, CASE WHEN outcome = 'duplicate' THEN '{"repeat": true}'::jsonb ELSE '{}'::jsonb END);
    END IF;

    IF i.is_last AND arrived.instances > 0 THEN
      UPDATE scans s SET instance_count = s.instance_count + arrived.instances, series_count = s.series_count + arrived.series, total_bytes = s.total_bytes + arrived.bytes,
        last_instance_at = arrived.last_at, modalities = arrived.modalities, scan_type = arrived.scan_type
      WHERE s.organization_id = p_organization_id AND s.scan_id = i.scan_id;
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;
