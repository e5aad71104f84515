import { html } from 'hono/html';
import type { HtmlEscapedString } from 'hono/utils/html';

export type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

export interface PageOptions { readonly title: string; readonly body: Html; readonly refresh?: { readonly seconds: number; readonly url: string } }

export function page({ title, body, refresh }: PageOptions): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
${refresh === undefined ? '' : html`<meta http-equiv="refresh" content="${refresh.seconds}; url=${refresh.url}">`}
<title>${title}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/assets/medscan.css">
</head>
<body>${body}</body>
</html>`;
}
