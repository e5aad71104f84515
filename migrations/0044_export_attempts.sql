-- schema-version: 1.14.0
-- Which worker writes an export: each begins by counting up, and notes a page only while nobody has counted further. So one that was thought dead, and wakes,
-- changes neither the row nor a file of the one that goes on: files are named by the attempt that writes them.
ALTER TABLE record_exports ADD COLUMN attempt integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN record_exports.attempt IS 'Counts the workers that began it; the last one writes. outputs and progress name its files: parts [{attempt, byte_length}], in order; none: one file without a number.';
