/** What travels with a request: who asks, and the dependencies that createApi was given. */
import type { Context } from 'hono';
import type { AuditActor } from '../audit/event.ts';
import type { Keys } from '../db/secrets.ts';
import type { Database } from '../db/pool.ts';
import type { Caller } from '../db/user-sessions.ts';
import type { Log } from '../log.ts';
import type { ApiCommands } from './commands.ts';

export interface ApiDependencies {
  readonly database: Database;
  readonly config: ApiConfig;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  readonly secrets: Keys;
  readonly commands: ApiCommands;
}

export interface ApiConfig {
  /** True when clients reach the gateway by https (its own or a proxy's): cookies are then marked Secure. */
  readonly secureCookies?: boolean | undefined;
  /** Version of the product, for the OpenAPI document. */
  readonly version?: string | undefined;
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

export function isHttps(c: ApiContext, config: ApiConfig): boolean {
  return config.secureCookies ?? (c.env?.incoming?.socket?.encrypted === true || new URL(c.req.url).protocol === 'https:');
}
