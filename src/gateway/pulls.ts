/**
 * Fetching from systems that do not send: read what changed since last time, and receive each of it as if it had been sent. `until` becomes the next
 * `since`. Reading the same twice changes nothing, so a time is read again rather than left out.
 */
import type { AdapterContext, Integration, Receive } from './adapter.ts';

export type Pulled =
  | { readonly kind: 'read'; readonly until: string; readonly read: number; readonly taken: number; readonly refused: number }
  /** `until`: what was taken before the fault stays taken. */
  | { readonly kind: 'failed'; readonly text: string; readonly until?: string; readonly retryAfterMilliseconds?: number | undefined };

export interface Puller<Config> {
  /** Undefined: nothing is fetched from this system. */
  plan(config: Config): { readonly types: readonly string[]; readonly everySeconds: number } | undefined;
  /** Never throws for what the network or the server does. `since` undefined: the first time. */
  pull(integration: Integration<Config>, type: string, since: string | undefined, receive: Receive, context: AdapterContext): Promise<Pulled>;
}
