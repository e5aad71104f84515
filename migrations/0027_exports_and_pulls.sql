-- schema-version: 1.8.1
-- Whole sets of records for other systems (FHIR Bulk Data), and what is fetched from systems that do not send.

CREATE TABLE record_exports (
  organization_id  uuid NOT NULL,
  export_id        uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id   uuid NOT NULL,
  user_id          uuid NOT NULL,
  request_url      text NOT NULL,
  types            text[] NOT NULL,
  since            timestamptz,
  -- what changed up to here is in it
  transaction_at   timestamptz NOT NULL DEFAULT now(),
  status           text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
  record_count     integer NOT NULL DEFAULT 0,
  -- [{type, count, byte_length}]
  outputs          jsonb NOT NULL DEFAULT '[]',
  error_text       text,
  expires_at       timestamptz NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, export_id),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);

CREATE TABLE record_pulls (
  organization_id  uuid NOT NULL,
  integration_id   uuid NOT NULL,
  resource_type    text NOT NULL,
  -- everything that the system changed before this was read
  read_until       timestamptz,
  next_run_at      timestamptz NOT NULL DEFAULT now(),
  last_run_at      timestamptz,
  last_ok_at       timestamptz,
  failure_count    integer NOT NULL DEFAULT 0,
  last_error       text,
  read_count       bigint NOT NULL DEFAULT 0,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, integration_id, resource_type),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['record_exports', 'record_pulls'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY tenant ON %I USING (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)', t);
    EXECUTE format('CREATE TRIGGER touch_updated_at BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at()', t);
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO medscan_app', t);
    END IF;
  END LOOP;
END $$;
