/**
 * Whose folder it is. Below MEDSCAN_FOLDERS integrations name folders to exchange files in (settings marked `.meta({ folder: true })`); each belongs to
 * one organization, to read from and to write to: in a shared one each would read the patients of the other.
 */
import type { Adapter, Integration } from './adapter.ts';
import { settingsMarked } from './settings-form.ts';

const fieldsOf = new WeakMap<Adapter, readonly string[]>();

/** The folders that settings of this adapter name, with the names of the settings. */
export function foldersNamed(adapter: Adapter, settings: object): readonly { readonly setting: string; readonly folder: string }[] {
  let fields = fieldsOf.get(adapter);
  if (!fields) fieldsOf.set(adapter, fields = settingsMarked(adapter.configSchema, 'folder'));
  return fields.flatMap((setting) => {
    const folder = (settings as Record<string, unknown>)[setting];
    return typeof folder === 'string' ? [{ setting, folder }] : [];
  });
}

/** Two names that some file system takes for one. */
export const isSameFolderName = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

/** The folders that integrations of other organizations name. */
export function foldersOfOthers(named: Iterable<{ readonly adapter: Adapter; readonly integrations: readonly Pick<Integration, 'organizationId' | 'config'>[] }>, organizationId: string): readonly string[] {
  const folders = [...named].flatMap(({ adapter, integrations }) => integrations.filter((integration) => integration.organizationId !== organizationId).flatMap(({ config }) => foldersNamed(adapter, config as object)));
  return [...new Set(folders.map(({ folder }) => folder))];
}
