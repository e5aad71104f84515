/**
 * Finds the adapters: every folder of adapters/ with an adapter.ts whose default export keeps the contract. This dynamic import is
 * the only way by which the core reaches an adapter; adding one changes nothing here.
 */
import { readdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Adapter } from './adapter.ts';

export const ADAPTERS_DIRECTORY = path.resolve(import.meta.dirname, '../../adapters');

/** Loads every adapter, by name. Throws in words when a folder's adapter.ts does not export one. */
export async function loadAdapters(directory: string = ADAPTERS_DIRECTORY): Promise<ReadonlyMap<string, Adapter>> {
  const adapters = new Map<string, Adapter>();
  for (const entry of (await readdir(directory, { withFileTypes: true })).toSorted((a, b) => a.name.localeCompare(b.name))) {
    const file = path.join(directory, entry.name, 'adapter.ts');
    if (!entry.isDirectory() || !existsSync(file)) continue;
    const { default: adapter } = await import(pathToFileURL(file).href) as { default?: Adapter };
    if (adapter?.name !== entry.name) throw new Error(`${path.relative(process.cwd(), file)}: the default export must be an adapter named '${entry.name}'`);
    adapters.set(adapter.name, adapter);
  }
  return adapters;
}
