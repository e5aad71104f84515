/** Which objects of the store the exchanges of an hour refer to. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Row = z.object({ location: z.string(), is_in_use: z.boolean() });

/** An object is named by the hour its writing began; its exchange began before that and was written at most some hours later. */
export async function storedLocations(tx: CommonQueryMethods, hour: Date): Promise<readonly { location: string; isInUse: boolean }[]> {
  const rows = await tx.any(sql.type(Row)`
    SELECT substring(payload_location FROM 7) AS location, message_status = 'accepted' AS is_in_use FROM sync_logs
    WHERE organization_id = ${ORGANIZATION} AND direction = 'inbound' AND payload_location LIKE 'store:%'
      AND started_at BETWEEN ${hour.toISOString()}::timestamptz - interval '6 hours' AND ${hour.toISOString()}::timestamptz + interval '6 hours'`);
  return rows.map((row) => ({ location: row.location, isInUse: row.is_in_use }));
}
