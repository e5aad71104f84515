/**
 * Systems that may be asked, and each question on record. A question leaves a row of sync_logs before it is asked ('sending'), which then gets what
 * became of it; no transaction is open in between.
 */
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { closeAbandonedQuestions, insertExchanges, insertPayloads, updateOutcome } from '../db/exchanges.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import { exchangeBytesTotal, exchangesTotal, exchangeSeconds } from '../metrics.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { Adapter, AdapterContext, Integration, IntegrationDirectory, Receive } from '#gateway/adapter.ts';
import type { Queries, QueryOutcome, Wanted } from '#gateway/queries.ts';

export interface Source {
  readonly adapter: Adapter; readonly queries: Queries; readonly integration: Integration; readonly context: AdapterContext; readonly wanted: Wanted;
  /** The ordinary way in, for what a question brings back. */
  readonly receive: Receive;
}
export interface Sources {
  /** Enabled integrations of the organization whose adapter can ask. */
  of(organizationId: string): readonly Source[];
  find(organizationId: string, integrationId: string): Source | undefined;
  /** Organizations that have any. */
  organizations(): readonly string[];
}

export interface SourcesDependencies {
  readonly adapters: ReadonlyMap<string, Adapter>;
  directory(adapter: string): IntegrationDirectory<never>;
  contextOf(adapter: Adapter): AdapterContext;
  receiveFor(adapter: Adapter): Receive;
}

export function createSources({ adapters, directory, contextOf, receiveFor }: SourcesDependencies): Sources {
  const able = [...adapters.values()].filter((adapter) => adapter.queries);
  const all = (): readonly { adapter: Adapter; integration: Integration }[] => able.flatMap((adapter) => {
    const { all: receiving, sending } = directory(adapter.name);
    const integrations = new Map([...receiving(), ...sending?.() ?? []].map((integration) => [integration.integrationId, integration as Integration]));
    return [...integrations.values()].map((integration) => ({ adapter, integration }));
  });
  // Made when they are used: every completion looks at the list, few ask.
  const sourceOf = ({ adapter, integration }: { adapter: Adapter; integration: Integration }): Source => ({
    adapter, queries: adapter.queries!, integration, wanted: adapter.queries!.wanted(integration.config), get context() { return contextOf(adapter); }, get receive() { return receiveFor(adapter); },
  });
  return {
    of: (organizationId) => all().filter(({ integration }) => integration.organizationId === organizationId).map(sourceOf),
    find(organizationId, integrationId) {
      const found = all().find(({ integration }) => integration.organizationId === organizationId && integration.integrationId === integrationId);
      return found && sourceOf(found);
    },
    organizations: () => [...new Set(all().map(({ integration }) => integration.organizationId))],
  };
}

/** The same, and what is asked ends when `signal` does. */
export function endingWith(sources: Sources, signal: AbortSignal): Sources {
  const ending = (source: Source): Source => ({
    adapter: source.adapter, queries: source.queries, integration: source.integration, wanted: source.wanted, get receive() { return source.receive; },
    get context() { const { context } = source; return { ...context, signal: AbortSignal.any([context.signal, signal]) }; },
  });
  return {
    organizations: () => sources.organizations(), of: (organizationId) => sources.of(organizationId).map(ending),
    find(organizationId, integrationId) { const source = sources.find(organizationId, integrationId); return source && ending(source); },
  };
}

export interface Question {
  /** Names the question: an attempt that a stopped gateway left open is closed by the next one. */
  readonly controlId: string;
  /** Until the outcome names its own. */
  readonly interaction: string;
  readonly attempt: number;
  readonly scanId?: string | undefined;
  readonly patientId?: string | undefined;
  readonly facts?: Readonly<Record<string, unknown>>;
}
export interface AskDependencies { readonly database: Database; now(): Date }
export type Answered<T> = { readonly outcome: QueryOutcome<T>; readonly syncId: string; readonly askedAt: Date };

const MESSAGE_STATUS = { answered: 'delivered', refused: 'refused', unreachable: 'unreachable', unconfirmed: 'unconfirmed' } as const;
const ERROR_CLASS = { refused: 'permanent', unreachable: 'transient', unconfirmed: 'ambiguous' } as const;

