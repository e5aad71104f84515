import { isUsableUid, usableUidWords } from '#domain/usable-uid.ts';
import { z } from 'zod';
import type { AnyTransform, Transform } from './index.ts';
import { TransformError } from './transform-error.ts';

const none = z.undefined({ error: 'takes no argument' });
const separator = z.string().min(1);

function text(title: string, apply: (value: string) => string | undefined): Transform<undefined> {
  return { title, argument: none, gives: 'text', apply };
}

const truncate: Transform<number> = {
  title: 'Cuts to at most the given number of characters (code points).',
  argument: z.int().min(1), gives: 'text',
  apply: (value, length) => value.length <= length ? value : Array.from(value).slice(0, length).join(''),
};
const split: Transform<string> = {
  title: 'Splits at the given separator into a list; blank elements are left out. Codes then apply to each element.',
  argument: separator, gives: 'list',
  apply: (value, at) => nonEmpty(value.split(at).map((part) => part.trim()).filter((part) => part !== '')),
};
const part: Transform<{ separator: string; number: number }> = {
  title: 'The n-th part (from 1) of a text with separators: {part: {separator: "^", number: 2}}.',
  argument: z.strictObject({ separator, number: z.int().min(1) }), gives: 'text',
  apply: (value, { separator: at, number }) => value.split(at)[number - 1],
};
const prefix: Transform<string> = {
  title: 'Puts the given text before the value.',
  argument: separator, gives: 'text', apply: (value, before) => before + value,
};
const stripPrefix: Transform<string> = {
  title: 'Takes the given text off the start when it is there: {strip-prefix: "urn:oid:"}.',
  argument: separator, gives: 'text', apply: (value, before) => value.startsWith(before) ? value.slice(before.length) : value,
};
const uid: Transform<undefined> = {
  title: `A DICOM UID (PS3.5 9.1); padding is taken off. What senders make that is none passes too, as far as it is safe: ${usableUidWords} characters.`,
  argument: none, gives: 'text',
  apply(value) {
    const bare = value.replace(/[\0 ]+$/, '').trimStart();
    if (bare === '') return undefined;
    if (!isUsableUid(bare)) throw new TransformError(`is not a UID (${usableUidWords} characters)`);
    return bare;
  },
};

export const textTransforms = {
  'trim': text('Takes blanks off both ends.', (value) => value.trim()),
  'upper': text('To upper case.', (value) => value.toUpperCase()),
  'lower': text('To lower case.', (value) => value.toLowerCase()),
  'strip-nul': text('Removes NUL characters, which PostgreSQL text cannot hold.', (value) => value.replaceAll('\0', '')),
  'collapse-spaces': text('Makes every run of white space one blank.', (value) => value.replaceAll(/\s+/g, ' ').trim()),
  truncate, split, part, prefix, 'strip-prefix': stripPrefix, uid,
} satisfies Record<string, AnyTransform>;

function nonEmpty(list: readonly string[]): readonly string[] | undefined {
  return list.length > 0 ? list : undefined;
}
