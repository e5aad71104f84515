import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, json, optionalTimestamp, text, timestamp } from '../fields.ts';
import { keyAfter, type Page } from '../pagination.ts';

export const kinds = ['pacs', 'ris', 'emr', 'modality', 'ai', 'archive'] as const;
export const directions = ['inbound', 'outbound', 'both'] as const;

export const Integration = z.object({
  integration_id: id, name: z.string(), kind: z.enum(kinds), adapter: z.string(), direction: z.enum(directions),
  settings: json.describe('Without secrets; has_credentials tells whether some are stored'), has_credentials: z.boolean(), mapping_overrides: json,
  is_enabled: z.boolean(), receive_paused_at: optionalTimestamp, deliver_paused_at: optionalTimestamp, state: z.enum(['draft', 'active']), version: z.int(), health_status: z.enum(['unknown', 'ok', 'degraded', 'down']),
  last_ok_at: optionalTimestamp, last_error: text, last_error_at: optionalTimestamp, owner_contact: text, purpose: text, created_at: timestamp, updated_at: timestamp,
}).openapi('Integration');
export type Integration = z.output<typeof Integration>;

export const IntegrationInput = z.strictObject({
  name: z.string().trim().min(1).max(100), kind: z.enum(kinds), adapter: z.string().min(1).max(100).describe('One of GET /adapters'), direction: z.enum(directions),
  settings: json.default({}).describe('By the adapter\'s schema; a secret that is left out keeps its stored value'),
  is_enabled: z.boolean().default(true), owner_contact: z.string().max(200).nullable().optional(), purpose: z.string().max(500).nullable().optional(),
  expected_version: z.int().min(1).optional().describe('Refuse with 409 when somebody changed it meanwhile'),
}).openapi('IntegrationInput');

export const IntegrationSwitch = z.strictObject({ is_enabled: z.boolean() }).openapi('IntegrationSwitch');

export const IntegrationPause = z.strictObject({
  receive: z.boolean().optional().describe('true: what the system sends is answered "not now" (A700, AE, 503) and stays in its queue'),
  deliver: z.boolean().optional().describe('true: reports for the system wait in order'),
}).refine((pause) => pause.receive !== undefined || pause.deliver !== undefined, 'Give receive, deliver or both').openapi('IntegrationPause');

export const ConnectionTest = z.object({
  ok: z.boolean(),
  steps: z.array(z.object({ step: z.string(), ok: z.boolean(), milliseconds: z.number(), detail: z.string(), advice: z.string().optional() })),
}).openapi('ConnectionTest');

export const Adapter = z.object({
  name: z.string(), title: z.string(), summary: z.string(), inbound: z.array(z.string()), outbound: z.array(z.string()), settings_schema: json, secret_fields: z.array(z.string()),
}).openapi('Adapter');

const columns = sql.fragment`integration_id, name, kind, adapter, direction, settings, credentials_sealed IS NOT NULL AS has_credentials, mapping_overrides, is_enabled, receive_paused_at, deliver_paused_at, state, version,
  health_status, last_ok_at, last_error, last_error_at, owner_contact, purpose, created_at, updated_at`;

export function listIntegrations(tx: Transaction, page: Page) {
  return tx.any(sql.type(Integration)`
    SELECT ${columns} FROM external_integrations
    WHERE organization_id = ${ORGANIZATION} AND integration_id < coalesce(${keyAfter(page)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    ORDER BY integration_id DESC LIMIT ${page.limit + 1}`);
}

export function readIntegration(tx: Transaction, integrationId: string) {
  return tx.maybeOne(sql.type(Integration)`SELECT ${columns} FROM external_integrations WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId}`);
}

/** Takes a new version even when the value is the same, so that every switch is on record. */
export async function switchIntegration(tx: Transaction, integrationId: string, isEnabled: boolean, changedBy: string): Promise<Integration | undefined> {
  const changed = await tx.maybeOne(sql.type(Integration)`
    UPDATE external_integrations SET is_enabled = ${isEnabled}, version = version + 1 WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId} RETURNING ${columns}`);
  if (!changed) return undefined;
  await tx.query(sql.typeAlias('void')`
    INSERT INTO configuration_versions (organization_id, table_name, row_id, version, value, changed_by)
    SELECT organization_id, 'external_integrations', integration_id, version, to_jsonb(i) - 'organization_id' - 'health_status' - 'last_ok_at' - 'last_error' - 'last_error_at', ${changedBy}
    FROM external_integrations i WHERE organization_id = ${ORGANIZATION} AND integration_id = ${integrationId}`);
  return changed;
}
