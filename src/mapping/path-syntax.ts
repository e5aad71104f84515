/** Whether a path is one that the reader of the standard understands: a mistyped path would read nothing, or fail, for every message. */
import { parsePath as parseFhirPath } from '#standards/fhir/path.ts';
import { parseText } from '#standards/hl7v2/parse.ts';
import { hl7Reader } from '#standards/hl7v2/reader.ts';
import type { BlockSpec, ConditionSpec, FieldSpec, SourceKind } from './format.ts';

const tag = String.raw`\([0-9a-fA-F]{4},[0-9a-fA-F]{4}\)`;
const part = String.raw`\.(?:alphabetic|ideographic|phonetic|[1-5])`;
const dicomPath = new RegExp(String.raw`^(?:fact:\w+|(?:${tag}>)*${tag}(?:${part})?)$`);
const dicomPathInEach = new RegExp(String.raw`${dicomPath.source}|^(?:\.|${part})$`);
const emptyMessage = hl7Reader(parseText('MSH|^~\\&|\r'));

/** What is wrong with the path; undefined when nothing is. `inEach`: the path is relative to a repetition. */
export function pathProblem(path: string, source: SourceKind, inEach: boolean): string | undefined {
  const bare = path.startsWith('/') ? path.slice(1) : path;
  const isRelative = inEach && bare === path;
  if (source === 'dicom') return (isRelative ? dicomPathInEach : dicomPath).test(bare) ? undefined : `'${path}' is no DICOM path; expected for example (0010,0010).1, (0040,0275)>(0040,1001) or fact:name`;
  try {
    if (source === 'fhir') parseFhirPath(bare);
    else emptyMessage.first(bare);
  } catch (error) {
    return (error as Error).message;
  }
  return source === 'hl7v2' && !isRelative && /^\d/.test(bare) ? `'${path}' counts fields or components, but there is no 'each' around it to count in` : undefined;
}

export function fieldPaths(field: FieldSpec): readonly string[] {
  return [...field.from ?? [], ...field.concat ?? [], ...field.all === undefined ? [] : [field.all], ...conditionPaths(field.when)];
}
export function blockPaths(block: BlockSpec): { readonly outside: readonly string[]; readonly inside: readonly string[] } {
  const inside = [...conditionPaths(block.when), ...block.fields.flatMap(fieldPaths)];
  return block.each === undefined ? { outside: inside, inside: [] } : { outside: [block.each], inside };
}
function conditionPaths(conditions: readonly ConditionSpec[] | undefined): readonly string[] {
  return (conditions ?? []).map((condition) => condition.from);
}
