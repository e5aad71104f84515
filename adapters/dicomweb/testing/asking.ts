/** An integration that asks a server of the test's own, and what would be received from it: kept in memory, nothing on disk. */
import { createHash } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { AdapterContext, InboundMessage, Integration, Receipt, Receive, Refusal } from '#gateway/adapter.ts';
import { configSchema, type Config } from '../config.ts';

const quiet = (): void => undefined;

export interface Received { readonly message: InboundMessage; readonly refusal: Refusal | undefined; readonly bytes: Buffer }
export interface Asking {
  readonly integration: Integration<Config>; readonly context: AdapterContext; readonly receive: Receive;
  readonly received: Received[];
  /** Files that were begun and neither finished nor taken away. */
  open(): number;
  stop(): void;
}

/** @param settle what becomes of a message that is not refused; accepted when absent */
export function asking(settings: Readonly<Record<string, unknown>>, { context = {}, settle = () => ({ kind: 'accepted', links: {} }) }: { context?: Partial<AdapterContext>; settle?: (message: InboundMessage) => Pick<Receipt, 'kind'> & Record<string, unknown> } = {}): Asking {
  const stopping = new AbortController(), received: Received[] = [];
  const files = new Map<string, Buffer>();
  let begun = 0, open = 0;
  const receive: Receive = (message, refusal) => {
    const bytes = files.get(message.object?.location ?? '') ?? Buffer.alloc(0);
    received.push({ message: message as InboundMessage, refusal, bytes });
    const body = refusal ? { kind: 'rejected', reason: refusal.reason, text: refusal.text } : settle(message as InboundMessage);
    return Promise.resolve({ exchangeId: undefined, answered: quiet, ...body } as Receipt);
  };
  return {
    integration: { integrationId: 'i', organizationId: 'o', name: 'Archive', config: configSchema.parse(settings) as Config },
    context: {
      log: { debug: quiet, info: quiet, warn: quiet, error: quiet }, signal: stopping.signal, now: () => new Date(), authenticate: () => Promise.resolve(undefined),
      store: () => {
        const location = `objects/${begun += 1}.dcm`, chunks: Buffer[] = [];
        open += 1;
        const end = (): number => { open -= 1; return chunks.reduce((sum, chunk) => sum + chunk.length, 0); };
        return Promise.resolve({
          write: (chunk) => { chunks.push(Buffer.from(chunk)); }, get byteSize() { return chunks.reduce((sum, chunk) => sum + chunk.length, 0); },
          finish: () => { files.set(location, Buffer.concat(chunks)); return Promise.resolve({ location, byteSize: end() }); }, abort: () => { end(); return Promise.resolve(); },
        });
      },
      ...context,
    },
    receive, received, open: () => open, stop: () => stopping.abort(),
  };
}

export interface TestServer { readonly url: string; readonly server: Server; close(): void }

export async function serve(listener: RequestListener): Promise<TestServer> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await new Promise((resolve) => { server.once('listening', resolve); });
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/dicom-web`, close: () => { server.closeAllConnections(); server.close(); } };
}

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
