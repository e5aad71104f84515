/**
 * JSON that jsonb takes whatever a sender sent: PostgreSQL has no NUL character and no lone surrogate, and the record of a refused message
 * must not fail because of the very bytes it was refused for. They become U+FFFD.
 */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value);
  return /\\u(0000|d[89a-f])/i.test(text) ? JSON.stringify(value, (_key, entry: unknown) => (typeof entry === 'string' ? entry.replaceAll('\0', '\uFFFD').toWellFormed() : entry)) : text;
}
