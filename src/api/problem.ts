/**
 * Errors of the API as RFC 9457 problem details. A handler throws a Problem; whatever else is thrown becomes one here, without
 * telling the caller more than it may know and without putting row values into the log.
 */
import type { Context } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import {
  BackendTerminatedError, BackendTerminatedUnexpectedlyError, CheckIntegrityConstraintViolationError, ConnectionError, ForeignKeyIntegrityConstraintViolationError,
  StatementTimeoutError, UniqueIntegrityConstraintViolationError,
} from 'slonik';
import { z } from '@hono/zod-openapi';
import { isRefusedValue, sqlState } from '../db/errors.ts';

export interface ProblemError { readonly pointer: string; readonly message: string }

const titles: Readonly<Record<number, string>> = {
  400: 'Bad request', 401: 'Not signed in', 403: 'Not allowed', 404: 'Not found', 405: 'Method not allowed', 409: 'Conflict', 411: 'Length required',
  413: 'Too large', 415: 'Unsupported media type', 422: 'Invalid input', 423: 'Locked', 429: 'Too many requests', 500: 'Internal error',
  501: 'Not available', 502: 'Bad gateway', 503: 'Unavailable',
};

export class Problem extends Error {
  readonly status: ContentfulStatusCode;
  readonly errors: readonly ProblemError[];
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: ContentfulStatusCode, detail: string, more: { errors?: readonly ProblemError[]; headers?: Record<string, string> } = {}) {
    super(detail);
    this.name = 'Problem';
    this.status = status;
    this.errors = more.errors ?? [];
    this.headers = more.headers ?? {};
  }
}

/** What the tenant cannot see and what does not exist answer alike. */
export function notFound(what: string): Problem {
  return new Problem(404, `There is no such ${what} in this organization.`);
}

/** What a command decided: done, or why not. */
export function decided(decision: { readonly kind: 'done' } | { readonly kind: 'not-found' } | { readonly kind: 'refused'; readonly reason: string }, what: string): void {
  if (decision.kind === 'not-found') throw notFound(what);
  if (decision.kind === 'refused') throw new Problem(409, decision.reason);
}

export function invalid(pointer: string, message: string): Problem {
  return new Problem(422, message, { errors: [{ pointer, message }] });
}

export const ProblemSchema = z.object({
  type: z.string(), title: z.string(), status: z.int(), detail: z.string(), instance: z.string(), request_id: z.string(),
  errors: z.array(z.object({
    pointer: z.string().describe('Where: a JSON pointer into the body (#/email), or query/<name> or path/<name>'),
    message: z.string(),
  })).optional(),
}).openapi('Problem');

export function problemResponse(c: Context, problem: Problem): Response {
  const title = titles[problem.status] ?? 'Error';
  const requestId = String(c.get('requestId') ?? '');
  const body = {
    type: `urn:medscan:problem:${title.toLowerCase().replaceAll(' ', '-')}`, title, status: problem.status, detail: problem.message,
    instance: `urn:uuid:${requestId}`, request_id: requestId,
    ...(problem.errors.length > 0 && { errors: problem.errors }),
  };
  return c.body(JSON.stringify(body), problem.status, { ...problem.headers, 'content-type': 'application/problem+json' });
}

/** Turns anything thrown into a Problem; `unexpected` is set when it is our fault and belongs in the log. */
export function toProblem(error: unknown): { readonly problem: Problem; readonly unexpected: boolean } {
  if (error instanceof Problem) return { problem: error, unexpected: false };
  if (error instanceof HTTPException) return { problem: fromHttpException(error), unexpected: false };
  if (error instanceof UniqueIntegrityConstraintViolationError) return expected(409, 'Something with the same name or key exists already.');
  if (error instanceof ForeignKeyIntegrityConstraintViolationError) return expected(409, 'The request refers to something that does not exist, or that something else still refers to.');
  if (error instanceof CheckIntegrityConstraintViolationError || isRefusedValue(error)) return expected(422, 'A value is outside what the database allows.');
  if (error instanceof StatementTimeoutError) return { problem: new Problem(503, 'The database took too long. Try again, or ask for less.', { headers: { 'retry-after': '5' } }), unexpected: true };
  if (isDatabaseAway(error)) {
    return { problem: new Problem(503, 'The database cannot be reached. Try again in a few seconds.', { headers: { 'retry-after': '5' } }), unexpected: true };
  }
  return { problem: new Problem(500, 'Something went wrong on our side. The request id finds it in the log.'), unexpected: true };
}

function expected(status: ContentfulStatusCode, detail: string): { problem: Problem; unexpected: boolean } {
  return { problem: new Problem(status, detail), unexpected: false };
}

function fromHttpException(error: HTTPException): Problem {
  if (error.status === 400) return new Problem(400, 'The body is not valid JSON.');
  if (error.status === 413) return new Problem(413, 'The body is larger than this endpoint takes.');
  if (error.status === 415) return new Problem(415, 'Send the body as application/json.');
  return new Problem(error.status as ContentfulStatusCode, error.message || (titles[error.status] ?? 'Error'));
}

/** Connection refused, lost or not to be had; shutting down; out of connections. */
function isDatabaseAway(error: unknown): boolean {
  if (error instanceof ConnectionError || error instanceof BackendTerminatedError || error instanceof BackendTerminatedUnexpectedlyError) return true;
  if (/^(08|53|57P)/.test(sqlState(error) ?? '')) return true;
  for (let current = error; current instanceof Error; current = current.cause) {
    if (['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND'].includes(String((current as NodeJS.ErrnoException).code)) || /^(Connection terminated|Client has encountered a connection error)/.test(current.message)) return true;
  }
  return false;
}

/** The path to a zod issue as a JSON pointer (RFC 6901) in URI fragment form for bodies, `query/<name>` for parameters. */
export function pointerOf(target: string, path: readonly PropertyKey[]): string {
  const steps = path.map((step) => String(step).replaceAll('~', '~0').replaceAll('/', '~1')).join('/');
  if (target === 'json') return steps === '' ? '#' : `#/${steps}`;
  return `${target === 'param' ? 'path' : target}/${steps}`;
}
