/** A watched folder as a sender meets it: files in, answers beside; and what must never happen to a file. */
import { link, lstat, mkdir, mkdtemp, readFile, readdir, rename, rm, symlink, writeFile, appendFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Integration } from '#gateway/adapter.ts';
import type { Hl7v2Config } from '../config.ts';
import { hl7v2Config } from '../config.ts';
import { frame } from '../mllp.ts';
import adapter from '../adapter.ts';
import { adt, fakeGateway, integration } from '../testing/fake-gateway.ts';
import type { FakeGateway } from '../testing/fake-gateway.ts';
import { sampleReport } from '../testing/sample-report.ts';
import { watch } from './watch.ts';
import type { Watching, WatchOptions } from './watch.ts';

let root: string, inbox: string, gateway: FakeGateway, watching: Watching | undefined;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'medscan-folders-'));
  inbox = path.join(root, 'ris');
  gateway = fakeGateway();
});
afterEach(async () => { await watching?.close(); watching = undefined; await rm(root, { recursive: true, force: true }); });

const settings = (more: Record<string, unknown> = {}): Integration<Hl7v2Config> => integration({ folder: 'ris', ...more });
async function start(integrations: readonly Integration<Hl7v2Config>[] = [settings()], options: WatchOptions = {}): Promise<void> {
  await mkdir(inbox, { recursive: true });
  watching = await watch({ all: () => integrations }, gateway.receive, { ...gateway.context, folders: root }, { pollMilliseconds: 10, ...options, limits: { stableMilliseconds: 30, incompleteMilliseconds: 200, retryMilliseconds: 20, ...options.limits } });
}
async function until<T>(read: () => Promise<T | undefined | false>): Promise<T> {
  for (let waited = 0; ; waited += 10) {
    const value = await read();
    if (value !== undefined && value !== false) return value;
    if (waited > 5_000) throw new Error('did not happen within 5 s');
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
}
const names = async (directory: string): Promise<string[]> => (await readdir(path.join(inbox, directory)).catch(() => [] as string[])).toSorted();
const moved = (directory: string, count = 1): Promise<string[]> => until(async () => { const found = await names(directory); return found.length >= count && found; });
const put = (name: string, content: string | Buffer): Promise<void> => writeFile(path.join(inbox, name), content);
const ackOf = (name: string): Promise<string> => readFile(path.join(inbox, `${name}.ack`), 'utf8');

test('a file that is renamed into the folder is received, answered beside and moved to done', async () => {
  await start();
  await put('1.hl7.tmp', adt('M1'));
  await rename(path.join(inbox, '1.hl7.tmp'), path.join(inbox, '1.hl7'));
  const [done] = await moved('done');
  expect(done).toMatch(/^20260105T100006000Z-[0-9a-f]{8}-1\.hl7$/);
  expect(await readFile(path.join(inbox, 'done', done!), 'utf8')).toBe(adt('M1'));
  expect(await ackOf('1.hl7')).toContain('MSA|AA|M1');
  expect(await names('.')).toEqual(['1.hl7.ack', 'done', 'refused']);
  expect(gateway.received).toMatchObject([{ message: { controlId: 'M1', peer: { address: 'folder:ris', application: 'RIS|HOSP' }, facts: { file: '1.hl7' } }, answers: [{ code: 'AA', heard: true }] }]);
});

test('a file that still grows is not taken, and is taken whole when it has stopped', async () => {
  await start([settings()], { limits: { stableMilliseconds: 600 } });
  const whole = adt('M1', ['PID|1||PID-1^^^ADT1^MR||Smith^Lucy||20141014|F', 'NTE|1||the end']);
  await put('1.hl7', whole.slice(0, 60));
  for (let at = 60; at < whole.length; at += 40) {
    await new Promise((resolve) => { setTimeout(resolve, 60); });
    expect(gateway.received).toEqual([]);
    await appendFile(path.join(inbox, '1.hl7'), whole.slice(at, at + 40));
  }
  await moved('done');
  expect(gateway.received.map(({ message }) => message.head.toString())).toEqual([whole]);
});

test('names that say a file is being written are left alone', async () => {
  await start();
  for (const name of ['.1.hl7', '2.hl7.tmp', '3.hl7.part', '4.filepart', '5.hl7~', '6.hl7.ack']) await put(name, adt('NO'));
  await put('7.hl7', adt('YES'));
  await moved('done');
  expect(gateway.received.map(({ message }) => message.controlId)).toEqual(['YES']);
  expect(await names('.')).toEqual(['.1.hl7', '2.hl7.tmp', '3.hl7.part', '4.filepart', '5.hl7~', '6.hl7.ack', '7.hl7.ack', 'done', 'refused']);
});

test('files are taken one after the other, the oldest first', async () => {
  await mkdir(inbox, { recursive: true });
  for (const id of ['C', 'A', 'B']) { await put(`${id}.hl7`, adt(id)); await new Promise((resolve) => { setTimeout(resolve, 15); }); }
  await start();
  await moved('done', 3);
  expect(gateway.received.map(({ message }) => message.controlId)).toEqual(['C', 'A', 'B']);
});

test('a batch file is answered with one batch; a batch of which a message is refused goes to refused with the answers to all', async () => {
  await start();
  const bad = adt('BAD', ['PID|1||']);
  const batch = (...messages: string[]): string => ['FHS|^~\\&|RIS', 'BHS|^~\\&|RIS', ...messages.map((message) => message.trimEnd()), `BTS|${messages.length}`, 'FTS|1', ''].join('\r');
  await put('good.hl7', batch(adt('B1'), adt('B2')));
  await moved('done');
  expect((await ackOf('good.hl7')).split('\r').map((line) => line.slice(0, 6))).toEqual(['BHS|^~', 'MSH|^~', 'MSA|AA', 'MSH|^~', 'MSA|AA', 'BTS|2', '']);
  await put('mixed.hl7', batch(adt('B3'), bad));
  await moved('refused');
  expect((await ackOf('mixed.hl7')).match(/MSA\|A[AE]\|\w+/g)).toEqual(['MSA|AA|B3', 'MSA|AE|BAD']);
  expect(gateway.received.map(({ receipt }) => receipt.kind)).toEqual(['accepted', 'accepted', 'accepted', 'rejected']);
});

test('a batch file without its end is waited for, then refused', async () => {
  await start();
  await put('cut.hl7', `FHS|^~\\&|RIS\rBHS|^~\\&|RIS\r${adt('B1')}`);
  await moved('refused');
  expect(gateway.received).toMatchObject([{ message: { interaction: 'unreadable' }, refusal: { text: expect.stringContaining('no end (FTS)') as string } }]);
});

test('MLLP blocks in a file are messages too', async () => {
  await start();
  await put('blocks', Buffer.concat([frame(Buffer.from(adt('M1'))), frame(Buffer.from(adt('M2')))]));
  await moved('done');
  expect(gateway.received.map(({ message }) => message.controlId)).toEqual(['M1', 'M2']);
  expect((await ackOf('blocks')).match(/MSA\|AA\|M\d/g)).toEqual(['MSA|AA|M1', 'MSA|AA|M2']);
});

test('while the gateway cannot store, the file stays, later ones wait, and nothing is answered', async () => {
  let isDown = true;
  gateway.decide = () => (isDown ? { kind: 'failed', text: 'the database is away', retryable: true } : undefined);
  await start();
  await put('1.hl7', adt('M1'));
  await new Promise((resolve) => { setTimeout(resolve, 15); });
  await put('2.hl7', adt('M2'));
  await until(async () => gateway.received.length >= 3);
  expect(gateway.received.every(({ message }) => message.controlId === 'M1')).toBe(true);
  expect(await names('.')).toEqual(['1.hl7', '2.hl7', 'done', 'refused']);
  isDown = false;
  await moved('done', 2);
  expect(gateway.received.filter(({ receipt }) => receipt.kind === 'accepted').map(({ message }) => message.controlId)).toEqual(['M1', 'M2']);
});

test('a file that is taken again after a crash is a repeat: answered as before, no second effect', async () => {
  await start();
  await put('1.hl7', adt('M1'));
  await moved('done');
  await put('1.hl7', adt('M1')); // as if the gateway had ended after its commit and before the file moved on
  await moved('done', 2);
  expect(gateway.received.map(({ receipt }) => receipt.kind)).toEqual(['accepted', 'duplicate']);
  expect(await ackOf('1.hl7')).toContain('MSA|AA|M1');
});

test('a link is not followed: neither a file, nor done, nor the folder itself', async () => {
  const secret = path.join(root, 'secret');
  await writeFile(secret, adt('SECRET'));
  await start();
  await symlink(secret, path.join(inbox, 'link.hl7'));
  const [refused] = await moved('refused');
  expect((await lstat(path.join(inbox, 'refused', refused!))).isSymbolicLink()).toBe(true);
  expect(await readFile(secret, 'utf8')).toBe(adt('SECRET'));
  expect(gateway.received).toMatchObject([{ refusal: { text: expect.stringContaining('no file') as string }, message: { byteSize: 0 } }]);
  await watching?.close();

  const elsewhere = await mkdtemp(path.join(tmpdir(), 'medscan-elsewhere-'));
  await rm(path.join(inbox, 'done'), { recursive: true });
  await symlink(elsewhere, path.join(inbox, 'done'));
  await put('2.hl7', adt('M2'));
  await start();
  await until(async () => gateway.logged.some((line) => line.includes('done is no directory')));
  await watching?.close();

  await symlink(elsewhere, path.join(root, 'other'));
  await writeFile(path.join(elsewhere, '3.hl7'), adt('M3'));
  await start([settings({ folder: 'other' })]);
  await until(async () => gateway.logged.some((line) => line.includes('other is no directory')));
  expect(gateway.received).toHaveLength(1);
  expect(await readdir(elsewhere)).toEqual(['3.hl7']);
  await rm(elsewhere, { recursive: true });
});

test('a link that waits under the name of the answer is not written through', async () => {
  const target = path.join(root, 'target');
  await writeFile(target, 'as it was');
  await start();
  await symlink(target, path.join(inbox, '.1.hl7.ack.writing'));
  await put('1.hl7', adt('M1'));
  await until(async () => gateway.logged.some((line) => line.includes('ELOOP') && line.includes('cannot be taken')));
  expect(await readFile(target, 'utf8')).toBe('as it was');
  await rm(path.join(inbox, '.1.hl7.ack.writing'));
  await symlink(target, path.join(inbox, '1.hl7.ack'));
  await moved('done');
  expect(await readFile(target, 'utf8')).toBe('as it was');
  expect(await ackOf('1.hl7')).toContain('MSA|AA|M1');
});

test('a file with a second name waits until it has one', async () => {
  await start();
  await put('.1.hl7', adt('M1'));
  await link(path.join(inbox, '.1.hl7'), path.join(inbox, '1.hl7'));
  await new Promise((resolve) => { setTimeout(resolve, 150); });
  expect(gateway.received).toEqual([]);
  await rm(path.join(inbox, '.1.hl7'));
  await moved('done');
});

test.each(['..', '.', 'a/b', '../x', '/etc', 'a\\b', '', '.hidden', 'a'.repeat(65), 'a\0b'])('the setting does not take %j as a folder', (folder) => {
  expect(hl7v2Config.safeParse({ folder }).success).toBe(false);
});

test('a file that is too large, empty or no HL7 is refused with a reason and kept', async () => {
  await start([settings()], { limits: { fileBytes: 2_000 } });
  await put('large.hl7', adt('M1', [`NTE|1||${'x'.repeat(3_000)}`]));
  await put('empty.hl7', '');
  await put('letter.txt', 'Dear colleague');
  const refused = await moved('refused', 3);
  expect(refused.map((name) => name.split('-').at(-1))).toEqual(expect.arrayContaining(['large.hl7', 'empty.hl7', 'letter.txt']));
  expect(gateway.received.map(({ refusal }) => refusal?.text).toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual([expect.stringContaining('MSH'), 'The file is empty', 'The file is larger than 2000 bytes']);
  expect(await ackOf('letter.txt')).toContain('MSA|AR');
});

test('a message of another sender than the integration takes is refused, and the addresses of the integration do not matter', async () => {
  await start([settings({ sending_application: ['OTHER'], addresses: ['10.0.0.1'] })]);
  await put('1.hl7', adt('M1'));
  await put('2.hl7', adt('M2').replace('|RIS|', '|OTHER|'));
  await Promise.all([moved('refused'), moved('done')]);
  expect(await ackOf('1.hl7')).toContain('MSA|AR|M1');
  expect(await ackOf('2.hl7')).toContain('MSA|AA|M2');
});

test('a file that cannot be read holds up nobody, is told once, and is taken when it can be', async () => {
  await mkdir(inbox, { recursive: true });
  await put('0.hl7', adt('M0'));
  await symlink('/nowhere', path.join(inbox, '.0.hl7.ack.writing')); // its answer cannot be written
  await start();
  await put('1.hl7', adt('M1'));
  await moved('done');
  expect(await names('.')).toContain('0.hl7');
  await until(async () => gateway.received.length >= 4);
  expect(gateway.logged.filter((line) => line.includes('cannot be taken'))).toHaveLength(1);
  await rm(path.join(inbox, '.0.hl7.ack.writing'));
  await moved('done', 2);
});

test('names of any characters and lengths are taken or refused, and block nothing', async () => {
  await start();
  for (const name of ['Müller 漢 file.hl7', 'a;rm -rf $HOME.hl7', 'line\nbreak.hl7', '-rf', `${'x'.repeat(196)}.hl7`]) await put(name, adt('M1'));
  await put(`${'y'.repeat(250)}.hl7`, adt('LONG'));
  await moved('done', 5);
  const [refused] = await moved('refused');
  expect(refused).toMatch(/-name-too-long$/);
  expect(gateway.received.some(({ refusal }) => refusal?.text.includes('longer than 200 bytes'))).toBe(true);
});

test('no log line holds the name of a file', async () => {
  await start();
  await put('Beeblebrox_1942.hl7', adt('M1'));
  await symlink('/nowhere', path.join(inbox, 'Dent.hl7'));
  await moved('done');
  await moved('refused');
  expect(gateway.logged.join('\n')).not.toMatch(/Beeblebrox|Dent/);
});

test('a result is written whole under its control id, and a repeat replaces it', async () => {
  const delivery = { deliveryId: 'd', organizationId: 'o', controlId: 'REPORT-77', attempt: 1, document: sampleReport };
  const config = hl7v2Config.parse({ deliver_folder: 'results' });
  const context = { ...gateway.context, folders: root };
  for (const attempt of [1, 2]) expect(await adapter.outbound!.deliver({ ...delivery, attempt }, config, context)).toMatchObject({ kind: 'delivered', answerCode: 'written', peer: 'folder:results' });
  expect(await readdir(path.join(root, 'results'))).toEqual(['REPORT-77.hl7']);
  expect(await readFile(path.join(root, 'results', 'REPORT-77.hl7'), 'utf8')).toContain('|ORU^R01^ORU_R01|REPORT-77|');
  expect(await adapter.outbound!.deliver(delivery, config, gateway.context)).toMatchObject({ kind: 'unreachable', text: expect.stringContaining('MEDSCAN_FOLDERS') as string });
  await symlink(root, path.join(root, 'elsewhere'));
  expect(await adapter.outbound!.deliver(delivery, hl7v2Config.parse({ deliver_folder: 'elsewhere' }), context)).toMatchObject({ kind: 'unreachable' });
});

test('the connection test looks at the folders and says what to do', async () => {
  const config = hl7v2Config.parse({ folder: 'ris', deliver_folder: 'results' });
  expect(await adapter.testConnection(config, { ...gateway.context, folders: root })).toMatchObject({ ok: true, steps: [{ step: 'folder', ok: true }, { step: 'folder', ok: true }] });
  expect(await adapter.testConnection(config, gateway.context)).toMatchObject({ ok: false, steps: [{ ok: false, advice: expect.stringContaining('MEDSCAN_FOLDERS') as string }, {}] });
});

test.each([['the same name', 'results'], ['another name of the same directory', 'again']])('a result is not written to a folder that another organization names: %s', async (_, theirs) => {
  await mkdir(path.join(root, 'results'));
  await symlink(path.join(root, 'results'), path.join(root, 'again')); // as a mount, or letter case on another file system, would have it
  const delivery = { deliveryId: 'd', organizationId: 'o', controlId: 'REPORT-77', attempt: 1, document: sampleReport }, config = hl7v2Config.parse({ deliver_folder: 'results' });
  const to = (others: readonly string[]) => ({ ...gateway.context, folders: root, foldersOfOthers: () => others });
  expect(await adapter.outbound!.deliver(delivery, config, to([theirs]))).toMatchObject({ kind: 'unreachable', text: expect.stringContaining('another organization') as string });
  expect(await adapter.testConnection(config, to([theirs]))).toMatchObject({ ok: false, steps: [{ detail: expect.stringContaining('another organization') as string, advice: expect.stringContaining('Name another folder') as string }] });
  expect(await readdir(path.join(root, 'results'))).toEqual([]);
  expect(await adapter.outbound!.deliver(delivery, config, to(['elsewhere']))).toMatchObject({ kind: 'delivered' });
});

test('a folder that is where another organization\'s files are moved to is not read', async () => {
  await mkdir(path.join(root, 'theirs'), { recursive: true });
  await start([settings(), integration({ folder: 'theirs' }, 'another')]);
  await until(async () => (await names('done')) && (await readdir(path.join(root, 'theirs'))).length === 2);
  await watching?.close();
  await rm(path.join(root, 'theirs', 'done'), { recursive: true });
  await symlink(inbox, path.join(root, 'theirs', 'done'));
  await put('1.hl7', adt('M1'));
  await start([settings(), integration({ folder: 'theirs' }, 'another')]);
  await until(async () => gateway.logged.some((line) => line.includes('another organization names the same folder')));
  await watching?.close();
  expect(gateway.received).toEqual([]);
});

test.each(['folder', 'deliver_folder'])('a folder that another organization names too, as its %s, is taken by neither', async (setting) => {
  await start([settings(), integration({ [setting]: 'ris' }, 'another')]);
  await put('1.hl7', adt('M1'));
  await until(async () => gateway.logged.some((line) => line.includes('another organization names the same folder')));
  await new Promise((resolve) => { setTimeout(resolve, 100); });
  expect(gateway.received).toEqual([]);
  expect(await names('.')).toEqual(['1.hl7']);
});
