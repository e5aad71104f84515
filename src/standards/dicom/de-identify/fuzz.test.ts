/** Bytes that a sender, or a model of others, made up: de-identified, restored or refused in words; never another error, never an original value left. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { encodeDataset, type DatasetElements } from '../dataset-writer.ts';
import { readHeader } from '../header.ts';
import { buildPart10Header } from '../part10.ts';
import { deIdentify, DeIdentifyError, type Pseudonyms } from './de-identify.ts';
import { reIdentify, uidsIn } from './re-identify.ts';

const rounds = Number(process.env['MEDSCAN_FUZZ_ROUNDS'] ?? 2000);
const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 30);
const pseudonyms: Pseudonyms = { uid: (original) => `2.25.${BigInt(`0x${digest(original)}`)}`, patient: (id) => ({ name: `P-${digest(id).slice(0, 8)}`, shiftDays: -100 }) };
const options = { dates: 'shifted', keepsPatientCharacteristics: false, keepsDeviceIdentity: false, allowsUnknownBurnedIn: true } as const;
const elements: DatasetElements = {
  '(0008,0016)': '1.2.840.10008.5.1.4.1.1.2', '(0008,0018)': '1.2.3.4.1', '(0008,0020)': '20260301', '(0008,0060)': 'CT', '(0008,1140)': [{ '(0008,1150)': '1.2.840.10008.5.1.4.1.1.2', '(0008,1155)': '1.2.3.4.2' }], '(0010,0010)': 'QQQQQQ^WWWWWW', '(0010,0020)': 'ZZZZZZ',
  '(0020,000d)': '1.2.3.4', '(0020,000e)': '1.2.3.4.0', '(0028,0100)': 16, '(0040,0275)': [{ '(0032,1060)': 'XXXXXX', '(0040,1001)': 'YYYYYY', '(0040,0008)': [{ '(0008,0100)': 'A', '(0008,0102)': 'B', '(0008,0104)': 'C' }] }],
};
const pixels = Buffer.from('e07f10004f57000004000000deadbeef', 'hex');
const file = Buffer.concat([buildPart10Header({ sopClassUid: '1.2.840.10008.5.1.4.1.1.2', sopInstanceUid: '1.2.3.4.1', transferSyntaxUid: '1.2.840.10008.1.2.1' }), encodeDataset(elements), pixels]);

/** The same numbers in every run. */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ;) { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; yield state; }
}

function mutated(original: Buffer, random: Generator<number, never>): Buffer {
  const next = (most: number): number => random.next().value % most;
  const copy = Buffer.from(original);
  for (let count = 1 + next(6); count > 0; count -= 1) copy[132 + next(copy.length - 132)] = next(256);
  if (next(5) === 0) return copy.subarray(0, 132 + next(copy.length - 132));
  return next(5) === 0 ? Buffer.concat([copy.subarray(0, 300), copy.subarray(280)]) : copy;
}

function orRefused<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    expect(error).toBeInstanceOf(DeIdentifyError);
    return undefined;
  }
}

test(`${rounds} damaged images are de-identified or refused`, () => {
  const random = numbers(7);
  let sent = 0;
  for (let round = 0; round < rounds; round += 1) {
    const damaged = mutated(file, random);
    const result = orRefused(() => deIdentify(damaged, options, pseudonyms));
    if (result === undefined) continue;
    sent += 1;
    // Damage may make a name the value of another, harmless attribute; where it still is the name it may not be there.
    const name = 'QQQQQQ^WWWWWW', isName = readHeader(damaged).dataset.get(0x00100010)?.bytes.toString('latin1').trim() === name && damaged.indexOf(name) === damaged.lastIndexOf(name);
    if (isName) expect(result.file.includes(name), `round ${round}`).toBe(false);
  }
  expect(sent).toBeGreaterThan(rounds / 10);
});

test(`${rounds} damaged answers are restored or refused`, () => {
  const { file: answer, uids, removed } = deIdentify(file, options, pseudonyms);
  const random = numbers(11);
  let restored = 0;
  for (let round = 0; round < rounds; round += 1) {
    const damaged = mutated(answer, random);
    if (orRefused(() => uidsIn(damaged)) === undefined) continue;
    if (orRefused(() => reIdentify(damaged, { originalUid: (uid) => uids.get(uid), removed })) !== undefined) restored += 1;
  }
  expect(restored).toBeGreaterThan(rounds / 10);
});
