/**
 * Imaging orders: ORM^O01, OMG^O19 and OMI^O23 (HL7 v2.5.1 ch. 4, IHE RAD-2, RAD-3, RAD-4). A message with several ORC groups is taken as one
 * exchange per group (see receive-frame.ts): `facts.orderGroup` names the group, from 1.
 */
import { NormalizeError } from '#gateway/adapter.ts';
import type { StoredMessage } from '#gateway/adapter.ts';
import type { Mapper, Normalized } from '#gateway/normalized.ts';
import { hl7Reader } from '#standards/hl7v2/reader.ts';
import type { Hl7Message } from '#standards/hl7v2/parse.ts';
import type { Hl7v2Config } from './config.ts';
import { historyRows, mapSettings, orderRow, patientRow } from './rows.ts';

export const orderInteractions: readonly string[] = ['ORM^O01', 'OMG^O19', 'OMI^O23'];

/** Every group is an exchange of its own: a message with more than these is no order of a hospital. */
export const maximumOrderGroups = 100;

export function orderGroupCount(message: Hl7Message): number {
  return message.segments.filter(({ name }) => name === 'ORC').length;
}

export function normalizeOrder(parsed: Hl7Message, message: StoredMessage<Hl7v2Config>, map: Mapper): Normalized {
  if (orderGroupCount(parsed) === 0) throw new NormalizeError('invalid', 'ORC is required: the order message holds no order', 'ORC');
  const group = Number(message.facts['orderGroup'] ?? 1);
  const { config } = message.integration;
  const mapped = map(config.order_mapping, hl7Reader(parsed, { orderGroup: group }), mapSettings(config));
  const warnings = [...parsed.warnings, ...mapped.warnings];
  return {
    // Also without PID: an order whose patient is unknown is kept for a person to assign, never dropped.
    authority: 'order', patient: patientRow(mapped), order: orderRow(mapped, warnings), history: historyRows(mapped, warnings), mapping: mapped.mapping,
    warnings, trace: mapped.trace,
  };
}
