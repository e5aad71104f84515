/** Which of the numbers in PID-3 is the patient's: the first is matched first and shown. Without a rule it is the first repetition (ch. 3.4.2.3). */
import { NormalizeError } from '#gateway/adapter.ts';
import type { PatientIdentifier, PatientRow } from '#gateway/normalized.ts';
import type { Hl7v2Config } from './config.ts';

type Rules = Pick<Hl7v2Config, 'identifier_authorities' | 'ignored_identifier_types'>;

/** Throws NormalizeError when there are numbers and the rules leave none. */
export function withChosenIdentifiers(patient: PatientRow, rules: Rules): PatientRow {
  const identifiers = chooseIdentifiers(patient.identifiers, rules);
  if (identifiers.length === 0 && patient.identifiers.length > 0) throw new NormalizeError('invalid', 'PID-3 is required: all of its numbers are of types that are ignored here (ignored_identifier_types)', 'PID-3');
  return identifiers === patient.identifiers ? patient : { ...patient, identifiers };
}

export function chooseIdentifiers(identifiers: readonly PatientIdentifier[], { identifier_authorities: authorities, ignored_identifier_types: ignored }: Rules): readonly PatientIdentifier[] {
  if (authorities.length === 0 && ignored.length === 0) return identifiers;
  const rank = ({ assigning_authority: authority }: PatientIdentifier): number => { const at = authorities.indexOf(authority); return at < 0 ? authorities.length : at; };
  return identifiers.filter(({ type_code: type }) => type === undefined || !ignored.includes(type)).toSorted((a, b) => rank(a) - rank(b));
}
