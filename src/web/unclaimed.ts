/**
 * Callers that no system is configured for: the first thing to look at when "nothing arrives". What they were refused belongs to no organization, and is shown
 * where there is one organization only: with several, one would read the others' names and addresses. No content of messages.
 */
import { html } from 'hono/html';
import { z } from '@hono/zod-openapi';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';
import { text, timestamp } from '../api/fields.ts';
import { ORGANIZATION } from '../db/current-organization.ts';
import { listOrganizations } from '../db/organizations.ts';
import { sql, type Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import type { Html } from './layout.ts';
import { ago, section } from './parts.ts';

const Caller = z.object({ protocol: z.string(), who: text, wanted: text, address: text, why: text, advice: text, times: z.int(), last_at: timestamp });
export type UnclaimedCaller = z.output<typeof Caller>;
/** So many of the newest are counted; a flood of refused callers is longer. */
const mostLooked = 2_000;

export async function readUnclaimed(database: Database): Promise<readonly UnclaimedCaller[]> {
  if ((await listOrganizations(database)).length !== 1) return [];
  return inOrganization(database, UNASSIGNED_ORGANIZATION_ID, async (tx) => {
    const associations = await tx.any(sql.type(Caller)`
      SELECT 'DICOM' AS protocol, calling_ae_title AS who, called_ae_title AS wanted, peer_address AS address, reason AS why, advice, sum(1 + repeats)::int AS times, max(started_at) AS last_at
      FROM (SELECT * FROM association_logs WHERE organization_id = ${ORGANIZATION} AND outcome <> 'released' ORDER BY association_id DESC LIMIT ${mostLooked}) l WHERE started_at >= now() - interval '7 days'
      GROUP BY calling_ae_title, called_ae_title, peer_address, reason, advice ORDER BY max(started_at) DESC LIMIT 20`);
    const messages = await tx.any(sql.type(Caller)`
      SELECT adapter AS protocol, peer_application AS who, interaction AS wanted, peer_address AS address, error_text AS why, NULL AS advice, count(*) AS times, max(started_at) AS last_at
      FROM (SELECT * FROM sync_logs WHERE organization_id = ${ORGANIZATION} AND started_at >= now() - interval '7 days' ORDER BY started_at DESC LIMIT ${mostLooked}) l WHERE message_status IN ('rejected', 'failed') AND adapter <> 'dicom-dimse'
      GROUP BY adapter, peer_application, interaction, peer_address, error_text ORDER BY max(started_at) DESC LIMIT 20`);
    return [...associations, ...messages].toSorted((a, b) => (a.last_at < b.last_at ? 1 : -1));
  });
}

export function unclaimedSection(callers: readonly UnclaimedCaller[], now: Date): Html | string {
  if (callers.length === 0) return '';
  return section('Callers of the last 7 days that belong to no system', ['Last', 'Caller', 'Wanted', 'Times', 'Why it was refused'], callers.map((caller) => html`<tr><td>${ago(caller.last_at, now)}</td><td>${caller.who ?? 'without a name'}<div class="sub">${caller.protocol} from ${caller.address ?? 'nowhere'}</div></td>
<td>${caller.wanted ?? ''}</td><td class="number">${caller.times}</td><td>${caller.why ?? ''}${caller.advice ? html`<div class="advice">${caller.advice}</div>` : ''}</td></tr>`), '');
}
