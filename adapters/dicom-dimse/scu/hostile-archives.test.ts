/** What an archive may do to its client: answer without end, not at all, nonsense, other than asked, or more than was agreed on. */
import { afterEach, expect, test } from 'vitest';
import type { Receive } from '#gateway/adapter.ts';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { ctDataset, ctImageStorage } from '../testing/peer.ts';
import { integration, startGateway, testContext } from '../testing/gateway.ts';
import type { TestGateway } from '../testing/gateway.ts';
import { startScriptedArchive } from '../testing/scripted-archive.ts';
import type { Asked, ScriptedArchive } from '../testing/scripted-archive.ts';
import { testConnection } from '../test-connection.ts';
import { CommandField, encodeEventReport, encodeStoreRequest } from '../upper-layer/command-set.ts';
import { commitmentAsker, queries } from './queries.ts';
import { worklistKeys } from './worklist-scu.ts';

let archive: ScriptedArchive | undefined, gateway: TestGateway | undefined;
afterEach(async () => {
  await archive?.close();
  await gateway?.close();
  archive = gateway = undefined;
});
const start = async (onRequest: (asked: Asked) => void, options?: Parameters<typeof startScriptedArchive>[1]): Promise<ScriptedArchive> => archive = await startScriptedArchive(onRequest, options);
const source = (more: object = {}) => integration({ destination: archive!.destination, query_timeout_seconds: 1, retrieve_timeout_seconds: 5, ...more });
const context = () => testContext('/nonexistent');
const never: Receive = async () => { throw new Error('nothing was to be received here'); };
const match = (elements: object): Buffer => encodeDataset({ '(0008,0052)': 'STUDY', '(0010,0020)': 'P1', '(0020,000d)': '1.2.3', ...elements });
const p1 = { patientId: 'P1', describeSeries: 0 };

test('a query with more matches than are taken is cancelled, and what came until then counts', async () => {
  let sent = 0;
  await start(({ command, respond }) => {
    if (command.commandField === CommandField.cCancelRq) { sent = Infinity; return; }
    const more = (): void => {
      for (let index = 0; index < 200 && sent < 100_000; index++, sent++) respond({ status: 0xff00 }, match({ '(0020,000d)': `1.2.3.${sent}` }));
      if (sent === Infinity) respond({ status: 0xfe00 });
      else setImmediate(more);
    };
    more();
  });
  const outcome = await queries.findStudies(p1, source(), context());
  expect(outcome).toMatchObject({ kind: 'answered', answerCode: 'FE00', count: 1000, text: expect.stringContaining('cancelled by the gateway') });
});

test('a source that does not hear that it is cancelled, and never ends, is given up', async () => {
  await start(({ respond, socket }) => {
    let sent = 0;
    const more = setInterval(() => { for (let index = 0; index < 50; index++) respond({ status: 0xff00 }, match({ '(0020,000d)': `1.2.3.${sent++}` })); }, 10);
    socket.on('close', () => { clearInterval(more); });
  });
  expect(await queries.findStudies(p1, source(), context())).toMatchObject({ kind: 'unconfirmed', text: 'no answer to the end' });
});

test('matches that are larger than memory should hold are cut as too many are', async () => {
  let end = (): void => { /* not begun */ };
  await start(({ command, respond }) => {
    if (command.commandField === CommandField.cCancelRq) { end(); return; }
    end = () => { respond({ status: 0xfe00 }); };
    for (let index = 0; index < 80; index++) respond({ status: 0xff00 }, match({ '(0020,000d)': `1.2.3.${index}`, '(0042,0011)': { vr: 'OB', value: Buffer.alloc(1_000_000) } }));
  });
  expect(await queries.findStudies(p1, source(), context())).toMatchObject({ kind: 'answered', answerCode: 'FE00', text: expect.stringContaining('cancelled by the gateway') });
});

test('a query without any answer is given up, and the association with it', async () => {
  await start(() => { /* silence */ });
  expect(await queries.findStudies(p1, source(), context())).toMatchObject({ kind: 'unconfirmed', text: 'no answer to the end' });
});

test('a query that ends in the middle is no answer, whatever came before', async () => {
  await start(({ respond, socket }) => { respond({ status: 0xff00 }, match({})); socket.end(); });
  expect(await queries.findStudies(p1, source(), context())).toMatchObject({ kind: 'unconfirmed' });
});

