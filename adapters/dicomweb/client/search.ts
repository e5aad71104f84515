/**
 * One question by QIDO-RS (PS3.18 10.6), page after page. In: a path, keys, what names a match. Out: the matches, each once.
 *
 *     GET [base]/studies?...&limit=500&offset=0 -> 500 matches -> offset=500 -> ... -> none, or none that is new
 *
 * The end is a page without anything new, and not one that is shorter than asked for: servers give less than that without a word, and those that know no
 * offset give the same again. What is counted here proves that images are complete.
 */
import { isUsableUid } from '#domain/usable-uid.ts';
import type { AdapterContext } from '#gateway/adapter.ts';
import { failureByStatus, type Failure } from '../failure.ts';
import { parseMediaType } from '../media-type.ts';
import type { DicomwebClient } from '../web-client.ts';
import { matchesOf, type Match } from './answers.ts';

export interface Question {
  readonly path: string;
  /** Tag as '0020000D' -> value to match. */
  readonly keys?: Readonly<Record<string, string>>;
  /** Tags that are to be told. */
  readonly told: readonly string[];
  /** The unique key of the level: a match without it is none. */
  readonly nameTag: string;
  /** Only the match of this name is wanted. */
  readonly name?: string;
  readonly mostMatches: number;
}
export type Found = { readonly matches: readonly Match[]; /** There are more than are taken. */ readonly isCut: boolean } | { readonly failure: Failure };

const pageLength = 500;
/** Of one page, and of all: what any number of matches may hold of memory. */
const mostBytes = 16 * 1024 * 1024, mostBytesInAll = 64 * 1024 * 1024;

type Asking = Pick<AdapterContext, 'signal' | 'now'>;

export function pathOf({ path, keys = {}, told }: Pick<Question, 'path' | 'keys' | 'told'>, offset = 0): string {
  const parameters = new URLSearchParams([...Object.entries(keys), ...told.map((tag) => ['includefield', tag] as [string, string]), ['limit', String(pageLength)], ['offset', String(offset)]]);
  // A blank as %20, which everybody reads; as + only those who take the question for a form.
  return `${path}?${parameters.toString().replaceAll('+', '%20')}`;
}

export async function search(client: DicomwebClient, question: Question, context: Asking): Promise<Found> {
  const { nameTag, name: wanted, mostMatches } = question;
  const matches = new Map<string, Match>();
  for (let offset = 0, byteLength = 0; ;) {
    const page = await readPage(client, pathOf(question, offset), context, offset > 0);
    if ('failure' in page) return page;
    const before = matches.size;
    for (const match of page.matches) {
      const name = match.text(nameTag);
      if (isUsableUid(name) && !matches.has(name)) matches.set(name, match);
    }
    offset += page.matches.length;
    byteLength += page.byteLength;
    const only = wanted === undefined ? undefined : matches.get(wanted);
    if (only) return { matches: [only], isCut: false };
    const isCut = matches.size > mostMatches || byteLength > mostBytesInAll;
    if (isCut || matches.size === before) return { matches: wanted === undefined ? [...matches.values()].slice(0, mostMatches) : [], isCut };
  }
}

/** As a path names it: what a UID may hold beyond PS3.5 9.1 is escaped. */
export const uidPath = (study: string, series?: string, instance?: string): string =>
  [['studies', study], ['series', series], ['instances', instance]].flatMap(([level, uid]) => (uid === undefined ? [] : [`/${level}/${encodeURIComponent(uid)}`])).join('');

interface Page { readonly matches: readonly Match[]; readonly byteLength: number }

async function readPage(client: DicomwebClient, path: string, context: Asking, isFurther: boolean): Promise<Page | { readonly failure: Failure }> {
  const exchanged = await client.send({ method: 'GET', path, headers: { accept: 'application/dicom+json' } }, context.signal, { purpose: 'search', mostBytes });
  if ('failure' in exchanged) return exchanged;
  const { status, retryAfter, contentType, body } = exchanged.answer;
  const refused = (text: string): { readonly failure: Failure } => ({ failure: { kind: 'refused', answerCode: String(status), text: `HTTP ${status}: ${text}` } });
  // Behind the last match some servers have nothing there at all.
  if (status === 204 || (isFurther && (status === 404 || status === 416))) return { matches: [], byteLength: 0 };
  if (status < 200 || status >= 300) return { failure: failureByStatus(status, retryAfter, context.now(), 'search') };
  if (status !== 200 && status !== 206) return refused('that is no answer to a search');
  const type = parseMediaType(contentType)?.type ?? 'no content type';
  const matches = body.length === 0 || type === 'application/dicom+json' || type === 'application/json' ? matchesOf(body) : undefined;
  return matches ? { matches, byteLength: body.length } : refused(`the answer to a search is no DICOM JSON (${type.slice(0, 80)}); check base_url`);
}
