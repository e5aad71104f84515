/** The receiving half of the gateway over a test database: real persist, real queue, an adapter that hands over what a test wrote. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { PgBoss } from 'pg-boss';
import { z } from 'zod';
import { createLog } from '../../src/log.ts';
import { createAnswerRecorder, createPersist, createReceive } from '../../src/pipeline/index.ts';
import { startQueue } from '../../src/queue/boss.ts';
import { openObjectStore, type ObjectStore } from '../../src/storage/object-store.ts';
import type { Adapter, InboundMessage, Integration, Receipt, Refusal } from '#gateway/adapter.ts';
import type { InstanceRow, Normalized, PatientRow } from '#gateway/normalized.ts';
import { testDatabase, type TestDatabase } from './database.ts';

export interface TestPipeline {
  readonly db: TestDatabase;
  readonly boss: PgBoss;
  readonly store: ObjectStore;
  readonly integration: Integration;
  /** Sends one message whose normalized form is given; `bytes` is what its digest is made of. */
  receive(message: { interaction: string; controlId: string; bytes?: string; facts?: Readonly<Record<string, unknown>>; normalized: Partial<Normalized> | (() => never) }, refusal?: Refusal): Promise<Receipt>;
  flushAnswers(): Promise<void>;
  close(): Promise<void>;
}

export async function testPipeline(options: { quietSeconds?: number } = {}): Promise<TestPipeline> {
  const db = await testDatabase();
  const directory = await mkdtemp(path.join(tmpdir(), 'medscan-store-'));
  const log = createLog({ logLevel: 'silent' });
  const store = await openObjectStore(directory);
  const boss = await startQueue(db.appUrl, log, { supervise: false });
  const now = (): Date => new Date();
  const answers = createAnswerRecorder(db.database, log);
  const persist = createPersist({ database: db.database, boss, store, quietSeconds: options.quietSeconds ?? 30, now });
  const integration = await insertIntegration(db, 'Test Hospital', 'PACS', 'fake');
  const receive = createReceive({ database: db.database, log, map: () => { throw new Error('not used'); }, persist, answers, unreferenced: { add: () => undefined }, alive: () => undefined, now }, fakeAdapter);
  return {
    db, boss, store, integration,
    async receive({ interaction, controlId, bytes = controlId, normalized, facts }, refusal) {
      const head = Buffer.from(bytes);
      let object;
      if (typeof normalized !== 'function' && normalized.instance) {
        const writer = await store.begin('.dcm');
        await writer.write(head);
        object = await writer.finish();
      }
      const message: InboundMessage = {
        integration, interaction, controlId, head, byteSize: head.length, sha256: createHash('sha256').update(head).digest('hex'), receivedAt: now(),
        peer: { address: '127.0.0.1', port: 1, application: 'TEST' }, facts: { normalized, ...facts }, ...(object ? { object } : {}),
      };
      return receive(message, refusal);
    },
    flushAnswers: () => answers.flush(),
    async close() {
      await answers.flush();
      await boss.stop({ graceful: false, close: true });
      await db.drop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export async function insertIntegration(db: TestDatabase, organization: string, name: string, adapter: string): Promise<Integration> {
  const [row] = await db.asOwner<{ organization_id: string; integration_id: string }>(
    `WITH o AS (INSERT INTO organizations (name) VALUES ($1) ON CONFLICT (lower(name)) DO UPDATE SET name = excluded.name RETURNING organization_id)
     INSERT INTO external_integrations (organization_id, name, kind, adapter, direction) SELECT organization_id, $2, 'pacs', $3, 'both' FROM o RETURNING organization_id, integration_id`,
    [organization, name, adapter]);
  return { organizationId: row!.organization_id, integrationId: row!.integration_id, name, config: {} };
}

const fakeAdapter: Adapter = {
  name: 'fake', title: 'Fake', summary: 'Hands over what the test wrote.', configSchema: z.object({}),
  inbound: {
    transport: 'socket', interactions: [], listen: () => Promise.reject(new Error('not used')),
    normalize(message) {
      const { normalized } = message.facts as { normalized: Partial<Normalized> | (() => never) };
      if (typeof normalized === 'function') return normalized();
      return Promise.resolve({ authority: 'image', warnings: [], trace: () => [], mapping: 'test@1.0.0', ...normalized });
    },
  },
  testConnection: () => Promise.resolve({ ok: true, steps: [] }),
};

export const patient = (value: string, more: Partial<PatientRow> = {}): PatientRow => ({ identifiers: [{ value, assigning_authority: 'HOSP' }], ...more });

export const instance = (study: string, sop: string, more: { accession?: string; series?: string } = {}): InstanceRow => ({
  study: { study_instance_uid: study, scan_type: 'ct', ...(more.accession ? { accession_number: more.accession } : {}) },
  series: { series_instance_uid: more.series ?? `${study}.1`, modality: 'CT' },
  file: { sop_instance_uid: sop, sop_class_uid: '1.2.840.10008.5.1.4.1.1.2', transfer_syntax_uid: '1.2.840.10008.1.2.1', dataset_offset: 0 },
});
