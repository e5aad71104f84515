-- Order status messages leave in one line with the results for the same system, and one that was refused waits for a person as a refused report does.
--   skipped        overtaken by what the system was told since, or given up by a person; last_text says which
--   last_outcome   of its last try: unreachable (results wait behind it), put off or unconfirmed (results pass it), refused, delivered, overtaken, discarded
ALTER TABLE order_notices DROP CONSTRAINT order_notices_status_check;
ALTER TABLE order_notices ADD CONSTRAINT order_notices_status_check CHECK (status IN ('queued', 'delivered', 'refused', 'skipped'));
ALTER TABLE order_notices ADD COLUMN last_outcome text;
CREATE INDEX order_notices_parked ON order_notices (organization_id, notice_id) WHERE status = 'refused';

-- Its jobs had a queue of their own: what waits there is in order_notices, and leaves with the results from now on.
DO $$
BEGIN
  IF to_regclass('pgboss.job') IS NOT NULL THEN
    DELETE FROM pgboss.job WHERE name = 'tell-order-status' AND state <> 'active';
  END IF;
END $$;
