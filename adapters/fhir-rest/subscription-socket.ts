/**
 * THE WEBSOCKET OF SUBSCRIPTIONS (Subscriptions R5 Backport 1.1). The subscriber says `bind-with-token <token>`, hears a handshake for each of its
 * subscriptions, and then every event after the last one it heard, as the Bundle that a rest-hook would get. What was written to the connection counts as
 * heard; after a break the next connection goes on from there, and $events gives what the break may have swallowed.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import type { AdapterContext, IntegrationDirectory } from '#gateway/adapter.ts';
import type { Reader } from '#gateway/records.ts';
import type { Notification } from '#gateway/subscriptions.ts';
import type { Config } from './config.ts';
import { notificationBundle } from './notification-bundle.ts';

const mostSockets = 200, mostUnsentBytes = 1024 * 1024, bindWithinMilliseconds = 10_000, lookMilliseconds = 1000, pingMilliseconds = 30_000;
const server = new WebSocketServer({ noServer: true, maxPayload: 8192, perMessageDeflate: false, clientTracking: true });

/** False when the request is for something else. */
export function acceptSocket(request: IncomingMessage, socket: Duplex, head: Buffer, path: string, integrations: IntegrationDirectory<Config>, context: AdapterContext): boolean {
  if (new URL(request.url ?? '/', 'http://gateway.invalid').pathname !== path || context.subscriptions === undefined) return false;
  if (server.clients.size >= mostSockets) {
    socket.end('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', () => socket.destroy());
    return true;
  }
  const { remoteAddress = '', remotePort = 0 } = request.socket;
  server.handleUpgrade(request, socket, head, (client) => serve(client, `${remoteAddress}:${remotePort}`, integrations, context));
  return true;
}

function serve(client: WebSocket, peer: string, integrations: IntegrationDirectory<Config>, context: AdapterContext): void {
  const late = setTimeout(() => client.close(1008, 'bind-with-token did not come'), bindWithinMilliseconds);
  const stop = (): void => client.close(1001, 'the gateway stops');
  context.signal.addEventListener('abort', stop, { once: true });
  client.on('error', () => client.terminate());
  client.once('close', () => { clearTimeout(late); context.signal.removeEventListener('abort', stop); });
  client.once('message', (data) => {
    clearTimeout(late);
    const bound = context.subscriptions?.bound(/^bind-with-token\s+(\S{1,8000})\s*$/.exec(String(data as Buffer))?.[1] ?? '');
    if (bound === undefined) return client.close(1008, 'the token is not valid or has ended: ask for a new one');
    void follow(client, peer, bound.reader, new Set(bound.subscriptionIds), integrations, context);
  });
}

/** Until the connection ends or nothing is left to follow. */
async function follow(client: WebSocket, peer: string, reader: Reader, ids: Set<string>, integrations: IntegrationDirectory<Config>, context: AdapterContext): Promise<void> {
  const greeted = new Set<string>(), lastSent = new Map<string, number>();
  let pinged = Date.now(), isAlive = true;
  client.on('pong', () => { isAlive = true; });
  try {
    while (client.readyState === client.OPEN && ids.size > 0) {
      for (const id of ids) {
        const isThere = client.bufferedAmount > mostUnsentBytes || await tell(client, peer, reader, id, { greeted, lastSent }, integrations, context);
        if (!isThere) ids.delete(id);
      }
      if (Date.now() - pinged > pingMilliseconds) {
        if (!isAlive) return client.terminate();
        isAlive = false;
        pinged = Date.now();
        client.ping();
      }
      await pause(client, lookMilliseconds);
    }
    client.close(1000, 'nothing is left to follow');
  } catch (error) {
    context.log.warn({ err: error }, 'a websocket of subscriptions ended by a fault of ours');
    client.close(1011, 'try again');
  }
}

interface Said { readonly greeted: Set<string>; readonly lastSent: Map<string, number> }

/** False: the subscription is gone, over, or its integration is. */
async function tell(client: WebSocket, peer: string, reader: Reader, id: string, { greeted, lastSent }: Said, integrations: IntegrationDirectory<Config>, context: AdapterContext): Promise<boolean> {
  const now = await context.subscriptions?.pending(reader, id);
  const integration = integrations.all().find(({ integrationId, organizationId }) => integrationId === now?.subscription.integrationId && organizationId === reader.organizationId);
  if (now === undefined || integration === undefined || !integration.config.serves) return false;
  const { subscription, events } = now, isQuiet = subscription.heartbeatSeconds !== undefined && Date.now() - (lastSent.get(id) ?? 0) >= subscription.heartbeatSeconds * 1000;
  const kind = !greeted.has(id) ? 'handshake' : events.length > 0 ? 'event-notification' : isQuiet ? 'heartbeat' : undefined;
  if (kind === undefined) return true;
  const notification: Notification = { subscription, kind, events: kind === 'event-notification' ? events : [] };
  const text = JSON.stringify(notificationBundle(kind, subscription, notification.events, integration.config, (integration.config.service_url ?? '').replace(/\/+$/, ''), context.now()));
  // Who does not read is not waited for: it would keep its place for ever.
  const isWritten = await new Promise<boolean>((resolve) => {
    const stuck = setTimeout(() => client.terminate(), pingMilliseconds);
    client.send(text, (error) => { clearTimeout(stuck); resolve(!error); });
  });
  if (!isWritten) return true;
  greeted.add(id);
  lastSent.set(id, Date.now());
  if (kind !== 'heartbeat') await context.subscriptions?.told(notification, { kind: 'delivered', answerCode: 'written', interaction: `${kind} Subscription`, peer, sent: Buffer.from(text), sentType: 'application/fhir+json' });
  return true;
}

function pause(client: WebSocket, milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => { clearTimeout(timer); client.off('close', done); resolve(); };
    const timer = setTimeout(done, milliseconds);
    client.once('close', done);
  });
}
