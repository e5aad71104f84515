/**
 * Narrative (R4 narrative.html): the XHTML div that people read. Checking: well-formed, in the XHTML namespace, only the listed elements and
 * attributes, no script by any door. Making: from plain text, everything escaped. The scanner reads left to right once, without backtracking.
 */
const elements = new Set(('a abbr acronym address area b bdo big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img kbd li map '
  + 'ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var').split(' '));
const attributes = new Set(('abbr accesskey align alt axis border cellhalign cellpadding cellspacing cellvalign char charoff class colspan coords dir frame headers height href '
  + 'hreflang id ismap lang longdesc name nohref rev rel rowspan rules scope shape span src start style summary tabindex title type usemap valign value width xml:lang xmlns').split(' '));
const namespace = 'http://www.w3.org/1999/xhtml';

/** What is wrong with a div; undefined when nothing is. The answer quotes element names only. */
export function narrativeProblem(div: string): string | undefined {
  const open: string[] = [];
  let hasContent = false, at = 0, roots = 0;
  while (at < div.length) {
    const tagStart = div.indexOf('<', at);
    const text = div.slice(at, tagStart < 0 ? div.length : tagStart);
    const problem = textProblem(text);
    if (problem !== undefined) return problem;
    if (open.length === 0 && text.trim() !== '') return 'must be one div element: there is text outside it';
    if (text.trim() !== '') hasContent = true;
    if (tagStart < 0) break;
    if (div.startsWith('<!--', tagStart)) {
      const end = div.indexOf('-->', tagStart + 4);
      if (end < 0) return 'is not well-formed XML: a comment does not end';
      at = end + 3;
      continue;
    }
    const tag = readTag(div, tagStart);
    if (typeof tag === 'string') return tag;
    at = tag.end;
    if (tag.closes) {
      if (open.pop() !== tag.name) return `is not well-formed XML: </${tag.name}> closes nothing that is open`;
      continue;
    }
    if (open.length === 0) {
      roots += 1;
      if (roots > 1 || tag.name !== 'div' || tag.attributes.get('xmlns') !== namespace) return `must be one div element with xmlns="${namespace}"`;
    }
    const refused = tagProblem(tag);
    if (refused !== undefined) return refused;
    if (tag.name === 'img') hasContent = true;
    if (!tag.isEmpty) open.push(tag.name);
  }
  if (open.length > 0) return `is not well-formed XML: <${open.at(-1)}> is not closed`;
  return hasContent ? undefined : 'must have some text or an image (txt-2)';
}

interface Tag { readonly name: string; readonly attributes: ReadonlyMap<string, string>; readonly closes: boolean; readonly isEmpty: boolean; readonly end: number }

const tagName = /[A-Za-z][A-Za-z0-9]*/y, attribute = /\s+([A-Za-z_:][A-Za-z0-9_:.-]*)\s*=\s*("[^"<]*"|'[^'<]*')/y, closing = /\s*(\/?)>/y;
function readTag(div: string, start: number): Tag | string {
  const closes = div[start + 1] === '/';
  const name = match(tagName, div, start + (closes ? 2 : 1))?.[0];
  if (name === undefined) return 'is not well-formed XML: < begins no element (write &lt;), and declarations are not allowed';
  let at = start + (closes ? 2 : 1) + name.length;
  const found = new Map<string, string>();
  for (let next = match(attribute, div, at); next !== null; next = match(attribute, div, at)) {
    const [all, key = '', quoted = ''] = next;
    if (found.has(key) || closes) return `is not well-formed XML: attributes of <${name}>`;
    found.set(key, quoted.slice(1, -1));
    at += all.length;
  }
  const end = match(closing, div, at);
  if (end === null) return `is not well-formed XML: the tag <${name}> does not end, or an attribute has no quotes`;
  return { name, attributes: found, closes, isEmpty: end[1] === '/', end: at + end[0].length };
}

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

function tagProblem(tag: Tag): string | undefined {
  if (!elements.has(tag.name)) return `must not hold the element <${tag.name}>`;
  for (const [name, value] of tag.attributes) {
    if (!attributes.has(name)) return `must not hold the attribute ${name} on <${tag.name}>`;
    const problem = textProblem(value);
    if (problem !== undefined) return problem;
    if ((name === 'href' || name === 'src' || name === 'longdesc') && isActiveUrl(value)) return `must not hold a script address in ${name} of <${tag.name}>`;
    if (name === 'style' && /expression|javascript|url\s*\(|@import|\\/i.test(value)) return `must not hold active or external content in style of <${tag.name}>`;
  }
  return undefined;
}

/** Browsers skip control characters and blanks before and inside the scheme, and decode character references. */
function isActiveUrl(value: string): boolean {
  const bare = value.replaceAll(/&#x([0-9a-f]+);?/gi, (_all, hex: string) => codePoint(Number.parseInt(hex, 16)))
    .replaceAll(/&#(\d+);?/g, (_all, decimal: string) => codePoint(Number(decimal))).replaceAll(/[\s\p{Cc}]+/gu, '').toLowerCase();
  return /^(?:javascript|vbscript|data(?!:image\/(?:png|jpeg|gif);))/.test(bare);
}
function codePoint(value: number): string {
  return value <= 0x10ffff ? String.fromCodePoint(value) : '';
}

function textProblem(text: string): string | undefined {
  for (let at = text.indexOf('&'); at >= 0; at = text.indexOf('&', at + 1)) {
    if (!/^&(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-fA-F]{1,6});/.test(text.slice(at, at + 12))) return 'is not well-formed XML: & begins no XML entity (HTML names such as &nbsp; are not XML)';
  }
  return undefined;
}

/** Text for XHTML content or a quoted attribute; characters that XML 1.0 forbids are dropped. */
export function escapeXml(text: string): string {
  return text.replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '')
    .replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&#39;');
}

/** A Narrative of paragraphs, one per text; line feeds become line breaks. Undefined when no text is left: a Narrative may not be empty. */
export function narrativeOf(...texts: readonly string[]): { status: 'generated'; div: string } | undefined {
  const paragraphs = texts.map(escapeXml).filter((text) => text.trim() !== '').map((text) => `<p>${text.trim().replaceAll(/\r\n?|\n/g, '<br/>')}</p>`);
  return paragraphs.length === 0 ? undefined : { status: 'generated', div: `<div xmlns="${namespace}">${paragraphs.join('')}</div>` };
}
