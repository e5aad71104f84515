/** external_integrations: reading them for the registry, saving them with their version history. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

const Nothing = z.object({});
const Row = z.object({
  organization_id: z.string(), integration_id: z.string(), name: z.string(), kind: z.string(), adapter: z.string(), direction: z.enum(['inbound', 'outbound', 'both']),
  settings: z.record(z.string(), z.unknown()), credentials_sealed: z.string().nullable(), is_enabled: z.boolean(), version: z.number(),
  receive_paused_at: z.date().nullable(), deliver_paused_at: z.date().nullable(),
});
export type IntegrationRow = z.infer<typeof Row>;
const COLUMNS = sql.fragment`organization_id, integration_id, name, kind, adapter, direction, settings, credentials_sealed, is_enabled, version, receive_paused_at, deliver_paused_at`;

/** Every active integration of every organization; for asSystem. */
export async function allIntegrations(tx: CommonQueryMethods): Promise<readonly IntegrationRow[]> {
  return tx.any(sql.type(Row)`SELECT ${COLUMNS} FROM external_integrations WHERE state = 'active' ORDER BY organization_id, name`);
}

export async function lockIntegration(tx: CommonQueryMethods, by: { integrationId: string } | { name: string }): Promise<IntegrationRow | undefined> {
  const condition = 'name' in by ? sql.fragment`name = ${by.name}` : sql.fragment`integration_id = ${by.integrationId}`;
  return await tx.maybeOne(sql.type(Row)`SELECT ${COLUMNS} FROM external_integrations WHERE organization_id = ${ORGANIZATION} AND ${condition} FOR UPDATE`) ?? undefined;
}

/** Held until the transaction ends: who looks for a folder's owner and then names it does so alone. */
export async function oneFolderSaveAtATime(tx: CommonQueryMethods): Promise<void> {
  await tx.query(sql.type(Nothing)`SELECT pg_advisory_xact_lock(hashtextextended('medscan folders', 0))`);
}

export interface IntegrationValues {
  integrationId: string; name: string; kind: string; adapter: string; direction: string; settings: unknown; credentialsSealed: string | null; isEnabled: boolean;
  ownerContact: string | null; purpose: string | null; version: number;
}

export async function upsertIntegration(tx: CommonQueryMethods, values: IntegrationValues, changedBy: string): Promise<void> {
  await tx.query(sql.type(Nothing)`
    INSERT INTO external_integrations (organization_id, integration_id, name, kind, adapter, direction, settings, credentials_sealed, is_enabled, owner_contact, purpose, version)
    VALUES (${ORGANIZATION}, ${values.integrationId}, ${values.name}, ${values.kind}, ${values.adapter}, ${values.direction}, ${sql.jsonb(values.settings as never)},
      ${values.credentialsSealed}, ${values.isEnabled}, ${values.ownerContact}, ${values.purpose}, ${values.version})
    ON CONFLICT (organization_id, integration_id) DO UPDATE SET name = excluded.name, kind = excluded.kind, adapter = excluded.adapter, direction = excluded.direction,
      settings = excluded.settings, credentials_sealed = excluded.credentials_sealed, is_enabled = excluded.is_enabled,
      owner_contact = coalesce(excluded.owner_contact, external_integrations.owner_contact), purpose = coalesce(excluded.purpose, external_integrations.purpose), version = excluded.version`);
  const { credentialsSealed, ...shown } = values;
  await tx.query(sql.type(Nothing)`
    INSERT INTO configuration_versions (organization_id, table_name, row_id, version, value, changed_by)
    VALUES (${ORGANIZATION}, 'external_integrations', ${values.integrationId}, ${values.version}, ${sql.jsonb({ ...shown, has_credentials: credentialsSealed !== null } as never)}, ${changedBy})`);
}

/** Pauses or resumes; a part that is left out stays as it is, and one that is paused already keeps its time. Undefined: no such integration. */
export async function pauseIntegration(tx: CommonQueryMethods, integrationId: string, paused: { readonly receive?: boolean | undefined; readonly deliver?: boolean | undefined }, changedBy: string): Promise<IntegrationRow | undefined> {
  const [receive, deliver] = [paused.receive ?? null, paused.deliver ?? null];
  const changed = await tx.maybeOne(sql.type(Row)`
    UPDATE external_integrations SET version = version + 1,
      receive_paused_at = CASE ${receive}::boolean WHEN true THEN coalesce(receive_paused_at, now()) WHEN false THEN NULL ELSE receive_paused_at END,
      deliver_paused_at = CASE ${deliver}::boolean WHEN true THEN coalesce(deliver_paused_at, now()) WHEN false THEN NULL ELSE deliver_paused_at END
    WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} RETURNING ${COLUMNS}`);
  if (!changed) return undefined;
  await tx.query(sql.type(Nothing)`
    INSERT INTO configuration_versions (organization_id, table_name, row_id, version, value, changed_by)
    VALUES (${ORGANIZATION}, 'external_integrations', ${integrationId}, ${changed.version},
      ${sql.jsonb({ receive_paused_at: changed.receive_paused_at?.toISOString() ?? null, deliver_paused_at: changed.deliver_paused_at?.toISOString() ?? null })}, ${changedBy})`);
  return changed;
}

export async function recordHealth(tx: CommonQueryMethods, integrationId: string, health: { status: 'ok' | 'degraded' | 'down'; error?: string }): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE external_integrations SET health_status = ${health.status}, last_ok_at = CASE WHEN ${health.status} = 'ok' THEN now() ELSE last_ok_at END,
      last_error = CASE WHEN ${health.status} = 'ok' THEN last_error ELSE ${health.error ?? null} END, last_error_at = CASE WHEN ${health.status} = 'ok' THEN last_error_at ELSE now() END
    WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId}`);
}

/** An inbound message was accepted: says nothing about whether results can be delivered there. */
export async function recordAlive(tx: CommonQueryMethods, integrationId: string): Promise<void> {
  await tx.query(sql.type(Nothing)`
    UPDATE external_integrations SET last_ok_at = now(), health_status = CASE health_status WHEN 'unknown' THEN 'ok' ELSE health_status END
    WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId}`);
}
