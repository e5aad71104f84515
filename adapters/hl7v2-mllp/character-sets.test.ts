/** Every character set that is taken, over the wire: bytes in a block, the name as a person writes it in the row. */
import { expect, test } from 'vitest';
import type { Listener } from '#gateway/adapter.ts';
import { encodeMessage } from '#standards/hl7v2/encode.ts';
import type { DeliverableCharacterSet } from '#standards/hl7v2/encode.ts';
import { Sender, adt, fakeGateway, integration, startListener } from './testing/fake-gateway.ts';

async function nameIn(bytes: Buffer, settings: Record<string, unknown> = {}): Promise<{ family: unknown; answer: string | undefined; warnings: string }> {
  const gateway = fakeGateway();
  const listener: Listener = await startListener(gateway, [integration(settings)]);
  const sender = await Sender.connect(listener.port);
  const answer = await sender.send(bytes);
  sender.close();
  await listener.close(0);
  const { normalized } = gateway.received[0]!;
  return { family: normalized?.patient?.family_name, answer, warnings: JSON.stringify(normalized?.warnings) };
}
const message = (family: string, characterSet: string): string => adt('M1', [`PID|1||PID-1^^^ADT1^MR||${family}^X||20141014|F`]).replace('|P|2.5.1', `|P|2.5.1||||||${characterSet}`);

test.each<[string, DeliverableCharacterSet, string]>([
  ['ASCII', 'ASCII', 'Smith'], ['8859/1', '8859/1', 'Müller'], ['8859/2', '8859/2', 'Dvořák'], ['8859/3', '8859/3', 'Għaxaq'], ['8859/4', '8859/4', 'Ķīpsala'], ['8859/5', '8859/5', 'Иванов'],
  ['8859/6', '8859/6', 'محمد'], ['8859/7', '8859/7', 'Παπαδόπουλος'], ['8859/8', '8859/8', 'כהן'], ['8859/9', '8859/9', 'Öztürkğ'], ['8859/15', '8859/15', 'Šœ€'], ['UNICODE UTF-8', 'UNICODE UTF-8', 'Жук漢é'],
  ['~ISO IR87', 'ISO IR87', '山田'], ['ISO IR87', 'ISO IR87', '山田'], ['GB 18030-2000', 'GB 18030-2000', '王小东'], ['KS X 1001', 'KS X 1001', '김희중'],
])('MSH-18 %s is read', async (characterSet, set, family) => {
  const { family: read, answer } = await nameIn(encodeMessage(message(family, characterSet), set));
  expect(read).toBe(family);
  expect(answer).toContain('MSA|AA|M1');
});

test.each([['8859/10', [0xaf], 'Ŋ'], ['8859/11', [0xcd, 0xd2], 'อา'], ['8859/13', [0xc0], 'Ą'], ['8859/14', [0xde], 'Ŷ']] as const)('MSH-18 %s is read', async (characterSet, family, read) => {
  const [before = '', after = ''] = message('@', characterSet).split('@');
  expect(await nameIn(Buffer.concat([Buffer.from(before), Buffer.from(family), Buffer.from(after)]))).toMatchObject({ family: read, answer: expect.stringContaining('MSA|AA|M1') as string });
});

test('ISO IR159: the kanji of JIS X 0212 between escapes are read', async () => {
  const [before = '', after = ''] = message('@', '~ISO IR87~ISO IR159').split('@');
  const kanji = Buffer.from([0x1b, 0x24, 0x28, 0x44, 0x30, 0x21, 0x1b, 0x28, 0x42]); // 丂, row 16 cell 1
  const { family } = await nameIn(Buffer.concat([Buffer.from(before), kanji, Buffer.from(after)]));
  expect(family).toBe('丂');
});

test('windows-1252 is read where the integration says so, whatever MSH-18 says', async () => {
  const bytes = encodeMessage(message('“Müller” €', '8859/2'), 'WINDOWS-1252');
  expect((await nameIn(bytes, { character_set: 'WINDOWS-1252' })).family).toBe('“Müller” €');
  expect((await nameIn(bytes)).family).not.toBe('“Müller” €');
});

test('UTF-16 with its byte order mark is read', async () => {
  const text = message('Жук', 'UNICODE UTF-16');
  expect((await nameIn(Buffer.from(`\uFEFF${text}`, 'utf16le'))).family).toBe('Жук');
});

test('UTF-8 that calls itself 8859/1 is read as UTF-8, with a warning', async () => {
  const { family, warnings } = await nameIn(Buffer.from(message('Müller', '8859/1')));
  expect(family).toBe('Müller');
  expect(warnings).toContain('read as UTF-8');
});
