/**
 * What no field of a message may hold, whatever the event. Looked at before anything is cut: a field of millions of repetitions would keep
 * the process, and every other sender, busy for seconds; an identifier with a character nobody sees would be taken for another one.
 */
import type { Refusal } from '#gateway/adapter.ts';
import { hasControlCharacter } from '#standards/hl7v2/control-characters.ts';
import type { Delimiters } from '#standards/hl7v2/delimiters.ts';
import { maximumFields } from '#standards/hl7v2/parse.ts';
import type { Hl7Message, Segment } from '#standards/hl7v2/parse.ts';

export type ContentProblem = Refusal & { readonly condition: '102'; readonly location: string };

/** Repetitions of a field, components of a repetition, subcomponents of a component. */
const maximumPieces = 1000;
/** OBX-5 may be a whole report: a line per repetition, or a document with raw ampersands. */
const maximumPiecesOfValue = 20_000;

/** What rows are found by. PID-2 stands for PID-3 before v2.3.1. */
const identifierFields: Readonly<Record<string, readonly number[]>> = { PID: [2, 3], MRG: [1], MSH: [10], ORC: [2, 3], OBR: [2, 3, 18], IPC: [1], SCH: [1, 2, 26, 27], TXA: [14, 15] };

/** undefined: every field may be read. */
export function contentProblem(message: Hl7Message): ContentProblem | undefined {
  const { delimiters, segments } = message;
  const occurrences = new Map<string, number>();
  for (const segment of segments) {
    const { name } = segment, occurrence = (occurrences.get(name) ?? 0) + 1;
    occurrences.set(name, occurrence);
    const problem = sizeProblem(segment, delimiters) ?? identifierProblem(segment, delimiters.escape);
    if (problem) return { reason: 'invalid', condition: '102', text: problem.text, location: `${name}${occurrence === 1 ? '' : `[${occurrence}]`}-${problem.field}` };
  }
  return undefined;
}

interface FieldProblem { readonly field: number; readonly text: string }

/** Counts without cutting. A segment of no more characters than pieces are allowed cannot hold too many. */
function sizeProblem({ raw, name }: Segment, { field, repetition, component, subcomponent }: Delimiters): FieldProblem | undefined {
  if (raw.length <= maximumPieces) return undefined;
  const [fieldCode, repetitionCode, componentCode, subcomponentCode] = [field, repetition, component, subcomponent].map((character) => character?.charCodeAt(0) ?? -1);
  const most = (): number => (name === 'OBX' && fields === 5 ? maximumPiecesOfValue : maximumPieces);
  let fields = name === 'MSH' ? 1 : 0, repetitions = 1, components = 1, subcomponents = 1;
  for (let index = 0; index < raw.length; index++) {
    const code = raw.charCodeAt(index);
    if (code === fieldCode) { if (++fields > maximumFields) return { field: fields, text: `The segment has more than ${maximumFields} fields` }; repetitions = components = subcomponents = 1; }
    else if (code === repetitionCode) { if (++repetitions > maximumPieces && repetitions > most()) return tooMany(fields, 'repetitions', most()); components = subcomponents = 1; }
    else if (code === componentCode) { if (++components > maximumPieces && components > most()) return tooMany(fields, 'components', most()); subcomponents = 1; }
    else if (code === subcomponentCode && ++subcomponents > maximumPieces && subcomponents > most()) return tooMany(fields, 'subcomponents', most());
  }
  return undefined;
}

function tooMany(field: number, pieces: string, most: number): FieldProblem {
  return { field, text: `The field has more than ${most} ${pieces}` };
}

function identifierProblem(segment: Segment, escape: string | undefined): FieldProblem | undefined {
  const field = identifierFields[segment.name]?.find((number) => hasControlCharacter(segment.fields[number] ?? '', escape));
  return field === undefined ? undefined : { field, text: 'The identifier holds a control character' };
}
