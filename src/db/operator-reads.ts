/** Lists for the operator at the command line: one organization, or all of them one after the other. Never values of patients. */
import { z } from 'zod';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';
import { findOrganization, listOrganizations } from './organizations.ts';
import { sql, type Database, type Transaction } from './pool.ts';
import { asSystem, inOrganization } from './transaction.ts';

const Integration = z.object({
  integration_id: z.string(), name: z.string(), kind: z.string(), adapter: z.string(), direction: z.string(), state: z.string(), is_enabled: z.boolean(), receive_paused_at: z.date().nullable(), deliver_paused_at: z.date().nullable(),
  health_status: z.string(), last_ok_at: z.date().nullable(), last_error: z.string().nullable(),
});
const Exchange = z.object({
  sync_id: z.string(), started_at: z.date(), adapter: z.string(), direction: z.string(), interaction: z.string(), message_status: z.string(),
  answer_code: z.string().nullable(), duration_ms: z.number().nullable(), error_text: z.string().nullable(),
});

export type WithOrganization<Row> = Row & { readonly organization: string };

export function readIntegrations(database: Database, organization: string | undefined): Promise<WithOrganization<z.infer<typeof Integration>>[]> {
  return inEach(database, organization, (tx) => tx.any(sql.type(Integration)`
    SELECT integration_id, name, kind, adapter, direction, state, is_enabled, receive_paused_at, deliver_paused_at, health_status, last_ok_at, last_error FROM external_integrations ORDER BY name`));
}

/** The newest first. Refused messages of unknown senders are under 'Unassigned'. */
export async function readExchanges(database: Database, organization: string | undefined, limit: number): Promise<WithOrganization<z.infer<typeof Exchange>>[]> {
  const rows = await inEach(database, organization, (tx) => tx.any(sql.type(Exchange)`
    SELECT sync_id, started_at, adapter, direction, interaction, message_status, answer_code, duration_ms, error_text FROM sync_logs ORDER BY started_at DESC LIMIT ${limit}`));
  return rows.toSorted((a, b) => b.started_at.getTime() - a.started_at.getTime()).slice(0, limit);
}

export async function readExchange(database: Database, organization: string | undefined, syncId: string): Promise<WithOrganization<Record<string, unknown>> | undefined> {
  const row = z.object({ exchange: z.record(z.string(), z.unknown()) });
  const [found] = await inEach(database, organization, (tx) => tx.any(sql.type(row)`
    SELECT jsonb_strip_nulls(to_jsonb(s) - 'facts' - 'organization_id') AS exchange FROM sync_logs s WHERE sync_id = ${syncId}`));
  return found && { organization: found.organization, ...found.exchange };
}

const Association = z.object({
  association_id: z.string(), started_at: z.date(), duration_ms: z.number(), calling_ae_title: z.string().nullable(), called_ae_title: z.string().nullable(), peer_address: z.string(),
  contexts_offered: z.number(), contexts_accepted: z.number(), outcome: z.string(), rejection: z.string().nullable(), reason: z.string().nullable(), advice: z.string().nullable(),
  bytes_received: z.number(), objects: z.number(), repeats: z.number(),
});

/** The newest first. Callers that no organization claims are under 'Unassigned'. */
export async function readAssociations(database: Database, organization: string | undefined, { limit, onlyRefused }: { limit: number; onlyRefused: boolean }): Promise<WithOrganization<z.infer<typeof Association>>[]> {
  const rows = await inEach(database, organization, (tx) => tx.any(sql.type(Association)`
    SELECT association_id, started_at, duration_ms, calling_ae_title, called_ae_title, peer_address, jsonb_array_length(contexts) AS contexts_offered, contexts_accepted, outcome, rejection, reason, advice,
      bytes_received::float8 AS bytes_received, coalesce((requests->>'C-STORE')::int, 0) AS objects, repeats
    FROM association_logs WHERE NOT ${onlyRefused} OR outcome <> 'released' ORDER BY association_id DESC LIMIT ${limit}`));
  return rows.toSorted((a, b) => b.started_at.getTime() - a.started_at.getTime()).slice(0, limit);
}

export async function readAssociation(database: Database, organization: string | undefined, associationId: string): Promise<WithOrganization<Record<string, unknown>> | undefined> {
  const row = z.object({ association: z.record(z.string(), z.unknown()) });
  const [found] = await inEach(database, organization, (tx) => tx.any(sql.type(row)`
    SELECT jsonb_strip_nulls(to_jsonb(a) - 'organization_id') || jsonb_build_object('integration', i.name) AS association
    FROM association_logs a LEFT JOIN external_integrations i USING (organization_id, integration_id) WHERE association_id = ${associationId}`));
  return found && { organization: found.organization, ...found.association };
}