test.each([
  [0xa700, 'unreachable', 'A700 Refused: out of resources'], [0xa900, 'refused', 'A900 Error: the identifier does not match the SOP class'], [0xc001, 'refused', 'C001 Error: unable to process'], [0x0124, 'refused', '0124 Refused: not authorized'], [0xfe00, 'unconfirmed', 'FE00 Cancelled'],
])('status %i is %s, in words', async (status, kind, text) => {
  await start(({ respond }) => { respond({ status }); });
  expect(await queries.findStudies(p1, source(), context())).toMatchObject({ kind, text });
});

test('the words of the source, which may name a patient, are told nowhere', async () => {
  await start(({ respond }) => { respond({ status: 0xc000, errorComment: 'Zaphod Beeblebrox is unknown' }); });
  expect(JSON.stringify(await queries.findStudies(p1, source(), context()))).not.toContain('Beeblebrox');
});

test('matches that are of another patient, without a study, or no data set at all are left out', async () => {
  await start(({ respond }) => {
    for (const bytes of [match({ '(0010,0020)': 'P2' }), match({ '(0020,000d)': null }), match({ '(0020,000d)': '../../etc' }), Buffer.from('nonsense'), Buffer.alloc(0), match({ '(0020,000d)': '1.2.9' })]) respond({ status: 0xff00 }, bytes);
    respond({ status: 0 });
  });
  expect(await queries.findStudies(p1, source(), context())).toMatchObject({ kind: 'answered', value: [{ studyInstanceUid: '1.2.9' }] });
});

test('a source that does not tell the number of images is asked for them by name', async () => {
  const instance = (series: string, sop: string): Buffer => encodeDataset({ '(0020,000e)': series, '(0008,0018)': sop, '(0008,0016)': ctImageStorage });
  let level = 0;
  await start(({ respond }) => {
    level += 1;
    if (level === 1) respond({ status: 0xff00 }, match({}));
    if (level === 2) for (const series of ['1.1', '1.2']) respond({ status: 0xff00 }, encodeDataset({ '(0020,000e)': series }));
    if (level > 2) for (const sop of ['5', '6']) respond({ status: 0xff00 }, instance(`1.${level - 2}`, `1.${level}.${sop}`));
    respond({ status: 0 });
  });
  expect(await queries.countInstances({ studyInstanceUid: '1.2.3', byName: false }, source(), context())).toMatchObject({ kind: 'answered', value: { numberOfInstances: 4 } });
});

test('the number of images of another study is not that of the study that was asked for', async () => {
  await start(({ respond }) => { respond({ status: 0xff00 }, match({ '(0020,000d)': '9.9.9', '(0020,1208)': '1' })); respond({ status: 0 }); });
  expect(await queries.countInstances({ studyInstanceUid: '1.2.3', byName: false }, source(), context())).toMatchObject({ kind: 'answered', value: undefined });
});

test('a service that is not accepted is told as such', async () => {
  await start(() => { /* nothing is asked */ }, { accepts: () => false });
  expect(await queries.findStudies(p1, source(), context())).toMatchObject({ kind: 'refused', answerCode: 'A-ASSOCIATE-AC result 3' });
  expect(await queries.retrieve({ studyInstanceUid: '1.2.3' }, source(), never, context())).toMatchObject({ kind: 'refused', interaction: 'C-MOVE' });
});

test('the connection test tells that the gateway is not known there as a destination, and what to do', async () => {
  await start(({ command, respond }) => { respond({ status: command.commandField === CommandField.cMoveRq ? 0xa801 : 0 }); });
  const { ok, steps } = await testConnection(source({ priors: {} }).config, context());
  expect(ok).toBe(false);
  expect(steps.at(-1)).toMatchObject({ step: 'C-MOVE', ok: false, detail: expect.stringContaining('A801'), advice: expect.stringContaining('Add MEDSCAN') });
});

test('a C-MOVE without a sign of life is cancelled, then given up', async () => {
  await start(() => { /* silence, to the C-CANCEL too */ });
  const outcome = await queries.retrieve({ studyInstanceUid: '1.2.3' }, integration({ destination: archive!.destination, retrieve_timeout_seconds: 5 }), never, context());
  expect(outcome).toMatchObject({ kind: 'unconfirmed', text: expect.stringContaining('no answer to the end') });
  expect(archive!.asked.map(({ commandField }) => commandField)).toEqual([CommandField.cMoveRq, CommandField.cCancelRq]);
});

