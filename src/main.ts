/**
 * Starts the gateway: the roles of MEDSCAN_ROLES in one process.
 *   gateway   the listeners (DIMSE, MLLP)               worker    the jobs (complete, analyze, report, deliver) and maintenance
 *   api       HTTP: API, status page, FHIR
 * Order matters: nothing listens before the database, the store and the queue are there, and stopping goes the other way round:
 * first every listener at once, then the work behind them.
 */
import { hostname } from 'node:os';
import path from 'node:path';
import type { PgBoss } from 'pg-boss';
import { createAiRuntime } from './ai/runtime.ts';
import { auditEvents, eventTypes } from './audit/event.ts';
import { recordAudit } from './audit/record.ts';
import { startAuditSealer } from './audit/seal.ts';
import type { Config } from './config.ts';
import { recordProductVersion } from './db/installation-version.ts';
import { ensurePartitions } from './db/partitions.ts';
import { inOrganization } from './db/transaction.ts';
import product from '../package.json' with { type: 'json' };
import { adapterContext } from './gateway/context.ts';
import { foldersOfOthers } from './gateway/folders.ts';
import type { Adapter, Endpoint, Integration, Receive } from './gateway/adapter.ts';
import { openIntegrations, type Integrations } from './gateway/integrations.ts';
import { messageCommands } from './gateway/message-commands.ts';
import { listenerLimits } from './gateway/listener-limits.ts';
import { loadAdapters } from './gateway/registry.ts';
import { openInstallation, type Installation } from './installation.ts';
import { createMapper } from './mapping/mapper.ts';
import { createAnswerRecorder, createArrivals, createConfirmations, createAssociationLog, createClientTokens, createCommitments, createExports, createHoldings, createImages, createInboundHealth, createPersist, createProcedures, createReceive, createReceiveAgain, createRecords, createSources, createSubscriptions, recoverObjects, startMaintenance, startPulls, tidyExportsAtTimes, type PullSource, startWorkers, watchCongestion, watchSources, watchStorage, refuseWhilePaused, refuseWritesWhilePaused, watchUnreferenced, createWrites } from './pipeline/index.ts';
import { startQueue } from './queue/boss.ts';
import { readHead } from './storage/read-head.ts';
import { openObjectStore, type ObjectStore } from './storage/object-store.ts';
import { openTls } from './tls.ts';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';

/** The bound ones; undefined: that listener is off. */
export interface Ports {
  readonly dicom: number | undefined; readonly hl7: number | undefined; readonly http: number | undefined;
  readonly dicomTls: number | undefined; readonly hl7Tls: number | undefined; readonly https: number | undefined;
}

export interface RunningGateway {
  readonly installation: Installation;
  readonly integrations: Integrations;
  readonly boss: PgBoss;
  readonly store: ObjectStore;
  readonly ports: Ports;
  /** Refuses new work, lets running exchanges finish, then closes everything. Resolves once; a second call waits for the first. */
  stop(): Promise<void>;
}

const SOCKET_PORTS = { 'dicom-dimse': { plain: 'dicom', tls: 'dicomTls' }, 'hl7v2-mllp': { plain: 'hl7', tls: 'hl7Tls' } } as const satisfies Record<string, Record<string, keyof Ports>>;

