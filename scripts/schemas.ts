/** `npm run schemas`: writes schemas/ from the migrations (on an embedded PostgreSQL in a temporary directory) and from the API's route table. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { startEmbeddedPostgres } from '../src/db/embedded-postgres.ts';
import { migrate, readMigrations } from '../src/db/migrate.ts';
import { migrationsDirectory } from '../src/installation.ts';
import { createLog } from '../src/log.ts';
import { apiMappings, registeredRoutes } from './api-mappings.ts';
import { root } from './generated-docs.ts';
import { readCatalog, schemaDiagram, type Catalog } from './schema-diagram.ts';
import { schemaSql } from './schema-sql.ts';
import { writeChanged } from './write-changed.ts';

const fileOf = (name: string): string => path.join(root, 'schemas', name);
await writeChanged(new Map([
  [fileOf('medscan_schema.sql'), schemaSql(await readMigrations(migrationsDirectory))],
  [fileOf('schema_diagram.md'), schemaDiagram(await migratedCatalog())],
  [fileOf('api_mappings.md'), apiMappings(registeredRoutes())],
]));

async function migratedCatalog(): Promise<Catalog> {
  const home = await mkdtemp(path.join(tmpdir(), 'medscan-schemas-'));
  await chmod(home, 0o755); // the server may run as another account (src/db/server-account.ts)
  const server = await startEmbeddedPostgres({ home, log: createLog({ logLevel: 'warn' }), durable: false });
  const client = new pg.Client({ connectionString: server.ownerUrl });
  try {
    await migrate(server.ownerUrl, { directory: migrationsDirectory });
    await client.connect();
    return await readCatalog(client);
  } finally {
    await client.end();
    await server.stop();
    await rm(home, { recursive: true, force: true });
  }
}
