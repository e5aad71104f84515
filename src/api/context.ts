/** What travels with a request: who asks, and the dependencies that createApi was given. */
import type { Context } from 'hono';
import type { AuditActor } from '../audit/event.ts';
import type { Keys } from '../db/secrets.ts';
import type { Config } from '../config.ts';
import type { Database } from '../db/pool.ts';
import type { Caller } from '../db/user-sessions.ts';
import type { Log } from '../log.ts';
import type { ApiCommands } from './commands.ts';

export interface ApiDependencies {
  readonly database: Database;
  readonly config: Pick<Config, 'roles'>;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  readonly keys: Keys;
  readonly commands: ApiCommands;
}

export interface ApiVariables {
  requestId: string;
  /** Unset on public routes and while nobody is signed in. */
  caller?: Caller;
}
/** `incoming` is Node's request when served by @hono/node-server; absent in app.request(). */
export interface ApiBindings { readonly incoming?: { readonly socket?: { readonly remoteAddress?: string | undefined; readonly remotePort?: number | undefined; readonly encrypted?: boolean } } }
export interface ApiEnv { Variables: ApiVariables; Bindings: ApiBindings }
export type ApiContext = Context<ApiEnv>;

export function peerAddress(c: ApiContext): string {
  return c.env?.incoming?.socket?.remoteAddress?.replace(/^::ffff:/, '') ?? 'unknown';
}

export function actorOf(c: ApiContext, caller: Caller): AuditActor {
  return { kind: caller.kind, id: caller.userId, role: caller.role, address: peerAddress(c) };
}

/** Whether the browser came by https, here or up to a proxy. A client that lies about it only spoils its own cookie. */
export function isHttps(c: ApiContext): boolean {
  return c.env?.incoming?.socket?.encrypted === true || new URL(c.req.url).protocol === 'https:' || c.req.header('x-forwarded-proto') === 'https';
}
