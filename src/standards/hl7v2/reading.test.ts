import fc from 'fast-check';
import { Message } from 'node-hl7-client';
import { expect, test } from 'vitest';
import { processorMilliseconds } from '../../../test/support/processor-time.ts';
import { splitFrame } from './batch.ts';
import { decodeMessage } from './character-set.ts';
import { encodeMessage } from './encode.ts';
import { escapeText, unescapeText } from './escape.ts';
import { standardDelimiters } from './delimiters.ts';
import { Hl7ParseError, parseMessage, parseText } from './parse.ts';
import { hl7Reader } from './reader.ts';
import { buildMessage } from './node-hl7.ts';

const header = 'MSH|^~\\&|RIS|HOSP|MEDSCAN|AI|20260105||ADT^A08|M1|P|2.5.1';
const utf8 = { encoding: 'utf-8', declared: undefined };
const latin1 = { encoding: 'windows-1252', declared: 'windows-1252' };

test.each([
  ['CR', '\r'], ['LF', '\n'], ['CRLF', '\r\n'], ['a blank line between', '\r\r'], ['blank lines with CRLF', '\r\n\r\n'],
])('segments end with %s', (_name, end) => {
  const message = parseText([header, 'PID|1||P1', 'PV1|1|I', ''].join(end));
  expect(message.segments.map(({ name }) => name)).toEqual(['MSH', 'PID', 'PV1']);
  expect(message.warnings).toEqual([]);
});

test.each([['a byte order mark', '\ufeff'], ['line ends', '\r\n\n'], ['blanks', '  ']])('%s before MSH is skipped', (_name, junk) => {
  expect(parseMessage(Buffer.from(`${junk}${header}\r`)).header(10)).toBe('M1');
});

test('a line break inside a field stays with the field and is warned about, so that no data is cut', () => {
  const message = parseText(`${header}\rOBX|1|ED|x||^Application^PDF^Base64^AAAA\rBBBB||||||F\rNTE|1\r`);
  expect(message.segments.map(({ name }) => name)).toEqual(['MSH', 'OBX', 'NTE']);
  expect(hl7Reader(message).first('OBX-5.5')).toBe('AAAA\nBBBB');
  expect(hl7Reader(message).first('OBX-11')).toBe('F');
  expect(message.warnings).toEqual([{ location: 'OBX[line 3]', text: expect.stringContaining('line break') as string }]);
});

test('delimiters are those of MSH-1 and MSH-2, whatever they are', () => {
  const reader = hl7Reader(parseText('MSH#!@%*#A#B#C#D#2026##ADT!A01#M7#P#2.5\rPID#1##1!!!N*S@2##DO%S%E!JOHN\r'));
  expect([reader.first('MSH-1'), reader.first('MSH-2'), reader.first('PID-3.4'), reader.first('PID-3.4.2'), reader.first('PID-3[2]'), reader.first('PID-5')]).toEqual(['#', '!@%*', 'N', 'S', '2', 'DO!E']);
});

test('the truncation character of v2.7 and a short MSH-2 are read', () => {
  expect(parseText('MSH|^~\\&#|A|B|C|D|2026||ADT^A08|M1|P|2.7\r').header(9, 2)).toBe('A08');
  expect(parseText('MSH|^|A|B|C|D|2026||ADT^A08|M1|P|2.5\rPID|||1~2\r').header(9, 2)).toBe('A08');
});

test.each([['no MSH', 'PID|1'], ['letters as delimiters', 'MSHaBCDEaX'], ['the same delimiter twice', 'MSH|^^\\&|A'], ['no encoding characters', 'MSH||A'], ['nothing', '']])('%s is no message', (_name, text) => {
  expect(() => parseText(text)).toThrow(Hl7ParseError);
});

test('empty, absent and HL7 null are three things', () => {
  const reader = hl7Reader(parseText(`${header}\rPID|1||P1^^^""||""|||""~x\r`));
  expect([reader.first('PID-4'), reader.first('PID-5.1'), reader.first('PID-3.4'), reader.first('PID-6'), reader.first('PID-30'), reader.first('PV1-2')]).toEqual(['', null, null, '', undefined, undefined]);
  expect(reader.all('PID-8')).toEqual([null, 'x']);
});

