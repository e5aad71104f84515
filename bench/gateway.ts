/**
 * The gateway as the benchmarks start it: one process, role gateway, on a database of DATABASE_URL's server made for this run, with one
 * integration per protocol that takes everybody. `node bench/gateway.ts port=11112 dir=/path [database=name] [roles=gateway,worker]`; runs until SIGTERM.
 */
import pg from 'pg';
import { loadConfig } from '../src/config.ts';
import { startGateway } from '../src/main.ts';

const options = new Map(process.argv.slice(2).map((argument) => argument.split('=') as [string, string]));
const server = new URL(process.env['DATABASE_URL'] ?? 'postgres://postgres@127.0.0.1:55432/postgres');
const name = options.get('database') ?? `medscan_bench_${process.pid}`;

async function query(database: string, text: string): Promise<void> {
  const url = new URL(server);
  url.pathname = `/${database}`;
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  await client.query(text).finally(() => client.end());
}

await query('postgres', `CREATE DATABASE ${name}`);
server.pathname = `/${name}`;
const gateway = await startGateway(loadConfig({
  DATABASE_URL: server.href, MEDSCAN_HOME: options.get('dir') ?? './data/bench', MEDSCAN_ROLES: options.get('roles') ?? 'gateway', MEDSCAN_LOG_LEVEL: 'warn', MEDSCAN_HTTP_PORT: '0',
  MEDSCAN_DICOM_PORT: options.get('port') ?? '0', MEDSCAN_HL7_PORT: options.get('hl7') ?? '0', MEDSCAN_ENCRYPTION_KEY: '00'.repeat(32),
}));
await query(name, `INSERT INTO organizations (name) VALUES ('Bench'); INSERT INTO external_integrations (organization_id, name, kind, adapter, direction, settings)
  SELECT organization_id, a, 'pacs', a, 'inbound', CASE a WHEN 'dicom-dimse' THEN '{"called_ae_title": "ANY-SCP"}'::jsonb ELSE '{}' END FROM organizations, unnest(ARRAY['dicom-dimse', 'hl7v2-mllp']) a WHERE organizations.name = 'Bench'`);
await gateway.integrations.reload();
if (gateway.integrations.problems().length > 0) process.stderr.write(`${JSON.stringify(gateway.integrations.problems())}\n`);
process.stdout.write(`${JSON.stringify({ ports: gateway.ports, database: name })}\n`);
process.once('SIGTERM', () => { void gateway.stop().then(() => query('postgres', `DROP DATABASE ${name} WITH (FORCE)`)).then(() => process.exit(0)); });
