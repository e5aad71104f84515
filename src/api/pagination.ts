/**
 * Keyset pages: newest first, by the primary key. Keys are UUIDv7 (or a sequence), so their order is the order of time and the
 * primary key's index serves every page at the same cost.
 */
import { z } from '@hono/zod-openapi';
import { invalid } from './problem.ts';
import { lowestUuidAt } from '#domain/uuid.ts';

export const maximumLimit = 200;

export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(maximumLimit).default(50).openapi({ description: 'Items per page' }),
  cursor: z.string().max(200).optional().openapi({ description: 'next_cursor of the page before' }),
});

export interface Page { readonly limit: number; readonly cursor?: string | undefined }

export function listOf<Item extends z.ZodType>(item: Item) {
  return z.object({ items: z.array(item), next_cursor: z.string().nullable().describe('null on the last page') });
}

/** `rows` were read with LIMIT limit + 1; the extra row only tells that there is a next page. */
export function toPage<Row>(rows: readonly Row[], page: Page, keyOf: (row: Row) => string): { items: Row[]; next_cursor: string | null } {
  const items = rows.slice(0, page.limit);
  const last = items.at(-1);
  return { items, next_cursor: rows.length > page.limit && last !== undefined ? encodeCursor(keyOf(last)) : null };
}

const DAY_MILLISECONDS = 86_400_000;
/**
 * The ids that rows of a time have, a day on either side: an id is made when its row's time begins, so a list in the order of ids need not walk from
 * today to a day long ago.
 */
export function idsFrom(instant: string): string {
  return lowestUuidAt(new Date(instant).getTime() - DAY_MILLISECONDS);
}
export function idsBefore(instant: string): string {
  return lowestUuidAt(new Date(instant).getTime() + DAY_MILLISECONDS);
}
function encodeCursor(key: string): string {
  return Buffer.from(`1:${key}`).toString('base64url');
}

/** The key to continue below; null for the first page. A cursor that this API did not make is a 422. */
export function keyAfter(page: Page, key: z.ZodType<string> = z.uuid()): string | null {
  if (page.cursor === undefined) return null;
  const [version, value] = Buffer.from(page.cursor, 'base64url').toString('utf8').split(':');
  const parsed = key.safeParse(value);
  if (version !== '1' || !parsed.success) throw invalid('query/cursor', 'The cursor is not one that this list returned.');
  return parsed.data;
}
