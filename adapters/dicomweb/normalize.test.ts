/** Walks testcases/, as the DIMSE adapter does, and holds both adapters to the same rows for the same object. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { NormalizeError } from '#gateway/adapter.ts';
import { createMapper } from '#mapping/mapper.ts';
import { encodeDataset, type DatasetElements } from '#standards/dicom/dataset-writer.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import dimse from '../dicom-dimse/adapter.ts';
import adapter from './adapter.ts';

interface Case { readonly settings: Record<string, unknown>; readonly facts?: Record<string, unknown>; readonly dataset: DatasetElements }
const folder = join(import.meta.dirname, 'testcases'), folderOfDimse = join(import.meta.dirname, '../dicom-dimse/testcases');
const map = createMapper(join(import.meta.dirname, '../../mappings'));
const identifiers = { sopClassUid: '1.2.840.10008.5.1.4.1.1.2', sopInstanceUid: '1.2.826.0.1.3680043.10.99.3', transferSyntaxUid: '1.2.840.10008.1.2.1' };

async function outcome(by: typeof adapter | typeof dimse, { settings, facts, dataset }: Case): Promise<unknown> {
  const prefix = buildPart10Header(identifiers);
  try {
    const { trace: _trace, mapping: _mapping, ...rows } = await by.inbound!.normalize({
      integration: { integrationId: 'i', organizationId: 'o', name: 'test', config: by.configSchema.parse(settings) as never }, interaction: 'STOW-RS', controlId: identifiers.sopInstanceUid,
      receivedAt: new Date('2026-11-22T12:00:00Z'), head: Buffer.concat([prefix, encodeDataset(dataset)]), facts: { ...identifiers, datasetOffset: prefix.length, ...facts },
    }, map);
    return rows;
  } catch (error) {
    if (!(error instanceof NormalizeError)) throw error;
    return { rejected: { reason: error.reason, text: error.message, location: error.location } };
  }
}
const read = (directory: string, name: string, file: string): unknown => JSON.parse(readFileSync(join(directory, name, file), 'utf8'));
const casesOf = (directory: string): string[] => readdirSync(directory).filter((name) => existsSync(join(directory, name, 'message.json')));

test.each(casesOf(folder))('case %s', async (name) => {
  expect(JSON.parse(JSON.stringify(await outcome(adapter, read(folder, name, 'message.json') as Case)))).toEqual(read(folder, name, 'expected.json'));
});

test.each(casesOf(folderOfDimse))('%s gives the rows that C-STORE gives', async (name) => {
  const message = read(folderOfDimse, name, 'message.json') as Case;
  const withoutWay = (rows: unknown): unknown => JSON.parse(JSON.stringify(rows).replaceAll(/of the (C-STORE command|opening of the file)|the (C-STORE command|opening of the file)/g, 'what was announced'));
  expect(withoutWay(await outcome(adapter, message))).toEqual(withoutWay(await outcome(dimse, message)));
});
