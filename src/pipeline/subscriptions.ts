/**
 * Who asked to hear of results hears of them: the implementation of src/gateway/subscriptions.ts.
 *
 *   report.ts (T4)     one event for each subscription that wants the report, in the same transaction; a job for each rest-hook
 *   job notify         one subscriber: handshake, then its events in order, then nothing; [adapter.subscriptions.notify, no transaction open] -> T: outcome
 *
 * A subscriber that does not hear stays where it is: tried again after 2 s, 4 s ... 10 min, status error and an alert from the third time on, off after a week.
 */
import type { PgBoss } from 'pg-boss';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { raiseAlert, resolveAlert } from '../db/alerts.ts';
import { insertExchanges, insertPayloads } from '../db/exchanges.ts';
import { bossDb, type Database } from '../db/pool.ts';
import type { Keys } from '../db/secrets.ts';
import { countSubscriptions, deleteSubscription, findSubscription, insertSubscription, insertSubscriptionEvents, listSubscriptions, noteHeard, noteUnheard, subscriptionEvents, type SubscriptionEventRow, type SubscriptionRow } from '../db/subscriptions.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import { QUEUES, type NotifyJob } from '../queue/queues.ts';
import type { ReportDocument } from '#domain/report-document.ts';
import { uuidV7 } from '#domain/uuid.ts';
import type { DeliveryOutcome } from '#gateway/adapter.ts';
import type { Reader } from '#gateway/records.ts';
import type { NewSubscription, Notification, Subscription, SubscriptionEvent, Subscriptions } from '#gateway/subscriptions.ts';
import type { Destination } from './deliver.ts';

export interface SubscriptionDependencies { readonly database: Database; readonly boss: PgBoss; readonly keys: Keys; now(): Date }
export interface NotifyDependencies extends SubscriptionDependencies {
  readonly retrySeconds: number;
  destination(organizationId: string, integrationId: string): Destination | undefined;
}

const MOST_PER_INTEGRATION = 100;
const MOST_EVENTS = 100;
const LAST_RETRY_MILLISECONDS = 600_000;
const OFF_AFTER_MILLISECONDS = 7 * 86_400_000;
const ALERT_FROM = 3;

/** Too many: the asker must end one first. */
export class SubscriptionLimitError extends Error {}

export function createSubscriptions(dependencies: SubscriptionDependencies, adapter: string): Subscriptions {
  const { database, boss, keys } = dependencies;
  const audited = (tx: Transaction, reader: Reader, action: 'C' | 'R' | 'D', id: string, detail: object): Promise<unknown> => recordAudit(tx, {
    ...(action === 'R' ? auditEvents.query : auditEvents.securityAlert), action, outcome: 'success', actor: { kind: 'application', id: reader.userId, role: reader.role, address: reader.address }, object: { type: 'result_subscription', id }, detail: { ...detail },
  });
  return {
    create: (reader, subscription) => inOrganization(database, reader.organizationId, async (tx) => {
      if (await countSubscriptions(tx, subscription.integrationId) >= MOST_PER_INTEGRATION) throw new SubscriptionLimitError(`one system has at most ${MOST_PER_INTEGRATION} subscriptions`);
      const subscriptionId = uuidV7();
      await insertSubscription(tx, rowOf(keys, subscriptionId, reader, subscription));
      await audited(tx, reader, 'C', subscriptionId, { channel: subscription.channel, content: subscription.content, ...(subscription.endpoint === undefined ? {} : { origin: new URL(subscription.endpoint).origin }) });
      if (subscription.channel === 'rest-hook') await boss.send(QUEUES.notify.name, { organizationId: reader.organizationId, subscriptionId } satisfies NotifyJob, { singletonKey: subscriptionId, db: bossDb(tx) as never });
      return subscriptionOf(keys, (await findSubscription(tx, subscriptionId))!);
    }),
    list: (reader, integrationId) => inOrganization(database, reader.organizationId, async (tx) => (await listSubscriptions(tx, integrationId)).map((row) => subscriptionOf(keys, row))),
    read: (reader, integrationId, subscriptionId) => inOrganization(database, reader.organizationId, async (tx) => {
      const row = await findSubscription(tx, subscriptionId);
      return row?.integration_id === integrationId ? subscriptionOf(keys, row) : undefined;
    }),
    remove: (reader, integrationId, subscriptionId) => inOrganization(database, reader.organizationId, async (tx) => {
      const removed = await deleteSubscription(tx, integrationId, subscriptionId);
      if (removed) {
        await audited(tx, reader, 'D', subscriptionId, {});
        await resolveAlert(tx, 'subscription_failing', `subscription ${subscriptionId}`);
      }
      return removed;
    }),
    events: (reader, subscription, range) => inOrganization(database, reader.organizationId, async (tx) => {
      const events = (await subscriptionEvents(tx, subscription.subscriptionId, { ...range, limit: MOST_EVENTS })).map(eventOf);
      await audited(tx, reader, 'R', subscription.subscriptionId, { events: events.length, patient_ids: [...new Set(events.map(({ report }) => report.patientId))] });
      return events;
    }),
    bindingToken: (reader, subscriptionIds, lifetimeSeconds) => Buffer.from(keys.seal(TOKEN_PLACE, JSON.stringify({ reader, subscriptionIds, until: dependencies.now().getTime() + lifetimeSeconds * 1000 }))).toString('base64url'),
    bound(token) {
      const opened = openToken(keys, token);
      return opened !== undefined && opened.until > dependencies.now().getTime() ? opened : undefined;
    },
    pending: (reader, subscriptionId) => inOrganization(database, reader.organizationId, async (tx) => {
      const row = await findSubscription(tx, subscriptionId);
      if (!row || isOver(row, dependencies.now())) return undefined;
      return { subscription: subscriptionOf(keys, row), events: row.heard_count < row.event_count && !row.is_held ? (await subscriptionEvents(tx, subscriptionId, { from: row.heard_count + 1, limit: row.max_count })).map(eventOf) : [] };
    }),
    told: (notification, outcome) => told({ ...dependencies, retrySeconds: 0 }, adapter, notification, outcome).then(() => undefined),
  };
}

