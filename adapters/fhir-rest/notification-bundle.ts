/**
 * What a subscriber is sent (Subscriptions R5 Backport 1.1, R4): a history Bundle that begins with the status of the subscription as Parameters, and then,
 * by the content that was asked for, nothing, the addresses, or the reports with what they refer to.
 */
import { randomUUID } from 'node:crypto';
import type { Subscription, SubscriptionEvent } from '#gateway/subscriptions.ts';
import type { Config } from './config.ts';
import { resourceOf } from './record-resources.ts';
import { profiles, topic } from './subscription-resource.ts';

export type NotificationKind = 'handshake' | 'heartbeat' | 'event-notification' | 'query-status' | 'query-event';
interface Entry { readonly fullUrl: string; readonly resource?: object; readonly request: object; readonly response: object }

export function notificationBundle(kind: NotificationKind, subscription: Subscription, events: readonly SubscriptionEvent[], config: Config, base: string, now: Date): object {
  const id = randomUUID();
  const status: Entry = {
    fullUrl: `urn:uuid:${id}`, resource: { ...statusParameters(kind, subscription, events, base), id }, request: { method: 'GET', url: `Subscription/${subscription.subscriptionId}/$status` }, response: { status: '200' },
  };
  return { resourceType: 'Bundle', id: randomUUID(), meta: { profile: [profiles.notification] }, type: 'history', timestamp: now.toISOString(), entry: [status, ...focusEntries(subscription, events, config, base)] };
}

export function statusParameters(kind: NotificationKind, { subscriptionId, status, eventCount, lastError, content }: Subscription, events: readonly SubscriptionEvent[], base: string): object {
  const reference = (path: string): object => ({ reference: base === '' ? path : `${base}/${path}` });
  return {
    resourceType: 'Parameters', meta: { profile: [profiles.status] },
    parameter: [
      { name: 'subscription', valueReference: reference(`Subscription/${subscriptionId}`) }, { name: 'topic', valueCanonical: topic }, { name: 'status', valueCode: kind === 'handshake' ? 'requested' : status === 'error' && kind !== 'query-status' ? 'active' : status },
      { name: 'type', valueCode: kind }, { name: 'events-since-subscription-start', valueString: String(eventCount) },
      ...events.map(({ number, at, report }) => ({
        name: 'notification-event', part: [{ name: 'event-number', valueString: String(number) }, { name: 'timestamp', valueInstant: at }, ...(content === 'empty' ? [] : [{ name: 'focus', valueReference: reference(`DiagnosticReport/${report.id}`) }])],
      })),
      ...(lastError === undefined || kind !== 'query-status' ? [] : [{ name: 'error', valueCodeableConcept: { text: lastError } }]),
    ],
  };
}

/** One report once, in its newest version among these events. */
function focusEntries({ content }: Subscription, events: readonly SubscriptionEvent[], config: Config, base: string): Entry[] {
  if (content === 'empty') return [];
  const reports = new Map(events.map((event) => [event.report.id, event.report]));
  return [...reports.values()].map((report) => ({
    // Where nobody told our address (service_url), the id alone: a fullUrl must be absolute.
    fullUrl: base === '' ? `urn:uuid:${report.id}` : `${base}/DiagnosticReport/${report.id}`, ...(content === 'full-resource' ? { resource: resourceOf(report, config) } : {}),
    request: { method: report.document.version === 1 ? 'POST' : 'PUT', url: report.document.version === 1 ? 'DiagnosticReport' : `DiagnosticReport/${report.id}` }, response: { status: report.document.version === 1 ? '201' : '200' },
  }));
}
