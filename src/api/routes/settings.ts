import { z } from '@hono/zod-openapi';
import { auditEvents, eventTypes } from '../../audit/event.ts';
import { listOf } from '../pagination.ts';
import { invalid } from '../problem.ts';
import { Preference, PreferenceChange, preferenceKey, readPreferences, readSettings, Setting, SettingChange, settingDefinitions, settingKeys, writePreference, writeSetting } from '../queries/settings.ts';
import type { ApiRouter } from '../router.ts';

export function settingRoutes(router: ApiRouter): void {
  router.route('GET /system-settings', { summary: 'Settings of the organization', tag: 'configuration', returns: listOf(Setting), unaudited: 'read-only, neither patients nor secrets' }, async ({ transact }) =>
    ({ items: await transact(readSettings), next_cursor: null }));

  router.route('PUT /system-settings/{setting_key}', {
    summary: 'Change a setting', tag: 'configuration', params: z.object({ setting_key: z.enum(settingKeys) }), body: SettingChange, returns: Setting,
    description: 'Every change is a new version; earlier ones stay on record. Sessions take a new limit with their next request or sign-in.',
  }, ({ transact, params, body, caller }) => transact(async (tx, audit) => {
    const key = params.setting_key;
    const checked = settingDefinitions[key].schema.safeParse(body.value);
    if (!checked.success) throw invalid('#/value', checked.error.issues[0]?.message ?? 'Not a value of this setting');
    await writeSetting(tx, key, checked.data, caller.userId);
    await audit({ ...auditEvents.securityAlert, action: 'U', object: { type: 'system_setting', id: key }, detail: { event_type: eventTypes.securityConfiguration, value: checked.data } });
    return (await readSettings(tx)).find((setting) => setting.setting_key === key)!;
  }));

  router.route('GET /auth/me/preferences', { summary: 'My preferences', tag: 'auth', returns: listOf(Preference), unaudited: 'the caller\'s own choices' }, async ({ transact, caller }) =>
    ({ items: [...await transact((tx) => readPreferences(tx, caller.userId))], next_cursor: null }));

  router.route('PUT /auth/me/preferences/{preference_key}', {
    summary: 'Set one of my preferences', tag: 'auth', params: z.object({ preference_key: preferenceKey }), body: PreferenceChange, returns: Preference, unaudited: 'the caller\'s own choices',
  }, ({ transact, params, body, caller }) => transact((tx) => writePreference(tx, caller.userId, params.preference_key, body.value)));
}
