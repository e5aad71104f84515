/** system_settings (of the organization, every change a version) and user_preferences. */
import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { timestamp } from '../fields.ts';

/** The settings there are, what each takes and what holds until it is set. */
export const settingDefinitions = {
  session_idle_minutes: { schema: z.int().min(1).max(60), fallback: 15, description: 'Minutes without a request after which a session ends' },
  association_log_days: { schema: z.int().min(1).max(3_650), fallback: 90, description: 'Days for which the log of DICOM associations is kept' },
  audit_archive: { schema: z.int().min(0).max(1), fallback: 0, description: '1: each week what was added to the audit log is written to a file, too' },
  session_hours: { schema: z.int().min(1).max(24), fallback: 12, description: 'Hours after which a session ends in any case' },
} as const;
export type SettingKey = keyof typeof settingDefinitions;
export const settingKeys = Object.keys(settingDefinitions) as [SettingKey, ...SettingKey[]];

export const Setting = z.object({
  setting_key: z.enum(settingKeys), value: z.int(), version: z.int().describe('0: never changed, the default holds'), changed_by: z.string().nullable(), description: z.string(),
}).openapi('Setting');
export const SettingChange = z.strictObject({ value: z.int() }).openapi('SettingChange');

const StoredSetting = z.object({ setting_key: z.string(), value: z.int(), version: z.int(), changed_by: z.string() });

export async function readSettings(tx: Transaction): Promise<z.output<typeof Setting>[]> {
  const stored = await tx.any(sql.type(StoredSetting)`
    SELECT DISTINCT ON (setting_key) setting_key, value, version, changed_by FROM system_settings
    WHERE organization_id = ${ORGANIZATION} AND setting_key = ANY(${sql.array(settingKeys, 'text')}) ORDER BY setting_key, version DESC`);
  return settingKeys.map((key) => {
    const row = stored.find((candidate) => candidate.setting_key === key);
    const { fallback, description } = settingDefinitions[key];
    return { setting_key: key, value: row?.value ?? fallback, version: row?.version ?? 0, changed_by: row?.changed_by ?? null, description };
  });
}

export async function writeSetting(tx: Transaction, key: SettingKey, value: number, changedBy: string): Promise<void> {
  await tx.query(sql.typeAlias('void')`
    INSERT INTO system_settings (organization_id, setting_key, version, value, changed_by)
    SELECT ${ORGANIZATION}, ${key}, coalesce(max(version), 0) + 1, ${JSON.stringify(value)}::jsonb, ${changedBy} FROM system_settings WHERE organization_id = ${ORGANIZATION} AND setting_key = ${key}`);
}

export const Preference = z.object({ preference_key: z.string(), value: z.unknown(), updated_at: timestamp }).openapi('Preference');
/** Small values of the user's own choosing: page sizes, columns, whether a page reloads. */
export const PreferenceChange = z.strictObject({ value: z.unknown().refine((value) => value !== undefined && JSON.stringify(value).length <= 16_384, 'Any JSON value of at most 16 KiB') }).openapi('PreferenceChange');
export const preferenceKey = z.string().regex(/^[a-z][a-z0-9_.]{0,63}$/);

export function readPreferences(tx: Transaction, userId: string) {
  return tx.any(sql.type(Preference)`SELECT preference_key, value, updated_at FROM user_preferences WHERE organization_id = ${ORGANIZATION} AND user_id = ${userId} ORDER BY preference_key`);
}

export function writePreference(tx: Transaction, userId: string, key: string, value: unknown) {
  return tx.one(sql.type(Preference)`
    INSERT INTO user_preferences (organization_id, user_id, preference_key, value) VALUES (${ORGANIZATION}, ${userId}, ${key}, ${JSON.stringify(value)}::jsonb)
    ON CONFLICT (organization_id, user_id, preference_key) DO UPDATE SET value = excluded.value RETURNING preference_key, value, updated_at`);
}

/** Whether the status page reloads itself for this user; it does until the user pauses it. */
export const reloadPreference = 'status_page.reload';

export async function statusPageReloads(tx: Transaction, userId: string): Promise<boolean> {
  const preference = (await readPreferences(tx, userId)).find((candidate) => candidate.preference_key === reloadPreference);
  return preference?.value !== false;
}
