/** scan_arrivals: for which scans more images may come. Times are the database's, since several processes read them. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});

export interface ArrivalRow { readonly arrival_id: string; readonly scan_id: string; readonly state: 'open' | 'broken'; readonly peer: string; readonly holds_seconds: number }

/** These are all that this process has: others of its own end, and so does what is over. */
export async function saveArrivals(tx: CommonQueryMethods, gatewayId: string, rows: readonly ArrivalRow[]): Promise<void> {
  await tx.query(sql.type(Nothing)`
    WITH r AS (SELECT * FROM jsonb_to_recordset(${jsonText(rows)}::jsonb) AS r(arrival_id uuid, scan_id uuid, state text, peer text, holds_seconds float8)),
    ended AS (
      DELETE FROM scan_arrivals a WHERE a.organization_id = ${ORGANIZATION} AND (a.holds_until < now() - interval '1 hour'
        OR (a.gateway_id = ${gatewayId} AND a.state <> 'restarted' AND NOT EXISTS (SELECT FROM r WHERE r.arrival_id = a.arrival_id AND r.scan_id = a.scan_id))))
    INSERT INTO scan_arrivals (organization_id, arrival_id, scan_id, gateway_id, state, peer, holds_until)
    SELECT ${ORGANIZATION}, arrival_id, scan_id, ${gatewayId}, state, peer, now() + make_interval(secs => holds_seconds) FROM r
    ON CONFLICT (organization_id, arrival_id, scan_id) DO UPDATE SET state = excluded.state, holds_until = excluded.holds_until`);
}

/** The receiver was away: those who were sending get `seconds` to come again. Of every scan that has images and is not complete. */
export async function holdAfterRestart(tx: CommonQueryMethods, gatewayId: string, seconds: number): Promise<number> {
  const { rowCount } = await tx.query(sql.type(Nothing)`
    INSERT INTO scan_arrivals (organization_id, arrival_id, scan_id, gateway_id, state, holds_until)
    SELECT ${ORGANIZATION}, ${gatewayId}, scan_id, ${gatewayId}, 'restarted', now() + make_interval(secs => ${seconds})
    FROM scans WHERE organization_id = ${ORGANIZATION} AND status = 'in_progress' AND images_complete_at IS NULL AND last_instance_at IS NOT NULL
    ON CONFLICT (organization_id, arrival_id, scan_id) DO UPDATE SET holds_until = excluded.holds_until`);
  return rowCount;
}

const Holding = z.object({ state: z.enum(['open', 'broken', 'restarted']), peer: z.string().nullable() });
export type HoldingArrival = z.infer<typeof Holding>;

/** What may still bring images of this scan; an open association before all. */
export async function arrivalOf(tx: CommonQueryMethods, scanId: string): Promise<HoldingArrival | undefined> {
  return await tx.maybeOne(sql.type(Holding)`
    SELECT state, peer FROM scan_arrivals WHERE organization_id = ${ORGANIZATION} AND scan_id = ${scanId} AND holds_until > now() ORDER BY state = 'open' DESC, holds_until DESC LIMIT 1`) ?? undefined;
}
