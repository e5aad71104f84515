/**
 * `node bench/hl7-outbound.ts [reports=3000] [destinations=5] [backlog=200000] [seconds=10]`: results out as ORU^R01.
 *
 *   fan-out   every report to every destination, each in order: messages per second over all, and how many came out of order
 *   backlog   a destination that is away with `backlog` reports waiting: memory, and what comes in meanwhile beside what came in before; then it is
 *             back and takes them: messages per second, in order
 *
 * Receivers acknowledge at once. Reports are put into the outbox by SQL; the gateway does the rest in a process of its own, with workers.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { MllpDecoder } from '../adapters/hl7v2-mllp/mllp.ts';
import { startEmbeddedPostgres } from '../src/db/embedded-postgres.ts';
import { createLog } from '../src/log.ts';
import { sendLoad } from './hl7-load.ts';
import { residentMebibytes } from './hl7-processor-time.ts';

export interface OutboundOptions { readonly reports: number; readonly destinations: number; readonly backlog: number; readonly seconds: number; readonly serverUrl?: string | undefined }
export interface OutboundResult {
  readonly fanOut: { readonly perSecond: number; readonly messages: number; readonly orderErrors: number };
  readonly backlog: { readonly inboundBefore: number; readonly inboundDuring: number; readonly mebibytesBefore: number; readonly mebibytesDuring: number; readonly drainPerSecond: number; readonly messages: number; readonly orderErrors: number };
}

export async function benchOutbound(options: OutboundOptions): Promise<OutboundResult> {
  const directory = await mkdtemp(path.join(tmpdir(), 'medscan-bench-'));
  const embedded = options.serverUrl === undefined ? await startEmbeddedPostgres({ home: directory, log: createLog({ logLevel: 'warn' }) }) : undefined;
  const serverUrl = options.serverUrl ?? embedded!.ownerUrl;
  const database = `medscan_bench_out_${process.pid}`;
  const gateway = spawn(process.execPath, [fileURLToPath(new URL('gateway.ts', import.meta.url)), `database=${database}`, `dir=${path.join(directory, 'home')}`, 'roles=gateway,worker'],
    { env: { ...process.env, DATABASE_URL: serverUrl }, stdio: ['ignore', 'pipe', 'inherit'] });
  const client = new pg.Client({ connectionString: Object.assign(new URL(serverUrl), { pathname: `/${database}` }).href });
  client.on('error', () => undefined);
  try {
    const port = await hl7PortOf(gateway);
    await client.connect();
    const bench = new Outbound(client, gateway.pid!, port, options);
    return { fanOut: await bench.fanOut(), backlog: await bench.backlog() };
  } finally {
    await client.end().catch(() => undefined);
    if (gateway.exitCode === null) { gateway.kill('SIGTERM'); await once(gateway, 'exit'); }
    await embedded?.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

async function hl7PortOf(gateway: ChildProcess): Promise<number> {
  const line = await Promise.race([once(gateway.stdout!, 'data').then(([data]) => String(data)), once(gateway, 'exit').then(() => { throw new Error('the gateway ended before it listened'); })]);
  return (JSON.parse(line) as { ports: { hl7: number } }).ports.hl7;
}

class Outbound {
  readonly #client: pg.Client;
  readonly #processId: number;
  readonly #hl7Port: number;
  readonly #options: OutboundOptions;
  constructor(client: pg.Client, processId: number, hl7Port: number, options: OutboundOptions) { this.#client = client; this.#processId = processId; this.#hl7Port = hl7Port; this.#options = options; }

  async fanOut(): Promise<OutboundResult['fanOut']> {
    const { reports, destinations } = this.#options;
    const receivers = await Promise.all(Array.from({ length: destinations }, () => Receiver.start()));
    const names = receivers.map((_, index) => `Out ${index + 1}`);
    await this.#addDestinations(names, receivers.map(({ port }) => port));
    await this.#fillOutbox(names, reports);
    await Promise.all(receivers.map((receiver) => receiver.received(reports)));
    const [first, last] = [Math.min(...receivers.map(({ firstAt }) => firstAt)), Math.max(...receivers.map(({ lastAt }) => lastAt))];
    for (const receiver of receivers) receiver.close();
    const messages = receivers.reduce((sum, { count }) => sum + count, 0);
    return { messages, perSecond: messages / ((last - first) / 1000), orderErrors: receivers.reduce((sum, { orderErrors }) => sum + orderErrors, 0) };
  }

  async backlog(): Promise<OutboundResult['backlog']> {
    const { backlog, seconds } = this.#options;
    const load = { port: this.#hl7Port, connections: 10, seconds };
    const receiver = await Receiver.start();
    receiver.close();
    await sendLoad({ ...load, seconds: Math.min(seconds, 5) }); // warm
    const before = await sendLoad(load);
    const mebibytesBefore = await residentMebibytes(this.#processId) ?? Number.NaN;
    await this.#addDestinations(['Away'], [receiver.port]);
    await this.#fillOutbox(['Away'], backlog);
    const during = await sendLoad(load);
    const mebibytesDuring = await residentMebibytes(this.#processId) ?? Number.NaN;
    const back = await Receiver.start(receiver.port);
    await this.#client.query('UPDATE deliveries SET next_attempt_at = now() WHERE next_attempt_at > now()');
    await back.received(Math.min(backlog, 500 * seconds));
    const drainPerSecond = (back.count - 1) / ((back.lastAt - back.firstAt) / 1000);
    back.close();
    return { inboundBefore: before.perSecond, inboundDuring: during.perSecond, mebibytesBefore, mebibytesDuring, drainPerSecond, messages: back.count, orderErrors: back.orderErrors };
  }

  async #addDestinations(names: readonly string[], ports: readonly number[]): Promise<void> {
    await this.#client.query(`INSERT INTO external_integrations (organization_id, name, kind, adapter, direction, settings)
      SELECT organization_id, d.name, 'ris', 'hl7v2-mllp', 'outbound', jsonb_build_object('host', '127.0.0.1', 'port', d.port) FROM organizations, unnest($1::text[], $2::int[]) AS d(name, port) WHERE organizations.name = 'Bench'`, [names, ports]);
    await this.#client.query(`INSERT INTO patients (organization_id, patient_number, family_name) SELECT organization_id, 'OUT', 'Doe' FROM organizations o WHERE name = 'Bench' AND NOT EXISTS (SELECT FROM patients p WHERE p.organization_id = o.organization_id AND patient_number = 'OUT')`);
    await this.#client.query(`INSERT INTO scans (organization_id, patient_id, scan_type, study_instance_uid) SELECT organization_id, patient_id, 'ct', '2.25.4711' FROM patients WHERE patient_number = 'OUT' ON CONFLICT DO NOTHING`);
  }

  /** All at once, in the order of the number in the impression. */
  async #fillOutbox(names: readonly string[], count: number): Promise<void> {
    await this.#client.query('BEGIN');
    await this.#client.query(`CREATE TEMP TABLE filled ON COMMIT DROP AS SELECT medscan_uuid_v7() AS id, n FROM generate_series(1, $1::int) n`, [count]);
    await this.#client.query(`INSERT INTO reports (organization_id, report_id, lineage_id, scan_id, status, findings_text, impression, author_kind, author_name, document)
      SELECT s.organization_id, f.id, f.id, s.scan_id, 'final', 'none', 'Report ' || f.n, 'device', 'bench', jsonb_set(jsonb_set($1::jsonb, '{reportId}', to_jsonb(f.id)), '{sections,impression}', to_jsonb('Report ' || lpad(f.n::text, 7, '0')))
      FROM filled f, scans s WHERE s.study_instance_uid = '2.25.4711'`, [JSON.stringify(DOCUMENT)]);
    await this.#client.query(`INSERT INTO deliveries (organization_id, integration_id, report_id) SELECT i.organization_id, i.integration_id, f.id FROM (SELECT * FROM filled ORDER BY n) f, external_integrations i WHERE i.name = ANY($1) ORDER BY f.n`, [names]);
    await this.#client.query('COMMIT');
  }
}

const DOCUMENT = {
  reportId: '', version: 1, status: 'final', issuedAt: '2026-01-05T10:00:00Z', organization: { organizationId: '00000000-0000-7000-8000-000000000001', name: 'Bench' },
  patient: { patientId: '00000000-0000-7000-8000-000000000002', patientNumber: 'OUT', identifiers: [{ value: 'OUT', assigningAuthority: 'HOSP', typeCode: 'MR' }], familyName: 'Doe', givenName: 'Jane', birthDate: '1980-05-17', sex: 'female' },
  scan: { scanId: '00000000-0000-7000-8000-000000000003', scanNumber: 'S-1', studyInstanceUid: '2.25.4711', accessionNumber: 'A-1', modalities: ['CT'], series: [] },
  models: [], findings: [], sections: { findings: 'No pathological finding in the lung windows.', impression: '' }, conclusionCodes: [],
};

/** Acknowledges every message; a report number lower than one before is an order error, the same again is a repeat and none. */
class Receiver {
  count = 0;
  orderErrors = 0;
  firstAt = 0;
  lastAt = 0;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #highest = 0;
  #wanted = Infinity;
  #enough = Promise.withResolvers<void>();
  constructor() {
    this.#server = net.createServer({ noDelay: true }, (socket) => {
      const decoder = new MllpDecoder();
      this.#sockets.add(socket);
      socket.on('error', () => {}).on('data', (chunk: Buffer) => { for (const message of decoder.push(chunk)) socket.write(this.#answer(message.toString('latin1'))); });
    });
  }
  static async start(port = 0): Promise<Receiver> {
    const receiver = new Receiver();
    receiver.#server.listen(port, '127.0.0.1');
    await once(receiver.#server, 'listening');
    receiver.port = (receiver.#server.address() as net.AddressInfo).port;
    return receiver;
  }
  port = 0;

  received(count: number): Promise<void> {
    this.#wanted = count;
    if (this.count >= count) this.#enough.resolve();
    return this.#enough.promise;
  }
  close(): void { this.#server.close(); for (const socket of this.#sockets) socket.destroy(); }

  #answer(text: string): string {
    const number = Number(/Report (\d+)/.exec(text)?.[1] ?? 0);
    if (number < this.#highest) this.orderErrors += 1;
    this.#highest = Math.max(this.#highest, number);
    this.lastAt = performance.now();
    this.firstAt ||= this.lastAt;
    if (++this.count >= this.#wanted) this.#enough.resolve();
    return `\x0bMSH|^~\\&|||||20260105||ACK|${number}|P|2.5.1\rMSA|AA|${text.split('\r', 1)[0]!.split('|')[9]}\r\x1c\r`;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const given = new Map(process.argv.slice(2).map((argument) => argument.split('=') as [string, string]));
  const { fanOut, backlog } = await benchOutbound({ reports: Number(given.get('reports') ?? 3000), destinations: Number(given.get('destinations') ?? 5), backlog: Number(given.get('backlog') ?? 200_000), seconds: Number(given.get('seconds') ?? 10), serverUrl: process.env['DATABASE_URL'] });
  process.stdout.write(`load average ${loadavg().map((value) => value.toFixed(1)).join(' ')}\n`
    + `fan-out: ${fanOut.messages} messages, ${fanOut.perSecond.toFixed(0)}/s out, ${fanOut.orderErrors} out of order\n`
    + `backlog: inbound ${backlog.inboundBefore.toFixed(0)}/s before, ${backlog.inboundDuring.toFixed(0)}/s during; RSS ${backlog.mebibytesBefore.toFixed(0)} -> ${backlog.mebibytesDuring.toFixed(0)} MiB; `
    + `drained ${backlog.messages} at ${backlog.drainPerSecond.toFixed(0)}/s, ${backlog.orderErrors} out of order\n`);
}
