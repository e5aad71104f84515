/**
 * One pass over XML text before any library sees it: is it well-formed, has it only what FHIR allows (no document type, no processing instruction, no
 * CDATA, no comment within a value), how deep is it; and which elements it has how often, to find out whether something was lost. Values are not kept.
 */
const mostNameLength = 64;
const fhir = 'http://hl7.org/fhir';

export interface Shape {
  /** What of this document the other one has less of: `<name>` or `an attribute of <name>`, or undefined. */
  lostIn(other: Shape | { readonly problem: string }): string | undefined;
  readonly counts: ReadonlyMap<string, number>;
}

// eslint-disable-next-line no-control-regex -- these are the characters to refuse
const forbidden = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;
/** Attribute values with < or entities beyond XML's five are refused with the rest. */
const token = /<!--[\s\S]*?-->|<\/([A-Za-z][\w.:-]*)\s*>|<([A-Za-z][\w.:-]*)((?:\s+[A-Za-z_][\w.:-]*\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>|<[^>]{0,20}|[^<]+/gy;
const attribute = /([A-Za-z_][\w.:-]*)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;

export function readShape(text: string, limits: { readonly depth: number; readonly elements: number }): Shape | { readonly problem: string } {
  const body = text.replace(/^\uFEFF?<\?xml\s+version=["']1\.[01]["'](?:\s+encoding=["']utf-8["'])?(?:\s+standalone=["'](?:yes|no)["'])?\s*\?>/i, '');
  if (/<[!?](?!--)/.test(body)) return { problem: 'The message holds a document type, a processing instruction or CDATA: FHIR XML has none of them, and an entity is never resolved.' };
  if (forbidden.test(body)) return { problem: 'The message holds a control character.' };
  const open: string[] = [], counts = new Map<string, number>();
  let elements = 0, roots = 0, narrative = 0;
  const count = (name: string): void => { counts.set(name, (counts.get(name) ?? 0) + 1); };
  token.lastIndex = 0;
  for (let match = token.exec(body); match !== null; match = token.exec(body)) {
    const [whole, closed, opened, attributes = '', empty] = match;
    if (closed !== undefined) {
      if (open.pop() !== closed) return { problem: 'The message is not well-formed XML: an end tag does not fit.' };
      if (narrative > open.length) narrative = 0;
    } else if (opened !== undefined) {
      elements += 1;
      if (opened.length > mostNameLength || elements > limits.elements) return { problem: `The message has more than ${limits.elements} elements, or a name of more than ${mostNameLength} characters.` };
      if (open.length === 0 && (roots += 1) > 1) return { problem: 'The message has more than one root element.' };
      if (open.length >= limits.depth) return { problem: `The message is nested deeper than ${limits.depth} levels.` };
      if (open.length === 0 && !/\sxmlns\s*=\s*(?:"http:\/\/hl7\.org\/fhir"|'http:\/\/hl7\.org\/fhir')/.test(attributes)) return { problem: `The root element must be in the namespace ${fhir}.` };
      const problem = referenceProblem(attributes);
      if (problem !== undefined) return { problem };
      // Narrative is text to FHIR: what is in it is checked where it is read (narrative.ts).
      if (narrative === 0) {
        count(opened);
        for (const [, name = ''] of attributes.matchAll(attribute)) if (!/^(xmlns|xsi:|xml:)/.test(name)) count(`${opened} ${name}`);
        if (opened === 'div' && empty === '') narrative = open.length + 1;
      }
      if (empty === '') open.push(opened);
    } else if (whole.startsWith('<') && !(whole.startsWith('<!--') && whole.endsWith('-->'))) return { problem: 'The message is not well-formed XML.' };
    else if (narrative === 0 && !whole.startsWith('<') && whole.trim() !== '') return { problem: 'The message has text outside attributes: FHIR XML writes values as value="...".' };
    else if (narrative > 0 && !whole.startsWith('<')) {
      const problem = referenceProblem(whole);
      if (problem !== undefined) return { problem };
    }
  }
  if (open.length > 0 || roots === 0) return { problem: 'The message is not well-formed XML: it ends within an element, or has none.' };
  return { counts, lostIn: (other) => ('problem' in other ? 'its root' : lost(counts, other.counts)) };
}

function lost(counts: ReadonlyMap<string, number>, other: ReadonlyMap<string, number>): string | undefined {
  // The innermost: what it stood in may have been dropped only because nothing else was left.
  const missing = [...counts].filter(([key, times]) => (other.get(key) ?? 0) < times).map(([key]) => key);
  const name = missing.findLast((key) => !key.includes(' ')) ?? missing.at(-1);
  if (name === undefined) return undefined;
  const [element = '', attributeName] = name.split(' ');
  const words = /^[A-Za-z][A-Za-z0-9]{0,40}$/.test(element) ? `<${element}>` : 'an element';
  return attributeName === undefined ? words : `an attribute of ${words}`;
}

function referenceProblem(text: string): string | undefined {
  for (let at = text.indexOf('&'); at >= 0; at = text.indexOf('&', at + 1)) {
    if (!/^&(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-fA-F]{1,6});/.test(text.slice(at, at + 12))) return 'The message is not well-formed XML, or it names an entity: only the five of XML and character numbers are taken.';
  }
  return undefined;
}
