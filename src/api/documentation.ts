/** The OpenAPI document and its reference page, all from this server: swagger-ui's files, no other host, no inline script. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Hono } from 'hono';
import { html } from 'hono/html';
import { secureHeaders } from 'hono/secure-headers';
import type { ApiEnv } from './context.ts';
import { notFound } from './problem.ts';
import type { ApiRouter } from './router.ts';

const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

export function describeApi({ app }: ApiRouter): void {
  app.openAPIRegistry.registerComponent('securitySchemes', 'token', { type: 'http', scheme: 'bearer', description: 'An API token: msk_...' });
  app.openAPIRegistry.registerComponent('securitySchemes', 'session', { type: 'apiKey', in: 'cookie', name: 'medscan_session', description: 'Set by POST /auth/login; changes also need this server\'s Origin' });
  app.doc31('/openapi.json', {
    openapi: '3.1.0',
    info: {
      title: 'MedScan Gateway', version,
      description: 'Patients, scans, AI findings, reports and the exchanges with PACS, RIS and EMR of one organization. Lists are newest first: pass `next_cursor` back as `cursor`. '
        + 'Errors are RFC 9457 problem details. What belongs to another organization is answered as if it did not exist.',
    },
    servers: [{ url: '/api/v1' }],
  });
}

const mediaTypes: Readonly<Record<string, string>> = { 'swagger-ui.css': 'text/css; charset=utf-8', 'swagger-ui-bundle.js': 'text/javascript; charset=utf-8', 'favicon-32x32.png': 'image/png' };
const startScript = `window.addEventListener('load', () => {
  SwaggerUIBundle({ url: '/api/v1/openapi.json', dom_id: '#reference', deepLinking: true, validatorUrl: null, docExpansion: 'none', displayRequestDuration: true });
});
`;

export function documentationPages(app: Hono<ApiEnv>): void {
  // swagger-ui sets style attributes; it gets them here and nowhere else.
  const policy = secureHeaders({ contentSecurityPolicy: {
    defaultSrc: ['\'none\''], scriptSrc: ['\'self\''], styleSrc: ['\'self\'', '\'unsafe-inline\''], imgSrc: ['\'self\'', 'data:'], connectSrc: ['\'self\''], fontSrc: ['\'self\'', 'data:'], frameAncestors: ['\'none\''], baseUri: ['\'none\''],
  } });
  app.use('/api/docs/*', policy);

  app.get('/api/docs', (c) => c.html(html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>MedScan Gateway API</title>
<link rel="icon" href="/api/docs/assets/favicon-32x32.png"><link rel="stylesheet" href="/api/docs/assets/swagger-ui.css"></head>
<body><div id="reference"></div><script src="/api/docs/assets/swagger-ui-bundle.js"></script><script src="/api/docs/assets/start.js"></script></body></html>`));

  app.get('/api/docs/assets/start.js', (c) => c.body(startScript, 200, { 'content-type': 'text/javascript; charset=utf-8' }));

  app.get('/api/docs/assets/:name', async (c) => {
    const name = c.req.param('name');
    const mediaType = mediaTypes[name];
    if (mediaType === undefined) throw notFound('file');
    const directory = path.dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
    return c.body(new Uint8Array(await readFile(path.join(directory, name))), 200, { 'content-type': mediaType, 'cache-control': 'public, max-age=86400' });
  });
}