test('each gives repetitions, segments and groups; paths inside are relative, with a slash from the root', () => {
  const reader = hl7Reader(parseText(`${header}\rPID|1||A^^^X~B^^^Y\rMRG|OLD1\rPID|2||C\rMRG|OLD2\rAL1|1||^Nuts\rAL1|2||^Milk\r`));
  expect(reader.each('PID-3').map((repetition) => [repetition.first('1'), repetition.first('4.1'), repetition.first('.'), repetition.first('MRG-1')])).toEqual([['A', 'X', 'A', 'OLD1'], ['B', 'Y', 'B', 'OLD1']]);
  expect(reader.each('PID').map((group) => [group.first('3.1'), group.first('MRG-1'), group.each('PID-3').length])).toEqual([['A', 'OLD1', 2], ['C', 'OLD2', 1]]);
  expect(reader.each('AL1').map((segment) => [segment.first('3.2'), segment.first('/PID-1')])).toEqual([['Nuts', '1'], ['Milk', '1']]);
  expect(reader.first('AL1[2]-3.2')).toBe('Milk');
  expect(reader.all('AL1-3.2')).toEqual(['Nuts', 'Milk']);
});

test('an order group sees the header segments and its own, not its neighbours', () => {
  const message = parseText(`${header}\rPID|1||P\rORC|NW|1\rOBR|1|1\rORC|CA|2\rOBR|2|2\rZDS|1.2\r`);
  const [first, second] = [hl7Reader(message, { orderGroup: 1 }), hl7Reader(message, { orderGroup: 2 })];
  expect([first.first('PID-3'), first.first('OBR-2'), first.first('ZDS-1')]).toEqual(['P', '1', undefined]);
  expect([second.first('PID-3'), second.first('OBR-2'), second.first('ZDS-1')]).toEqual(['P', '2', '1.2']);
  expect(first.unread()).not.toContain('ZDS-1');
});

test('unread names the values nobody asked for', () => {
  const reader = hl7Reader(parseText(`${header}\rPID|1||P^^^A~Q^^^B||Smith^Lucy|||F\rZZZ|x\r`));
  for (const repetition of reader.each('PID-3')) repetition.first('1');
  reader.first('PID-5.1');
  expect(reader.unread()).toEqual(['PID-1', 'PID-3.4', 'PID-5.2', 'PID-8', 'ZZZ-1']);
});

test.each([
  ['\\F\\\\S\\\\T\\\\R\\\\E\\', '|^&~\\'], ['\\X41\\', 'A'], ['\\XC3\\\\X87\\', 'Ç'], ['a\\.br\\b\\.sp2\\c', 'a\nb\n\nc'], ['\\H\\bold\\N\\', 'bold'],
  ['C:\\DATA\\F\\', 'C:\\DATA|'], ['50\\ of', '50\\ of'], ['\\Zlocal\\', '\\Zlocal\\'], ['\\X0\\', '\\X0\\'], ['\\.sk999\\', ' '.repeat(80)], ['a\\X00\\b', 'a\uFFFDb'],
])('%s is read as %j', (text, meaning) => { expect(unescapeText(text, standardDelimiters, utf8)).toBe(meaning); });

test('hexadecimal bytes are in the character set of the message', () => {
  expect(unescapeText('OPERA\\XC7\\\\XC3\\O', standardDelimiters, latin1)).toBe('OPERAÇÃO');
});

test.each([
  ['\\C2D46\\\u00d0\u00e1', latin1, 'Πα'], ['A\u00fc \\C2D4C\\\u00bf\u00e0\\C2842\\ \u00fc', latin1, 'Aü Пр ü'], ['\\C2D42\\\\XE8\\', latin1, 'č'], ['\\C2D46\\\u00d0', utf8, '\u00d0'], ['\\C9999\\\u00e1', latin1, '\u00e1'],
])('%j is read in the character set that it names', (text, set, meaning) => { expect(unescapeText(text, standardDelimiters, set)).toBe(meaning); });

