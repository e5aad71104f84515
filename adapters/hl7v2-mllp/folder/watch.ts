/**
 * Looks at the folder of each integration that names one, again and again: also on network file systems, which tell nobody of a new file. One
 * folder after the other, one file after the other; a folder that cannot be used is logged once, when it begins, and does not hold up the rest.
 * A folder that integrations of two organizations name is taken by neither: one would read the patients of the other.
 */
import type { AdapterContext, Integration, IntegrationDirectory, Receive } from '#gateway/adapter.ts';
import type { Hl7v2Config } from '../config.ts';
import { Inbox, defaultInboxLimits } from './inbox.ts';
import type { InboxLimits } from './inbox.ts';
import { FolderError, codeOf, refuseShared } from './places.ts';

export interface WatchOptions { readonly pollMilliseconds?: number; readonly limits?: Partial<InboxLimits> }
export interface Watching { close(): Promise<void> }

interface Watched { readonly organizationId: string; readonly config: Hl7v2Config; readonly inbox: Inbox; problem: string | undefined }

/** Without context.folders there is nothing to watch. close() lets the file in work finish. */
export async function watch(integrations: IntegrationDirectory<Hl7v2Config>, receive: Receive, context: AdapterContext, options: WatchOptions = {}): Promise<Watching> {
  const root = context.folders;
  if (root === undefined) return { close: async () => undefined };
  const watcher = new Watcher(integrations, root, receive, context, options);
  watcher.start();
  return watcher;
}

class Watcher implements Watching {
  readonly #integrations: IntegrationDirectory<Hl7v2Config>;
  readonly #root: string;
  readonly #receive: Receive;
  readonly #context: AdapterContext;
  readonly #limits: InboxLimits;
  readonly #pollMilliseconds: number;
  #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  constructor(integrations: IntegrationDirectory<Hl7v2Config>, root: string, receive: Receive, context: AdapterContext, options: WatchOptions) {
    this.#integrations = integrations; this.#root = root; this.#receive = receive; this.#context = context;
    this.#limits = { ...defaultInboxLimits, ...options.limits };
    this.#pollMilliseconds = options.pollMilliseconds ?? 1_000;
  }

  start(): void { this.#running = this.#round(); }

  async close(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #round(): Promise<void> {
    const watched = new Map<string, Watched>();
    for (const integration of this.#integrations.all()) {
      if (integration.config.folder !== undefined && integration.config.receives) watched.set(integration.integrationId, this.#watchedOf(integration));
    }
    this.#watched = watched;
    for (const [integrationId, each] of watched) {
      if (this.#stopped) return;
      await this.#look(integrationId, each);
    }
    if (!this.#stopped) this.#timer = setTimeout(() => { this.#running = this.#round(); }, this.#pollMilliseconds);
  }

  /** Settings that changed make a new inbox. */
  #watchedOf(integration: Integration<Hl7v2Config>): Watched {
    const known = this.#watched.get(integration.integrationId);
    return known?.config === integration.config ? known : { organizationId: integration.organizationId, config: integration.config, problem: known?.problem, inbox: new Inbox(integration, this.#root, this.#receive, this.#context, this.#limits) };
  }

  async #look(integrationId: string, watched: Watched): Promise<void> {
    try {
      await refuseShared(this.#root, watched.config.folder ?? '', foldersOfOthers([...this.#integrations.all(), ...this.#integrations.sending?.() ?? []], watched.organizationId));
      await watched.inbox.look(() => this.#stopped);
      watched.problem = undefined;
    } catch (error) {
      // Words of ours, or the code alone: the message of a file system error names the file, and senders name files by patients.
      const problem = error instanceof FolderError ? error.message : codeOf(error);
      if (watched.problem !== problem) this.#context.log.error({ integrationId, problem }, 'a watched folder cannot be used; it is tried again');
      watched.problem = problem;
    }
  }
}

/** The folders that integrations of other organizations name, to take messages from or to put results into. */
function foldersOfOthers(integrations: readonly Integration<Hl7v2Config>[], organizationId: string): readonly string[] {
  return [...new Set(integrations.filter((other) => other.organizationId !== organizationId).flatMap(({ config }) => [config.folder, config.deliver_folder]))].filter((name) => name !== undefined);
}