const ParkedDelivery = z.object({ delivery_id: z.string(), integration: z.string(), scan_number: z.string(), updated_at: z.date(), last_text: z.string().nullable() });
/** Reports that a destination refused, the oldest first. */
export function readParkedDeliveries(database: Database, organization: string | undefined): Promise<WithOrganization<z.infer<typeof ParkedDelivery>>[]> {
  return inEach(database, organization, (tx) => tx.any(sql.type(ParkedDelivery)`
    SELECT d.delivery_id, i.name AS integration, s.scan_number, d.updated_at, d.last_text FROM deliveries d JOIN external_integrations i USING (organization_id, integration_id)
      JOIN reports r USING (organization_id, report_id) JOIN scans s USING (organization_id, scan_id) WHERE d.status = 'refused' ORDER BY d.position LIMIT 1000`));
}

const ParkedNotice = z.object({ notice_id: z.string(), integration: z.string(), scan_number: z.string(), event: z.string(), updated_at: z.date(), last_text: z.string().nullable() });
/** Order status messages that a destination refused, the oldest first. */
export function readParkedNotices(database: Database, organization: string | undefined): Promise<WithOrganization<z.infer<typeof ParkedNotice>>[]> {
  return inEach(database, organization, (tx) => tx.any(sql.type(ParkedNotice)`
    SELECT n.notice_id, i.name AS integration, s.scan_number, n.event, n.updated_at, n.last_text FROM order_notices n JOIN external_integrations i USING (organization_id, integration_id)
      JOIN scans s USING (organization_id, scan_id) WHERE n.status = 'refused' ORDER BY n.position LIMIT 1000`));
}

const OpenDeadJob = z.object({ dead_job_id: z.string(), queue_name: z.string(), integration: z.string().nullable(), died_at: z.date(), error_text: z.string().nullable() });
export function readDeadJobs(database: Database, organization: string | undefined): Promise<WithOrganization<z.infer<typeof OpenDeadJob>>[]> {
  return inEach(database, organization, (tx) => tx.any(sql.type(OpenDeadJob)`
    SELECT j.dead_job_id, j.queue_name, i.name AS integration, j.died_at, j.error_text FROM dead_jobs j LEFT JOIN external_integrations i USING (organization_id, integration_id)
    WHERE j.status = 'open' ORDER BY j.dead_job_id LIMIT 1000`));
}

const Replay = z.object({ status: z.string(), accepted: z.number(), duplicate: z.number(), rejected: z.number(), failed: z.number(), left_out: z.number() });
export async function readReplay(tx: Transaction, replayId: string): Promise<z.infer<typeof Replay> | undefined> {
  return await tx.maybeOne(sql.type(Replay)`
    SELECT r.status, count(*) FILTER (WHERE i.outcome = 'accepted') AS accepted, count(*) FILTER (WHERE i.outcome = 'duplicate') AS duplicate, count(*) FILTER (WHERE i.outcome = 'rejected') AS rejected,
      count(*) FILTER (WHERE i.outcome = 'failed') AS failed, count(*) FILTER (WHERE i.outcome = 'left_out') AS left_out
    FROM message_replays r LEFT JOIN message_replay_items i USING (organization_id, replay_id) WHERE r.replay_id = ${replayId} GROUP BY r.organization_id, r.replay_id`) ?? undefined;
}

/** Whether anybody can sign in with a password; false on a new installation. */
export function someoneCanSignIn(database: Database): Promise<boolean> {
  return asSystem(database, 'first start', (tx) => tx.exists(sql.unsafe`SELECT FROM users WHERE password_hash IS NOT NULL AND is_active`));
}

export async function organizationsNamed(database: Database, name: string | undefined): Promise<readonly { organization_id: string; name: string }[]> {
  return name === undefined ? listOrganizations(database) : [await findOrganization(database, name)];
}

async function inEach<Row extends object>(database: Database, name: string | undefined, read: (tx: Transaction) => Promise<readonly Row[]>): Promise<WithOrganization<Row>[]> {
  const organizations = name === undefined
    ? [...await listOrganizations(database), { organization_id: UNASSIGNED_ORGANIZATION_ID, name: 'Unassigned' }]
    : [await findOrganization(database, name)];
  const all: WithOrganization<Row>[] = [];
  for (const { organization_id, name: organization } of organizations) {
    all.push(...(await inOrganization(database, organization_id, read)).map((row) => ({ organization, ...row })));
  }
  return all;
}
