/** For load balancers and Prometheus; nothing here tells about a tenant. */
import type { Hono } from 'hono';
import { metrics } from '../metrics.ts';
import type { ApiDependencies, ApiEnv } from './context.ts';

export function healthRoutes(app: Hono<ApiEnv>, { database, commands, config }: ApiDependencies): void {
  /** The process runs and answers, in these roles. */
  app.get('/healthz', (c) => c.json({ status: 'ok', roles: config.roles }));

  /** Messages can be accepted: the database answers and the listeners are up. */
  app.get('/readyz', async (c) => {
    const reasons = [...await commands.notReady().catch(() => ['the gateway cannot tell its state'])];
    await database.ping().catch(() => { reasons.push('the database does not answer'); });
    return reasons.length === 0 ? c.json({ status: 'ready' }) : c.json({ status: 'not ready', reasons }, 503);
  });

  app.get('/metrics', async (c) => c.body(await metrics.metrics(), 200, { 'content-type': metrics.contentType }));
}
