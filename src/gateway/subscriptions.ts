/**
 * Telling other systems at once that a result is ready. In: what a system asks to be told. Out: every report version of its organization, as an
 * event with a number of its own, in order and without gaps. The event is written in the transaction of the report; telling comes after.
 *
 *   rest-hook   the pipeline calls adapter.subscriptions.notify(), one subscriber at a time, until the event was heard
 *   websocket   the adapter asks for the events after the last one heard, while the subscriber is connected
 */
import type { AdapterContext, DeliveryOutcome } from './adapter.ts';
import type { Reader, ReportRecord } from './records.ts';

export type SubscriptionContent = 'empty' | 'id-only' | 'full-resource';
export type SubscriptionStatus = 'requested' | 'active' | 'error' | 'off';

export interface NewSubscription {
  readonly integrationId: string;
  readonly channel: 'rest-hook' | 'websocket';
  /** For rest-hook. */
  readonly endpoint?: string | undefined;
  /** `name: value`; sealed where they are stored, for they may hold a secret. */
  readonly headers: readonly string[];
  readonly content: SubscriptionContent;
  readonly filter: { readonly patient_ids?: readonly string[]; readonly statuses?: readonly string[] };
  readonly heartbeatSeconds?: number | undefined;
  readonly timeoutSeconds?: number | undefined;
  /** Most events in one notification. */
  readonly maxCount?: number | undefined;
  readonly endsAt?: string | undefined;
  /** What the adapter wants back as it came: reason, contact. */
  readonly memo: Readonly<Record<string, unknown>>;
}

export interface Subscription extends NewSubscription {
  readonly subscriptionId: string;
  readonly organizationId: string;
  readonly status: SubscriptionStatus;
  readonly eventCount: number;
  /** Number of the newest event that the subscriber has heard. */
  readonly heardCount: number;
  readonly errorCount: number;
  readonly lastError?: string | undefined;
  readonly updatedAt: string;
}

export interface SubscriptionEvent { readonly number: number; readonly at: string; readonly report: ReportRecord }
export interface Notification { readonly subscription: Subscription; readonly kind: 'handshake' | 'heartbeat' | 'event-notification'; readonly events: readonly SubscriptionEvent[] }

/** All of it for the asker's organization and integration only; another's is undefined. Every change and every reading of events is on record. */
export interface Subscriptions {
  create(reader: Reader, subscription: NewSubscription): Promise<Subscription>;
  list(reader: Reader, integrationId: string): Promise<readonly Subscription[]>;
  read(reader: Reader, integrationId: string, subscriptionId: string): Promise<Subscription | undefined>;
  remove(reader: Reader, integrationId: string, subscriptionId: string): Promise<boolean>;
  /** At most 100, in order. */
  events(reader: Reader, subscription: Subscription, range: { readonly from: number; readonly to?: number | undefined }): Promise<readonly SubscriptionEvent[]>;
  /** For a websocket that comes without a login; good for as long as `lifetimeSeconds`. */
  bindingToken(reader: Reader, subscriptionIds: readonly string[], lifetimeSeconds: number): string;
  /** Undefined: no token of ours, or one that has ended. */
  bound(token: string): { readonly reader: Reader; readonly subscriptionIds: readonly string[] } | undefined;
  /** What is there now for a subscriber that is connected; undefined: the subscription is gone or over. */
  pending(reader: Reader, subscriptionId: string): Promise<{ readonly subscription: Subscription; readonly events: readonly SubscriptionEvent[] } | undefined>;
  /** Puts one notification and what became of it on record. */
  told(notification: Notification, outcome: DeliveryOutcome): Promise<void>;
}

/** An adapter that calls subscribers. */
export interface SubscriptionNotifier<Config> {
  /** Never throws for what the network or the subscriber does. */
  notify(notification: Notification, config: Config, context: AdapterContext): Promise<DeliveryOutcome>;
}
