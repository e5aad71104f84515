/**
 * The HTTP port: the API and its pages, and the HTTP adapters under their mounts (/fhir/r4). What the API asks of the rest of the gateway
 * (src/api/commands.ts) is answered here.
 */
import { serve, type ServerType } from '@hono/node-server';
import { stat } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Readable, type Duplex } from 'node:stream';
import type { PgBoss } from 'pg-boss';
import { createSite } from './web/site.ts';
import type { ApiCommands } from './api/commands.ts';
import type { Config } from './config.ts';
import type { Adapter, AdapterContext, Peer, Receive } from './gateway/adapter.ts';
import type { Images } from './gateway/images.ts';
import { integrationCommands } from './gateway/integration-commands.ts';
import type { Integrations } from './gateway/integrations.ts';
import type { MessageCommands } from './gateway/message-commands.ts';
import type { Installation } from './installation.ts';
import { createSources, decideVersion, requestPriors, forceComplete, operatorCommands, withdrawReport } from './pipeline/index.ts';
import type { ObjectStore } from './storage/object-store.ts';
import { readHead } from './storage/read-head.ts';
import type { GatewayTls } from './tls.ts';

export interface HttpDependencies {
  readonly config: Config; readonly installation: Installation; readonly adapters: ReadonlyMap<string, Adapter>; readonly integrations: Integrations;
  readonly store: ObjectStore; readonly boss: PgBoss; readonly tls: GatewayTls | undefined; readonly messages: MessageCommands; readonly images: Images;
  receiveFor(adapter: Adapter): Receive;
  contextOf(adapter: Adapter): AdapterContext;
}

/** A study over a slow line takes its time; headers have Node's own limit, and adapters cut bodies on which nothing moves. */
const REQUEST_MILLISECONDS = 3_600_000;

/** Opens the HTTP port and, with TLS, the HTTPS port; each is left out when it is off. */
export async function startHttp(dependencies: HttpDependencies): Promise<{ ports: { http?: number; https?: number }; close(): Promise<void> }> {
  const { config, installation, tls } = dependencies;
  const app = createSite({ database: installation.database, keys: installation.keys, config, log: installation.log.child({ area: 'api' }), commands: await apiCommands(dependencies) });
  // What offers another protocol (h2c, as Java's client does) and is no websocket is a request like any other.
  const shouldUpgradeCallback = ({ headers }: IncomingMessage): boolean => headers.upgrade?.toLowerCase() === 'websocket';
  const common = { fetch: app.fetch, hostname: config.bind, serverOptions: { requestTimeout: REQUEST_MILLISECONDS, shouldUpgradeCallback } };
  const ports: { http?: number; https?: number } = {};
  const servers: OpenServer[] = [];
  const open = async (name: keyof typeof ports, options: Parameters<typeof serve>[0]): Promise<void> => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const server = serve(options, (address) => resolve(address.port)).once('error', reject);
    // The raw ones: a connection in its TLS handshake is not yet one of HTTP, and would outlive closeAllConnections().
    const sockets = new Set<Socket>();
    server.on('connection', (socket: Socket) => { sockets.add(socket.once('close', () => sockets.delete(socket))); });
    ports[name] = await promise;
    const upgraded = new Set<Duplex>();
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      upgraded.add(socket.once('close', () => upgraded.delete(socket)));
      // Nobody else listens any more: a connection that breaks here would end the process.
      socket.on('error', () => socket.destroy());
      if (!upgradeByAdapter(dependencies, request, socket, head)) socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', () => socket.destroy());
    });
    servers.push({ server, sockets, upgraded });
  };
  const close = async (): Promise<void> => { await Promise.all(servers.map((open) => closeServer(open, config.stopSeconds * 1000))); };
  try {
    if (config.httpPort !== undefined) await open('http', { ...common, port: config.httpPort });
    if (config.httpsPort !== undefined && tls) await open('https', { ...common, port: config.httpsPort, createServer: tls.createHttpsServer });
  } catch (error) {
    await close();
    throw error;
  }
  return { ports, close };
}