test('property: escaped text comes back and holds no delimiter', () => {
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom('|', '^', '~', '\\', '&', 'E', 'F', 'X41', '.br', 'ä', '漢', '\t', '\x1c') }), (text) => {
    const escaped = escapeText(text);
    expect(escaped).not.toMatch(/[|^~&\t\r\n]/);
    expect(unescapeText(escaped, standardDelimiters, utf8)).toBe(text);
  }), { numRuns: 500 });
});

const named = (characterSet: string): string => `${header}||||||${characterSet}\rPID|1||P1||`;
test.each([
  ['8859/1 in its own bytes', Buffer.from(`${named('8859/1')}MÜLLER\r`, 'latin1'), 'MÜLLER', false],
  ['8859/1 with UTF-8 bytes', Buffer.from(`${named('8859/1')}MÜLLER\r`), 'MÜLLER', true],
  ['no MSH-18 and UTF-8 bytes', Buffer.from(`${named('')}MÜLLER\r`), 'MÜLLER', false],
  ['no MSH-18 and 8-bit bytes', Buffer.from(`${named('')}MÜLLER\r`, 'latin1'), 'MÜLLER', true],
  ['UNICODE UTF-8 with 8-bit bytes', Buffer.from(`${named('UNICODE UTF-8')}MÜLLER\r`, 'latin1'), 'MÜLLER', true],
  ['8859/15', Buffer.concat([Buffer.from(named('8859/15')), Buffer.of(0xa4), Buffer.from('\r')]), '€', false],
  ['8859/5', Buffer.concat([Buffer.from(named('8859/5')), Buffer.of(0xbf, 0xe0), Buffer.from('\r')]), 'Пр', false],
  ['ISO IR87', Buffer.concat([Buffer.from(named('~ISO IR87')), Buffer.of(0x1b, 0x24, 0x42, 0x3b, 0x33, 0x45, 0x44, 0x1b, 0x28, 0x42), Buffer.from('\r')]), '山田', false],
  ['ISO IR87 by \\M2442\\, with bytes that look like delimiters', Buffer.from(`${named('~ISO IR87')}\\M2442\\;3ED?|>^$"\\C2842\\ x\r`), '山田頗賞あ x', false],
  ['UTF-16 with byte order mark', Buffer.from(`\ufeff${named('UNICODE UTF-16')}山田\r`, 'utf16le'), '山田', false],
  ['UTF-16 big endian without mark', Buffer.from(`${named('UNICODE UTF-16')}山田\r`, 'utf16le').swap16(), '山田', false],
  ['KS X 1001', Buffer.concat([Buffer.from(named('KS X 1001')), Buffer.of(0xb1, 0xe8), Buffer.from('\r')]), '김', false],
])('%s is decoded', (_name, bytes, name, warns) => {
  const message = parseMessage(bytes);
  expect(hl7Reader(message).first('PID-5')).toBe(name);
  expect(message.warnings.length > 0).toBe(warns);
  expect(splitFrame(bytes).messages[0]?.equals(bytes)).toBe(true);
});

test('the setting of an integration wins over MSH-18 and over valid UTF-8', () => {
  expect(decodeMessage(Buffer.from('MSH|^~\\&|Ã'), '8859/1').text).toBe('MSH|^~\\&|Ãƒ');
});

test('a character outside the set we send in is refused, not replaced', () => {
  expect(encodeMessage('ü', '8859/1')).toEqual(Buffer.of(0xfc));
  expect(() => encodeMessage('漢', '8859/1')).toThrow(RangeError);
  expect(() => encodeMessage('ü', 'ASCII')).toThrow(RangeError);
});