/** `reserveBytes` is what the object store keeps free, instead of the setting. */
export async function startGateway(config: Config, options: { installation?: Installation; reserveBytes?: number } = {}): Promise<RunningGateway> {
  const installation = options.installation ?? await openInstallation(config);
  const closing: (() => Promise<void>)[] = [];
  const stop = once(async () => {
    for (const close of closing.toReversed()) await close().catch((error: unknown) => installation.log.warn({ err: error }, 'a part did not stop cleanly'));
  });
  closing.push(() => installation.close());
  try {
    const store = watchStorage(await openObjectStore(path.join(config.home, 'storage'), { reserveBytes: config.storageReserveMegabytes * 2 ** 20, ...options }), { database: installation.database, log: installation.log });
    return await startParts(config, installation, store, closing, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startParts(config: Config, installation: Installation, store: ObjectStore, closing: (() => Promise<void>)[], stop: () => Promise<void>): Promise<RunningGateway> {
  const { database, keys, log } = installation;
  const has = (role: Config['roles'][number]): boolean => config.roles.includes(role);
  const stopping = new AbortController();
  const now = (): Date => new Date();

  await store.removeUnfinished();
  const boss = await startQueue(installation.appUrl, log.child({ area: 'queue' }), { supervise: has('worker') });
  closing.push(() => boss.stop({ graceful: true, timeout: config.stopSeconds * 1000, close: true }));
  const adapters = await loadAdapters();
  const integrations = await openIntegrations(database, keys, adapters, log);
  closing.push(async () => { integrations.stop(); stopping.abort(); });

  const exportDirectory = path.join(config.home, 'exports');
  const named = () => [...adapters.values()].map((adapter) => ({ adapter, integrations: [...integrations.directory(adapter.name).all(), ...integrations.directory(adapter.name).sending!()] as readonly Integration[] }));
  const contextOf = (adapter: Adapter, organizationId?: string) => adapterContext({
    database, log: log.child({ adapter: adapter.name }), signal: stopping.signal, store, now, folders: config.folders, ports: portsOf(adapter),
    ...(organizationId === undefined ? {} : { foldersOfOthers: () => foldersOfOthers(named(), organizationId) }),
  });
  const answers = createAnswerRecorder(database, log);
  const images = createImages(store);
  closing.push(() => images.close());
  const associations = createAssociationLog(database, log);
  const congestion = watchCongestion({ store, database, queueLimit: config.queueLimit });
  closing.push(() => associations.flush());
  const arrivals = createArrivals({ database, log, quietSeconds: config.quietSeconds });
  closing.push(() => arrivals.stop());
  const portsOf = (adapter: Adapter) => ({
    associations, arrivals, congestion,
    records: createRecords({ database, keys }), exports: createExports({ database, boss, keys, exportDirectory }), subscriptions: createSubscriptions({ database, boss, keys, now }, adapter.name), writes: refuseWritesWhilePaused({ isReceivePaused }, createWrites({ database, boss, store, quietSeconds: config.quietSeconds, log, map, answers, alive, now }, adapter)), tokens: createClientTokens({ database }), images, holdings: createHoldings({ database, store, log, now }, adapter.name), confirmations: createConfirmations({ database, boss, now }, adapter.name), commitments: createCommitments({ database, boss, store, log, answers, now }, adapter.name),
    procedures: createProcedures({ database, boss, answers, quietSeconds: config.quietSeconds, now }, adapter.name),
  });
  closing.push(() => answers.flush());
  const unreferenced = watchUnreferenced(database, store, log);
  closing.push(async () => { await unreferenced.sweep().catch(() => 0); unreferenced.stop(); });
  const alive = createInboundHealth(database, log);
  const persist = createPersist({ database, boss, store, quietSeconds: config.quietSeconds, now });
  const map = createMapper(path.join(import.meta.dirname, '..', 'mappings'));
  const isReceivePaused = (organizationId: string, integrationId: string): boolean => integrations.find(organizationId, integrationId)?.isReceivePaused === true;
  const receiveFor = (adapter: Adapter): Receive => refuseWhilePaused({ isReceivePaused, unreferenced }, adapter, createReceive({ database, log, map, persist, answers, unreferenced, alive, now }, adapter));
  const receiveAgainFor = (adapter: Adapter): Receive => createReceiveAgain(createReceive({ database, log, map, persist, answers, unreferenced: { add() { /* the exchange on record names it */ } }, alive, now }, adapter),
    createWrites({ database, boss, store, quietSeconds: config.quietSeconds, log, map, answers, alive, now }, adapter), adapter);
  const messages = messageCommands({ database, adapters, integrations, map, receiveAgainFor, readHead: (location) => readHead(store, location), now });

  if (has('gateway') || has('api')) await arrivals.start();
  if (has('worker')) {
    const ai = createAiRuntime({ log: log.child({ area: 'ai' }) });
    closing.push(() => ai.close());
    const destination = (organizationId: string, integrationId: string) => {
      const integration = integrations.find(organizationId, integrationId);
      const adapter = integration && adapters.get(integration.adapter);
      return adapter && integration.isEnabled ? { adapter, integration, context: contextOf(adapter, organizationId) } : undefined;
    };
    const sources = createSources({ adapters, directory: integrations.directory, contextOf, receiveFor });
    const pullSourceOf = (adapter: Adapter, integration: Integration): PullSource => ({ adapter, integration, context: contextOf(adapter), receive: receiveFor(adapter) });
    const pulling = (): PullSource[] => [...adapters.values()].filter(({ pulls }) => pulls).flatMap((adapter) => integrations.directory(adapter.name).all().filter(({ organizationId, integrationId }) => !isReceivePaused(organizationId, integrationId)).map((integration) => pullSourceOf(adapter, integration)));
    const pullSource = (organizationId: string, integrationId: string): PullSource | undefined => pulling().find(({ integration }) => integration.organizationId === organizationId && integration.integrationId === integrationId);
    const workers = await startWorkers(boss, { sources, exportDirectory, archiveDirectory: path.join(config.home, 'archive'), pullSource, integration: destination, database, boss, keys, store, ai, log, quietSeconds: config.quietSeconds, retrySeconds: config.retrySeconds, destination, messages, now }, log, { analyses: 1 });
    closing.push(() => workers.stop());
    await recoverObjects({ database, store, log });
    const partitions = keepPartitions(installation);
    closing.push(async () => clearInterval(partitions));
    await ensurePartitions(installation.ownerUrl);
    const maintenance = startMaintenance({ database, boss, store, log, quietSeconds: config.quietSeconds, queueLimit: config.queueLimit, now });
    closing.push(() => maintenance.stop());
    const pulls = startPulls({ boss, log }, pulling);
    closing.push(async () => pulls.stop());
    const tidying = tidyExportsAtTimes({ database, exportDirectory }, log);
    closing.push(async () => tidying.stop());
    const watching = watchSources({ database, boss, sources, log, now });
    closing.push(() => watching.stop());
    const sealing = startAuditSealer(database, keys, log);
    closing.push(() => sealing.stop());
  }

  // What speaks to peers ends first, all of it at once: no port goes on accepting while another one waits for its exchanges.
  const doors: (() => Promise<void>)[] = [];
  closing.push(() => closeTogether(doors, config.stopSeconds * 1000, log));
  const tls = openTls(config, log);
  const bound: { -readonly [Name in keyof Ports]?: number } = {};
  if (has('gateway')) {
    for (const { adapter, name, endpoint } of socketEndpoints(adapters, config, tls)) {
      const listener = await adapter.inbound.listen(endpoint, integrations.directory(adapter.name), receiveFor(adapter), contextOf(adapter));
      bound[name] = listener.port;
      doors.push(() => listener.close(config.stopSeconds * 1000));
    }
    for (const adapter of adapters.values()) {
      if (adapter.inbound?.transport !== 'socket' || !adapter.inbound.watch) continue;
      const watching = await adapter.inbound.watch(integrations.directory(adapter.name), receiveFor(adapter), contextOf(adapter));
      doors.push(() => watching.close());
    }
  }
  if (has('api')) {
    const { startHttp } = await import('./http.ts');
    const http = await startHttp({ config, installation, adapters, integrations, store, boss, tls, messages, images, receiveFor, contextOf });
    Object.assign(bound, http.ports);
    doors.push(() => http.close());
  }
  const ports: Ports = { dicom: undefined, hl7: undefined, http: undefined, dicomTls: undefined, hl7Tls: undefined, https: undefined, ...bound };
  await recordActivity(installation, 'applicationStart');
  doors.push(() => recordActivity(installation, 'applicationStop'));
  log.info({ ports, roles: config.roles, home: config.home }, 'the gateway is ready');
  return { installation, integrations, boss, store, ports, stop };
}

type SocketAdapter = Adapter & { readonly inbound: { readonly transport: 'socket' } };
interface SocketEndpoint { readonly adapter: SocketAdapter; readonly name: keyof Ports; readonly endpoint: Endpoint }

/** Up to two listeners an adapter: plain, and over TLS. */
function socketEndpoints(adapters: ReadonlyMap<string, Adapter>, config: Config, tls: Endpoint['tls']): SocketEndpoint[] {
  return Object.entries(SOCKET_PORTS).flatMap(([adapterName, names]) => {
    const adapter = adapters.get(adapterName);
    if (adapter?.inbound?.transport !== 'socket') return [];
    const of = (name: keyof Ports, port: number | undefined, more: Partial<Endpoint>): SocketEndpoint[] =>
      (port === undefined ? [] : [{ adapter: adapter as SocketAdapter, name, endpoint: { host: config.bind, port, ...listenerLimits(adapterName, config), ...more } }]);
    return [...of(names.plain, config[`${names.plain}Port`], {}), ...(tls ? of(names.tls, config[`${names.tls}Port`], { tls }) : [])];
  });
}

/** Until the cut at the deadline has reached every connection. */
const CUT_MILLISECONDS = 500;

/** Calls all at once under one deadline. What is not done soon after it (a peer that never ended its TLS handshake) no longer holds up the rest. */
async function closeTogether(doors: readonly (() => Promise<void>)[], graceMilliseconds: number, log: Installation['log']): Promise<void> {
  const closed = Promise.all(doors.map((close) => close().catch((error: unknown) => log.warn({ err: error }, 'a part did not stop cleanly'))));
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, graceMilliseconds + CUT_MILLISECONDS);
  await Promise.race([closed, late]);
  clearTimeout(timer);
}

const DAY_MILLISECONDS = 86_400_000;

/** A gateway may run for longer than partitions were made ahead. */
function keepPartitions({ ownerUrl, log }: Installation): NodeJS.Timeout {
  return setInterval(() => {
    ensurePartitions(ownerUrl).catch((error: unknown) => log.error({ err: error }, 'the partitions of the coming months could not be made; rows go to the default partition'));
  }, DAY_MILLISECONDS).unref();
}

/** PS3.15 A.5.3.1 Application Activity. */
async function recordActivity(installation: Installation, type: 'applicationStart' | 'applicationStop'): Promise<void> {
  await inOrganization(installation.database, UNASSIGNED_ORGANIZATION_ID, async (tx) => {
    await recordProductVersion(tx, product.version);
    await recordAudit(tx, {
      ...auditEvents.applicationActivity, action: 'E', outcome: 'success', actor: { kind: 'system', id: `${hostname()}-${process.pid}` }, detail: { event_type: eventTypes[type], version: product.version },
    });
  });
}

function once(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= work());
}
