/**
 * `npm run bench:dicom-bars`: what no comparison of servers shows. Each bar is one figure against the gateway alone (sending: against DCMTK storescu).
 *   many    10,000 objects on one association: milliseconds per object of the last tenth against the first
 *   beside  1 GiB in one object while four other associations send: their 99th percentile against that without it; growth of memory; event-loop delay
 *   send    500 CT of 512 KiB to DCMTK storescp by our requestor, against storescu
 *   npm run bench:dicom-bars -- [--bars many,beside,send] [--objects 10000] [--mebibytes 1024] [--images 500]
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { configSchema } from '#adapters/dicom-dimse/config.ts';
import { encodeStoreRequest } from '#adapters/dicom-dimse/upper-layer/command-set.ts';
import { associate } from '#adapters/dicom-dimse/upper-layer/requestor.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { startEmbeddedPostgres } from '../src/db/embedded-postgres.ts';
import { createLog } from '../src/log.ts';
import { FileDataset } from '../src/storage/stored-dataset.ts';
import { sopInstanceUid, StoreSender, template } from './dicom/store-sender.ts';

const { values: options } = parseArgs({ options: {
  bars: { type: 'string', default: 'many,beside,send' }, objects: { type: 'string', default: '10000' }, mebibytes: { type: 'string', default: '1024' }, images: { type: 'string', default: '500' },
} });
const percentile = (values: readonly number[], share: number): number => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const directory = mkdtempSync(path.join(tmpdir(), 'medscan-bars-'));

interface Observed { readonly eventLoop: { p50: number; p99: number; max: number }; readonly residentBytes: number }
interface Gateway { readonly port: number; readonly child: ChildProcess; observe(): Promise<Observed> }

async function startGateway(databaseUrl: string): Promise<Gateway> {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, 'dicom/observed-gateway.ts'), 'port=0', `dir=${path.join(directory, 'gateway')}`], { env: { ...process.env, DATABASE_URL: databaseUrl, UV_THREADPOOL_SIZE: '16' }, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const line = async <T>(): Promise<T> => JSON.parse((await lines.next()).value as string) as T;
  const { ports } = await line<{ ports: { dicom: number } }>();
  return { port: ports.dicom, child, observe: async () => { child.kill('SIGUSR2'); return line<Observed>(); } };
}

const small = template('sr', 10 * 1024), ct = template('ct', 512 * 1024);
let study = 0;

async function many(gateway: Gateway): Promise<void> {
  const count = Number(options.objects), tenth = Math.floor(count / 10), milliseconds: number[] = [];
  study += 1;
  const sender = await StoreSender.connect(gateway.port, small.sopClassUid);
  await gateway.observe();
  for (let index = 0; index < count; index++) milliseconds.push(await sender.store(small.sopClassUid, sopInstanceUid(study, index), small.dataset(study, index)));
  await sender.release();
  const [first, last] = [mean(milliseconds.slice(0, tenth)), mean(milliseconds.slice(-tenth))], { eventLoop } = await gateway.observe();
  console.log(`many: ${count} objects of 10 KiB on one association: first ${tenth} ${first.toFixed(2)} ms each, last ${tenth} ${last.toFixed(2)} ms each: ${(last / first).toFixed(2)}x (wanted <= 1.2x); event loop p99 ${eventLoop.p99} ms`);
}

/** Four senders of CT until told to stop; resolves to the milliseconds of each answer. */
function background(port: number): { stop(): Promise<number[]> } {
  let isOver = false;
  const milliseconds: number[] = [];
  const all = Promise.all(Array.from({ length: 4 }, async () => {
    const own = study += 1, sender = await StoreSender.connect(port, ct.sopClassUid);
    for (let index = 0; !isOver; index++) milliseconds.push(await sender.store(ct.sopClassUid, sopInstanceUid(own, index), ct.dataset(own, index)));
    await sender.release();
  }));
  return { stop: async () => { isOver = true; await all; return milliseconds; } };
}

