/**
 * Walks testcases/: message.json is a data set with the settings it meets, expected.json the rows or the refusal. A new case is a
 * new folder; expected.json is written by hand or reviewed by eye.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { NormalizeError } from '#gateway/adapter.ts';
import { createMapper } from '#mapping/mapper.ts';
import type { DatasetElements } from '#standards/dicom/dataset-writer.ts';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import type { Config } from './config.ts';
import { normalize } from './normalize.ts';
import { integration } from './testing/gateway.ts';
import { explicitLittleEndian } from './testing/peer.ts';

interface Case { readonly about: string; readonly settings: Partial<Config>; readonly facts?: Record<string, unknown>; readonly dataset: DatasetElements }
const folder = join(import.meta.dirname, 'testcases');
const map = createMapper(join(import.meta.dirname, '../../mappings'));

async function outcome({ settings, facts, dataset }: Case): Promise<unknown> {
  const identifiers = { sopClassUid: '1.2.840.10008.5.1.4.1.1.2', sopInstanceUid: '1.2.826.0.1.3680043.10.99.3', transferSyntaxUid: explicitLittleEndian };
  const prefix = buildPart10Header(identifiers);
  try {
    const { trace: _trace, mapping: _mapping, ...rows } = await normalize({
      integration: integration(settings), interaction: 'C-STORE', controlId: identifiers.sopInstanceUid, receivedAt: new Date('2026-11-22T12:00:00Z'),
      head: Buffer.concat([prefix, encodeDataset(dataset)]), facts: { ...identifiers, datasetOffset: prefix.length, ...facts },
    }, map);
    return rows;
  } catch (error) {
    if (!(error instanceof NormalizeError)) throw error;
    return { rejected: { reason: error.reason, text: error.message, location: error.location } };
  }
}

test.each(readdirSync(folder).filter((name) => existsSync(join(folder, name, 'message.json'))))('case %s', async (name) => {
  const read = (file: string): unknown => JSON.parse(readFileSync(join(folder, name, file), 'utf8'));
  expect(JSON.parse(JSON.stringify(await outcome(read('message.json') as Case)))).toEqual(read('expected.json'));
});

test('traces every rule, and names the mapping with its version', async () => {
  const { dataset, settings } = JSON.parse(readFileSync(join(folder, 'ct-with-issuer/message.json'), 'utf8')) as Case;
  const identifiers = { sopClassUid: '1.2.840.10008.5.1.4.1.1.2', sopInstanceUid: '1.2.826.0.1.3680043.10.99.3', transferSyntaxUid: explicitLittleEndian };
  const normalized = await normalize({ integration: integration(settings), interaction: 'C-STORE', controlId: 'x', receivedAt: new Date(), head: encodeDataset(dataset), facts: { ...identifiers, datasetOffset: 0 } }, map);
  expect(normalized.mapping).toMatch(/^dicom-instance-to-rows@\d/);
  expect(normalized.trace().find(({ target }) => target.endsWith('family_name'))).toMatchObject({ outcome: 'mapped', value: 'Müller' });
});
