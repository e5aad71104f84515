/**
 * Imaging orders: ORM^O01, OMG^O19 and OMI^O23 (HL7 v2.5.1 ch. 4, IHE RAD-2, RAD-3, RAD-4). A message with several ORC groups is taken as one
 * exchange per group (see receive-frame.ts): `facts.orderGroup` names the group, from 1. One that cannot be taken refuses all.
 */
import { NormalizeError } from '#gateway/adapter.ts';
import type { StoredMessage } from '#gateway/adapter.ts';
import type { Mapper, Normalized } from '#gateway/normalized.ts';
import { hl7Reader } from '#standards/hl7v2/reader.ts';
import type { Hl7Message } from '#standards/hl7v2/parse.ts';
import type { Hl7v2Config } from './config.ts';
import { withChosenIdentifiers } from './chosen-identifiers.ts';
import { withNumbers } from './order-numbers.ts';
import { historyRows, mapSettings, orderRow, patientRow } from './rows.ts';

export const orderInteractions: readonly string[] = ['ORM^O01', 'OMG^O19', 'OMI^O23'];

/** Every group is an exchange of its own: a message with more than these is no order of a hospital. */
export const maximumOrderGroups = 100;

export function orderGroupCount(message: Hl7Message): number {
  return message.segments.filter(({ name }) => name === 'ORC').length;
}

/**
 * One order group to rows. All groups of the message are read each time, so that one that cannot be taken refuses the others too: a RIS gets one
 * answer to the message, and acts on all of it or on nothing.
 */
export function normalizeOrder(parsed: Hl7Message, message: StoredMessage<Hl7v2Config>, map: Mapper): Normalized {
  const groups = orderGroupCount(parsed);
  if (groups === 0) throw new NormalizeError('invalid', 'ORC is required: the order message holds no order', 'ORC');
  const wanted = Number(message.facts['orderGroup'] ?? 1);
  if (groups > 1 && message.facts['orderGroup'] !== undefined) judgeOthers(parsed, message, map, groups, wanted);
  return normalizeGroup(parsed, message, map, wanted);
}

/** The verdict on each group of the messages in work: a message of n groups is read n times, not n * n. */
const judged = new WeakMap<Buffer, { readonly config: Hl7v2Config; readonly problem: NormalizeError | undefined }>();

function judgeOthers(parsed: Hl7Message, message: StoredMessage<Hl7v2Config>, map: Mapper, groups: number, wanted: number): void {
  const { config } = message.integration;
  let verdict = judged.get(message.head);
  if (verdict?.config !== config) judged.set(message.head, verdict = { config, problem: firstProblem(parsed, message, map, groups) });
  if (verdict.problem) throw new NormalizeError(verdict.problem.reason, `${verdict.problem.message}${groups > 1 ? `; none of the ${groups} orders of this message was taken, this is group ${wanted}` : ''}`, verdict.problem.location);
}

function firstProblem(parsed: Hl7Message, message: StoredMessage<Hl7v2Config>, map: Mapper, groups: number): NormalizeError | undefined {
  for (let group = 1; group <= groups; group++) {
    try {
      normalizeGroup(parsed, message, map, group);
    } catch (error) {
      if (!(error instanceof NormalizeError)) throw error;
      return new NormalizeError(error.reason, error.message, inGroup(error.location, group, parsed));
    }
  }
  return undefined;
}

/** ORC and OBR of the nth group as the sender counts them: ORC[n]-1. */
function inGroup(location: string | undefined, group: number, parsed: Hl7Message): string | undefined {
  const match = /^(ORC|OBR)(-.*)?$/.exec(location ?? '');
  if (!match || group === 1) return location;
  const [, name = '', rest = ''] = match;
  if (name === 'ORC') return `ORC[${group}]${rest}`;
  let orders = 0, details = 0;
  for (const segment of parsed.segments) {
    if (segment.name === 'ORC') orders++;
    if (segment.name === name) { details++; if (orders === group) return `${name}[${details}]${rest}`; }
  }
  return location;
}

function normalizeGroup(parsed: Hl7Message, message: StoredMessage<Hl7v2Config>, map: Mapper, group: number): Normalized {
  const { config } = message.integration;
  const mapped = map(config.order_mapping, hl7Reader(parsed, { orderGroup: group }), mapSettings(config));
  const warnings = [...parsed.warnings, ...mapped.warnings];
  return {
    // Also without PID: an order whose patient is unknown is kept for a person to assign, never dropped.
    authority: 'order', patient: withChosenIdentifiers(patientRow(mapped), config), order: withNumbers(orderRow(mapped, warnings), message.integration, warnings), history: historyRows(mapped, warnings), mapping: mapped.mapping,
    warnings, trace: mapped.trace,
  };
}
