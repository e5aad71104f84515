/** What a server offers of what our Bundle needs, by its CapabilityStatement. Today every delivery is a transaction; a plan for less starts here. */
import type { CapabilityStatement } from '#standards/fhir/types.ts';

/** Sentences for a person, one per thing the server does not say it can; empty when it says it can all. */
export function lacking(statement: CapabilityStatement): readonly string[] {
  const rest = statement.rest?.find((candidate) => candidate.mode === 'server');
  if (rest === undefined) return ['says nothing about a REST server'];
  const said: string[] = [];
  if (!rest.interaction?.some((interaction) => interaction.code === 'transaction')) said.push('no transaction: the Bundle would be refused or stored in part');
  for (const [type, needs] of needed) {
    const resource = rest.resource?.find((candidate) => candidate.type === type);
    const missing = needs.filter((need) => !offers(resource, need));
    if (missing.length > 0) said.push(`${type}: no ${missing.join(', no ')}`);
  }
  return said;
}

type Need = 'create' | 'update' | 'conditional create' | 'conditional update';
const needed: readonly (readonly [string, readonly Need[]])[] = [
  ['DiagnosticReport', ['create', 'update', 'conditional update']], ['Observation', ['create', 'update', 'conditional update']],
  ['ImagingStudy', ['create', 'conditional create']], ['Device', ['create', 'update', 'conditional update']], ['Provenance', ['create', 'conditional create']],
];

function offers(resource: NonNullable<NonNullable<CapabilityStatement['rest']>[0]['resource']>[0] | undefined, need: Need): boolean {
  if (need === 'conditional create') return resource?.conditionalCreate === true;
  if (need === 'conditional update') return resource?.conditionalUpdate === true;
  return resource?.interaction?.some((interaction) => interaction.code === need) === true;
}
