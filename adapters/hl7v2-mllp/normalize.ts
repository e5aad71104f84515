/** A stored message to rows: reads the bytes again, because a replay has nothing else. The event decides which rows. */
import { NormalizeError } from '#gateway/adapter.ts';
import type { StoredMessage } from '#gateway/adapter.ts';
import type { Mapper, Normalized } from '#gateway/normalized.ts';
import { Hl7ParseError, parseMessage } from '#standards/hl7v2/parse.ts';
import type { Hl7Message } from '#standards/hl7v2/parse.ts';
import type { Hl7v2Config } from './config.ts';
import { contentProblem } from './content-check.ts';
import { adtInteractions, normalizeAdt } from './receive-adt.ts';
import { normalizeOrder, orderInteractions } from './receive-orm.ts';
import { normalizeReports, reportInteractions } from './receive-report.ts';
import { normalizeSchedule, scheduleInteractions } from './receive-siu.ts';

/** What was read a moment ago and found well, by its bytes: they need not be read twice. */
const checked = new WeakMap<Buffer, Hl7Message>();
export function rememberChecked(bytes: Buffer, message: Hl7Message): void { checked.set(bytes, message); }

/** Of a message of several order groups: read once in the integration's character set, not once for each group. */
const readAgain = new WeakMap<Buffer, { readonly config: Hl7v2Config; readonly message: Hl7Message }>();

export async function normalize(message: StoredMessage<Hl7v2Config>, map: Mapper): Promise<Normalized> {
  const { head, integration: { config } } = message, { orderGroup, orderGroups } = message.facts;
  const justRead = config.character_set === undefined ? checked.get(head) : undefined;
  // What such a map still holds makes every collection of young memory slower; of several order groups the last one reads it too.
  if (orderGroup === orderGroups) checked.delete(head);
  const known = orderGroups === undefined ? undefined : readAgain.get(head);
  const parsed = justRead ?? (known?.config === config ? known.message : readable(message));
  if (!justRead && orderGroups !== undefined) readAgain.set(head, { config, message: parsed });
  // Again: a message may have been kept before this was looked at, or be read in another character set.
  const problem = justRead ? undefined : contentProblem(parsed);
  if (problem) throw new NormalizeError(problem.reason, problem.text, problem.location);
  if (adtInteractions.includes(message.interaction)) return normalizeAdt(parsed, message, map);
  if (orderInteractions.includes(message.interaction)) return normalizeOrder(parsed, message, map);
  if (reportInteractions.includes(message.interaction)) return normalizeReports(parsed, message, map);
  if (scheduleInteractions.includes(message.interaction)) return normalizeSchedule(parsed, message, map);
  if (message.integration.config.unknown_events === 'accept') return keptWithoutEffect(parsed, message.interaction);
  throw new NormalizeError('unsupported', `${message.interaction} is not used here`, 'MSH-9');
}

function readable(message: StoredMessage<Hl7v2Config>): Hl7Message {
  try {
    return parseMessage(message.head, { characterSet: message.integration.config.character_set });
  } catch (error) {
    if (error instanceof Hl7ParseError) throw new NormalizeError('malformed', error.message, error.location);
    throw error;
  }
}

function keptWithoutEffect(parsed: Hl7Message, interaction: string): Normalized {
  const note = { location: 'MSH-9', text: `${interaction} is kept and has no effect (unknown_events: accept)` };
  return { authority: 'registration', warnings: [...parsed.warnings, note], trace: () => [], mapping: 'none' };
}