/** Websockets go to the adapter whose mount they are below; one that nobody takes is ended. */
function upgradeByAdapter({ adapters, integrations, contextOf }: HttpDependencies, request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
  const pathname = URL.parse(request.url ?? '/', 'http://gateway.invalid')?.pathname ?? '';
  for (const adapter of adapters.values()) {
    if (adapter.inbound?.transport === 'http' && pathname.startsWith(`${adapter.inbound.mount}/`) && adapter.inbound.upgrade?.(request, socket, head, integrations.directory(adapter.name), contextOf(adapter)) === true) return true;
  }
  return false;
}

/** `upgraded`: websockets, which have no exchange to finish and would stay for ever. */
interface OpenServer { readonly server: ServerType; readonly sockets: ReadonlySet<Socket>; readonly upgraded: ReadonlySet<Duplex> }

async function closeServer({ server, sockets, upgraded }: OpenServer, graceMilliseconds: number): Promise<void> {
  const { promise: closed, resolve: done } = Promise.withResolvers<void>();
  server.close(() => done());
  for (const socket of upgraded) socket.destroy();
  if ('closeIdleConnections' in server) server.closeIdleConnections();
  const cut = setTimeout(() => { for (const socket of sockets) socket.destroy(); }, graceMilliseconds);
  await closed;
  clearTimeout(cut);
}

async function apiCommands(dependencies: HttpDependencies): Promise<ApiCommands> {
  const { installation, adapters, integrations, store, boss, config } = dependencies;
  const { database, keys, log } = installation;
  const mounts = [...adapters.values()].flatMap((adapter) => {
    const inbound = adapter.inbound?.transport === 'socket' ? adapter.inbound.http : adapter.inbound;
    return inbound ? [{ adapter, inbound, receive: dependencies.receiveFor(adapter), context: dependencies.contextOf(adapter) }] : [];
  });
  return {
    ...await integrationCommands({ database, keys, log, adapters, config }),
    ...dependencies.messages,
    ...operatorCommands({ database, boss, quietSeconds: config.quietSeconds, now: () => new Date() }),
    forceComplete: (organizationId, scanId, actor) => forceComplete({ database, boss, quietSeconds: config.quietSeconds, now: () => new Date() }, organizationId, scanId, actor),
    fetchPriors: (organizationId, scanId, actor) => requestPriors({ database, boss, sources: createSources({ adapters, directory: integrations.directory, contextOf: dependencies.contextOf, receiveFor: dependencies.receiveFor }) }, organizationId, scanId, actor),
    decideVersion: (organizationId, scanFileId, decision, reason, actor) => decideVersion({ database, boss, now: () => new Date() }, organizationId, scanFileId, decision, reason, actor),
    withdrawReport: (organizationId, reportId, reason, actor) => withdrawReport({ database, boss, now: () => new Date() }, organizationId, reportId, reason, actor),
    async openStoredObject(location) {
      const { size } = await stat(store.resolve(location));
      return { byteSize: size, stream: Readable.toWeb(store.read(location)) as ReadableStream<Uint8Array> };
    },
    storedHead: (location) => readHead(store, location),
    picture: (image, wanted, signal) => dependencies.images.render(image, wanted, signal),
    reloadIntegrations: () => integrations.reload(),
    adapterMounts: () => mounts.map(({ inbound }) => inbound.mount),
    async handleAdapterHttp(request: Request, peer: Peer) {
      const { pathname } = new URL(request.url);
      const mount = mounts.find(({ inbound }) => pathname === inbound.mount || pathname.startsWith(`${inbound.mount}/`) || inbound.alsoAt?.includes(pathname) === true);
      return mount?.inbound.handle(request, peer, integrations.directory(mount.adapter.name), mount.receive, mount.context);
    },
    async notReady() {
      const problems: string[] = [];
      await database.ping().catch(() => problems.push('the database does not answer'));
      const freeBytes = await store.freeBytes().catch(() => undefined);
      if (freeBytes === undefined) problems.push('the object store cannot be read');
      else if (freeBytes < store.reserveBytes) problems.push('the object store has less than its reserve free');
      return problems;
    },
  };
}
