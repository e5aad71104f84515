-- schema-version: 1.4.0
-- Of one SOP Instance UID one version is in use; every other is a conflict of it. Two that arrive at the same moment meet here: the second
-- fails, is looked at again, and finds the first.
CREATE UNIQUE INDEX scan_files_in_use ON scan_files (organization_id, sop_instance_uid) WHERE conflict_of IS NULL;
