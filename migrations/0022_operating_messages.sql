-- schema-version: 1.6.0
-- What a person does with messages: pausing a system, replaying what was refused, deciding on what was given up.

-- While receive_paused_at is set, what the system sends is answered "not now" and not taken; while deliver_paused_at is set, its results wait.
ALTER TABLE external_integrations ADD COLUMN receive_paused_at timestamptz;
ALTER TABLE external_integrations ADD COLUMN deliver_paused_at timestamptz;

-- One request to receive refused messages again: which (the filter, as asked), how many, by whom, how far.
CREATE TABLE message_replays (
  organization_id   uuid NOT NULL REFERENCES organizations,
  replay_id         uuid NOT NULL DEFAULT medscan_uuid_v7(),
  filter            jsonb NOT NULL DEFAULT '{}',
  status            text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'finished', 'cancelled')),
  requested_kind    text NOT NULL CHECK (requested_kind IN ('user', 'application', 'system')),
  requested_by      text NOT NULL,
  requested_role    text,
  message_count     integer NOT NULL DEFAULT 0,
  started_at        timestamptz,
  finished_at       timestamptz,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, replay_id)
);

-- Its messages, in the order in which they were received, with what became of each. outcome null: not yet.
CREATE TABLE message_replay_items (
  organization_id   uuid NOT NULL,
  replay_id         uuid NOT NULL,
  sync_id           uuid NOT NULL,
  outcome           text CHECK (outcome IN ('accepted', 'duplicate', 'rejected', 'failed', 'left_out')),
  replayed_as       uuid[] NOT NULL DEFAULT '{}',
  outcome_text      text,
  outcome_location  text,
  finished_at       timestamptz,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, replay_id, sync_id),
  FOREIGN KEY (organization_id, replay_id) REFERENCES message_replays
);
CREATE INDEX message_replay_items_open ON message_replay_items (organization_id, replay_id, sync_id) WHERE outcome IS NULL;

CREATE INDEX message_replay_items_done ON message_replay_items (organization_id, sync_id) WHERE outcome IN ('accepted', 'duplicate');

-- Jobs that failed for good. `job_data` holds ids only, as every job does.
CREATE TABLE dead_jobs (
  organization_id   uuid NOT NULL REFERENCES organizations,
  dead_job_id       uuid NOT NULL DEFAULT medscan_uuid_v7(),
  queue_name        text NOT NULL,
  job_data          jsonb NOT NULL,
  scan_id           uuid,
  integration_id    uuid,
  error_text        text,
  died_at           timestamptz NOT NULL DEFAULT now(),
  status            text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'retried', 'discarded')),
  decided_by        text,
  decided_at        timestamptz,
  reason            text,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, dead_job_id)
);
CREATE INDEX dead_jobs_open ON dead_jobs (organization_id, dead_job_id) WHERE status = 'open';

-- Deliveries that wait for a person, and the lists of what went wrong: few rows among many.
CREATE INDEX deliveries_parked ON deliveries (organization_id, delivery_id) WHERE status = 'refused';
CREATE INDEX deliveries_report ON deliveries (organization_id, report_id);
CREATE INDEX sync_logs_problems ON sync_logs (organization_id, message_status, sync_id) WHERE message_status IN ('rejected', 'failed', 'refused', 'unreachable', 'unconfirmed');

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['message_replays', 'message_replay_items', 'dead_jobs'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY tenant ON %I USING (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)', t);
    EXECUTE format('CREATE TRIGGER touch_updated_at BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at()', t);
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO medscan_app', t);
    END IF;
  END LOOP;
END $$;
