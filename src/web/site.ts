import type { Hono } from 'hono';
import { createApi } from '../api/app.ts';
import type { ApiDependencies, ApiEnv } from '../api/context.ts';
import { consolePages } from './console.ts';
import { webPages } from './pages.ts';
import { scanPages } from './scan-pages.ts';
import { systemPages } from './system-pages.ts';

/** The API with the server-rendered pages: everything the HTTP port answers. */
export function createSite(dependencies: ApiDependencies): Hono<ApiEnv> {
  const app = createApi(dependencies);
  webPages(app, dependencies);
  consolePages(app, dependencies);
  scanPages(app, dependencies);
  systemPages(app, dependencies);
  return app;
}
