import { z } from 'zod';
import type { AnyTransform, Transform } from './index.ts';
import { TransformError } from './transform-error.ts';

const none = z.undefined({ error: 'takes no argument' });
const yes = new Set(['true', 'yes', 'y', '1']);
const no = new Set(['false', 'no', 'n', '0']);

const integer: Transform<undefined> = {
  title: 'A whole number as in DICOM IS, HL7 SI or FHIR integer, all of which end at ±2147483647.',
  argument: none, gives: 'number',
  apply(value) {
    const bare = value.trim();
    if (bare === '') return undefined;
    if (!/^[+-]?\d{1,16}$/.test(bare)) throw new TransformError('is not a whole number');
    const number = Number(bare);
    if (Math.abs(number) > 2_147_483_647) throw new TransformError('is a larger number than the standard allows (2147483647)');
    return number === 0 ? 0 : number;
  },
};
const number: Transform<undefined> = {
  title: 'A decimal number as in DICOM DS, HL7 NM or FHIR decimal.',
  argument: none, gives: 'number',
  apply(value) {
    const bare = value.trim();
    if (bare === '') return undefined;
    const result = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$/.test(bare) ? Number(bare) : Number.NaN;
    if (!Number.isFinite(result)) throw new TransformError('is not a number');
    return result;
  },
};
const boolean: Transform<undefined> = {
  title: 'true, yes, Y, 1 or false, no, N, 0 (HL7 table 0136, FHIR boolean, DICOM YES/NO).',
  argument: none, gives: 'boolean',
  apply(value) {
    const bare = value.trim().toLowerCase();
    if (bare === '') return undefined;
    if (yes.has(bare)) return true;
    if (no.has(bare)) return false;
    throw new TransformError('is neither yes nor no');
  },
};

export const numberTransforms = { integer, number, boolean } satisfies Record<string, AnyTransform>;
