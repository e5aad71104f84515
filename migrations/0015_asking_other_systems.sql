-- schema-version: 1.4.1
-- What the gateway asks of other systems: how many images a study has at its source, earlier studies of the patient, the worklist of a RIS.

-- The last word of the source about a scan's images; the quiet time asks, and completion reads.
CREATE TABLE source_counts (
  organization_id   uuid NOT NULL,
  scan_id           uuid NOT NULL,
  integration_id    uuid NOT NULL,
  -- proven: all are here. missing: some are not. unknown_study: the source does not know the study. no_answer. given_up: completed, or left to a person, without proof
  status            text NOT NULL CHECK (status IN ('asking', 'proven', 'missing', 'unknown_study', 'no_answer', 'given_up')),
  instances_there   integer,
  instances_here    integer,
  attempts          integer NOT NULL DEFAULT 0,
  -- since when it is asked about the images that are here now
  first_asked_at    timestamptz NOT NULL DEFAULT now(),
  asked_at          timestamptz,
  next_at           timestamptz NOT NULL DEFAULT now(),
  last_text         text,
  source_sync_id    uuid,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, scan_id),
  FOREIGN KEY (organization_id, scan_id) REFERENCES scans,
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);

-- One question for earlier studies, by scan and source.
CREATE TABLE prior_searches (
  organization_id   uuid NOT NULL,
  scan_id           uuid NOT NULL,
  integration_id    uuid NOT NULL,
  status            text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'done', 'skipped', 'failed')),
  studies_found     integer,
  studies_chosen    integer,
  attempts          integer NOT NULL DEFAULT 0,
  next_at           timestamptz NOT NULL DEFAULT now(),
  last_text         text,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, scan_id, integration_id),
  FOREIGN KEY (organization_id, scan_id) REFERENCES scans,
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);
CREATE INDEX prior_searches_due ON prior_searches (organization_id, next_at) WHERE status = 'queued';

-- A study, or the missing images of one, that a source is to send. Each once, however many scans want it.
CREATE TABLE study_retrievals (
  organization_id       uuid NOT NULL,
  retrieval_id          uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id        uuid NOT NULL,
  study_instance_uid    text NOT NULL,
  purpose               text NOT NULL CHECK (purpose IN ('prior', 'missing')),
  -- the scan that wanted it first
  for_scan_id           uuid NOT NULL,
  -- a prior is analysed only when the rule says so
  is_analyzed           boolean NOT NULL DEFAULT false,
  status                text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'retrieved', 'failed')),
  expected_instances    integer,
  retrieved_instances   integer,
  attempts              integer NOT NULL DEFAULT 0,
  next_at               timestamptz NOT NULL DEFAULT now(),
  last_text             text,
  created_at            timestamptz NOT NULL DEFAULT now(),
  updated_at            timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, retrieval_id),
  UNIQUE (organization_id, integration_id, study_instance_uid, purpose),
  FOREIGN KEY (organization_id, for_scan_id) REFERENCES scans,
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);
CREATE INDEX study_retrievals_study ON study_retrievals (organization_id, study_instance_uid);
CREATE INDEX study_retrievals_due ON study_retrievals (organization_id, next_at) WHERE status = 'queued';

-- When a RIS was asked for its worklist, and what came of it.
CREATE TABLE worklist_polls (
  organization_id   uuid NOT NULL,
  integration_id    uuid NOT NULL,
  next_poll_at      timestamptz NOT NULL,
  polled_at         timestamptz,
  last_ok_at        timestamptz,
  items_seen        integer,
  items_changed     integer,
  last_text         text,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, integration_id),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations
);

DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['source_counts', 'prior_searches', 'study_retrievals', 'worklist_polls'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY tenant ON %I USING (organization_id = nullif(current_setting(''app.organization_id'', true), '''')::uuid)', t);
    EXECUTE format('CREATE TRIGGER touch_updated_at BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at()', t);
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO medscan_app', t);
    END IF;
  END LOOP;
END $$;
