/** Content-Type and Accept (RFC 9110 8.3, 12.5.1) with the parameters that DICOMweb gives them: type, boundary, transfer-syntax. */
export interface MediaType {
  /** In lower case, e.g. 'multipart/related'. */
  readonly type: string;
  /** Names in lower case, values unquoted. */
  readonly parameters: Readonly<Record<string, string>>;
}

const mostRanges = 50;
const token = String.raw`[!#$%&'*+\-.^_\x60|~0-9A-Za-z]+`;
const parameter = new RegExp(String.raw`^\s*;\s*(${token})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))`);

/** The first media type of the text and what stands behind it; undefined when it is none. */
function readOne(text: string): { media: MediaType; rest: string } | undefined {
  const head = new RegExp(String.raw`^\s*(${token}/${token})`).exec(text);
  if (head === null) return undefined;
  const parameters: Record<string, string> = Object.create(null) as Record<string, string>;
  let rest = text.slice(head[0].length);
  for (let found = parameter.exec(rest); found !== null; found = parameter.exec(rest)) {
    parameters[found[1]!.toLowerCase()] ??= found[2]?.replaceAll(/\\(.)/g, '$1') ?? found[3] ?? '';
    rest = rest.slice(found[0].length);
  }
  return { media: { type: head[1]!.toLowerCase(), parameters }, rest };
}

export function parseMediaType(text: string | null): MediaType | undefined {
  const found = readOne((text ?? '').slice(0, 2000));
  return found !== undefined && /^\s*;?\s*$/.test(found.rest) ? found.media : undefined;
}

/** Media ranges, the preferred first; what is refused by q=0 or cannot be read is left out. No header, or an empty one: anything. */
export function parseAccept(text: string | null): readonly MediaType[] {
  const ranges: MediaType[] = [];
  let rest = (text ?? '').slice(0, 8000);
  if (rest.trim() === '') return [{ type: '*/*', parameters: {} }];
  for (let count = 0; count < mostRanges; count += 1) {
    const found = readOne(rest);
    if (found !== undefined) ranges.push(found.media);
    const comma = (found?.rest ?? rest).indexOf(',');
    if (comma < 0) break;
    rest = (found?.rest ?? rest).slice(comma + 1);
  }
  const quality = ({ parameters }: MediaType): number => (parameters['q'] === undefined ? 1 : Number(parameters['q']) || 0);
  return ranges.filter((range) => quality(range) > 0).toSorted((one, other) => quality(other) - quality(one));
}

/** Does this range ask for the type as it is? */
export function accepts({ type }: MediaType, wanted: string): boolean {
  return type === '*/*' || type === wanted || (type.endsWith('/*') && wanted.startsWith(type.slice(0, -1)));
}

/** What the parts of a multipart/related range or content are: its type parameter. */
export const rootType = ({ parameters }: MediaType): string => (parameters['type'] ?? '').trim().toLowerCase();
