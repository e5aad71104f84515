-- schema-version: 1.12.1
-- Where an export stands: a worker that dies half-way through millions of records is followed by one that goes on.
-- {"outputs": [{type, count, byte_length}], "type", "count", "byte_length", "next"}: files that are whole, and the one that is written, up to the page that ends there.
ALTER TABLE record_exports ADD COLUMN progress jsonb;
