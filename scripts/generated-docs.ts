/** The documents with generated parts: README.md, docs/operate.md and adapters/<name>/README.md. Returns path -> what it should hold. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import product from '../package.json' with { type: 'json' };
import { ADAPTERS_DIRECTORY, loadAdapters } from '../src/gateway/registry.ts';
import { adapterSettingsTable, environmentTable, inject, metricsTable } from './settings-tables.ts';

export const root = path.join(import.meta.dirname, '..');

/** Of one integration with the settings as they come and a destination, which is what a reader compares with. */
async function defaultConformance(name: string, settings: object): Promise<string> {
  const adapter = (await loadAdapters()).get(name)!;
  const config = adapter.configSchema.parse(settings);
  return adapter.conformance!({ product: 'MedScan Gateway', version: product.version, integrations: [{ integrationId: 'default', organizationId: 'default', name: 'the default configuration', config }] });
}

export async function generatedDocs(): Promise<ReadonlyMap<string, string>> {
  const documents = new Map<string, string>();
  for (const [name, adapter] of await loadAdapters()) {
    const file = path.join(ADAPTERS_DIRECTORY, name, 'README.md');
    documents.set(file, inject(await readFile(file, 'utf8'), 'settings', adapterSettingsTable(adapter.configSchema)));
  }
  for (const [name, marker, table] of [['README.md', 'settings', environmentTable()], ['docs/operate.md', 'metrics', metricsTable()]] as const) {
    const file = path.join(root, name);
    documents.set(file, inject(await readFile(file, 'utf8'), marker, table));
  }
  documents.set(path.join(root, 'docs/dicom-conformance.md'), await defaultConformance('dicom-dimse', { destination: { host: 'pacs.example', called_ae_title: 'PACS' } }));
  documents.set(path.join(root, 'docs/hl7-conformance.md'), await defaultConformance('hl7v2-mllp', { host: 'ris.example', port: 2575 }));
  return documents;
}
