/**
 * Starts the gateway: the roles of MEDSCAN_ROLES in one process.
 *   gateway   the listeners (DIMSE, MLLP)               worker    the jobs (complete, analyze, report, deliver) and maintenance
 *   api       HTTP: API, status page, FHIR
 * Order matters: nothing listens before the database, the store and the queue are there, and stopping goes the other way round.
 */
import { hostname } from 'node:os';
import path from 'node:path';
import type { PgBoss } from 'pg-boss';
import { createAiRuntime } from './ai/runtime.ts';
import { auditEvents, eventTypes } from './audit/event.ts';
import { recordAudit } from './audit/record.ts';
import { startAuditSealer } from './audit/seal.ts';
import type { Config } from './config.ts';
import { inOrganization } from './db/transaction.ts';
import { adapterContext } from './gateway/context.ts';
import type { Adapter, Listener, Receive } from './gateway/adapter.ts';
import { openIntegrations, type Integrations } from './gateway/integrations.ts';
import { loadAdapters } from './gateway/registry.ts';
import { openInstallation, type Installation } from './installation.ts';
import { createMapper } from './mapping/mapper.ts';
import { createAnswerRecorder, createPersist, createReceive, recoverObjects, startMaintenance, startWorkers } from './pipeline/index.ts';
import { startQueue } from './queue/boss.ts';
import { openObjectStore, type ObjectStore } from './storage/object-store.ts';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';

export interface Ports { readonly dicom: number | undefined; readonly hl7: number | undefined; readonly http: number | undefined }

export interface RunningGateway {
  readonly installation: Installation;
  readonly integrations: Integrations;
  readonly boss: PgBoss;
  readonly store: ObjectStore;
  readonly ports: Ports;
  /** Refuses new work, lets running exchanges finish, then closes everything. Resolves once; a second call waits for the first. */
  stop(): Promise<void>;
}

const SOCKET_PORTS: Readonly<Record<string, 'dicomPort' | 'hl7Port'>> = { 'dicom-dimse': 'dicomPort', 'hl7v2-mllp': 'hl7Port' };

export async function startGateway(config: Config, options: { installation?: Installation } = {}): Promise<RunningGateway> {
  const installation = options.installation ?? await openInstallation(config);
  const closing: (() => Promise<void>)[] = [];
  const stop = once(async () => {
    for (const close of closing.toReversed()) await close().catch((error: unknown) => installation.log.warn({ err: error }, 'a part did not stop cleanly'));
  });
  closing.push(() => installation.close());
  try {
    return await startParts(config, installation, closing, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startParts(config: Config, installation: Installation, closing: (() => Promise<void>)[], stop: () => Promise<void>): Promise<RunningGateway> {
  const { database, keys, log } = installation;
  const has = (role: Config['roles'][number]): boolean => config.roles.includes(role);
  const stopping = new AbortController();
  const now = (): Date => new Date();

  const store = await openObjectStore(path.join(config.home, 'storage'));
  await store.removeUnfinished();
  const boss = await startQueue(installation.appUrl, log.child({ area: 'queue' }), { supervise: has('worker') });
  closing.push(() => boss.stop({ graceful: true, timeout: config.stopSeconds * 1000, close: true }));
  const adapters = await loadAdapters();
  const integrations = await openIntegrations(database, keys, adapters, log);
  closing.push(async () => { integrations.stop(); stopping.abort(); });

  const contextOf = (adapter: Adapter) => adapterContext({ database, log: log.child({ adapter: adapter.name }), signal: stopping.signal, store, now });
  const answers = createAnswerRecorder(database, log);
  closing.push(() => answers.flush());
  const persist = createPersist({ database, boss, store, quietSeconds: config.quietSeconds, now });
  const map = createMapper(path.join(import.meta.dirname, '..', 'mappings'));
  const receiveFor = (adapter: Adapter): Receive => createReceive({ database, log, map, persist, answers, now }, adapter);

  if (has('worker')) {
    const ai = createAiRuntime({ log: log.child({ area: 'ai' }) });
    closing.push(() => ai.close());
    const destination = (organizationId: string, integrationId: string) => {
      const integration = integrations.find(organizationId, integrationId);
      const adapter = integration && adapters.get(integration.adapter);
      return adapter && integration.isEnabled ? { adapter, integration, context: contextOf(adapter) } : undefined;
    };
    const workers = await startWorkers(boss, { database, boss, store, ai, log, quietSeconds: config.quietSeconds, retrySeconds: config.retrySeconds, destination, now }, log, { analyses: 1 });
    closing.push(() => workers.stop());
    await recoverObjects({ database, store, log });
    const maintenance = startMaintenance({ database, boss, store, log, quietSeconds: config.quietSeconds, now });
    closing.push(() => maintenance.stop());
    const sealing = startAuditSealer(database, keys, log);
    closing.push(() => sealing.stop());
  }

  const bound: { dicomPort?: number; hl7Port?: number } = {};
  if (has('gateway')) {
    for (const adapter of adapters.values()) {
      const portName = SOCKET_PORTS[adapter.name];
      if (adapter.inbound?.transport !== 'socket' || !portName) continue;
      const listener = await listen(adapter, config, portName, integrations, receiveFor(adapter), contextOf(adapter));
      bound[portName] = listener.port;
      closing.push(() => listener.close(config.stopSeconds * 1000));
    }
  }
  let httpPort: number | undefined;
  if (has('api')) {
    const { startHttp } = await import('./http.ts');
    const http = await startHttp({ config, installation, adapters, integrations, store, boss, receiveFor, contextOf });
    httpPort = http.port;
    closing.push(() => http.close());
  }
  const ports: Ports = { dicom: bound.dicomPort, hl7: bound.hl7Port, http: httpPort };
  await recordActivity(installation, 'applicationStart');
  closing.push(() => recordActivity(installation, 'applicationStop'));
  log.info({ ports, roles: config.roles, home: config.home }, 'the gateway is ready');
  return { installation, integrations, boss, store, ports, stop };
}

async function listen(adapter: Adapter, config: Config, portName: 'dicomPort' | 'hl7Port', integrations: Integrations, receive: Receive, context: ReturnType<typeof adapterContext>): Promise<Listener> {
  if (adapter.inbound?.transport !== 'socket') throw new Error(`${adapter.name} has no socket to listen on`);
  return adapter.inbound.listen({ host: config.bind, port: config[portName] }, integrations.directory(adapter.name), receive, context);
}

/** PS3.15 A.5.3.1 Application Activity. */
async function recordActivity(installation: Installation, type: 'applicationStart' | 'applicationStop'): Promise<void> {
  await inOrganization(installation.database, UNASSIGNED_ORGANIZATION_ID, (tx) => recordAudit(tx, {
    ...auditEvents.applicationActivity, action: 'E', outcome: 'success', actor: { kind: 'system', id: `${hostname()}-${process.pid}` }, detail: { event_type: eventTypes[type] },
  }));
}

function once(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= work());
}
