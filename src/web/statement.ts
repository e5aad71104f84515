/** Our own conformance statements, which are Markdown, as a page. Of Markdown only what they are written in: headings, tables, lists, code, links. */
import { html } from 'hono/html';
import type { Html } from './layout.ts';

export function statementPage({ back, name, markdown, download }: { readonly back: string; readonly name: string; readonly markdown: string; readonly download: string }): Html {
  const lines = markdown.split('\n'), titled = lines[0]?.startsWith('# ') ? lines[0].slice(2) : 'Conformance statement';
  return html`<p class="back"><a href="${back}">${name}</a></p><h1>${titled}</h1>
<p class="aside unprinted"><a href="${download}" download="conformance-${name.replaceAll(/[^\w.-]+/g, '-')}.md">Download as Markdown</a>; printing gives a PDF.</p>
<section class="statement">${blocks(lines[0]?.startsWith('# ') ? lines.slice(1) : lines)}</section>`;
}

/** Blocks of Markdown, in their order. */
function blocks(lines: readonly string[]): Html[] {
  const shown: Html[] = [];
  for (let at = 0; at < lines.length;) {
    const line = lines[at]!;
    const until = (is: (line: string) => boolean): string[] => {
      const end = lines.findIndex((other, index) => index > at && !is(other));
      const taken = lines.slice(at, end === -1 ? undefined : end);
      at += taken.length;
      return taken;
    };
    if (line.trim() === '') at += 1;
    else if (line.startsWith('```')) {
      at += 1;
      const code = lines[at]?.startsWith('```') ? [] : until((other) => !other.startsWith('```'));
      at += 1;
      shown.push(html`<pre tabindex="0">${code.join('\n')}</pre>`);
    } else if (line.startsWith('#')) {
      shown.push(heading(line));
      at += 1;
    } else if (line.startsWith('|')) shown.push(table(until((other) => other.startsWith('|'))));
    else if (line.startsWith('- ')) shown.push(html`<ul>${until((other) => other.startsWith('- ')).map((item) => html`<li>${inline(item.slice(2))}</li>`)}</ul>`);
    else shown.push(html`<p>${inline(until((other) => other.trim() !== '' && !/^(#|\||- |```)/.test(other)).join(' '))}</p>`);
  }
  return shown;
}

/** The page's own h1 is the statement's; deeper than h4 is bold enough. */
function heading(line: string): Html {
  const level = /^#+/.exec(line)![0].length, text = inline(line.slice(level).trim());
  return level <= 2 ? html`<h2>${text}</h2>` : level === 3 ? html`<h3>${text}</h3>` : html`<h4>${text}</h4>`;
}

function table([head = '', , ...rows]: readonly string[]): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Table"><table><thead><tr>${cells(head).map((cell) => html`<th scope="col">${inline(cell)}</th>`)}</tr></thead><tbody>${rows.map((row) => html`<tr>${cells(row).map((cell) => html`<td>${inline(cell)}</td>`)}</tr>`)}</tbody></table></div>`;
}

const cells = (row: string): string[] => row.replace(/^\|\s?/, '').replace(/\s?\|\s*$/, '').split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll(String.raw`\|`, '|'));

/** Code and emphasis; of a link its words: it leads to files of the product, which are not here. */
function inline(text: string): Html[] {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*|(?<!\w)\*[^*]+\*(?!\w)|\[[^\]]+\]\([^)]*\))/).map((part) => {
    if (/^`.+`$/.test(part)) return html`<code>${part.slice(1, -1)}</code>`;
    if (/^\*\*.+\*\*$/.test(part)) return html`<strong>${part.slice(2, -2)}</strong>`;
    if (/^\*.+\*$/.test(part)) return html`<em>${part.slice(1, -1)}</em>`;
    return html`${/^\[([^\]]+)\]\(/.exec(part)?.[1] ?? part}`;
  });
}
