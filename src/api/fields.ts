/** Field types shared by the API's rows. The same schema checks what the database returned and describes it in the OpenAPI document. */
import { z } from '@hono/zod-openapi';

export const id = z.uuid();
/** timestamptz as the database driver gives it (a Date), as ISO 8601 UTC in JSON. */
export const timestamp = z.preprocess((value) => (value instanceof Date ? value.toISOString() : value), z.iso.datetime()).openapi({ type: 'string', format: 'date-time' });
export const optionalTimestamp = z.preprocess((value) => (value instanceof Date ? value.toISOString() : value), z.iso.datetime().nullable()).openapi({ type: ['string', 'null'], format: 'date-time' });
export const text = z.string().nullable();
export const json = z.record(z.string(), z.unknown());
/** In queries: 2026-11-22 or 2026-11-22T10:00:00Z. */
export const instant = z.union([z.iso.datetime({ offset: true }), z.iso.date()]);

/** One path parameter that is a UUID. */
export function pathId<Name extends string>(name: Name) {
  return z.object({ [name]: id } as Record<Name, typeof id>);
}