const TOKEN_PLACE = 'result_subscriptions/binding-token';

function openToken(keys: Keys, token: string): { reader: Reader; subscriptionIds: readonly string[]; until: number } | undefined {
  try {
    return JSON.parse(keys.open(TOKEN_PLACE, Buffer.from(token, 'base64url').toString())) as { reader: Reader; subscriptionIds: readonly string[]; until: number };
  } catch {
    return undefined;
  }
}

const settingsPlace = (subscriptionId: string): string => `result_subscriptions/${subscriptionId}/settings`;

function rowOf(keys: Keys, subscriptionId: string, reader: Reader, subscription: NewSubscription) {
  const { integrationId, channel, endpoint, headers, content, filter, heartbeatSeconds, timeoutSeconds, maxCount, endsAt, memo } = subscription;
  return {
    subscriptionId, integrationId, userId: reader.userId, channel, content, filter, heartbeatSeconds, timeoutSeconds, maxCount: maxCount ?? 10, endsAt,
    settingsSealed: keys.seal(settingsPlace(subscriptionId), JSON.stringify({ endpoint, headers, memo })), endpointOrigin: endpoint === undefined ? undefined : new URL(endpoint).origin,
  };
}

function subscriptionOf(keys: Keys, row: SubscriptionRow): Subscription {
  const settings = JSON.parse(keys.open(settingsPlace(row.subscription_id), row.settings_sealed)) as Pick<NewSubscription, 'endpoint' | 'headers' | 'memo'>;
  return {
    ...settings, subscriptionId: row.subscription_id, organizationId: row.organization_id, integrationId: row.integration_id, channel: row.channel, content: row.content, filter: row.filter as NewSubscription['filter'],
    heartbeatSeconds: row.heartbeat_seconds ?? undefined, timeoutSeconds: row.timeout_seconds ?? undefined, maxCount: row.max_count, endsAt: row.ends_at?.toISOString(), status: row.status,
    eventCount: row.event_count, heardCount: row.heard_count, errorCount: row.error_count, lastError: row.error_count > 0 ? row.last_error ?? undefined : undefined, updatedAt: row.updated_at.toISOString(),
  };
}

function eventOf(row: SubscriptionEventRow): SubscriptionEvent {
  return { number: row.event_number, at: row.created_at.toISOString(), report: { kind: 'report', id: row.lineage_id, updatedAt: row.updated_at.toISOString(), patientId: row.patient_id, hasOrder: row.has_order, document: row.document } };
}

/** A disabled account, or one whose tokens were revoked, hears nothing; what came meanwhile waits for it. */
const isOver = (row: SubscriptionRow, now: Date): boolean => row.status === 'off' || !row.is_user_active || (row.ends_at !== null && row.ends_at <= now);

/** In the transaction of the report. */
export async function announceResult(boss: PgBoss, tx: Transaction, report: { organizationId: string; reportId: string; patientId: string; document: ReportDocument }): Promise<void> {
  for (const subscriptionId of await insertSubscriptionEvents(tx, { reportId: report.reportId, patientId: report.patientId, status: report.document.status })) {
    await boss.send(QUEUES.notify.name, { organizationId: report.organizationId, subscriptionId } satisfies NotifyJob, { singletonKey: subscriptionId, db: bossDb(tx) as never });
  }
}

