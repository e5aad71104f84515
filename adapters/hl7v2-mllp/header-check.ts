/** What MSH alone decides (HL7 v2.5.1 ch. 2.9.2.2 step b): who sends, what, in which version and mode; then what no field may hold. */
import type { Integration, Refusal } from '#gateway/adapter.ts';
import { validControlId } from '#standards/hl7v2/acknowledgment.ts';
import type { ErrorConditionCode } from '#standards/hl7v2/error-conditions.ts';
import type { Hl7Message } from '#standards/hl7v2/parse.ts';
import type { Hl7v2Config } from './config.ts';
import { contentProblem } from './content-check.ts';
import { adtInteractions } from './receive-adt.ts';
import { maximumOrderGroups, orderGroupCount, orderInteractions } from './receive-orm.ts';
import { reportInteractions } from './receive-report.ts';
import { scheduleInteractions } from './receive-siu.ts';

export type HeaderProblem = Refusal & { readonly condition: ErrorConditionCode };
export const inboundInteractions: readonly string[] = [...adtInteractions, ...orderInteractions, ...reportInteractions, ...scheduleInteractions];

/** 'ADT^A08'; what is not of that form is cut to its printable letters and digits, so that it can be recorded. */
export function interactionOf(message: Hl7Message): string {
  const parts = [message.header(9, 1), message.header(9, 2)].map((part) => part.replaceAll(/[^A-Za-z0-9]/g, '').slice(0, 10));
  return parts.filter((part) => part !== '').join('^') || 'MSH-9 missing';
}

/** undefined: the message may go on to be normalized. */
export function headerProblem(message: Hl7Message, integration: Integration<Hl7v2Config> | undefined): HeaderProblem | undefined {
  const [type, version, processingId] = [message.header(9), message.header(12), message.header(11)];
  if (!integration) return { reason: 'not-allowed', condition: '103', location: 'MSH-3', text: 'No integration takes messages from this sending application, facility, address and certificate' };
  if (message.header(10) === '') return { reason: 'malformed', condition: '101', location: 'MSH-10', text: 'Required field missing: MSH-10' };
  if (validControlId(message.header(10)) === undefined) return { reason: 'malformed', condition: '102', location: 'MSH-10', text: 'MSH-10 holds control characters or is longer than 199 characters' };
  if (type === '') return { reason: 'malformed', condition: '101', location: 'MSH-9', text: 'Required field missing: MSH-9' };
  if (!/^2(\.\d){1,3}$/.test(version)) return { reason: 'unsupported', condition: '203', location: 'MSH-12', text: version === '' ? 'Required field missing: MSH-12' : 'MSH-12 is no version 2.x' };
  if (processingId !== '' && !(integration.config.processing_ids as readonly string[]).includes(processingId)) return { reason: 'unsupported', condition: '202', location: 'MSH-11', text: 'This processing id (MSH-11) is not taken from this sender' };
  return eventProblem(message, integration.config) ?? contentProblem(message);
}

function eventProblem(message: Hl7Message, config: Hl7v2Config): HeaderProblem | undefined {
  const interaction = interactionOf(message);
  if (orderInteractions.includes(interaction) && orderGroupCount(message) > maximumOrderGroups) return { reason: 'invalid', condition: '102', location: 'ORC', text: `The message has more than ${maximumOrderGroups} ORC groups` };
  if (inboundInteractions.includes(interaction) || config.unknown_events === 'accept') return undefined;
  const isKnownType = inboundInteractions.some((known) => known.startsWith(`${message.header(9)}^`));
  return {
    reason: 'unsupported', location: 'MSH-9', condition: isKnownType ? '201' : '200',
    text: `${interaction} is not used here. Set unknown_events to accept to have such messages kept without effect`,
  };
}
