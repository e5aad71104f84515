/**
 * The primitive types of FHIR R4 in JSON (datatypes.html, json.html#primitive): what JSON type, what form. A failed check is answered
 * in words and without the value, because values may be about a patient. base64 is checked without a backtracking expression.
 */
import { isFhirDate, isFhirDateTime, isFhirInstant, isFhirTime } from './dates.ts';

interface PrimitiveRule { readonly json: 'string' | 'number' | 'boolean'; readonly form: string; readonly test: (value: never) => boolean }

const integerForm = (least: number, form: string): PrimitiveRule =>
  ({ json: 'number', form, test: (value: number) => Number.isInteger(value) && value >= least && value <= 2147483647 });
const textForm = (form: string, test: (value: string) => boolean): PrimitiveRule => ({ json: 'string', form, test });
const uriForm = textForm('a URI without spaces', (value) => value !== '' && !/\s/.test(value));
const stringForm = textForm('text with at least one visible character and no control characters', (value) => value.trim() !== '' && !hasControlCharacter(value));

// eslint-disable-next-line no-control-regex -- these are the characters to refuse
const controlCharacters = /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/;
function hasControlCharacter(value: string): boolean {
  return controlCharacters.test(value);
}

const rules: Readonly<Record<string, PrimitiveRule>> = {
  boolean: { json: 'boolean', form: 'true or false', test: () => true },
  decimal: { json: 'number', form: 'a number', test: Number.isFinite },
  integer: integerForm(-2147483648, 'a whole number of 32 bits'),
  unsignedInt: integerForm(0, 'a whole number from 0'),
  positiveInt: integerForm(1, 'a whole number from 1'),
  string: stringForm, markdown: stringForm, xhtml: textForm('an XHTML div', (value) => value.trim() !== ''),
  code: textForm('a code: no space before, after, or two together', (value) => /^\S+(?: \S+)*$/.test(value) && !hasControlCharacter(value)),
  id: textForm('an id: 1 to 64 characters of A-Z, a-z, 0-9, - and .', (value) => /^[A-Za-z0-9.-]{1,64}$/.test(value)),
  uri: uriForm, url: uriForm, canonical: uriForm,
  oid: textForm('urn:oid: and a UID', (value) => /^urn:oid:[0-2](\.(0|[1-9]\d*))+$/.test(value)),
  uuid: textForm('urn:uuid: and a UUID', (value) => /^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(value)),
  base64Binary: textForm('base64', isBase64),
  date: textForm('YYYY, YYYY-MM or YYYY-MM-DD, a day that exists', isFhirDate),
  dateTime: textForm('a date, or YYYY-MM-DDThh:mm:ss with Z or +hh:mm', isFhirDateTime),
  instant: textForm('YYYY-MM-DDThh:mm:ss with Z or +hh:mm', isFhirInstant),
  time: textForm('hh:mm:ss', isFhirTime),
};

function isBase64(value: string): boolean {
  const bare = value.replaceAll(/\s+/g, '');
  return bare !== '' && bare.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(bare);
}

export interface PrimitiveProblem { readonly code: 'structure' | 'value'; readonly text: string }

/** What is wrong with a JSON value as a primitive of this type; undefined when nothing is. */
export function primitiveProblem(type: string, value: unknown): PrimitiveProblem | undefined {
  const rule = rules[type];
  if (rule === undefined) return undefined;
  if (typeof value !== rule.json) return { code: 'structure', text: `must be a JSON ${rule.json}, ${rule.form}, and is ${jsonName(value)}` };
  if (value === '') return { code: 'value', text: 'is an empty string: leave the element out' };
  return rule.test(value as never) ? undefined : { code: 'value', text: `must be ${rule.form}` };
}

export function jsonName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