/** Handles one notify job. */
export async function notifySubscriber(dependencies: NotifyDependencies, job: NotifyJob, signal: AbortSignal): Promise<void> {
  const { database, keys, now } = dependencies;
  while (!signal.aborted) {
    const found = await inOrganization(database, job.organizationId, async (tx) => {
      const row = await findSubscription(tx, job.subscriptionId);
      return row && { row, events: row.is_greeted ? (await subscriptionEvents(tx, job.subscriptionId, { from: row.heard_count + 1, limit: row.max_count })).map(eventOf) : [] };
    });
    if (!found || found.row.channel !== 'rest-hook' || isOver(found.row, now()) || found.row.is_held || found.row.next_attempt_at > now()) return;
    const { row, events } = found;
    const kind = nextKind(row, events, now());
    const destination = dependencies.destination(job.organizationId, row.integration_id);
    if (kind === undefined || !destination?.adapter.subscriptions) return;
    const notification: Notification = { subscription: subscriptionOf(keys, row), kind, events };
    const outcome = await destination.adapter.subscriptions.notify(notification, destination.integration.config, destination.context);
    const nextAttemptAt = await told(dependencies, destination.adapter.name, notification, outcome);
    if (nextAttemptAt === undefined) continue;
    await dependencies.boss.send(QUEUES.notify.name, job, { singletonKey: job.subscriptionId, startAfter: nextAttemptAt });
    return;
  }
}

function nextKind(row: SubscriptionRow, events: readonly SubscriptionEvent[], now: Date): Notification['kind'] | undefined {
  if (!row.is_greeted) return 'handshake';
  if (events.length > 0) return 'event-notification';
  const isQuiet = row.heartbeat_seconds !== null && (row.told_at === null || now.getTime() - row.told_at.getTime() >= row.heartbeat_seconds * 1000);
  return isQuiet ? 'heartbeat' : undefined;
}

const ERROR_CLASS = { refused: 'permanent', unreachable: 'transient', unconfirmed: 'ambiguous' } as const;

/** Outcome, exchange and audit in one transaction. Returns when to try again; undefined: it was heard. */
async function told(dependencies: Pick<NotifyDependencies, 'database' | 'retrySeconds' | 'now'>, adapter: string, { subscription, kind, events }: Notification, outcome: DeliveryOutcome): Promise<Date | undefined> {
  const { subscriptionId, organizationId, integrationId } = subscription, now = dependencies.now(), syncId = uuidV7();
  const last = events.at(-1)?.number ?? subscription.heardCount, isHeard = outcome.kind === 'delivered';
  return inOrganization(dependencies.database, organizationId, async (tx) => {
    await insertExchanges(tx, [{
      sync_id: syncId, integration_id: integrationId, adapter, direction: 'outbound', interaction: outcome.interaction, control_id: `${subscriptionId}#${last}`, message_status: outcome.kind, attempt: subscription.errorCount + 1,
      started_at: now.toISOString(), finished_at: now.toISOString(), byte_size: outcome.sent?.length, payload_location: outcome.sent ? 'database' : undefined, peer_address: outcome.peer,
      ...(isHeard ? {} : { error_class: ERROR_CLASS[outcome.kind], error_text: outcome.text }), facts: { subscriptionId, kind, events: events.length },
    }]);
    if (outcome.sent) await insertPayloads(tx, [{ sync_id: syncId, part: 'message', media_type: outcome.sentType ?? 'application/fhir+json', content: outcome.sent }]);
    await recordAudit(tx, {
      ...auditEvents.dataExport, action: 'R', outcome: isHeard ? 'success' : 'minor_failure', actor: { kind: 'system', id: 'notify', address: outcome.peer }, object: { type: 'result_subscription', id: subscriptionId }, syncId,
      detail: { kind, outcome: outcome.kind, patient_ids: [...new Set(events.map(({ report }) => report.patientId))] },
    });
    if (isHeard) {
      await noteHeard(tx, subscriptionId, { through: last, greeted: true });
      await resolveAlert(tx, 'subscription_failing', `subscription ${subscriptionId}`);
      return undefined;
    }
    return noteFailure(tx, dependencies, subscription, outcome, now);
  });
}

async function noteFailure(tx: Transaction, { retrySeconds }: { retrySeconds: number }, { subscriptionId, errorCount }: Subscription, outcome: Exclude<DeliveryOutcome, { kind: 'delivered' }>, now: Date): Promise<Date> {
  const row = await findSubscription(tx, subscriptionId);
  const isOff = row?.failing_since !== undefined && row.failing_since !== null && now.getTime() - row.failing_since.getTime() > OFF_AFTER_MILLISECONDS;
  const asked = outcome.kind === 'unreachable' ? outcome.retryAfterMilliseconds ?? 0 : 0;
  const backoff = Math.min(LAST_RETRY_MILLISECONDS, retrySeconds * 1000 * 2 ** Math.min(errorCount, 12)) * (0.8 + Math.random() * 0.4);
  const nextAttemptAt = new Date(now.getTime() + Math.max(asked, backoff));
  await noteUnheard(tx, subscriptionId, { text: outcome.text, status: isOff ? 'off' : 'error', nextAttemptAt });
  if (errorCount + 1 >= ALERT_FROM || isOff) {
    await raiseAlert(tx, { kind: 'subscription_failing', severity: 'warning', subject: `subscription ${subscriptionId}`, message: isOff ? 'A subscriber heard nothing for a week; its subscription is off. It must subscribe again.' : `A subscriber does not take notifications: ${outcome.text}. They wait in order.` });
  }
  return nextAttemptAt;
}