test('some images that fail are counted as such', async () => {
  await start(({ respond }) => {
    respond({ status: 0xff00, subOperations: { remaining: 2, completed: 1, failed: 0, warning: 0 } });
    respond({ status: 0xb000, subOperations: { completed: 1, failed: 2, warning: 0 } });
  });
  expect(await queries.retrieve({ studyInstanceUid: '1.2.3' }, source(), never, context())).toMatchObject({ kind: 'answered', answerCode: 'B000', value: { completed: 1, failed: 2 }, count: 1 });
});

test('a source that stores something on an association for queries is cut off', async () => {
  await start(({ ask, contextId }) => { ask(contextId, encodeStoreRequest({ sopClassUid: ctImageStorage, sopInstanceUid: '1.2.3', messageId: 1 }), ctDataset('1.2.3')); });
  expect(await queries.findStudies(p1, source(), context())).toMatchObject({ kind: 'unconfirmed' });
});

/** A C-GET whose sub-operation is what the test makes of it. */
async function getting(store: (asked: Asked) => void): Promise<{ outcome: Awaited<ReturnType<typeof queries.retrieve>>; received: string[] }> {
  gateway = await startGateway();
  const received: string[] = [];
  const receive: Receive = async (message, refusal) => {
    if (!refusal) received.push(message.controlId);
    return refusal ? { kind: 'rejected', ...refusal, exchangeId: undefined, answered() { /* nobody looks */ } } : { kind: 'accepted', links: {}, exchangeId: undefined, answered() { /* nobody looks */ } };
  };
  let asker: Asked | undefined;
  await start((asked) => {
    if (asked.command.commandField === CommandField.cGetRq) { asker = asked; store(asked); }
    if (asked.command.commandField === 0x8001) asker!.respond({ status: asked.command.status === 0 ? 0 : 0xb000, subOperations: { completed: Number(asked.command.status === 0), failed: Number(asked.command.status !== 0), warning: 0 } });
    if (asked.command.commandField === CommandField.cFindRq) asked.respond({ status: 0xc000 });
  });
  const outcome = await queries.retrieve({ studyInstanceUid: '1.2.3' }, source({ retrieve_by: 'C-GET' }), receive, testContext(gateway.directory));
  return { outcome, received };
}
const contextOf = ({ association }: Asked): number => association.presentationContexts.find(({ abstractSyntax, transferSyntaxes }) => abstractSyntax === ctImageStorage && transferSyntaxes.includes('1.2.840.10008.1.2.1'))!.id;

test('an image of a C-GET is received where the source cannot list what it has: the usual classes are offered, with the role of SCP', async () => {
  const { outcome, received } = await getting((asked) => { asked.ask(contextOf(asked), encodeStoreRequest({ sopClassUid: ctImageStorage, sopInstanceUid: '1.2.3.4', messageId: 7 }), ctDataset('1.2.3.4')); });
  expect(outcome).toMatchObject({ kind: 'answered', value: { completed: 1, failed: 0, byReceive: true } });
  expect(received).toEqual(['1.2.3.4']);
  const proposed = archive!.associations.at(-1)!;
  expect(proposed.roles.get(ctImageStorage)).toEqual({ scu: false, scp: true });
  expect(proposed.presentationContexts.length).toBeLessThanOrEqual(128);
});

test('a source that sends images without waiting for the answers is slowed down: they are received one after the other', async () => {
  gateway = await startGateway();
  let open = 0, most = 0, count = 0;
  const receive: Receive = async () => {
    most = Math.max(most, ++open);
    await new Promise((resolve) => { setTimeout(resolve, 10); });
    open -= 1;
    count += 1;
    return { kind: 'accepted', links: {}, exchangeId: undefined, answered() { /* nobody looks */ } };
  };
  let asker: Asked | undefined, answers = 0;
  await start((asked) => {
    if (asked.command.commandField === CommandField.cFindRq) asked.respond({ status: 0xc000 });
    if (asked.command.commandField === CommandField.cGetRq) {
      asker = asked;
      for (let index = 0; index < 30; index++) asked.ask(contextOf(asked), encodeStoreRequest({ sopClassUid: ctImageStorage, sopInstanceUid: `1.2.3.${index}`, messageId: index + 1 }), ctDataset(`1.2.3.${index}`, 60_000));
    }
    if (asked.command.commandField === 0x8001 && ++answers === 30) asker!.respond({ status: 0, subOperations: { completed: 30, failed: 0, warning: 0 } });
  });
  const outcome = await queries.retrieve({ studyInstanceUid: '1.2.3' }, source({ retrieve_by: 'C-GET' }), receive, testContext(gateway.directory));
  expect(outcome).toMatchObject({ kind: 'answered', value: { completed: 30 } });
  expect(count).toBe(30);
  expect(most).toBeLessThanOrEqual(3);
});

