-- schema-version: 1.4.2
-- Storage commitment that the gateway asks for, for what its deliveries stored.

-- Where the destination is asked for storage commitment: awaited until it says yes. Null: it is not asked.
ALTER TABLE deliveries ADD COLUMN commitment text CHECK (commitment IN ('awaited', 'committed', 'refused'));

-- One row per successful delivery that is to be committed to.
CREATE TABLE asked_commitments (
  organization_id   uuid NOT NULL,
  request_id        uuid NOT NULL DEFAULT medscan_uuid_v7(),
  integration_id    uuid NOT NULL,
  delivery_id       uuid NOT NULL,
  transaction_uid   text NOT NULL,
  -- asked under these before, without a result
  earlier_transaction_uids text[] NOT NULL DEFAULT '{}',
  -- [{sop_class_uid, sop_instance_uid}]
  items             jsonb NOT NULL,
  status            text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'asked', 'committed', 'failed')),
  attempts          integer NOT NULL DEFAULT 0,
  asked_at          timestamptz,
  next_at           timestamptz NOT NULL DEFAULT now(),
  answered_at       timestamptz,
  last_text         text,
  created_at        timestamptz NOT NULL DEFAULT now(),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (organization_id, request_id),
  UNIQUE (organization_id, transaction_uid),
  FOREIGN KEY (organization_id, integration_id) REFERENCES external_integrations,
  FOREIGN KEY (organization_id, delivery_id) REFERENCES deliveries
);
CREATE INDEX asked_commitments_open ON asked_commitments (organization_id, next_at) WHERE status IN ('queued', 'asked');
CREATE INDEX asked_commitments_delivery ON asked_commitments (organization_id, delivery_id);

ALTER TABLE asked_commitments ENABLE ROW LEVEL SECURITY;
ALTER TABLE asked_commitments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON asked_commitments USING (organization_id = nullif(current_setting('app.organization_id', true), '')::uuid);
CREATE TRIGGER touch_updated_at BEFORE UPDATE ON asked_commitments FOR EACH ROW EXECUTE FUNCTION medscan_touch_updated_at();
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'medscan_app') THEN
    GRANT SELECT, INSERT, UPDATE ON asked_commitments TO medscan_app;
  END IF;
END $$;
