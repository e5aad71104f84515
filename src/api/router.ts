/**
 * One route = one definition (schemas, summary) + one handler. Every handler gets validated input and `transact`, which opens a
 * transaction in the caller's organization and hands over the audit of the same transaction.
 *
 *   request -> permission of permissions.ts (before the body is read) -> no unknown query parameter -> zod -> handler -> JSON checked by its type
 *
 * Two mistakes cannot be made here: a route without a permission stops the start, and a handler that read or changed something
 * without an audit event answers 500 (unless the route says why it needs none).
 */
import { createRoute, OpenAPIHono, z, type RouteConfig } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { AuditActor, AuditEvent } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import type { Caller } from '../db/user-sessions.ts';
import { actorOf, type ApiContext, type ApiDependencies, type ApiEnv } from './context.ts';
import { authorize } from './middleware/authorize.ts';
import { onlyKnownQuery } from './middleware/known-query.ts';
import { routePermissions, type RouteName, type RoutePermission } from './permissions.ts';
import { notFound, pointerOf, Problem, problemResponse, ProblemSchema } from './problem.ts';

export interface RouteDefinition<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType, Returns extends z.ZodType> {
  readonly summary: string;
  readonly description?: string;
  readonly tag: string;
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
  /** Absent: 204, or a body that is not JSON (see `produces`). */
  readonly returns?: Returns;
  readonly status?: 200 | 201 | 202;
  /** Media type of a handler that answers with its own Response. */
  readonly produces?: string;
  /** Why this route writes no audit row. */
  readonly unaudited?: string;
}

export type RequestAudit = (event: Omit<AuditEvent, 'actor' | 'requestId' | 'outcome'> & { readonly outcome?: AuditEvent['outcome'] }) => Promise<void>;

export interface ApiRequest<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly caller: Caller;
  readonly actor: AuditActor;
  readonly c: ApiContext;
  /** A transaction in the caller's organization. `audit` writes into it; what is thrown rolls both back. */
  transact<T>(work: (tx: Transaction, audit: RequestAudit) => Promise<T>): Promise<T>;
  /** For commands that write their audit rows themselves. */
  auditedElsewhere(): void;
}

export interface RegisteredRoute {
  readonly name: RouteName;
  readonly method: string;
  readonly path: string;
  readonly permission: RoutePermission;
  readonly unaudited: string | undefined;
}

const maximumBodyBytes = 256 * 1024;
const errorStatuses = { 400: 'A query parameter that does not exist, or a body that is no JSON', 401: 'Not signed in', 403: 'The role lacks the permission', 404: 'Not in this organization', 422: 'Input is invalid' } as const;

export class ApiRouter {
  readonly app: OpenAPIHono<ApiEnv>;
  readonly routes: RegisteredRoute[] = [];
  readonly #dependencies: ApiDependencies;

  constructor(dependencies: ApiDependencies) {
    this.#dependencies = dependencies;
    this.app = new OpenAPIHono<ApiEnv>({
      defaultHook: (result, c) => (result.success ? undefined : problemResponse(c, validationProblem(result.target, result.error.issues))),
    });
  }

