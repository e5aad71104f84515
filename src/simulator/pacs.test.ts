import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { freePort } from '../../test/support/free-port.ts';
import { Ledger, readLedger, sha256Of } from './ledger.ts';
import { Pacs } from './pacs.ts';
import { readPart10File, takeApart } from './part10-file.ts';
import type { SendableObject } from './part10-file.ts';
import { evenLength } from './store-scu.ts';

const run = promisify(execFile);
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => { for (const cleanup of cleanups.splice(0).toReversed()) await cleanup(); });

const corpus = join(process.env.MEDSCAN_CORPUS ?? join(import.meta.dirname, '../../../shared/corpus'), 'dicom');
const hasDcmtk = (() => { try { execFileSync('storescu', ['--version'], { stdio: 'ignore' }); return true; } catch { return false; } })();
if (!hasDcmtk || !existsSync(corpus)) process.stderr.write(`simulator: ${hasDcmtk ? `no corpus at ${corpus} (MEDSCAN_CORPUS)` : 'DCMTK (storescu, storescp, dcmdump) is not installed'}; the exchange with DCMTK is skipped\n`);

async function startPacs(gatewayPort: number, ledger?: Ledger): Promise<Pacs> {
  const pacs = await Pacs.start({ gateway: { host: '127.0.0.1', port: gatewayPort, aeTitle: 'GATEWAY' }, ...(ledger === undefined ? {} : { ledger }) });
  cleanups.push(() => pacs.stop());
  return pacs;
}
async function pair(ledger?: Ledger): Promise<{ sender: Pacs; receiver: Pacs }> {
  const receiver = await startPacs(1);
  return { receiver, sender: await startPacs(receiver.port, ledger) };
}
/** Bytes that are no dataset at all: what is sent must not depend on them. */
function object(number: number, transferSyntaxUid = '1.2.840.10008.1.2.1'): SendableObject {
  const dataset = Buffer.alloc(2 * (1 + number * 9000), number);
  return { sopClassUid: '1.2.840.10008.5.1.4.1.1.2', sopInstanceUid: `1.2.3.${number}`, transferSyntaxUid, dataset };
}
function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'pacs-'));
  cleanups.push(() => rmSync(path, { recursive: true }));
  return path;
}

test('datasets arrive as the bytes that were sent, in order, each on a context of its own transfer syntax', async () => {
  const { sender, receiver } = await pair();
  const objects = [object(1), object(2, '1.2.840.10008.1.2'), object(3, '1.2.840.10008.1.2.4.90'), object(4, '1.2.840.10008.1.2.1.99'), object(120)];
  const progress: string[] = [];
  const answers = await sender.store(objects, { answered: (_answer, done, total) => progress.push(`${done}/${total}`) });
  expect(answers.map((answer) => answer.status)).toEqual([0, 0, 0, 0, 0]);
  expect(receiver.received.items.map(({ sopInstanceUid, transferSyntaxUid }) => ({ sopInstanceUid, transferSyntaxUid })))
    .toEqual(objects.map(({ sopInstanceUid, transferSyntaxUid }) => ({ sopInstanceUid, transferSyntaxUid })));
  expect(receiver.received.items.every((item, index) => item.dataset.equals(objects[index]?.dataset ?? Buffer.alloc(0)))).toBe(true);
  expect(receiver.received.items[0]?.callingAeTitle).toBe('NORTHPACS');
  expect(progress).toEqual(['1/5', '2/5', '3/5', '4/5', '5/5']);
});

test('more than one association is used for a large study', async () => {
  const { sender, receiver } = await pair();
  const objects = Array.from({ length: 130 }, (_, index) => ({ ...object(0), sopInstanceUid: `1.2.4.${index}` }));
  expect((await sender.store(objects)).every((answer) => answer.status === 0)).toBe(true);
  expect(receiver.received.items.length).toBe(130);
});

