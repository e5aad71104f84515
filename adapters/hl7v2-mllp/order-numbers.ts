/** What becomes of an order that lacks its accession number or Study Instance UID, as the integration has it. Changes and cancellations may lack both. */
import { createHash } from 'node:crypto';
import { NormalizeError } from '#gateway/adapter.ts';
import type { Integration } from '#gateway/adapter.ts';
import type { MappingWarning, OrderRow } from '#gateway/normalized.ts';
import type { Hl7v2Config } from './config.ts';

export function withNumbers(order: OrderRow, { config, integrationId }: Pick<Integration<Hl7v2Config>, 'config' | 'integrationId'>, warnings: MappingWarning[]): OrderRow {
  const numbered = order.accession_number ? order : withAccession(order, config, warnings);
  return numbered.study_instance_uid ? numbered : withStudy(numbered, config, integrationId, warnings);
}

function withAccession(order: OrderRow, { missing_accession_number: policy }: Hl7v2Config, warnings: MappingWarning[]): OrderRow {
  if (policy === 'accept') return order;
  if (policy === 'reject') {
    if (order.control !== 'new') return order;
    throw new NormalizeError('invalid', 'OBR-18 is required: the order has no accession number (IPC-1 or OBR-18), and this integration rejects such orders', 'OBR-18');
  }
  const number = policy === 'from-filler-number' ? order.filler_order_number : order.placer_order_number;
  if (!number) return order;
  warnings.push({ location: 'OBR-18', text: `the order has no accession number; its ${policy === 'from-filler-number' ? 'filler' : 'placer'} order number is taken for it` });
  return { ...order, accession_number: number };
}

function withStudy(order: OrderRow, { missing_study_instance_uid: policy }: Hl7v2Config, integrationId: string, warnings: MappingWarning[]): OrderRow {
  if (policy === 'accept' || order.control !== 'new') return order;
  if (policy === 'reject') throw new NormalizeError('invalid', 'IPC-3 is required: the order has no Study Instance UID (IPC-3 or ZDS-1), and this integration rejects such orders', 'IPC-3');
  const [kind, number] = [['accession', order.accession_number], ['placer', order.placer_order_number], ['filler', order.filler_order_number]].find(([, value]) => value) ?? [];
  if (!number) {
    warnings.push({ location: 'IPC-3', text: 'no Study Instance UID was generated: the order has no number it could be made from' });
    return order;
  }
  warnings.push({ location: 'IPC-3', text: 'the order has no Study Instance UID; one was generated' });
  return { ...order, study_instance_uid: studyUidOf(`${integrationId}\n${kind}\n${number}`) };
}

/** PS3.5 B.2: a UUID as a decimal after 2.25. The same for the same order, whoever sends it how often. */
function studyUidOf(name: string): string {
  const bytes = createHash('sha256').update(name).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80; // a UUID of version 8 (RFC 9562 5.8)
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return `2.25.${BigInt(`0x${bytes.toString('hex')}`)}`;
}