  /** `name` is the key of permissions.ts: 'GET /scans/{scan_id}'. */
  route<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType, Returns extends z.ZodType = z.ZodVoid>(
    name: RouteName,
    definition: RouteDefinition<Params, Query, Body, Returns>,
    handler: (request: ApiRequest<z.output<Params>, z.output<Query>, z.output<Body>>) => Promise<z.input<Returns> | Response>,
  ): void {
    const permission = routePermissions[name] as RoutePermission | undefined;
    if (permission === undefined) throw new Error(`The route ${name} has no permission in src/api/permissions.ts.`);
    const [method = '', path = ''] = name.split(' ');
    const configuration = createRoute({ ...openApiOf(method, path, definition, permission), middleware: [authorize(this.#dependencies, permission), onlyKnownQuery(name, namesOf(definition.query)), limitBody] });
    // The library's handler type ties the handler to the route object; here the definition above does, so the type is erased once.
    this.app.openapi(configuration, (async (c: ApiContext) => this.#run(c, definition, handler)) as never);
    this.routes.push({ name, method, path, permission, unaudited: definition.unaudited });
  }

  async #run<Params extends z.ZodType, Query extends z.ZodType, Body extends z.ZodType, Returns extends z.ZodType>(
    c: ApiContext,
    definition: RouteDefinition<Params, Query, Body, Returns>,
    handler: (request: ApiRequest<z.output<Params>, z.output<Query>, z.output<Body>>) => Promise<z.input<Returns> | Response>,
  ): Promise<Response> {
    const caller = c.get('caller') ?? nobody;
    const actor = actorOf(c, caller);
    const requestId = c.get('requestId');
    let audited = definition.unaudited !== undefined;
    const valid = (target: 'param' | 'query' | 'json') => c.req.valid(target as never) as never;
    const result = await handler({
      params: valid('param'), query: valid('query'), body: valid('json'), caller, actor, c,
      auditedElsewhere: () => { audited = true; },
      transact: (work) => inOrganization(this.#dependencies.database, caller.organizationId, (tx) => work(tx, async (event) => {
        audited = true;
        await recordAudit(tx, { outcome: 'success', ...event, actor, requestId });
      })),
    });
    if (!audited) throw new Error(`The route ${c.req.method} ${c.req.routePath} wrote no audit event.`);
    if (result instanceof Response) return result;
    if (definition.returns === undefined) return c.body(null, 204);
    return c.json(result as object, (definition.status ?? 200) as ContentfulStatusCode);
  }
}

function namesOf(query: z.ZodType | undefined): readonly string[] {
  if (query === undefined) return [];
  if (!(query instanceof z.ZodObject)) throw new Error('The query of a route is a z.object: its names are those that a request may use.');
  return Object.keys(query.shape);
}

const nobody: Caller = { kind: 'user', organizationId: '', userId: '', sessionId: '', role: '', name: '', scopes: [], via: 'session' };

const limitBody: MiddlewareHandler = bodyLimit({
  maxSize: maximumBodyBytes,
  onError: () => { throw new Problem(413, `The body is larger than ${maximumBodyBytes} bytes.`); },
});

function openApiOf(method: string, path: string, definition: RouteDefinition<z.ZodType, z.ZodType, z.ZodType, z.ZodType>, permission: RoutePermission): RouteConfig {
  const problem = { content: { 'application/problem+json': { schema: ProblemSchema } } };
  const success = definition.returns !== undefined
    ? { [definition.status ?? 200]: { description: definition.summary, content: { 'application/json': { schema: definition.returns } } } }
    : definition.produces !== undefined
      ? { 200: { description: definition.summary, content: { [definition.produces]: { schema: z.string().openapi({ format: 'binary' }) } } } }
      : { 204: { description: definition.summary } };
  return {
    method: method.toLowerCase() as RouteConfig['method'],
    path,
    tags: [definition.tag],
    summary: definition.summary,
    description: [definition.description, `Permission: \`${permission}\`.`].filter(Boolean).join('\n\n'),
    ...(permission === 'public' ? { security: [] } : { security: [{ token: [] }, { session: [] }] }),
    request: {
      ...(definition.params && { params: definition.params as never }),
      ...(definition.query && { query: definition.query as never }),
      ...(definition.body && { body: { required: true, content: { 'application/json': { schema: definition.body } } } }),
    },
    responses: {
      ...success,
      ...Object.fromEntries(Object.entries(errorStatuses).map(([status, description]) => [status, { description, ...problem }])),
    },
  };
}

/** A path parameter that is no UUID names nothing: 404, like an unknown one. */
function validationProblem(target: string, issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]): Problem {
  if (target === 'param') return notFound('resource');
  const errors = issues.map((issue) => ({ pointer: pointerOf(target, issue.path), message: issue.message }));
  return new Problem(422, `${errors.length === 1 ? 'A value is' : `${errors.length} values are`} missing or wrong; see errors.`, { errors });
}
