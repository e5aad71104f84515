/**
 * References between the entries of a transaction (R4 http.html#trules, bundle.html#references). What an entry says of another one by its fullUrl, or by
 * a conditional reference, becomes something that means the same outside the Bundle: an id under which the other is PUT, an identifier it carries.
 *
 *   urn:uuid:...           fullUrl of an entry: its record, whatever it is called
 *   Patient?identifier=..  what is here already: exactly one, or the transaction fails
 */
import { NormalizeError } from '#gateway/adapter.ts';
import type { Integration } from '#gateway/adapter.ts';
import type { Guard } from '#gateway/records.ts';
import { FhirRefusal } from './answer.ts';
import type { Config } from './config.ts';
import { writtenTypes, criteriaOf } from './interaction.ts';
import type { WritingEntry } from './receive-transaction.ts';
import { patientTokens } from './served-types.ts';
import { identifiersOf } from './write-request.ts';
import type { Outcome } from './write-request.ts';

/** `guards` are the conditions that the references make; `patientOf` the position of the entry whose patient is this one's. */
export interface Resolved extends WritingEntry { readonly patientOf: number | undefined; guards(outcome: Outcome): Guard[] }

interface Conditional { readonly system: string; readonly value: string }

/** Patients first, else in the order of the Bundle. Throws FhirRefusal 422. */
export function resolveReferences(writing: readonly WritingEntry[], integration: Integration<Config>): Resolved[] {
  const ordered = writing.toSorted((a, b) => Number(b.interaction.resourceType === 'Patient') - Number(a.interaction.resourceType === 'Patient'));
  const byUrl = new Map(ordered.flatMap((each, position) => each.entry.fullUrl === undefined ? [] : [[each.entry.fullUrl, { ...each, position }] as const]));
  return ordered.map((each) => {
    const property = writtenTypes[each.interaction.resourceType].patient;
    const subject = property === undefined ? undefined : (each.resource[property] as { reference?: unknown } | undefined)?.reference;
    const target = typeof subject === 'string' ? byUrl.get(subject) : undefined;
    const conditions: Conditional[] = [];
    const resource = rewritten(each.resource, (reference) => {
      const other = byUrl.get(reference.reference);
      if (other !== undefined) return named(reference, other);
      const [, type, query] = /^([A-Z][A-Za-z]+)\?(.+)$/.exec(reference.reference) ?? [];
      if (type === undefined || query === undefined) return reference;
      if (type !== 'Patient' || reference.reference !== subject) throw new FhirRefusal(422, 'not-supported', `A conditional reference is taken where a patient is named${property === undefined ? '' : ` (${property})`}: Patient?identifier=system|value.`, { expression: `Bundle.entry[${each.entry.index}].resource` });
      const criteria = criteriaOf(new URLSearchParams(query), 'A conditional reference');
      conditions.push(criteria);
      return { ...withoutReference(reference), type, identifier: { ...(criteria.system === '' ? {} : { system: criteria.system }), value: criteria.value } };
    }) as Readonly<Record<string, unknown>>;
    return { ...each, resource, patientOf: target?.interaction.resourceType === 'Patient' ? target.position : undefined, guards: (outcome) => conditions.map((condition) => patientGuard(condition, integration, outcome)) };
  });
}

interface Literal { readonly reference: string; readonly [name: string]: unknown }

/** A copy in which every Reference with a literal has passed through `change`. */
function rewritten(value: unknown, change: (reference: Literal) => object): unknown {
  if (Array.isArray(value)) return value.map((item) => rewritten(item, change));
  if (typeof value !== 'object' || value === null) return value;
  const fields = value as Record<string, unknown>;
  if (typeof fields['reference'] === 'string' && !('resourceType' in fields)) return change(fields as Literal);
  return Object.fromEntries(Object.entries(fields).map(([name, item]) => [name, rewritten(item, change)]));
}

function named(reference: Literal, { interaction, resource }: WritingEntry): object {
  if (interaction.id !== undefined) return { ...reference, reference: `${interaction.resourceType}/${interaction.id}` };
  const identifier = identifiersOf(resource).find(({ value }) => value !== undefined);
  // Without an identifier it stays: what it means is told by its place in the transaction.
  return identifier === undefined ? { ...reference } : { ...withoutReference(reference), type: interaction.resourceType, identifier };
}

function withoutReference(reference: Literal): object {
  return Object.fromEntries(Object.entries(reference).filter(([name]) => name !== 'reference'));
}

function patientGuard({ system, value }: Conditional, { config }: Integration<Config>, outcome: Outcome): Guard {
  return {
    kind: 'patient', criteria: { patientIdentifiers: patientTokens({ system, value }, config) },
    judge(records) {
      const [only] = records;
      if (only !== undefined && records.length === 1) return (normalized) => ({ ...normalized, patient: { ...normalized.patient, patient_id: only.id, identifiers: [] } });
      const text = records.length === 0 ? 'A conditional reference names a patient that is not here.' : 'A conditional reference names more than one patient.';
      outcome.refusal = new FhirRefusal(412, records.length === 0 ? 'not-found' : 'multiple-matches', text);
      throw new NormalizeError('conflict', text);
    },
  };
}