/** Asks, with the question and what became of it on record. */
export async function askOnRecord<T>(dependencies: AskDependencies, source: Pick<Source, 'adapter' | 'integration'>, question: Question, ask: () => Promise<QueryOutcome<T>>): Promise<Answered<T>> {
  const { database } = dependencies;
  const { organizationId, integrationId } = source.integration;
  const syncId = uuidV7(), askedAt = dependencies.now();
  await inOrganization(database, organizationId, async (tx) => {
    await closeAbandonedQuestions(tx, integrationId, question.controlId);
    await insertExchanges(tx, [{
      sync_id: syncId, integration_id: integrationId, adapter: source.adapter.name, direction: 'outbound', interaction: question.interaction, control_id: question.controlId, message_status: 'sending', attempt: question.attempt,
      started_at: askedAt.toISOString(), patient_id: question.patientId, scan_id: question.scanId, facts: question.facts,
    }]);
  });
  const outcome = await ask();
  const finishedAt = dependencies.now();
  const labels = { adapter: source.adapter.name, direction: 'outbound' };
  exchangesTotal.inc({ ...labels, interaction: outcome.interaction, status: outcome.kind });
  exchangeBytesTotal.inc(labels, outcome.sent?.length ?? 0);
  exchangeSeconds.observe(labels, (finishedAt.getTime() - askedAt.getTime()) / 1000);
  await inOrganization(database, organizationId, async (tx) => {
    const answerCode = 'answerCode' in outcome && outcome.answerCode !== '' ? outcome.answerCode : undefined;
    const text = 'text' in outcome ? outcome.text : undefined;
    await updateOutcome(tx, syncId, askedAt, {
      message_status: MESSAGE_STATUS[outcome.kind], answer_status: answerCode === undefined ? 'unanswered' : 'answered', answer_code: answerCode,
      answer_text: outcome.kind === 'answered' ? [outcome.count === undefined ? '' : `${outcome.count} ${outcome.count === 1 ? 'result' : 'results'}`, text ?? ''].filter(Boolean).join('; ') || undefined : undefined,
      interaction: outcome.interaction, peer_address: outcome.peer, finished_at: finishedAt, duration_ms: finishedAt.getTime() - askedAt.getTime(), byte_size: outcome.sent?.length,
      payload_location: outcome.sent ? 'database' : undefined, ...(outcome.kind === 'answered' ? {} : { error_class: ERROR_CLASS[outcome.kind], error_text: text }),
    });
    if (outcome.sent) await insertPayloads(tx, [{ sync_id: syncId, part: 'message', media_type: outcome.sentType ?? 'application/octet-stream', content: outcome.sent }]);
    await recordAudit(tx, {
      ...auditEvents.query, action: 'E', outcome: outcome.kind === 'answered' ? 'success' : 'minor_failure', actor: { kind: 'system', id: 'ask', address: outcome.peer },
      object: question.scanId ? { type: 'scan', id: question.scanId } : { type: 'integration', id: integrationId }, patientId: question.patientId, syncId, detail: { interaction: outcome.interaction, outcome: outcome.kind, ...(outcome.count === undefined ? {} : { count: outcome.count }) },
    });
  });
  return { outcome, syncId, askedAt };
}

/** Until the next try after `attempts` failures, with jitter: `seconds`, doubled each time, at most an hour. */
export function backoffMilliseconds(seconds: number, attempts: number): number {
  return Math.min(3_600_000, seconds * 1000 * 2 ** Math.min(attempts, 12)) * (0.8 + Math.random() * 0.4);
}

/** Until the next try: the source may ask for more time than the pauses between our attempts. */
export function pauseMilliseconds(outcome: QueryOutcome<unknown> | undefined, seconds: number, attempts: number): number {
  return Math.max(backoffMilliseconds(seconds, attempts), outcome?.kind === 'unreachable' ? outcome.retryAfterMilliseconds ?? 0 : 0);
}

/** What a failed question says to people. */
export const textOf = (outcome: QueryOutcome<unknown>): string | null => ('text' in outcome ? outcome.text ?? null : null);
