/** The documents with generated parts: README.md and adapters/<name>/README.md. Returns path -> what it should hold. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { ADAPTERS_DIRECTORY, loadAdapters } from '../src/gateway/registry.ts';
import { adapterSettingsTable, environmentTable, inject } from './settings-tables.ts';

export const root = path.join(import.meta.dirname, '..');

export async function generatedDocs(): Promise<ReadonlyMap<string, string>> {
  const documents = new Map<string, string>();
  for (const [name, adapter] of await loadAdapters()) {
    const file = path.join(ADAPTERS_DIRECTORY, name, 'README.md');
    documents.set(file, inject(await readFile(file, 'utf8'), 'settings', adapterSettingsTable(adapter.configSchema)));
  }
  const readme = path.join(root, 'README.md');
  documents.set(readme, inject(await readFile(readme, 'utf8'), 'settings', environmentTable()));
  return documents;
}
