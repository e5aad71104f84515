/** schemas/medscan_schema.sql: every migration in order, and the record that they are applied, so that the gateway can start on it. */
import type { Migration } from '../src/db/migrate.ts';

export function schemaSql(migrations: readonly Migration[]): string {
  const last = migrations.at(-1);
  if (!last) throw new Error('There is no migration.');
  return `${[
    head(last),
    ...migrations.map(({ id, sql }) => `-- ======== migrations/${id} ========\n\n${sql.trim()}`),
    record(migrations),
    'COMMIT;',
  ].join('\n\n')}\n`;
}

function head({ schemaVersion }: Migration): string {
  return `-- The MedScan Gateway's database, schema version ${schemaVersion}. Generated from migrations/ by "npm run schemas"; change those, not this file.
--
--   createdb -E UTF8 -T template0 medscan_ai
--   psql -v ON_ERROR_STOP=1 medscan_ai < schemas/medscan_schema.sql
--
-- For an empty database of PostgreSQL 13 or newer. The role that loads it owns the tables; it may create extensions (uuid-ossp, pgcrypto)
-- and, for row level security to hold, the role medscan_app. Start the gateway with that role in DATABASE_URL: it finds every migration
-- applied and adds its queue's schema (pgboss) and its own login.

BEGIN;`;
}

function record(migrations: readonly Migration[]): string {
  const rows = migrations.map(({ id, sha256, schemaVersion }) => `  (${[id, sha256, schemaVersion].map((value) => `'${value.replaceAll('\'', '\'\'')}'`).join(', ')}, 0)`);
  return `-- ======== which migrations this file is ========

CREATE TABLE schema_migration (
  id              text PRIMARY KEY,
  sha256          text NOT NULL,
  schema_version  text NOT NULL,
  applied_at      timestamptz NOT NULL DEFAULT now(),
  milliseconds    integer NOT NULL
);
INSERT INTO schema_migration (id, sha256, schema_version, milliseconds) VALUES
${rows.join(',\n')};`;
}
