-- schema-version: 1.15.0
-- What an alert is about, where its subject does not say it: by this it is seen that the cause is gone.
ALTER TABLE system_alerts ADD COLUMN about jsonb;
COMMENT ON COLUMN system_alerts.about IS 'identity_conflict of an order, a report or an appointment: [{patient_id, order_scan_id}], the other patient and the order that was made for him. files_missing: ids of scan_files. Null: of before, or nothing to look up.';
