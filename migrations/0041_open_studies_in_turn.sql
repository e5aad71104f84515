-- schema-version: 1.13.0
-- The first instance of a study on the short way too. It took fifteen statements of the application, while the other associations of the study
-- waited; every image of a radiograph is a first one. medscan_open_studies finds or makes the patient and the scan of an instance whose
-- place is not known yet, where nothing needs the application: what does is not in the answer, nothing is written for it, and it goes the long way
-- (src/pipeline/persist-instances.ts), whose decisions these are:
--
--   patient  nobody owns a value of its identifiers -> made; one patient owns all of them, and nothing that is said of it would change -> that one
--   study    unknown -> made, or the patient's own scheduled order of that accession number; known, of this patient, its images arriving -> that one
--
-- Patients are locked against change: a merge that runs is waited for, and the identifiers are looked at again after it.

CREATE FUNCTION medscan_open_studies(p_organization_id uuid, p_openings jsonb) RETURNS jsonb
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  o record;
  d record;
  owners uuid[];
  same_authority bigint;
  whole jsonb;
  study scans;
  order_count bigint;
  is_first boolean;
  places jsonb := '{}';
BEGIN
  FOR o IN
    SELECT r.* FROM jsonb_to_recordset(p_openings) AS r(item int, sop_instance_uid text, received_at timestamptz, identifiers jsonb, said jsonb, patient_number text, provenance jsonb, scan_type text,
      study_instance_uid text, study_id text, accession_number text, study_description text, study_at timestamptz, referring_physician text, institution_name text, station_name text,
      body_part text, laterality text, procedure_code text, may_be_own_result boolean, queue jsonb, why_waiting text, entered_at timestamptz)
    ORDER BY r.study_instance_uid, r.item
  LOOP
    PERFORM 1 FROM scan_files f WHERE f.organization_id = p_organization_id AND f.sop_instance_uid = o.sop_instance_uid LIMIT 1;
    CONTINUE WHEN FOUND;

    SELECT array_agg(DISTINCT i.patient_id), count(*) FILTER (WHERE i.assigning_authority = n.assigning_authority) INTO owners, same_authority
    FROM jsonb_to_recordset(o.identifiers) AS n(assigning_authority text, value text)
    JOIN patient_identifiers i ON i.organization_id = p_organization_id AND i.value_index = n.value;
    IF owners IS NOT NULL THEN
      CONTINUE WHEN cardinality(owners) > 1 OR same_authority < jsonb_array_length(o.identifiers);
      SELECT to_jsonb(p) INTO whole FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = owners[1] FOR SHARE;
      PERFORM 1 FROM patient_identifiers i WHERE i.organization_id = p_organization_id AND i.value_index = o.identifiers->0->>'value'
        AND i.assigning_authority = o.identifiers->0->>'assigning_authority' AND i.patient_id = owners[1];
      CONTINUE WHEN NOT FOUND;
      PERFORM 1 FROM jsonb_each(o.said) AS s(name, value) WHERE s.value IS DISTINCT FROM whole->s.name AND CASE
        WHEN whole->'provenance'->s.name->>'authority' IN ('order', 'registration') THEN whole->s.name = 'null'
        ELSE whole->s.name = 'null' OR s.value NOT IN ('"unknown"', '[]') END;
      CONTINUE WHEN FOUND;
    END IF;

    is_first := true;
    SELECT s.* INTO study FROM scans s WHERE s.organization_id = p_organization_id AND s.study_instance_uid = o.study_instance_uid FOR UPDATE;
    IF FOUND THEN
      CONTINUE WHEN study.patient_id IS DISTINCT FROM owners[1] OR study.images_complete_at IS NOT NULL OR study.status NOT IN ('scheduled', 'in_progress');
      is_first := study.instance_count = 0;
      CONTINUE WHEN NOT is_first AND (study.status <> 'in_progress' OR o.may_be_own_result);
    ELSIF o.accession_number IS NOT NULL THEN
      SELECT count(*) INTO order_count FROM scans s WHERE s.organization_id = p_organization_id AND s.accession_number = o.accession_number AND s.study_instance_uid IS NULL;
      IF order_count > 0 THEN
        SELECT s.* INTO study FROM scans s WHERE s.organization_id = p_organization_id AND s.accession_number = o.accession_number AND s.study_instance_uid IS NULL FOR UPDATE;
        CONTINUE WHEN order_count > 1 OR study.scan_id IS NULL OR study.patient_id IS DISTINCT FROM owners[1] OR study.status <> 'scheduled' OR study.instance_count > 0;
      END IF;
    END IF;

    IF owners IS NULL THEN
      INSERT INTO patients (organization_id, patient_number, identity_status, family_name, given_name, middle_name, name_prefix, name_suffix, ideographic_name, phonetic_name, birth_date,
        birth_date_precision, sex, address, telecom, deceased, deceased_at, provenance)
      SELECT p_organization_id, o.patient_number, 'established', r.family_name, r.given_name, r.middle_name, r.name_prefix, r.name_suffix, r.ideographic_name, r.phonetic_name, r.birth_date,
        CASE length(r.birth_date) WHEN 4 THEN 'year' WHEN 7 THEN 'month' WHEN 10 THEN 'day' END, r.sex, r.address, r.telecom, r.deceased, r.deceased_at, o.provenance
      FROM jsonb_to_record(o.said) AS r(family_name text, given_name text, middle_name text, name_prefix text, name_suffix text, ideographic_name text, phonetic_name text, birth_date text,
        sex text, address jsonb, telecom jsonb, deceased boolean, deceased_at text)
      RETURNING ARRAY[patient_id] INTO owners;
      INSERT INTO patient_identifiers (organization_id, patient_id, assigning_authority, value, value_index, type_code)
      SELECT p_organization_id, owners[1], n.assigning_authority, n.value, n.value, n.type_code FROM jsonb_to_recordset(o.identifiers) AS n(assigning_authority text, value text, type_code text);
    END IF;
    IF study.scan_id IS NULL THEN
      INSERT INTO scans (organization_id, patient_id, scan_type, status, study_instance_uid, study_id, accession_number, study_description, study_at, referring_physician, institution_name,
        station_name, body_part, laterality, procedure_code, first_instance_at)
      VALUES (p_organization_id, owners[1], o.scan_type, 'in_progress', o.study_instance_uid, o.study_id, o.accession_number, o.study_description, o.study_at, o.referring_physician, o.institution_name,
        o.station_name, o.body_part, o.laterality, o.procedure_code, o.received_at)
      RETURNING * INTO study;
    ELSIF is_first THEN
      UPDATE scans s SET study_instance_uid = o.study_instance_uid, study_id = coalesce(s.study_id, o.study_id), accession_number = coalesce(s.accession_number, o.accession_number),
        study_description = coalesce(s.study_description, o.study_description), study_at = coalesce(s.study_at, o.study_at), referring_physician = coalesce(s.referring_physician, o.referring_physician),
        institution_name = coalesce(s.institution_name, o.institution_name), station_name = coalesce(s.station_name, o.station_name), body_part = coalesce(s.body_part, o.body_part),
        laterality = coalesce(s.laterality, o.laterality), procedure_code = coalesce(s.procedure_code, o.procedure_code), status = 'in_progress', first_instance_at = coalesce(s.first_instance_at, o.received_at)
      WHERE s.organization_id = p_organization_id AND s.scan_id = study.scan_id;
    END IF;
    SELECT r.* INTO d FROM jsonb_to_record(o.queue->study.priority) AS r(priority_score int, sla_due_at timestamptz);
    INSERT INTO scan_queue (organization_id, scan_id, priority_score, sla_due_at, why_waiting, queue_entered_at)
    VALUES (p_organization_id, study.scan_id, d.priority_score, d.sla_due_at, o.why_waiting, o.entered_at)
    ON CONFLICT (organization_id, scan_id) DO UPDATE SET why_waiting = excluded.why_waiting, priority_score = excluded.priority_score,
      status = CASE WHEN scan_queue.status IN ('completed', 'cancelled') THEN 'pending' ELSE scan_queue.status END,
      completed_at = CASE WHEN scan_queue.status IN ('completed', 'cancelled') THEN NULL ELSE scan_queue.completed_at END,
      sla_due_at = CASE WHEN scan_queue.status IN ('completed', 'cancelled') THEN excluded.sla_due_at ELSE least(scan_queue.sla_due_at, excluded.sla_due_at) END;
    places := places || jsonb_build_object(o.item::text, jsonb_build_object('scan_id', study.scan_id, 'patient_id', study.patient_id, 'is_opened', true));
  END LOOP;
  RETURN places;
