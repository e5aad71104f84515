/**
 * Bytes of a FHIR JSON message to a value, guarded. JSON.parse alone takes any depth, keeps the last of two equal keys without a word and
 * makes a key named __proto__; json.html forbids duplicates, and nothing in FHIR nests deeper than a few dozen levels.
 */
export interface JsonLimits { readonly byteLength: number; readonly depth: number }
export const defaultJsonLimits: JsonLimits = { byteLength: 1024 * 1024, depth: 64 };

/** `text` names the fault without quoting the content. */
export class FhirJsonError extends Error {
  readonly tooLarge: boolean;
  constructor(text: string, tooLarge = false) {
    super(text);
    this.name = 'FhirJsonError';
    this.tooLarge = tooLarge;
  }
}

/** One JSON object. Throws FhirJsonError for everything else. */
export function parseFhirJson(bytes: Uint8Array, limits: JsonLimits = defaultJsonLimits): Record<string, unknown> {
  if (bytes.byteLength > limits.byteLength) throw new FhirJsonError(`The message has more than ${limits.byteLength} bytes.`, true);
  const text = decoded(bytes);
  checkNesting(text, limits.depth);
  const value = parsed(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new FhirJsonError('The message is not a JSON object with a resourceType.');
  return value as Record<string, unknown>;
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new FhirJsonError('The message is not UTF-8 (FHIR R4 json.html requires it).');
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    const position = /position (\d+)/.exec(error instanceof Error ? error.message : '')?.[1];
    throw new FhirJsonError(`The message is not valid JSON${position === undefined ? '' : ` (at character ${position})`}.`);
  }
}

/** Before parsing, in one pass over the text: depth, NUL, keys that are forbidden or come twice. */
function checkNesting(text: string, depthLimit: number): void {
  const open: (Set<string> | undefined)[] = [];      // one per open bracket: the keys of an object, undefined for an array
  let expectsKey = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '"') {
      const end = endOfString(text, at);
      if (expectsKey) noteKey(open.at(-1), text.slice(at, end + 1));
      else if (text.slice(at, end).includes('\\u0000')) throw new FhirJsonError('The message holds a NUL character.');
      expectsKey = false;
      at = end;
    } else if (character === '{' || character === '[') {
      open.push(character === '{' ? new Set() : undefined);
      expectsKey = character === '{';
      if (open.length > depthLimit) throw new FhirJsonError(`The message is nested deeper than ${depthLimit} levels.`);
    } else if (character === '}' || character === ']') {
      open.pop();
      expectsKey = false;
    } else if (character === ',') expectsKey = open.at(-1) !== undefined;
    else if (character === '\0') throw new FhirJsonError('The message holds a NUL character.');
  }
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '"') return at;
  }
  throw new FhirJsonError('The message is not valid JSON (a string does not end).');
}

const forbiddenKeys = new Set(['__proto__', 'constructor', 'prototype']);
function noteKey(keys: Set<string> | undefined, quoted: string): void {
  const key = quoted.includes('\\') ? String(parsed(quoted)) : quoted.slice(1, -1);
  if (forbiddenKeys.has(key)) throw new FhirJsonError(`The message holds a property named ${key}, which no resource has.`);
  if (keys?.has(key) === true) throw new FhirJsonError(`A property comes twice in one object${/^\w{1,40}$/.test(key) ? ` ('${key}')` : ''}: which one counts is not defined.`);
  keys?.add(key);
}
