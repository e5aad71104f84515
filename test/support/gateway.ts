/** A gateway in this process on a test database, all ports free ones, with a hospital's integrations. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadConfig } from '../../src/config.ts';
import type { Installation } from '../../src/installation.ts';
import { createLog } from '../../src/log.ts';
import { startGateway, type RunningGateway } from '../../src/main.ts';
import { testDatabase, type TestDatabase } from './database.ts';

export interface TestGateway extends RunningGateway { readonly db: TestDatabase; readonly home: string }

export async function testGateway(environment: Readonly<Record<string, string>> = {}, options: { reserveBytes?: number } = {}): Promise<TestGateway> {
  const db = await testDatabase();
  const home = await mkdtemp(path.join(tmpdir(), 'medscan-gateway-'));
  const config = loadConfig({
    MEDSCAN_HOME: home, MEDSCAN_HTTP_PORT: '0', MEDSCAN_DICOM_PORT: '0', MEDSCAN_HL7_PORT: '0', MEDSCAN_QUIET_SECONDS: '1', MEDSCAN_STOP_SECONDS: '5', ...environment,
  });
  const log = createLog({ logLevel: (process.env['MEDSCAN_TEST_LOG'] ?? 'silent') as 'silent' });
  const installation: Installation = { config, log, database: db.database, ownerUrl: db.ownerUrl, appUrl: db.appUrl, keys: db.keys, embedded: undefined, migrated: [], close: async () => undefined };
  const gateway = await startGateway(config, { installation, ...options });
  return {
    ...gateway, db, home,
    async stop() {
      await gateway.stop();
      await db.drop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

/**
 * Reads until there is something. What is counted is the time between the readings, as it was asked for: a machine that stalls, or a database that has much
 * to do, makes it take longer and fail no sooner.
 */
export async function eventually<T>(read: () => Promise<T | undefined | false>, milliseconds = 20_000): Promise<T> {
  for (let waited = 0; ; waited += 50) {
    const value = await read();
    if (value !== undefined && value !== false) return value;
    if (waited > milliseconds) throw new Error(`did not happen within ${milliseconds} ms`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
}