test('an image that breaks off in the middle of a C-GET leaves no file, and is no answer', async () => {
  const { outcome, received } = await getting((asked) => {
    const dataset = ctDataset('1.2.3.4', 100_000);
    asked.ask(contextOf(asked), encodeStoreRequest({ sopClassUid: ctImageStorage, sopInstanceUid: '1.2.3.4', messageId: 7 }));
    const head = Buffer.from([4, 0, 0, 0, 0, 0, 0, 0, 0, 0, contextOf(asked), 0]);
    head.writeUInt32BE(dataset.length + 6, 2);
    head.writeUInt32BE(dataset.length + 2, 6);
    asked.socket.write(Buffer.concat([head, dataset.subarray(0, 5000)]));
    asked.socket.end();
  });
  expect(outcome).toMatchObject({ kind: 'unconfirmed' });
  expect(received).toEqual([]);
  await expect.poll(() => gateway!.files()).toEqual([]);
});

test('an image under another name than announced is refused in a C-GET as it is in a C-STORE', async () => {
  const { outcome, received } = await getting((asked) => { asked.ask(contextOf(asked), encodeStoreRequest({ sopClassUid: '1.2.840.10008.5.1.4.1.1.4', sopInstanceUid: '1.2.3.4', messageId: 7 }), ctDataset('1.2.3.4')); });
  expect(outcome).toMatchObject({ kind: 'answered', answerCode: 'B000', value: { completed: 0, failed: 1 } });
  expect(received).toEqual([]);
});

test('a worklist without end is cut, and says so; items of one name and other bytes are all kept', async () => {
  let end: Asked['respond'] | undefined;
  await start(({ command, respond }) => {
    if (command.commandField === CommandField.cCancelRq) { end?.({ status: 0xfe00 }); return; }
    end = respond;
    for (let index = 0; index < 50; index++) respond({ status: 0xff00 }, encodeDataset({ '(0008,0050)': `A${index % 25}`, '(0040,0100)': [{ '(0040,0009)': 'S1', '(0040,0003)': `0${index % 9}0000` }] }));
  });
  const outcome = await queries.findScheduled(source({ worklist: { every_seconds: 60, days_back: 0, days_ahead: 1, modalities: [], station_ae_title: '', most_items: 20 } }), context());
  expect(outcome).toMatchObject({ kind: 'answered', count: 20, text: 'more than 20 items: the rest was not read (setting worklist.most_items)' });
});

test('asks the worklist for the days of the hospital, not those of the server', () => {
  const { config } = integration({ time_zone: 'Pacific/Auckland', worklist: { every_seconds: 60, days_back: 0, days_ahead: 1, modalities: [], station_ae_title: 'CT1', most_items: 10 } });
  const keys = worklistKeys(config, 'CT', new Date('2026-03-01T20:00:00Z')) as unknown as Record<string, Record<string, string>[]>;
  expect(keys['(0040,0100)']![0]).toMatchObject({ '(0040,0002)': '20260302-20260303', '(0008,0060)': 'CT', '(0040,0001)': 'CT1' });
});

test('a commitment told under another transaction is not ours', async () => {
  await start(({ command, respond, ask, contextId }) => {
    if (command.commandField !== CommandField.nActionRq) return;
    respond({ status: 0 });
    ask(contextId, encodeEventReport('1.2.840.10008.1.20.1', '1.2.840.10008.1.20.1.1', 3, 1), encodeDataset({ '(0008,1195)': '1.2.3.999', '(0008,1199)': [{ '(0008,1150)': ctImageStorage, '(0008,1155)': '1.2.3' }] }));
  });
  const settings = { storage_commitment: { wait_seconds: 1, ask_again_minutes: 1, alert_after_minutes: 1 } };
  expect(await commitmentAsker.ask('1.2.3.1', [{ sopClassUid: ctImageStorage, sopInstanceUid: '1.2.3' }], source(settings), context())).toMatchObject({ kind: 'answered', value: undefined });
  expect(archive!.asked.find(({ commandField }) => commandField === 0x8100)).toMatchObject({ status: 0x0115 });
});
