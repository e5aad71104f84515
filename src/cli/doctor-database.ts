import pg from 'pg';
import { migrate } from '../db/migrate.ts';
import { migrationsDirectory } from '../installation.ts';
import type { Check } from './doctor.ts';

/** Looks as the owner; what the application may do is read from the catalog. */
export async function checkDatabase(ownerUrl: string, embedded: boolean): Promise<Check[]> {
  const client = new pg.Client({ connectionString: ownerUrl, application_name: 'medscan doctor', connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined); // reported by the query that was running
  await client.connect();
  try {
    const checks = [await checkServer(client, embedded), await checkMigrations(ownerUrl)];
    if (checks.some(({ status }) => status === 'failed')) return checks;
    if (!await exists(client, 'organizations')) return [...checks, { name: 'tables', status: 'warning', detail: 'the database is empty', advice: 'medscan start or medscan migrate fills it.' }];
    return [...checks, await checkRowSecurity(client), await checkPartitions(client), ...await checkQueues(client), await checkIntegrations(client), await checkDecisions(client)];
  } finally {
    await client.end();
  }
}

async function checkServer(client: pg.Client, embedded: boolean): Promise<Check> {
  const started = performance.now();
  const { version, number, encoding } = await one<{ version: string; number: number; encoding: string }>(client,
    "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number, current_setting('server_encoding') AS encoding");
  const detail = `PostgreSQL ${version} (${embedded ? 'embedded' : 'external'}) answers in ${Math.round(performance.now() - started)} ms`;
  if (number < 130_000) return { name: 'database', status: 'failed', detail, advice: 'PostgreSQL 13 or newer is needed.' };
  if (encoding !== 'UTF8') return { name: 'database', status: 'failed', detail: `${detail}; its encoding is ${encoding}`, advice: "Create the database with ENCODING 'UTF8'." };
  return { name: 'database', status: 'ok', detail };
}

async function checkMigrations(ownerUrl: string): Promise<Check> {
  try {
    const due = await migrate(ownerUrl, { directory: migrationsDirectory, check: true });
    if (due.length === 0) return { name: 'migrations', status: 'ok', detail: 'all are applied' };
    return { name: 'migrations', status: 'warning', detail: `${due.length} due: ${due.join(', ')}`, advice: 'medscan migrate, or the next medscan start, applies them.' };
  } catch (error) {
    return { name: 'migrations', status: 'failed', detail: (error as Error).message, advice: 'Use the version of the gateway that made this database, or a newer one.' };
  }
}

async function checkRowSecurity(client: pg.Client): Promise<Check> {
  const { open, strong } = await one<{ open: string[] | null; strong: string[] | null }>(client, `SELECT
    (SELECT array_agg(c.relname::text) FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
      AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped)) AS open,
    (SELECT array_agg(rolname::text) FROM pg_roles WHERE rolname LIKE 'medscan\\_app%' AND (rolsuper OR rolbypassrls)) AS strong`);
  if (open) return { name: 'tenants', status: 'failed', detail: `no row level security on ${open.join(', ')}`, advice: 'Rows of one organization could be seen by another. Compare with migrations/ and restore the policies.' };
  if (strong) return { name: 'tenants', status: 'failed', detail: `${strong.join(', ')} may bypass row level security`, advice: `ALTER ROLE ${strong[0]} NOSUPERUSER NOBYPASSRLS;` };
  return { name: 'tenants', status: 'ok', detail: 'row level security holds on every table of an organization' };
}

async function checkPartitions(client: pg.Client): Promise<Check> {
  const { missing } = await one<{ missing: string[] | null }>(client, `SELECT array_agg(name) AS missing FROM (SELECT parent || to_char(now() AT TIME ZONE 'UTC' + interval '1 month', '_YYYY_MM') AS name
    FROM unnest(ARRAY['sync_logs', 'audit_logs', 'system_metrics']) AS parent) p WHERE to_regclass(name) IS NULL`);
  if (!missing) return { name: 'partitions', status: 'ok', detail: 'next month has its partitions' };
  return { name: 'partitions', status: 'warning', detail: `missing: ${missing.join(', ')}`, advice: 'As the owner of the database: SELECT medscan_ensure_partitions(); rows go to the default partitions until then.' };
}

async function checkQueues(client: pg.Client): Promise<Check[]> {
  if (!await exists(client, 'pgboss.job')) return [{ name: 'queues', status: 'failed', detail: 'pg-boss is not installed', advice: 'medscan migrate installs it.' }];
  const { rows } = await client.query<{ name: string; waiting: number; active: number; failed: number; oldest: number | null }>(`SELECT name,
      count(*) FILTER (WHERE state IN ('created', 'retry'))::int AS waiting, count(*) FILTER (WHERE state = 'active')::int AS active, count(*) FILTER (WHERE state = 'failed')::int AS failed,
      extract(epoch FROM now() - min(start_after) FILTER (WHERE state IN ('created', 'retry') AND start_after <= now()))::int AS oldest
    FROM pgboss.job WHERE name NOT LIKE '\\_\\_pgboss%' GROUP BY name ORDER BY name`);
  if (rows.length === 0) return [{ name: 'queues', status: 'ok', detail: 'no job is waiting' }];
  return rows.map(({ name, waiting, active, failed, oldest }) => {
    const detail = `${name}: ${waiting} waiting, ${active} running, ${failed} failed${oldest ? `; the oldest is ${oldest} s late` : ''}`;
    if (name === 'dead' && waiting > 0) return { name: 'queues', status: 'warning', detail, advice: 'These jobs were given up; medscan dead-letter list and the log say why.' };
    if ((oldest ?? 0) > 300) return { name: 'queues', status: 'warning', detail, advice: 'Is a gateway with the role worker running?' };
    return { name: 'queues', status: 'ok', detail };
  });
}

/** In the system's scope: row level security holds for an owner that is no superuser, and without it no row would be seen. */
async function checkIntegrations(client: pg.Client): Promise<Check> {
  await client.query("SELECT set_config('app.scope', 'system', false)");
  const { rows } = await client.query<{ name: string; error: string | null }>("SELECT name, last_error AS error FROM external_integrations WHERE is_enabled AND state = 'active' AND health_status = 'down' ORDER BY name");
  if (rows.length === 0) return { name: 'integrations', status: 'ok', detail: 'none is down' };
  return { name: 'integrations', status: 'warning', detail: rows.map(({ name, error }) => `${name}: ${error ?? 'down'}`).join('; '), advice: `medscan integration test "${rows[0]?.name}"` };
}

/** What waits for a person, and what a person has stopped. Row level security holds for owners too: one organization is looked at after the other. */
async function checkDecisions(client: pg.Client): Promise<Check> {
  const paused: string[] = [];
  let parked = 0, dead = 0;
  await client.query("SELECT set_config('app.scope', 'system', false)");
  for (const { organization_id: organizationId } of (await client.query<{ organization_id: string }>('SELECT organization_id FROM organizations ORDER BY name')).rows) {
    await client.query("SELECT set_config('app.organization_id', $1, false)", [organizationId]);
    const counts = await one<{ paused: string[]; parked: number; dead: number }>(client, `
      SELECT ARRAY(SELECT name FROM external_integrations WHERE organization_id = current_setting('app.organization_id')::uuid AND (receive_paused_at IS NOT NULL OR deliver_paused_at IS NOT NULL) ORDER BY name) AS paused,
        (SELECT count(*)::int FROM deliveries WHERE organization_id = current_setting('app.organization_id')::uuid AND status = 'refused')
          + (SELECT count(*)::int FROM order_notices WHERE organization_id = current_setting('app.organization_id')::uuid AND status = 'refused') AS parked,
        (SELECT count(*)::int FROM dead_jobs WHERE organization_id = current_setting('app.organization_id')::uuid AND status = 'open') AS dead`);
    paused.push(...counts.paused);
    parked += counts.parked;
    dead += counts.dead;
  }
  if (paused.length === 0 && parked + dead === 0) return { name: 'decisions', status: 'ok', detail: 'nothing is paused, parked or given up' };
  const detail = [...(paused.length > 0 ? [`paused: ${paused.join(', ')}`] : []), ...(parked > 0 ? [`${parked} parked reports or order status messages`] : []), ...(dead > 0 ? [`${dead} dead jobs`] : [])].join('; ');
  return { name: 'decisions', status: 'warning', detail, advice: parked + dead > 0 ? 'medscan dead-letter list' : `medscan integration resume "${paused[0]}" when the work is done` };
}

async function exists(client: pg.Client, relation: string): Promise<boolean> {
  return (await one<{ found: boolean }>(client, `SELECT to_regclass('${relation}') IS NOT NULL AS found`)).found;
}

async function one<Row extends pg.QueryResultRow>(client: pg.Client, text: string): Promise<Row> {
  const { rows: [row] } = await client.query<Row>(text);
  if (!row) throw new Error('The database answered a question with no row.');
  return row;
}
