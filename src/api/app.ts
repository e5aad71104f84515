/**
 * Everything the gateway answers by HTTP.
 *
 *   /fhir/r4/...            an HTTP adapter's mount: handed over whole, it has its own authentication and errors
 *   /api/v1/...             the REST API (routes/, one permission each), described at /api/v1/openapi.json, readable at /api/docs
 *   /healthz /readyz /metrics
 *   / /login /logout        the pages of src/web, which site.ts adds
 *   anything else           a JSON problem, 404
 */
import { TLSSocket } from 'node:tls';
import { Hono } from 'hono';
import { requestId } from 'hono/request-id';
import { secureHeaders } from 'hono/secure-headers';
import { httpRequestSeconds } from '../metrics.ts';
import { peerAddress, type ApiContext, type ApiDependencies, type ApiEnv } from './context.ts';
import { describeApi, documentationPages } from './documentation.ts';
import { healthRoutes } from './health.ts';
import { routePermissions } from './permissions.ts';
import { Problem, problemResponse, toProblem } from './problem.ts';
import { ApiRouter, type RegisteredRoute } from './router.ts';
import { associationRoutes } from './routes/associations.ts';
import { auditLogRoutes } from './routes/audit-logs.ts';
import { authRoutes } from './routes/auth.ts';
import { configurationRoutes } from './routes/configuration.ts';
import { analysisRoutes, findingRoutes } from './routes/findings.ts';
import { deadJobRoutes } from './routes/dead-jobs.ts';
import { deliveryRoutes } from './routes/deliveries.ts';
import { orderNoticeRoutes } from './routes/order-notices.ts';
import { integrationRoutes } from './routes/integrations.ts';
import { mergeRoutes } from './routes/merges.ts';
import { messageReplayRoutes } from './routes/message-replays.ts';
import { messageRoutes } from './routes/messages.ts';
import { organizationRoutes } from './routes/organizations.ts';
import { patientRoutes } from './routes/patients.ts';
import { queueRoutes } from './routes/queue.ts';
import { reportRoutes } from './routes/reports.ts';
import { scanFileRoutes, scanRoutes } from './routes/scans.ts';
import { settingRoutes } from './routes/settings.ts';
import { syncLogRoutes } from './routes/sync-logs.ts';
import { alertRoutes } from './routes/system-alerts.ts';
import { userRoutes } from './routes/users.ts';

export interface Api {
  /** Hono: `app.fetch` for @hono/node-server, `app.request()` for tests. */
  readonly app: Hono<ApiEnv>;
  /** Every route of /api/v1 with its permission; tests and schemas/api_mappings.md are made from it. */
  readonly routes: readonly RegisteredRoute[];
}

export function createApi(dependencies: ApiDependencies): Hono<ApiEnv> {
  return buildApi(dependencies).app;
}

export function buildApi(dependencies: ApiDependencies): Api {
  const router = apiRoutes(dependencies);
  const app = new Hono<ApiEnv>();
  app.onError((error, c) => answerError(c, error, dependencies));
  app.notFound((c) => problemResponse(c, nothingHere(dependencies)));
  app.use(requestId({ limitLength: 100 }));
  app.use((c, next) => handOverToAdapter(c, next, dependencies));
  app.use(headers, measure);
  describeApi(router);
  app.route('/api/v1', router.app);
  documentationPages(app);
  healthRoutes(app, dependencies);
  return { app, routes: router.routes };
}

/** Names the ways in: who is here by mistake was told one of them almost right. */
export function nothingHere({ commands }: Pick<ApiDependencies, 'commands'>): Problem {
  return new Problem(404, `There is nothing at this address. /api/docs describes the API; other interfaces are at ${commands.adapterMounts().join(', ')}.`);
}

function apiRoutes(dependencies: ApiDependencies): ApiRouter {
  const router = new ApiRouter(dependencies);
  authRoutes(router, dependencies);
  organizationRoutes(router);
  userRoutes(router);
  patientRoutes(router);
  mergeRoutes(router);
  scanRoutes(router, dependencies);
  scanFileRoutes(router, dependencies);
  analysisRoutes(router);
  findingRoutes(router);
  reportRoutes(router, dependencies);
  integrationRoutes(router, dependencies);
  syncLogRoutes(router, dependencies);
  messageRoutes(router, dependencies);
  messageReplayRoutes(router, dependencies);
  deliveryRoutes(router, dependencies);
  orderNoticeRoutes(router, dependencies);
  deadJobRoutes(router, dependencies);
  associationRoutes(router);
  auditLogRoutes(router, dependencies);
  queueRoutes(router);
  configurationRoutes(router);
  settingRoutes(router);
  alertRoutes(router);
  const missing = Object.keys(routePermissions).filter((name) => !router.routes.some((route) => route.name === name));
  if (missing.length > 0) throw new Error(`permissions.ts names routes that do not exist: ${missing.join(', ')}`);
  return router;
}

/** The adapter reads the untouched request, so this runs before anything that could read or limit its body. */
async function handOverToAdapter(c: ApiContext, next: () => Promise<void>, { commands }: ApiDependencies): Promise<Response | void> {
  const socket = c.env?.incoming?.socket;
  if (/^\/(api|login|logout|reload|assets|healthz|readyz|metrics)?(\/|$)/.test(c.req.path)) return next();
  const response = await commands.handleAdapterHttp(c.req.raw, { address: peerAddress(c), port: socket?.remotePort ?? 0, ...certificateOf(socket) });
  return response ?? next();
}

/** Whose client certificate it is, when one of a known CA was shown. */
function certificateOf(socket: unknown): { tlsSubject?: string } {
  const name: unknown = socket instanceof TLSSocket && socket.authorized ? socket.getPeerCertificate().subject?.CN : undefined;
  return typeof name === 'string' ? { tlsSubject: name } : {};
}

/** No script but our own files, no other site's frames, nothing kept in a cache. */
const headers = secureHeaders({
  contentSecurityPolicy: { defaultSrc: ['\'none\''], styleSrc: ['\'self\''], scriptSrc: ['\'self\''], imgSrc: ['\'self\'', 'data:'], connectSrc: ['\'self\''], formAction: ['\'self\''], frameAncestors: ['\'none\''], baseUri: ['\'none\''] },
  xFrameOptions: 'DENY', // Not no-referrer: browsers would then send "Origin: null" with our own forms.
  referrerPolicy: 'same-origin', crossOriginOpenerPolicy: 'same-origin', crossOriginResourcePolicy: 'same-origin',
  permissionsPolicy: { camera: [], microphone: [], geolocation: [] },
});

async function measure(c: ApiContext, next: () => Promise<void>): Promise<void> {
  const started = performance.now();
  await next();
  if (!c.res.headers.has('cache-control')) c.res.headers.set('cache-control', 'no-store');
  httpRequestSeconds.observe({ method: c.req.method, route: c.req.routePath, status: String(c.res.status) }, (performance.now() - started) / 1000);
}

export function answerError(c: ApiContext, error: unknown, dependencies: ApiDependencies): Response {
  return problemResponse(c, judgeError(c, error, dependencies));
}

/** What to tell of it; when it is our fault, the log has it. */
export function judgeError(c: ApiContext, error: unknown, { log }: ApiDependencies): Problem {
  const { problem, unexpected } = toProblem(error);
  if (unexpected) log.error({ err: error, requestId: c.get('requestId'), method: c.req.method, route: c.req.routePath }, 'an API request failed');
  return problem;
}
