/** A gateway for tests: a store in a temporary directory and a `receive` that writes down what it was given. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, rename, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AdapterContext, InboundMessage, Integration, Listener, ListenerTls, ObjectWriter, Receipt, ReceiptBody, Refusal, StoredObject } from '#gateway/adapter.ts';
import type { Config } from '../config.ts';
import { configSchema } from '../config.ts';
import { listen } from '../listen.ts';
import type { UpperLayerLimits } from '../upper-layer/limits.ts';
import { defaultLimits } from '../upper-layer/limits.ts';

class FileWriter implements ObjectWriter {
  byteSize = 0;
  #queue: Promise<void> = Promise.resolve();
  #error: unknown;
  readonly #file: FileHandle;
  readonly #directory: string;
  readonly #name: string;
  readonly #delay: (() => Promise<void>) | undefined;
  #queued = 0;
  readonly #sha256 = createHash('sha256');
  #undigested: number;
  constructor(file: FileHandle, directory: string, name: string, digestFrom: number, delay?: () => Promise<void>) { this.#undigested = digestFrom; this.#file = file; this.#directory = directory; this.#name = name; this.#delay = delay; }

  write(lent: Buffer): void | Promise<void> {
    const chunk = Buffer.from(lent);
    this.byteSize += chunk.length;
    this.#sha256.update(chunk.subarray(this.#undigested));
    this.#undigested = Math.max(0, this.#undigested - chunk.length);
    this.#queued += chunk.length;
    this.#queue = this.#queue.then(async () => {
      await this.#delay?.();
      await this.#file.writev([chunk]);
    }).catch((error: unknown) => { this.#error ??= error; }).finally(() => { this.#queued -= chunk.length; });
    if (this.#queued > 1024 * 1024) return this.#queue;
  }
  async finish(): Promise<StoredObject> {
    await this.#queue;
    await this.#file.close();
    if (this.#error !== undefined) { await unlink(join(this.#directory, `${this.#name}.tmp`)); throw this.#error; }
    await rename(join(this.#directory, `${this.#name}.tmp`), join(this.#directory, `${this.#name}.dcm`));
    return { location: `${this.#name}.dcm`, byteSize: this.byteSize, sha256: this.#sha256.digest('hex') };
  }
  async abort(): Promise<void> {
    await this.#queue;
    await this.#file.close();
    await unlink(join(this.#directory, `${this.#name}.tmp`));
  }
}

export interface Received { readonly message: InboundMessage<Config>; readonly refusal: Refusal | undefined; answered?: { code: string; heard: boolean } }
export interface TestGateway {
  readonly directory: string; readonly port: number; readonly listener: Listener;
  readonly received: Received[];
  readonly log: { level: string; facts: object; text: string }[];
  files(): string[];
  /** Resolves when `count` messages were answered. */
  answered(count: number): Promise<void>;
  close(): Promise<void>;
}
export interface TestGatewayOptions {
  readonly integrations?: readonly Integration<Config>[];
  readonly limits?: Partial<UpperLayerLimits>;
  /** What `receive` says; accepted by default. */
  readonly receipt?: (message: InboundMessage<Config>, refusal: Refusal | undefined) => ReceiptBody | Promise<ReceiptBody>;
  readonly tls?: ListenerTls;
  /** Awaited before each write: a slow disk. */
  readonly writeDelay?: () => Promise<void>;
  /** What queries, retrieves and commitments are answered from. */
  readonly ports?: Pick<AdapterContext, 'holdings' | 'commitments' | 'procedures' | 'associations' | 'arrivals' | 'congestion' | 'confirmations'>;
  /** Instead of a file in the temporary directory. */
  readonly store?: () => Promise<ObjectWriter>;
}

export const integration = (config: Partial<Config> = {}, id = 'integration-1', organizationId = 'organization-1'): Integration<Config> =>
  ({ integrationId: id, organizationId, name: id, config: configSchema.parse(config) });

export function testContext(directory: string, log: TestGateway['log'] = [], options: TestGatewayOptions = {}): AdapterContext {
  const write = (level: string) => (facts: object, text: string): void => { log.push({ level, facts, text }); };
  return {
    log: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
    signal: new AbortController().signal, now: () => new Date('2026-11-22T12:00:00Z'),
    store: options.store ?? (async ({ digestFrom = 0 }) => {
      const name = randomUUID();
      return new FileWriter(await open(join(directory, `${name}.tmp`), 'wx'), directory, name, digestFrom, options.writeDelay);
    }),
    authenticate: async () => undefined, ...options.ports,
  };
}

export async function startGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  const directory = mkdtempSync(join(tmpdir(), 'dicom-dimse-'));
  const received: Received[] = [], log: TestGateway['log'] = [];
  const waiters = new Set<() => void>();
  const receive = async (message: unknown, refusal?: Refusal): Promise<Receipt> => {
    const entry: Received = { message: message as InboundMessage<Config>, refusal };
    received.push(entry);
    const body: ReceiptBody = options.receipt ? await options.receipt(entry.message, refusal)
      : refusal ? { kind: 'rejected', ...refusal } : { kind: 'accepted', links: {} };
    return { ...body, exchangeId: `exchange-${received.length}`, answered(code, heard) { entry.answered = { code, heard }; for (const waiter of waiters) waiter(); } };
  };
  const integrations = options.integrations ?? [integration()];
  const listener = await listen({ host: '127.0.0.1', port: 0, ...(options.tls ? { tls: options.tls } : {}) }, { all: () => integrations }, receive, testContext(directory, log, options), { ...defaultLimits, ...options.limits });
  return {
    directory, port: listener.port, listener, received, log,
    files: () => readdirSync(directory),
    answered: (count) => new Promise((resolve) => {
      const check = (): void => { if (received.filter(({ answered }) => answered).length >= count) { waiters.delete(check); resolve(); } };
      waiters.add(check);
      check();
    }),
    async close() { await listener.close(500); rmSync(directory, { recursive: true, force: true }); },
  };
}
