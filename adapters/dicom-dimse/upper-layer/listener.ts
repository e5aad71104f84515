import { createServer } from 'node:net';
import type { Server, ServerOpts, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { AcceptorOptions, UpperLayerUser } from './acceptor.ts';
import { AssociationAcceptor } from './acceptor.ts';

/** Where an association comes from, and whether there is room for it: without room it is rejected as "temporary congestion". */
export interface Caller {
  readonly address: string; readonly port: number;
  /** Which limit is reached, if one is. */
  readonly beyond?: 'associations' | 'associationsPerAddress';
  /** Common name of the client certificate, when one was asked for and verified. */
  readonly tlsSubject?: string;
  /** For example TLSv1.3. */
  readonly tlsProtocol?: string;
  /** What the connection has moved so far. */
  traffic(): { readonly bytesReceived: number; readonly bytesSent: number };
}
export interface UpperLayerListener { readonly port: number; close(graceMilliseconds?: number): Promise<void> }
export type ListenerOptions = Omit<AcceptorOptions, 'user'> & {
  user(acceptor: AssociationAcceptor, caller: Caller): UpperLayerUser;
  /** A connection was closed without being heard: more than twice the limits are open. */
  unheard?(address: string): void;
  /** Makes the server that accepts connections, where it is not plain TCP. */
  createServer?(options: ServerOpts, onConnection: (socket: Socket) => void): Server;
};

function tlsOf(socket: Socket): Pick<Caller, 'tlsSubject' | 'tlsProtocol'> {
  if (!(socket instanceof TLSSocket)) return {};
  const name: unknown = socket.authorized ? socket.getPeerCertificate().subject?.CN : undefined, protocol = socket.getProtocol();
  return { ...(typeof name === 'string' ? { tlsSubject: name } : {}), ...(protocol ? { tlsProtocol: protocol } : {}) };
}

/** IPv4 addresses that arrive on a dual-stack socket lose their ::ffff: prefix, so that one notation is compared and shown. */
const plainAddress = (socket: Socket): string => (socket.remoteAddress ?? '').replace(/^::ffff:/i, '');

/**
 * Listens and gives every connection its acceptor. A caller beyond the limits is still heard, so that it is told to come back later
 * (A-ASSOCIATE-RJ, transient); beyond twice the limits connections are closed unheard.
 */
export async function listen(host: string, port: number, options: ListenerOptions): Promise<UpperLayerListener> {
  const { limits } = options;
  const perAddress = new Map<string, number>();
  const acceptors = new Set<AssociationAcceptor>();
  const server = (options.createServer ?? createServer)({ noDelay: true, keepAlive: true, highWaterMark: 256 * 1024 }, (socket) => {
    const address = plainAddress(socket);
    const ofAddress = (perAddress.get(address) ?? 0) + 1;
    if (ofAddress > 2 * limits.associationsPerAddress) { options.unheard?.(address); socket.destroy(); return; }
    perAddress.set(address, ofAddress);
    const beyond = acceptors.size >= limits.associations ? 'associations' : ofAddress > limits.associationsPerAddress ? 'associationsPerAddress' : undefined;
    const caller: Caller = {
      address, port: socket.remotePort ?? 0, ...(beyond ? { beyond } : {}), ...tlsOf(socket),
      traffic: () => ({ bytesReceived: socket.bytesRead, bytesSent: socket.bytesWritten }),
    };
    const acceptor = new AssociationAcceptor(socket, { ...options, user: (self) => options.user(self, caller) });
    acceptors.add(acceptor);
    void acceptor.closed.then(() => {
      acceptors.delete(acceptor);
      const left = (perAddress.get(address) ?? 1) - 1;
      if (left > 0) perAddress.set(address, left); else perAddress.delete(address);
    });
  });
  server.maxConnections = 2 * limits.associations;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => { server.off('error', reject); resolve(); });
  });
  server.on('drop', (dropped) => { options.unheard?.((dropped?.remoteAddress ?? '').replace(/^::ffff:/i, '')); });
  server.on('tlsClientError', (_error, socket: Socket) => { socket.destroy(); });
  server.on('error', () => { /* a failed accept (too many open files): the next one is tried */ });
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound ? bound.port : port,
    async close(graceMilliseconds = 10_000) {
      const closed = new Promise<void>((resolve) => { server.close(() => { resolve(); }); });
      for (const acceptor of acceptors) acceptor.stop();
      const cut = setTimeout(() => { for (const acceptor of acceptors) acceptor.destroy(); }, graceMilliseconds);
      await Promise.all([closed, ...[...acceptors].map((acceptor) => acceptor.closed)]);
      clearTimeout(cut);
    },
  };
}
