/**
 * A RESOURCE THAT WAS REFUSED IS RECEIVED AGAIN, after a mapping or a setting was put right. In: the stored message. Out: the conditions under which its
 * sender meant it, from its facts: the id or the identifier that it names, If-Match, If-None-Match. What was judged at the door is judged again.
 */
import { NormalizeError } from '#gateway/adapter.ts';
import type { StoredMessage } from '#gateway/adapter.ts';
import type { Write } from '#gateway/records.ts';
import { FhirRefusal } from './answer.ts';
import { resourceFrom } from './body.ts';
import type { Config } from './config.ts';
import { writtenTypes } from './interaction.ts';
import type { Interaction, WrittenType } from './interaction.ts';
import { checkResource, conditionsOf, identifiersOf } from './write-request.ts';

const kinds: readonly unknown[] = ['create', 'update', 'conditional-create', 'conditional-update'] satisfies Interaction['kind'][];

/** Undefined: nothing of ours to judge (a transaction). Throws NormalizeError. */
export async function again(message: StoredMessage<Config>): Promise<Omit<Write, 'message'> | undefined> {
  const { facts, integration } = message, resourceType = message.interaction.split(' ')[1] as WrittenType, { interaction: kind } = facts;
  if (!kinds.includes(kind) || !Object.hasOwn(writtenTypes, resourceType)) return undefined;
  if (facts['precondition'] === 'failed') throw new NormalizeError('conflict', 'the sender wanted this only under a condition that did not hold; only the sender can ask again');
  const resource = await readable(message), interaction = interactionAgain(kind as Interaction['kind'], resourceType, facts, resource);
  try {
    checkResource(interaction, resource);
  } catch (error) {
    throw error instanceof FhirRefusal ? new NormalizeError('invalid', error.message, error.expression) : error;
  }
  return conditionsOf({ interaction, resource, preconditions: { ifMatch: textOf(facts['ifMatch']), ifNoneMatch: textOf(facts['ifNoneMatch']) } }, integration, { existed: false, refusal: undefined });
}

function interactionAgain(kind: Interaction['kind'], resourceType: WrittenType, { id, identifier }: StoredMessage['facts'], resource: Readonly<Record<string, unknown>>): Interaction {
  if (!kind.startsWith('conditional')) return { kind, resourceType, ...(typeof id === 'string' ? { id } : {}) };
  const { system = '', value } = identifiersOf(resource)[Number(identifier)] ?? {};
  if (value === undefined) throw new NormalizeError('unsupported', 'the condition of this request is not on record; only its sender can ask again');
  return { kind, resourceType, criteria: { system, value } };
}

async function readable({ head, facts }: StoredMessage<Config>): Promise<Record<string, unknown>> {
  try {
    return await resourceFrom({ bytes: head, mediaType: facts['mediaType'] === 'application/fhir+xml' ? 'application/fhir+xml' : 'application/fhir+json' });
  } catch (error) {
    throw new NormalizeError('malformed', error instanceof Error ? error.message : 'cannot be read');
  }
}

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
