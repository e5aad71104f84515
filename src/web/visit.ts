/** A signed-in person's request for a page: who may see it, the transaction that its rows are read and audited in, and the page around its body. */
import { bodyLimit } from 'hono/body-limit';
import { z } from '@hono/zod-openapi';
import type { AuditEvent } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { actorOf, type ApiContext, type ApiDependencies } from '../api/context.ts';
import { recordRefusedUse } from '../api/middleware/authorize.ts';
import { isAllowed, type Permission } from '../api/permissions.ts';
import { Problem, toProblem } from '../api/problem.ts';
import { ORGANIZATION } from '../db/current-organization.ts';
import { sql } from '../db/pool.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import type { Caller } from '../db/user-sessions.ts';
import type { Html } from './layout.ts';
import { consolePage, type ConsolePage } from './parts.ts';
import { problemBody, problemPage, problemTitle } from './problem-page.ts';
import { signedIn, signInFirst } from './signed-in.ts';

export const form = bodyLimit({ maxSize: 256 * 1024, onError: () => { throw new Problem(413, 'The form is larger than 256 KiB.'); } });
/** In paths, for hono: `/scans/:id{${uuid}}`. */
export const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';

export type PageAudit = (event: Omit<AuditEvent, 'actor' | 'outcome'> & { readonly outcome?: AuditEvent['outcome'] }) => Promise<void>;

export interface Visit {
  readonly c: ApiContext; readonly caller: Caller; readonly now: Date;
  may(permission: Permission): boolean;
  read<T>(work: (tx: Transaction, audit: PageAudit) => Promise<T>): Promise<T>;
  page(at: string, title: string, body: Html, refresh?: ConsolePage['refresh'], status?: Problem['status']): Promise<Response>;
  /** Back to a page, with a sentence about what happened. */
  back(path: string, word: { done?: string; problem?: string }): Response;
  readonly done: string | undefined;
  readonly problem: string | undefined;
  /** What the form says, blank fields left out. */
  fields(): Promise<Record<string, string>>;
}

/** Wraps a page: sign-in first, then the one permission it needs, then errors in words. */
export function visitor(dependencies: ApiDependencies) {
  return (permission: Permission, work: (visit: Visit) => Promise<Response>) => async (c: ApiContext): Promise<Response> => {
    const caller = await signedIn(c, dependencies);
    if (!caller) return signInFirst(c);
    const v = visitOf(c, caller, dependencies);
    try {
      if (v.may(permission)) return await work(v);
      await recordRefusedUse(c, dependencies, caller, permission);
      throw new Problem(403, `The role ${caller.role} may not see this page.`);
    } catch (error) {
      return explain(v, error, dependencies);
    }
  };
}

async function explain(v: Visit, error: unknown, { log }: ApiDependencies): Promise<Response> {
  const { problem, unexpected } = toProblem(error);
  const requestId = v.c.get('requestId');
  if (unexpected) log.error({ err: error, requestId, method: v.c.req.method, route: v.c.req.routePath }, 'a page failed');
  // The bar around a page is read from the database, which may be what failed.
  return v.page('', problemTitle(problem), problemBody(problem, requestId), undefined, problem.status).catch(() => problemPage(v.c, problem));
}

function visitOf(c: ApiContext, caller: Caller, { database, keys }: ApiDependencies): Visit {
  const within = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => inOrganization(database, caller.organizationId, work);
  return {
    c, caller, now: new Date(), ...wordFor(c, caller, keys),
    may: (permission) => isAllowed(caller.role, caller.scopes, permission),
    read: (work) => within((tx) => work(tx, (event) => recordAudit(tx, { outcome: 'success', ...event, actor: actorOf(c, caller), requestId: c.get('requestId') }))),
    async page(at, title, body, refresh, status = 200) {
      const organizationName = await within((tx) => tx.oneFirst(sql.type(z.object({ name: z.string() }))`SELECT name FROM organizations WHERE organization_id = ${ORGANIZATION}`));
      return c.html(consolePage({ title, caller, organizationName, at, body, refresh }), status);
    },
    back: (path, word) => c.redirect(`${path}${Object.keys(word).length > 0 ? `${path.includes('?') ? '&' : '?'}word=${encodeURIComponent(keys.seal(placeOf(caller), JSON.stringify(word, cutLongTexts)))}` : ''}`, 303),
    async fields() {
      const parsed = await c.req.parseBody();
      return withoutEmpty(Object.fromEntries(Object.entries(parsed).filter((entry): entry is [string, string] => typeof entry[1] === 'string')));
    },
  };
}

/** It travels in the address, and a request whose address is long is refused: a model's finding or another system's answer may be. */
const mostOfWord = 1_000;
const cutLongTexts = (_name: string, value: unknown): unknown => (typeof value === 'string' && value.length > mostOfWord ? `${value.slice(0, mostOfWord)}…` : value);

const placeOf = ({ userId }: Caller): string => `web/${userId}/word`;

/** The sentence that the form before this page left: sealed, so that no link of somebody else's puts words on our page. */
function wordFor(c: ApiContext, caller: Caller, keys: ApiDependencies['keys']): { done: string | undefined; problem: string | undefined } {
  try {
    const { done, problem } = JSON.parse(keys.open(placeOf(caller), c.req.query('word') ?? '')) as { done?: string; problem?: string };
    return { done, problem };
  } catch {
    return { done: undefined, problem: undefined };
  }
}

export const withoutEmpty = (fields: Readonly<Record<string, string>>): Record<string, string> => Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, name === 'message' || name === 'settings' ? value : value.trim()]).filter(([name, value]) => value !== '' && name !== 'word'));
export const wordsOf = (error: z.ZodError): string => error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
