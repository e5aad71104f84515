-- schema-version: 1.8.0
-- Who wants to hear of results at once (FHIR Subscription, topic "result ready"), and the events that each of them is told of, in order.

CREATE TABLE result_subscriptions (
  organization_id    uuid NOT NULL,
  subscription_id    uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id     uuid NOT NULL,
  user_id            uuid NOT NULL,
  channel            text NOT NULL CHECK (channel IN ('rest-hook', 'websocket')),
  -- endpoint and headers, which may hold a secret, and what else of the resource is given back as it came
  settings_sealed    text NOT NULL,
  endpoint_origin    text,
  content            text NOT NULL CHECK (content IN ('empty', 'id-only', 'full-resource')),
  -- {patient_ids?: [uuid], statuses?: [text]}
  filter             jsonb NOT NULL DEFAULT '{}',
  heartbeat_seconds  integer CHECK (heartbeat_seconds BETWEEN 1 AND 86400),
  timeout_seconds    integer CHECK (timeout_seconds BETWEEN 1 AND 600),
  max_count          integer NOT NULL DEFAULT 10 CHECK (max_count BETWEEN 1 AND 100),
  status             text NOT NULL DEFAULT 'requested' CHECK (status IN ('requested', 'active', 'error', 'off')),
  is_greeted         boolean NOT NULL DEFAULT false,
  -- number of the newest event, and of the newest that the subscriber has heard
  event_count        bigint NOT NULL DEFAULT 0,
  heard_count        bigint NOT NULL DEFAULT 0,
  error_count        integer NOT NULL DEFAULT 0,
  last_error         text,
  failing_since      timestamptz,
  told_at            timestamptz,
  next_attempt_at    timestamptz NOT NULL DEFAULT now(),
  ends_at            timestamptz,
  created_at         timestamptz NOT NULL DEFAULT now(),
  updated_at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, subscription_id),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);

CREATE TABLE result_subscription_events (
  organization_id  uuid NOT NULL,
  subscription_id  uuid NOT NULL,
  event_number     bigint NOT NULL,
  report_id        uuid NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, subscription_id, event_number),
  FOREIGN KEY (organization_id, subscription_id) REFERENCES result_subscriptions ON DELETE CASCADE
);

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['result_subscriptions', 'result_subscription_events'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY tenant ON %I USING (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)', t);
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO medscan_app', t);
    END IF;
  END LOOP;
END $$;
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON result_subscriptions FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();
