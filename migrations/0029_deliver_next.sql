-- One statement between two results on their way to a destination: what was delivered is written down, and the next attempt begins. Anything but a plain
-- delivery is left to the application (pipeline/deliver.ts).
--   p_finished   the attempt that was just delivered, with its bytes in p_sent and p_answer; NULL: none
--   p_attempt    the exchange to begin with the head of the outbox, {sync_id, started_at, adapter, interaction}; NULL: begin none
-- Rows are named by every key they have, and never by the index of open deliveries: a plan made while the outbox was empty stays good behind a
-- backlog. A report is found by one key alone: plans are made anew each time that table has doubled (as in 0010).
-- `state`: begun, later (the head is not due), taken (another worker has it) or empty. `head` is that of the outbox; `attempts` counts those before this one.
CREATE FUNCTION medscan_deliver_next(p_organization_id uuid, p_integration_id uuid, p_finished jsonb, p_sent bytea, p_answer bytea, p_attempt jsonb, OUT state text, OUT head jsonb)
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
  f record;
  a record;
  d record;
  doublings text := floor(log(2, greatest(pg_relation_size('reports') / 8192, 1)))::text;
BEGIN
  PERFORM set_config('app.organization_id', p_organization_id::text, true);
  IF current_setting('medscan.report_doublings', true) IS DISTINCT FROM doublings THEN
    DISCARD PLANS;
    PERFORM set_config('medscan.report_doublings', doublings, false);
  END IF;
  IF p_finished IS NOT NULL THEN
    SELECT * INTO f FROM jsonb_to_record(p_finished) AS r(delivery_id uuid, attempt int, sync_id uuid, started_at timestamptz, finished_at timestamptz, duration_ms float8, interaction text,
      peer_address text, answer_code text, byte_size bigint, sha256 text, sent_type text, answer_type text, report_id uuid, patient_id uuid, destination text, facts jsonb, event_code text,
      event_name text, detail jsonb);
    UPDATE deliveries SET status = 'delivered', last_outcome = 'delivered', last_text = NULL, delivered_at = now()
      WHERE organization_id = p_organization_id AND delivery_id = f.delivery_id AND integration_id = p_integration_id AND report_id = f.report_id AND attempts = f.attempt
        AND status || '' = 'sending';
    IF FOUND THEN
      UPDATE sync_logs s SET message_status = 'delivered', answer_status = 'answered', answer_code = f.answer_code, interaction = f.interaction, peer_address = f.peer_address,
        finished_at = f.finished_at, duration_ms = f.duration_ms, byte_size = f.byte_size, sha256 = f.sha256, payload_location = CASE WHEN p_sent IS NOT NULL THEN 'database' END,
        facts = CASE WHEN f.facts IS NULL THEN s.facts ELSE coalesce(s.facts, '{}') || f.facts END
        WHERE s.organization_id = p_organization_id AND s.sync_id = f.sync_id AND s.started_at = f.started_at AND s.control_id = f.delivery_id::text;
      INSERT INTO exchange_payloads (organization_id, sync_id, part, media_type, content)
        SELECT p_organization_id, f.sync_id, p.part, p.media_type, p.content
        FROM (VALUES ('message', f.sent_type, p_sent), ('answer', f.answer_type, p_answer)) AS p(part, media_type, content) WHERE p.content IS NOT NULL ON CONFLICT DO NOTHING;
      INSERT INTO audit_logs (organization_id, event_code, event_name, action, outcome, actor_kind, actor_id, network_address, object_type, object_id, patient_id, sync_id, detail)
        VALUES (p_organization_id, f.event_code, f.event_name, 'R', 'success', 'system', 'deliver', f.peer_address, 'report', f.report_id::text, f.patient_id, f.sync_id, f.detail);
      -- Its last success to a few seconds: one row that every delivery would write anew.
      UPDATE external_integrations SET health_status = 'ok', last_ok_at = now() WHERE organization_id = p_organization_id AND integration_id = p_integration_id
        AND (health_status <> 'ok' OR last_ok_at IS NULL OR last_ok_at < now() - interval '5 seconds');
      UPDATE system_alerts SET resolved_at = now() WHERE organization_id = p_organization_id AND kind = 'integration_down' AND subject = f.destination AND resolved_at IS NULL;
    END IF;
  END IF;
  state := 'empty';
  IF p_attempt IS NULL THEN
    RETURN;
  END IF;
  SELECT h.delivery_id, h.report_id, h.attempts, h.status, h.next_attempt_at INTO d FROM deliveries h
    WHERE h.organization_id = p_organization_id AND h.integration_id = p_integration_id AND h.status IN ('queued', 'sending') ORDER BY h.position LIMIT 1;
  IF NOT FOUND OR (SELECT i.deliver_paused_at IS NOT NULL FROM external_integrations i WHERE i.organization_id = p_organization_id AND i.integration_id = p_integration_id) THEN
    RETURN;
  END IF;
  SELECT * INTO a FROM jsonb_to_record(p_attempt) AS r(sync_id uuid, started_at timestamptz, adapter text, interaction text);
  SELECT jsonb_build_object('delivery_id', d.delivery_id, 'report_id', d.report_id, 'patient_id', s.patient_id, 'scan_id', r.scan_id, 'attempts', d.attempts, 'status', d.status,
      'next_attempt_at', d.next_attempt_at, 'document', r.document) INTO head
    FROM (SELECT x.scan_id, x.document FROM reports x WHERE x.organization_id = p_organization_id AND x.report_id = d.report_id OFFSET 0) r
      CROSS JOIN LATERAL (SELECT x.patient_id FROM scans x WHERE x.organization_id = p_organization_id AND x.scan_id = r.scan_id OFFSET 0) s;
  IF d.next_attempt_at > a.started_at THEN
    state := 'later';
    RETURN;
  END IF;
  UPDATE deliveries SET status = 'sending', attempts = d.attempts + 1
    WHERE organization_id = p_organization_id AND delivery_id = d.delivery_id AND integration_id = p_integration_id AND report_id = d.report_id AND attempts = d.attempts
      AND status || '' IN ('queued', 'sending');
  IF NOT FOUND THEN
    state := 'taken';
    RETURN;
  END IF;
  IF d.status = 'sending' THEN
    UPDATE sync_logs SET message_status = 'unconfirmed', error_class = 'ambiguous', error_text = 'the gateway stopped before the answer came; sent again under the same id', finished_at = now()
      WHERE organization_id = p_organization_id AND delivery_id = d.delivery_id AND message_status = 'sending';
  END IF;
  INSERT INTO sync_logs (organization_id, sync_id, integration_id, adapter, direction, interaction, control_id, message_status, attempt, started_at, patient_id, scan_id, report_id, delivery_id)
    VALUES (p_organization_id, a.sync_id, p_integration_id, a.adapter, 'outbound', a.interaction, d.delivery_id::text, 'sending', d.attempts + 1, a.started_at,
      (head->>'patient_id')::uuid, (head->>'scan_id')::uuid, d.report_id, d.delivery_id);
  state := 'begun';
END $$;
