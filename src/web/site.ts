import type { Hono } from 'hono';
import { html } from 'hono/html';
import { answerError, createApi, judgeError, nothingHere } from '../api/app.ts';
import type { ApiContext, ApiDependencies, ApiEnv } from '../api/context.ts';
import { problemResponse } from '../api/problem.ts';
import { associationPages } from './association-pages.ts';
import { consolePages } from './console.ts';
import { editSystemPages } from './edit-system-pages.ts';
import { imagePages } from './image-pages.ts';
import { page } from './layout.ts';
import { webPages } from './pages.ts';
import { problemPage, wantsPage } from './problem-page.ts';
import { scanPages } from './scan-pages.ts';
import { systemPages } from './system-pages.ts';

/** The API with the server-rendered pages: everything the HTTP port answers. */
export function createSite(dependencies: ApiDependencies): Hono<ApiEnv> {
  const app = createApi(dependencies);
  webPages(app, dependencies);
  consolePages(app, dependencies);
  scanPages(app, dependencies);
  imagePages(app, dependencies);
  systemPages(app, dependencies);
  editSystemPages(app, dependencies);
  associationPages(app, dependencies);
  app.notFound((c) => notFound(c, dependencies));
  app.onError((error, c) => (wantsPage(c) ? problemPage(c, judgeError(c, error, dependencies)) : answerError(c, error, dependencies)));
  return app;
}

/** A person's browser gets a page, a program a problem. */
function notFound(c: ApiContext, dependencies: ApiDependencies): Response | Promise<Response> {
  if (!wantsPage(c)) return problemResponse(c, nothingHere(dependencies));
  return c.html(page({ title: 'Not found · MedScan Gateway', body: html`<main id="main"><h1>There is nothing at this address</h1><p class="aside"><a href="/">Status</a> has the way to everything; <a href="/api/docs">the API</a> is described by itself.</p></main>` }), 404);
}