END $$;

-- medscan_store_instances (0030) as it was; the places of what was opened stand in for those that the items do not name.
DROP FUNCTION medscan_store_instances(uuid, jsonb);
CREATE FUNCTION medscan_store_instances(p_organization_id uuid, p_items jsonb, p_openings jsonb DEFAULT '[]')
RETURNS TABLE (item integer, outcome text, out_scan_file_id uuid, out_scan_id uuid, out_patient_id uuid, out_is_opened boolean)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
  i record;
  scan scans;
  stored record;
  arrived record;
  tenant text := p_organization_id::text;
  is_open boolean;
  items jsonb := p_items;
  places jsonb;
  doublings text := floor(log(2, greatest((pg_relation_size('scans') + pg_relation_size('scan_files')) / 8192, 1)))::text;
BEGIN
  IF current_setting('app.organization_id', true) IS DISTINCT FROM tenant THEN PERFORM set_config('app.organization_id', tenant, true); END IF;
  IF current_setting('medscan.instance_doublings', true) IS DISTINCT FROM doublings THEN
    DISCARD PLANS;
    PERFORM set_config('medscan.instance_doublings', doublings, false);
  END IF;
  IF p_openings <> '[]' THEN
    places := medscan_open_studies(p_organization_id, p_openings);
    SELECT jsonb_agg(e || coalesce(places->(e->>'item'), '{}')) INTO items FROM jsonb_array_elements(p_items) AS e;
  END IF;
  SELECT 0 AS instances INTO arrived; -- for what has no place and comes first
  FOR i IN
    SELECT r.*, lead(r.scan_id) OVER (ORDER BY r.scan_id, r.item) IS DISTINCT FROM r.scan_id AS is_last
    FROM jsonb_to_recordset(items) AS r(item int, sync_id uuid, scan_file_id uuid, scan_id uuid, patient_id uuid, integration_id uuid, adapter text, interaction text,
      series_instance_uid text, series_number int, series_description text, modality text, body_part text, sop_instance_uid text, sop_class_uid text,
      transfer_syntax_uid text, instance_number int, rows int, columns int, number_of_frames int, bits_allocated int, byte_size bigint, dataset_offset int, sha256 text,
      storage_location text, received_at timestamptz, finished_at timestamptz, duration_ms float8, scan_type text, peer_address text, peer_application text,
      mapping_version text, warnings jsonb, facts jsonb, is_opened boolean)
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
    out_is_opened := coalesce(i.is_opened, false);
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
