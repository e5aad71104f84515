-- Who placed an order may want to hear what becomes of it: its first image is here, all of them, the AI is done. One row per destination and milestone,
-- written by the database where the scan changes, so that no way to a milestone misses it.

CREATE SEQUENCE order_notice_sequence;
CREATE TABLE order_notices (
  organization_id  uuid NOT NULL,
  notice_id        uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id   uuid NOT NULL,
  scan_id          uuid NOT NULL,
  event            text NOT NULL CHECK (event IN ('received', 'complete', 'analysed')),
  -- completion run, or version of the report: late images make another
  run              integer NOT NULL DEFAULT 0,
  position         bigint NOT NULL DEFAULT nextval('order_notice_sequence'),
  status           text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'delivered', 'refused')),
  attempts         integer NOT NULL DEFAULT 0,
  next_attempt_at  timestamptz NOT NULL DEFAULT now(),
  last_text        text,
  delivered_at     timestamptz,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, notice_id),
  UNIQUE (organization_id, integration_id, scan_id, event, run),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations,
  FOREIGN KEY (organization_id, scan_id) REFERENCES scans
);
CREATE INDEX order_notices_open ON order_notices (organization_id, integration_id, position) WHERE status = 'queued';
CREATE INDEX order_notices_scan ON order_notices (organization_id, scan_id);

ALTER TABLE order_notices ENABLE ROW LEVEL SECURITY;
ALTER TABLE order_notices FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON order_notices USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON order_notices FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT SELECT, INSERT, UPDATE ON order_notices TO medscan_app;
    GRANT USAGE ON SEQUENCE order_notice_sequence TO medscan_app;
  END IF;
END $$;

-- The integrations whose setting order_status_messages names the event.
CREATE FUNCTION medscan_note_order(p_organization_id uuid, p_scan_id uuid, p_event text, p_run integer) RETURNS void LANGUAGE sql AS $$
  INSERT INTO order_notices (organization_id, integration_id, scan_id, event, run)
  SELECT i.organization_id, i.integration_id, p_scan_id, p_event, p_run FROM external_integrations i
  WHERE i.organization_id = p_organization_id AND i.is_enabled AND i.state = 'active' AND i.direction IN ('outbound', 'both') AND i.settings->'order_status_messages' ? p_event
  ON CONFLICT DO NOTHING
$$;

CREATE FUNCTION medscan_note_order_of_scan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM medscan_note_order(NEW.organization_id, NEW.scan_id, TG_ARGV[0], CASE TG_ARGV[0] WHEN 'complete' THEN NEW.completion_run ELSE 0 END);
  RETURN NULL;
END $$;
CREATE FUNCTION medscan_note_order_of_report() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM scans s WHERE s.organization_id = NEW.organization_id AND s.scan_id = NEW.scan_id AND s.order_status = 'ordered') THEN
    PERFORM medscan_note_order(NEW.organization_id, NEW.scan_id, 'analysed', NEW.version);
  END IF;
  RETURN NULL;
END $$;

-- Conditions first: an image that is not the first of its scan costs a comparison and no call.
CREATE TRIGGER note_received AFTER UPDATE OF first_instance_at, order_status ON scans FOR EACH ROW
  WHEN ((OLD.first_instance_at IS NULL OR OLD.order_status IS NULL) AND NEW.first_instance_at IS NOT NULL AND NEW.order_status = 'ordered')
  EXECUTE FUNCTION medscan_note_order_of_scan('received');
CREATE TRIGGER note_complete AFTER UPDATE OF images_complete_at ON scans FOR EACH ROW
  WHEN (OLD.images_complete_at IS NULL AND NEW.images_complete_at IS NOT NULL AND NEW.order_status = 'ordered')
  EXECUTE FUNCTION medscan_note_order_of_scan('complete');
CREATE TRIGGER note_analysed AFTER INSERT ON reports FOR EACH ROW WHEN (NEW.author_kind = 'device')
  EXECUTE FUNCTION medscan_note_order_of_report();