async function beside(gateway: Gateway): Promise<void> {
  const mebibytes = Number(options.mebibytes);
  await new Promise((resolve) => { setTimeout(resolve, 500); });
  const alone = background(gateway.port);
  await new Promise((resolve) => { setTimeout(resolve, 6_000); });
  const without = await alone.stop(), { residentBytes } = await gateway.observe();
  const with4 = background(gateway.port);
  const started = performance.now();
  study += 1;
  const sender = spawn(process.execPath, [path.join(import.meta.dirname, 'dicom/large-sender.ts'), String(gateway.port), String(mebibytes), sopInstanceUid(study, 0)], { stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = await once(sender, 'exit');
  const seconds = (performance.now() - started) / 1000;
  const during = await with4.stop(), after = await gateway.observe();
  const [a, b] = [percentile(without, 0.99), percentile(during, 0.99)];
  console.log(`beside: ${mebibytes} MiB in ${seconds.toFixed(1)} s (${code === 0 ? 'Success' : 'not stored'}); four others: p99 ${a.toFixed(1)} ms without, ${b.toFixed(1)} ms with it: ${(b / a).toFixed(2)}x (wanted <= 2x); median ${percentile(without, 0.5).toFixed(1)} -> ${percentile(during, 0.5).toFixed(1)} ms; resident ${((after.residentBytes - residentBytes) / 2 ** 20).toFixed(0)} MiB more (wanted <= 64); event loop p50 ${after.eventLoop.p50}, p99 ${after.eventLoop.p99} ms (wanted <= 50), max ${after.eventLoop.max} ms`);
}

async function freePort(): Promise<number> {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as net.AddressInfo;
  probe.close();
  return port;
}
async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const socket = net.connect(port, '127.0.0.1');
    const isOpen = await once(socket, 'connect').then(() => true, () => false);
    socket.destroy();
    if (isOpen) return;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  throw new Error('storescp does not listen');
}

async function send(): Promise<void> {
  if (spawnSync('storescp', ['--version']).status !== 0) { console.log('send: DCMTK is not installed, left out'); return; }
  const count = Number(options.images), files = path.join(directory, 'images'), syntax = '1.2.840.10008.1.2.1';
  mkdirSync(files, { recursive: true });
  study += 1;
  const images = Array.from({ length: count }, (_, index) => {
    const uid = sopInstanceUid(study, index), head = buildPart10Header({ sopClassUid: ct.sopClassUid, sopInstanceUid: uid, transferSyntaxUid: syntax }), file = path.join(files, `${index}.dcm`);
    writeFileSync(file, Buffer.concat([head, ct.dataset(study, index)]));
    return { uid, file, datasetOffset: head.length };
  });
  const ours: number[] = [], theirs: number[] = [];
  for (const pdu of ['131072']) {
    const received = path.join(directory, `received-${pdu}`), port = await freePort();
    mkdirSync(received, { recursive: true });
    const scp = spawn('storescp', ['--fork', '+B', '-pdu', pdu, '-od', received, String(port)], { stdio: 'ignore', env: { ...process.env, TCP_NODELAY: '1' } });
    await listening(port);
    try {
      for (let round = 0; round < 3; round++) {
        const started = performance.now();
        await sendOurs(port, images, syntax);
        ours.push(performance.now() - started);
        const mark = performance.now();
        const storescu = spawn('storescu', ['-pdu', '131072', '--max-send-pdu', pdu, '+sd', '-aec', 'ANY-SCP', '127.0.0.1', String(port), files], { stdio: 'ignore', env: { ...process.env, TCP_NODELAY: '1' } });
        const [code] = await once(storescu, 'exit');
        if (code !== 0) throw new Error(`storescu ended with ${code}`);
        theirs.push(performance.now() - mark);
      }
      if (readdirSync(received).length !== count) throw new Error(`storescp has ${readdirSync(received).length} of ${count} files`);
    } finally { scp.kill(); }
  }
  const perSecond = (milliseconds: number): string => ((count / milliseconds) * 1000).toFixed(0);
  const [a, b] = [percentile(ours, 0.5), percentile(theirs, 0.5)];
  console.log(`send: ${count} CT of 512 KiB to storescp: ours ${perSecond(a)}/s, storescu ${perSecond(b)}/s: ${(b / a).toFixed(2)}x (wanted >= 0.7x)`);
}

async function sendOurs(port: number, images: readonly { uid: string; file: string; datasetOffset: number }[], syntax: string): Promise<void> {
  const { destination } = configSchema.parse({ destination: { host: '127.0.0.1', port, called_ae_title: 'ANY-SCP' } });
  const associated = await associate(destination!, { contexts: [{ id: 1, abstractSyntax: ct.sopClassUid, transferSyntaxes: [syntax] }] }, new AbortController().signal);
  if (associated.kind !== 'associated') throw new Error(`not associated: ${associated.kind}`);
  for (const { uid, file, datasetOffset } of images) {
    const dataset = await FileDataset.open(file, datasetOffset);
    const response = await associated.association.invoker.ask(1, (messageId) => encodeStoreRequest({ sopClassUid: ct.sopClassUid, sopInstanceUid: uid, messageId }), dataset, 60_000).finally(() => dataset.close());
    if (response?.status !== 0) throw new Error(`C-STORE was answered ${response?.status}`);
  }
  await associated.association.release();
}

const bars = options.bars.split(',');
const needsGateway = bars.includes('many') || bars.includes('beside');
const external = process.env['DATABASE_URL'];
const embedded = needsGateway && !external ? await startEmbeddedPostgres({ home: directory, log: createLog({ logLevel: 'silent' }) }) : undefined;
let gateway: Gateway | undefined;
try {
  if (needsGateway) gateway = await startGateway(external ?? embedded!.ownerUrl);
  if (gateway && bars.includes('many')) await many(gateway);
  if (gateway && bars.includes('beside')) await beside(gateway);
  if (bars.includes('send')) await send();
} finally {
  if (gateway) { gateway.child.kill('SIGTERM'); await once(gateway.child, 'exit'); }
  await embedded?.stop();
  rmSync(directory, { recursive: true, force: true });
}