test('each misbehaviour is what it says, and the ledger has what the sender was told', async () => {
  const path = join(folder(), 'ledger.jsonl');
  const ledger = new Ledger(path);
  cleanups.push(() => ledger.close());
  const { sender, receiver } = await pair(ledger);
  const statusAfter = async (mode: Parameters<typeof receiver.behaviour.set>[0], number: number): Promise<number | undefined> => {
    await receiver.behaviour.set(mode, 1);
    return (await sender.store([object(number)], { timeoutMilliseconds: 300 }))[0]?.status;
  };
  expect(await statusAfter('A700', 1)).toBe(0xa700);
  expect(await statusAfter('C000', 2)).toBe(0xc000);
  expect(await statusAfter('refuse', 3)).toBeUndefined();
  expect(await statusAfter('abort', 4)).toBeUndefined();
  expect(await statusAfter('silent', 5)).toBeUndefined();
  expect(await statusAfter('down', 6)).toBeUndefined();
  expect(await statusAfter('accept', 7)).toBe(0);
  expect(readLedger(path).map((entry) => [entry.id, entry.told, entry.code])).toEqual([
    ['1.2.3.1', 'refused', 'A700'], ['1.2.3.2', 'refused', 'C000'], ['1.2.3.3', 'nothing', ''], ['1.2.3.4', 'nothing', ''],
    ['1.2.3.5', 'nothing', ''], ['1.2.3.6', 'nothing', ''], ['1.2.3.7', 'accepted', '0000']]);
  expect(readLedger(path).at(-1)?.sha256).toBe(sha256Of(object(7).dataset));
  expect(receiver.received.items.map((item) => item.sopInstanceUid)).toEqual(['1.2.3.5', '1.2.3.7']);
});

test('what is no DICOM file is not taken apart', () => {
  expect(takeApart(Buffer.alloc(10))).toBeUndefined();
  expect(takeApart(Buffer.alloc(4000, 1))).toBeUndefined();
});

test.skipIf(!hasDcmtk || !existsSync(corpus))('DCMTK and this PACS give each other every corpus file unchanged', async () => {
  const files = globSync(join(corpus, '{charset_files,test_files}/*.dcm')).toSorted();
  // Without an instance UID there is nothing that a C-STORE could name.
  const read = (await Promise.all(files.map(readPart10File))).filter((each) => each !== undefined).filter((each) => each.sopInstanceUid !== '');
  // storescp names its files for the SOP Instance UID, which several corpus files share.
  const objects = [...new Map(read.map((each) => [each.sopInstanceUid, each])).values()];
  expect(objects.length).toBeGreaterThan(20);
  const out = folder();
  const port = await freePort();
  const scp = spawn('storescp', ['--promiscuous', '+xa', '+B', '-od', out, '-fe', '.dcm', String(port)], { stdio: 'ignore' });
  cleanups.push(async () => { if (scp.exitCode === null) { scp.kill(); await once(scp, 'exit'); } });
  await reachable(port);
  const toDcmtk = await startPacs(port);
  // One association each: DCMTK aborts at a dataset that it cannot read to its end (MR_truncated), which must not hide the others.
  const answers = (await Promise.all(objects.map((each) => toDcmtk.store([each])))).flat();
  const unsent = new Set(answers.filter((answer) => answer.status !== 0).map((answer) => answer.sopInstanceUid));
  const unreadable = await Promise.all(files.map(async (file) => run('dcmdump', [file]).then(() => undefined, async () => (await readPart10File(file))?.sopInstanceUid)));
  expect([...unsent].filter((uid) => !unreadable.includes(uid))).toEqual([]);
  const received = readdirSync(out).map((name) => takeApart(readFileSync(join(out, name))));
  const digests = new Set(received.map((each) => each && sha256Of(each.dataset)));
  expect(objects.filter((each) => !unsent.has(each.sopInstanceUid) && !digests.has(sha256Of(evenLength(each.dataset)))).map((each) => each.sopInstanceUid)).toEqual([]);

  const sent = files.find((file) => takeApart(readFileSync(file))?.transferSyntaxUid === '1.2.840.10008.1.2.1') ?? '';
  await run('storescu', ['-R', '-x=', '127.0.0.1', String(toDcmtk.port), sent]);
  expect(toDcmtk.received.items.map((item) => item.sopInstanceUid)).toEqual([takeApart(readFileSync(sent))?.sopInstanceUid]);
});

async function reachable(port: number): Promise<void> {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline;) {
    const socket = net.connect(port, '127.0.0.1');
    const connected = await once(socket, 'connect').then(() => true, () => false);
    socket.destroy();
    if (connected) return;
  }
  throw new Error(`nothing listens on port ${port}`);
}
