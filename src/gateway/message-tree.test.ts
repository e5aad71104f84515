import { expect, test } from 'vitest';
import fc from 'fast-check';
import { readableMessage } from './message-tree.ts';

const hl7 = (text: string, more: Buffer = Buffer.alloc(0)): Buffer => Buffer.concat([Buffer.from(text), more]);
const lineAt = (view: ReturnType<typeof readableMessage>, location: string) => view.lines.find((line) => line.location === location);

test('an HL7 v2 message is cut into segments, fields, repetitions and components, each with its name', () => {
  const view = readableMessage(hl7('MSH|^~\\&|RIS|NORTH|||20260105||ADT^A08|7|P|2.5.1\rPID|1||4711^^^NORTH^MR~12^^^SSA||O\\T\\Hara^Ann\rZXX|own\rNTE|1||first\rNTE|2||second\r'), 'application/hl7-v2');
  expect(view).toMatchObject({ format: 'hl7v2', isCut: false });
  expect(lineAt(view, 'PID-3[1].4')).toEqual({ depth: 2, location: 'PID-3[1].4', name: 'assigning authority', value: 'NORTH' });
  expect(lineAt(view, 'PID-5.1')).toMatchObject({ name: 'family name', value: 'O&Hara' });
  expect(lineAt(view, 'MSH-2')).toMatchObject({ name: 'Encoding characters', value: '^~\\&' });
  expect(lineAt(view, 'ZXX')).toMatchObject({ depth: 0, name: null });
  expect(lineAt(view, 'NTE[2]-3')).toMatchObject({ name: 'Comment', value: 'second' });
});

test('a frame and a batch are what they hold', () => {
  const message = 'MSH|^~\\&|A|B|||2026||ADT^A08|1|P|2.5\rPID|1\r';
  expect(readableMessage(hl7(`\x0b${message}\x1c\r`), '').lines[0]).toMatchObject({ location: 'MSH' });
  expect(readableMessage(hl7(`FHS|^~\\&|A\rBHS|^~\\&|A\r${message}${message}BTS|2\rFTS|1\r`), '').lines.filter((line) => line.location.startsWith('message'))).toHaveLength(2);
});

test('letters of another character set are read by the set that the message names', () => {
  const view = readableMessage(Buffer.from('MSH|^~\\&|A|B|||2026||ADT^A08|1|P|2.5||||||8859/1\rPID|1||7||M\u00fcller^J\u00f6rg\r', 'latin1'), '');
  expect(lineAt(view, 'PID-5.1')?.value).toBe('Müller');
});

test('JSON is one line per pointer, in its own names', () => {
  const view = readableMessage(Buffer.from('{"resourceType":"Patient","name":[{"family":"Roe","a/b":1}]}'), 'application/fhir+json');
  expect(view.lines).toEqual([
    { depth: 0, location: '/resourceType', name: null, value: 'Patient' }, { depth: 0, location: '/name', name: null, value: null }, { depth: 1, location: '/name/0', name: null, value: null },
    { depth: 2, location: '/name/0/family', name: null, value: 'Roe' }, { depth: 2, location: '/name/0/a~1b', name: null, value: '1' },
  ]);
});

test.each([
  ['nothing', Buffer.alloc(0), 'text'], ['zeros', Buffer.alloc(500), 'binary'], ['XML', Buffer.from('\ufeff <Patient/>'), 'xml'], ['half JSON', Buffer.from('{"a":'), 'json'], ['a segment that is none', Buffer.from('MSH|'), 'hl7v2'],
  ['a preamble without more', Buffer.concat([Buffer.alloc(128), Buffer.from('DICM')]), 'dicom'], ['DICOM in name only', Buffer.from('hello'), 'dicom'],
])('shows %s as far as it can', (what, bytes, format) => {
  expect(readableMessage(bytes, what === 'DICOM in name only' ? 'application/dicom' : 'application/octet-stream')).toMatchObject({ format });
});

test('a message without end is cut, not shown whole', () => {
  const view = readableMessage(hl7(`MSH|^~\\&|A|B|||2026||ORU^R01|1|P|2.5\r${'OBX|1|TX|A^B||x\r'.repeat(20_000)}OBX|1|ED|A||${'Q'.repeat(500_000)}\r`), '');
  expect([view.isCut, view.lines.length, view.text!.length]).toEqual([true, 5_000, 200_000]);
  const deep = readableMessage(Buffer.from(`${'{"a":'.repeat(3_000)}1${'}'.repeat(3_000)}`), 'application/json');
  expect(deep.lines.length).toBeLessThan(20);
  expect(readableMessage(hl7(`MSH|^~\\&|A|B|||2026||ORU^R01|1|P|2.5\rOBX|1|ED|A||${'Q'.repeat(5_000)}\r`), '').lines.at(-1)!.value).toMatch(/^Q{1000}… \(5000 characters\)$/);
});

test('no bytes make it throw', () => {
  const opening = fc.constantFrom('', 'MSH|^~\\&|', 'MSH', 'FHS|^~\\&|\rBHS|', '{"', '[', '<', `${'\0'.repeat(128)}DICM`, '\x0bMSH^|~&');
  fc.assert(fc.property(opening, fc.uint8Array({ maxLength: 400 }), fc.constantFrom('', 'application/dicom', 'application/fhir+json'), (start, rest, mediaType) => {
    const view = readableMessage(Buffer.concat([Buffer.from(start, 'latin1'), rest]), mediaType, { transferSyntaxUid: '1.2.840.10008.1.2' });
    expect(view.lines.every((line) => line.depth >= 0)).toBe(true);
  }), { numRuns: 3_000, seed: 7 });
});
