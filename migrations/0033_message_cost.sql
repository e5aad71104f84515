-- What a message costs no longer grows with the patients and messages that its organization holds. Under row level security an index serves a condition
-- only when nothing in the condition could leak a row. A cast or coalesce() inside it kept PostgreSQL 15 from the keys, so that every batch walked all
-- names of its sender and, for each of its patients, all patients; the join of the UPDATE walked all patients once on PostgreSQL 18 too. Keys are made
-- before the look-up now, behind OFFSET 0: the condition compares columns alone.

-- As before (0028); and the connection forgets its plans when the table of names has doubled, as medscan_load_messages does.
CREATE OR REPLACE FUNCTION medscan_store_messages(p_organization_id uuid, p_patients jsonb, p_messages jsonb, p_contents bytea, OUT is_written boolean, OUT version text, OUT touched jsonb)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  found_rows integer;
  patient record;
  doublings text := floor(log(2, greatest(pg_relation_size('message_identities') / 8192, 1)))::text;
BEGIN
  PERFORM set_config('app.organization_id', p_organization_id::text, true);
  IF current_setting('medscan.doublings', true) IS DISTINCT FROM doublings THEN
    DISCARD PLANS;
    PERFORM set_config('medscan.doublings', doublings, false);
  END IF;
  is_written := false;
  IF p_patients ? 'names_unread' THEN
    PERFORM 1 FROM (SELECT r.integration_id, coalesce(r.peer_application, '') AS sender, r.control_id
        FROM jsonb_to_recordset(p_messages) AS r(integration_id uuid, peer_application text, control_id text) OFFSET 0) n
      CROSS JOIN LATERAL (SELECT 1 FROM message_identities i WHERE i.organization_id = p_organization_id AND i.integration_id = n.integration_id
        AND i.sender = n.sender AND i.control_id = n.control_id OFFSET 0) m;
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;
  IF p_patients ? 'held' THEN
    SELECT count(*) INTO found_rows FROM (SELECT e.key::uuid AS patient_id, e.value AS version FROM jsonb_each_text(p_patients->'held') e OFFSET 0) c
      CROSS JOIN LATERAL (SELECT 1 FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = c.patient_id AND p.xmin::text = c.version OFFSET 0 FOR NO KEY UPDATE) h;
    IF found_rows < (SELECT count(*) FROM jsonb_object_keys(p_patients->'held')) THEN
      RETURN;
    END IF;
  END IF;
  IF p_patients ? 'compared' THEN
    SELECT count(*) INTO found_rows FROM (SELECT e.key::uuid AS patient_id, e.value AS version FROM jsonb_each_text(p_patients->'compared') e OFFSET 0) c
      CROSS JOIN LATERAL (SELECT 1 FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = c.patient_id AND p.xmin::text = c.version OFFSET 0) h;
    IF found_rows < (SELECT count(*) FROM jsonb_object_keys(p_patients->'compared')) THEN
      RETURN;
    END IF;
  END IF;
  IF p_patients ? 'owned' THEN
    SELECT count(*) INTO found_rows FROM jsonb_to_recordset(p_patients->'owned') AS o(patient_id uuid, value text, assigning_authority text)
      CROSS JOIN LATERAL (SELECT 1 FROM patient_identifiers i WHERE i.organization_id = p_organization_id AND i.value_index = o.value
        AND i.assigning_authority = o.assigning_authority AND i.patient_id = o.patient_id OFFSET 0) h;
    IF found_rows < jsonb_array_length(p_patients->'owned') THEN
      RETURN;
    END IF;
  END IF;
  IF p_patients ? 'inserted' THEN
    INSERT INTO patients (organization_id, patient_id, patient_number, identity_status, is_active, family_name, given_name, middle_name, name_prefix, name_suffix, ideographic_name,
      phonetic_name, birth_date, birth_date_precision, sex, address, telecom, deceased, deceased_at, provenance)
    SELECT p_organization_id, r.patient_id, r.patient_number, r.identity_status, r.is_active, r.family_name, r.given_name, r.middle_name, r.name_prefix, r.name_suffix, r.ideographic_name,
      r.phonetic_name, r.birth_date, CASE length(r.birth_date) WHEN 4 THEN 'year' WHEN 7 THEN 'month' WHEN 10 THEN 'day' END, r.sex, r.address, r.telecom, r.deceased, r.deceased_at, r.provenance
    FROM jsonb_to_recordset(p_patients->'inserted') AS r(patient_id uuid, patient_number text, identity_status text, is_active boolean, family_name text, given_name text, middle_name text,
      name_prefix text, name_suffix text, ideographic_name text, phonetic_name text, birth_date text, sex text, address jsonb, telecom jsonb, deceased boolean, deceased_at text, provenance jsonb);
  END IF;
  IF p_patients ? 'updated' THEN
    -- One by one: joined with the list, all patients of the organization would be walked.
    FOR patient IN SELECT * FROM jsonb_to_recordset(p_patients->'updated') AS u(patient_id uuid, identity_status text, is_active boolean, family_name text, given_name text, middle_name text,
      name_prefix text, name_suffix text, ideographic_name text, phonetic_name text, birth_date text, sex text, address jsonb, telecom jsonb, deceased boolean, deceased_at text, provenance jsonb) LOOP
      UPDATE patients p SET identity_status = patient.identity_status, is_active = patient.is_active, family_name = patient.family_name, given_name = patient.given_name, middle_name = patient.middle_name,
        name_prefix = patient.name_prefix, name_suffix = patient.name_suffix, ideographic_name = patient.ideographic_name, phonetic_name = patient.phonetic_name, birth_date = patient.birth_date,
        birth_date_precision = CASE length(patient.birth_date) WHEN 4 THEN 'year' WHEN 7 THEN 'month' WHEN 10 THEN 'day' END, sex = patient.sex, address = patient.address, telecom = patient.telecom,
        deceased = patient.deceased, deceased_at = patient.deceased_at, provenance = patient.provenance
      WHERE p.organization_id = p_organization_id AND p.patient_id = patient.patient_id;
    END LOOP;
  END IF;
  IF p_patients ? 'identifiers' THEN
    INSERT INTO patient_identifiers (organization_id, patient_id, assigning_authority, value, value_index, type_code)
    SELECT p_organization_id, r.patient_id, r.assigning_authority, r.value, r.value, r.type_code
    FROM jsonb_to_recordset(p_patients->'identifiers') AS r(patient_id uuid, assigning_authority text, value text, type_code text);
  END IF;
  IF p_patients ? 'history' THEN
    -- What is stored already is left alone: most messages repeat what they said before.
    INSERT INTO patient_medical_history (organization_id, patient_id, kind, code, code_system, display, onset, status, severity, detail, statement_key, source_sync_id)
    SELECT p_organization_id, r.patient_id, r.kind, r.code, r.code_system, r.display, r.onset, r.status, r.severity, r.detail, r.statement_key, r.source_sync_id
    FROM jsonb_to_recordset(p_patients->'history') AS r(patient_id uuid, kind text, code text, code_system text, display text, onset text, status text, severity text, detail jsonb,
      statement_key text, source_sync_id uuid, has_changed boolean)
    LEFT JOIN LATERAL (SELECT s.* FROM patient_medical_history s WHERE s.organization_id = p_organization_id AND s.patient_id = r.patient_id AND s.statement_key = r.statement_key OFFSET 0) h ON true
    WHERE h.history_id IS NULL OR r.has_changed OR (h.display, h.status, h.severity, h.detail) IS DISTINCT FROM (r.display, r.status, r.severity, r.detail)
    ON CONFLICT (organization_id, patient_id, statement_key) DO UPDATE SET display = excluded.display, status = excluded.status, severity = excluded.severity,
      detail = excluded.detail, source_sync_id = excluded.source_sync_id;
    SELECT jsonb_agg(h.patient_id) INTO touched FROM (SELECT DISTINCT r.patient_id FROM jsonb_to_recordset(p_patients->'history') AS r(patient_id uuid)) h
      CROSS JOIN LATERAL (SELECT 1 FROM patients p WHERE p.organization_id = p_organization_id AND p.patient_id = h.patient_id AND p.xmin = pg_current_xact_id()::xid OFFSET 0) t;
  END IF;
  IF p_patients ? 'alerts' THEN
    INSERT INTO system_alerts (organization_id, kind, severity, subject, message, occurrences)
    SELECT p_organization_id, r.kind, r.severity, r.subject, r.message, r.occurrences
    FROM jsonb_to_recordset(p_patients->'alerts') AS r(kind text, severity text, subject text, message text, occurrences int)
    ON CONFLICT (organization_id, kind, subject) WHERE resolved_at IS NULL DO UPDATE SET occurrences = system_alerts.occurrences + excluded.occurrences, last_seen_at = now(),
      message = excluded.message, severity = excluded.severity;
  END IF;
  IF p_messages IS NOT NULL THEN
    WITH messages AS MATERIALIZED (
      SELECT * FROM jsonb_to_recordset(p_messages) AS r(item int, sync_id uuid, integration_id uuid, adapter text, interaction text, control_id text, message_status text,
        started_at timestamptz, finished_at timestamptz, duration_ms float8, byte_size bigint, sha256 text, payload_location text, peer_address text, peer_application text,
        patient_id uuid, scan_id uuid, mapping_version text, warnings jsonb, facts jsonb, links jsonb, media_type text, content_start int, content_length int,
        audit_id uuid, event_code text, event_name text, object_type text, object_id text, detail jsonb)),
    exchanges AS (
      INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, started_at, finished_at, duration_ms, byte_size, sha256,
        payload_location, peer_address, peer_application, patient_id, scan_id, mapping_version, warnings, facts)
      SELECT p_organization_id, m.sync_id, m.integration_id, m.adapter, 'inbound', m.interaction, m.control_id, m.message_status, m.started_at, m.finished_at, m.duration_ms, m.byte_size, m.sha256,
        m.payload_location, m.peer_address, m.peer_application, m.patient_id, m.scan_id, m.mapping_version, m.warnings, m.facts FROM messages m),
    payloads AS (
      INSERT INTO exchange_payloads (organization_id, sync_id, part, media_type, content)
      SELECT p_organization_id, m.sync_id, 'message', m.media_type, substring(p_contents FROM m.content_start FOR m.content_length) FROM messages m),
    named AS (
      INSERT INTO message_identities (organization_id, integration_id, sender, control_id, sha256, interaction, sync_id, links)
      SELECT p_organization_id, m.integration_id, coalesce(m.peer_application, ''), m.control_id, m.sha256, m.interaction, m.sync_id, m.links
      FROM messages m WHERE m.message_status = 'accepted')
    INSERT INTO audit_logs (organization_id, audit_id, event_code, event_name, action, outcome, actor_kind, actor_id, network_address, object_type, object_id, patient_id, sync_id, detail)
    SELECT p_organization_id, m.audit_id, m.event_code, m.event_name, 'U', 'success', 'application', coalesce(m.peer_application, 'unknown'), m.peer_address, m.object_type, m.object_id,
      m.patient_id, m.sync_id, m.detail FROM messages m ORDER BY m.item;
  END IF;
  is_written := true;
  version := pg_current_xact_id()::xid::text;
END $$;