test('batches are cut into messages; segments outside messages and headers inside them are refused', () => {
  const content = splitFrame(Buffer.from(`FHS|^~\\&\rBHS|^~\\&\r${header}\rPID|1\r${header}\rBTS|2\rBHS|^~\\&\r${header}\rBTS|1\rFTS|2\r`));
  expect([content.messages.length, content.batchCount, content.isFile, content.declaredCount]).toEqual([3, 2, true, 3]);
  expect(content.messages[0]?.toString()).toBe(`${header}\rPID|1\r`);
  for (const bad of ['BHS|^~\\&\rEVN|A04\rBTS|1', `${header}\rBHS|^~\\&\rPID|1`, 'BHS|^~\\&\rBTS|0', '', '\r\n', 'EVN|A01\rMSH|^~\\&|']) expect(() => splitFrame(Buffer.from(bad))).toThrow(Hl7ParseError);
});

test('property: our reading and node-hl7-client agree on what we build', () => {
  const value = fc.string({ unit: fc.constantFrom('|', '^', '&', '~', '\\', 'x', 'ü', ' ', '1'), minLength: 1 }).map((text) => `v${text}v`); // the library takes blanks off the end of a message
  fc.assert(fc.property(value, value, value, (one, two, three) => {
    const text = buildMessage([{ name: 'MSH', fields: { 3: one, 9: ['ADT', 'A08'], 10: 'M1', 12: '2.5.1' } }, { name: 'PID', fields: { 3: [one, undefined, undefined, [two, three]], 5: two } }]);
    const reader = hl7Reader(parseText(text));
    const library = new Message({ text });
    expect([reader.first('MSH-3'), reader.first('PID-3.1'), reader.first('PID-3.4.1'), reader.first('PID-3.4.2'), reader.first('PID-5')]).toEqual([one, one, two, three, two]);
    expect([library.get('PID.3.1').toString(), library.get('PID.5.1').toString()]).toEqual([one, two]);
  }), { numRuns: 200 });
});

test('property: no text makes parsing or reading throw anything but Hl7ParseError', () => {
  const text = fc.string({ unit: fc.constantFrom('MSH', 'PID', '|', '^', '~', '\\', '&', '\r', '\n', '""', 'A1', '\\X', '\\X41\\', '\0', '\ud800', 'é') });
  fc.assert(fc.property(fc.oneof(text, text.map((tail) => `${header}\r${tail}`)), (input) => {
    let message;
    try { message = parseMessage(Buffer.from(input)); } catch (error) { expect(error).toBeInstanceOf(Hl7ParseError); return; }
    const reader = hl7Reader(message);
    for (const path of ['PID-3.1', 'PID[2]-5[2].1.2', 'MSH-2', 'MSH-9.1']) reader.first(path);
    for (const each of [...reader.each('PID'), ...reader.each('PID-3')]) each.first('1');
    for (const value of reader.all('PID-3')) expect(value ?? '').not.toContain('\0');
    reader.unread();
  }), { numRuns: 500 });
});

test('twenty thousand observations are parsed within 150 ms, and read', () => {
  const bytes = Buffer.from(`${header}\r${Array.from({ length: 20_000 }, (_, index) => `OBX|${index + 1}|NM|8867-4^Heart rate^LN||${index}|/min|||||F`).join('\r')}\r`);
  parseMessage(bytes); // compiled once
  const started = processorMilliseconds();
  const message = parseMessage(bytes);
  expect(message.segments).toHaveLength(20_001);
  expect(processorMilliseconds() - started).toBeLessThan(150);
  expect(hl7Reader(message).each('OBX').reduce((sum, observation) => sum + Number(observation.first('5')), 0)).toBe(199_990_000);
});

test('a field of 300,000 repetitions and a message of 100,000 segments are read in linear time', () => {
  const message = parseText(`${header}\rPID|1||${Array.from({ length: 300_000 }, (_, index) => index).join('~')}\r${'PV1|1|I\r'.repeat(100_000)}`);
  const reader = hl7Reader(message);
  const started = processorMilliseconds();
  expect(reader.each('PID-3').map((repetition) => repetition.first('1')).at(-1)).toBe('299999');
  expect(reader.all('PID-3')).toHaveLength(300_000);
  expect(reader.each('PV1').filter((visit) => visit.first('2') === 'I' && visit.first('/PID-1') === '1')).toHaveLength(100_000);
  expect(reader.unread().length).toBeLessThanOrEqual(500);
  expect(processorMilliseconds() - started).toBeLessThan(3000);
});
