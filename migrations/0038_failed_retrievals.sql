-- Alerts about earlier studies are looked at by their scan.
CREATE INDEX study_retrievals_failed ON study_retrievals (organization_id, for_scan_id) WHERE status = 'failed';
