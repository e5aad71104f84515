/** FHIR has no empty values (ele-1, datatypes.html#string): what is blank or holds nothing is left out, and characters that strings may not have go. */

// eslint-disable-next-line no-control-regex -- these are the characters to take out
const controlCharacters = /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g;

/** A copy without undefined, null, blank strings, empty arrays and empty objects at any depth. Not for arrays with null placeholders. */
export function withoutEmpty<T extends object>(value: T): T {
  return (copy(value) ?? {}) as T;
}

function copy(value: unknown): unknown {
  if (typeof value === 'string') {
    const text = value.toWellFormed().replaceAll(controlCharacters, '');
    return text.trim() === '' ? undefined : text;
  }
  if (Array.isArray(value)) {
    const items = value.map(copy).filter((item) => item !== undefined);
    return items.length === 0 ? undefined : items;
  }
  if (typeof value !== 'object' || value === null) return value ?? undefined;
  const entries = Object.entries(value).map(([key, item]) => [key, copy(item)] as const).filter(([, item]) => item !== undefined);
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}
