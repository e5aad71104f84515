/**
 * Subscription as the Subscriptions R5 Backport guide 1.1 has it for R4: what a subscriber asks becomes our subscription, and back. One topic: a result
 * is ready (a version of a report). Header values are never given back: they may hold the subscriber's secret.
 */
import type { NewSubscription, Subscription as Stored, SubscriptionContent } from '#gateway/subscriptions.ts';
import { FhirRefusal } from './answer.ts';
import type { Config } from './config.ts';

export const topic = 'urn:medscan:subscription-topic:result-ready';
const guide = 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition';
export const profiles = { subscription: `${guide}/backport-subscription`, notification: `${guide}/backport-subscription-notification-r4`, status: `${guide}/backport-subscription-status-r4`, topics: `${guide}/capabilitystatement-subscriptiontopic-canonical` } as const;
const extensions = { filter: `${guide}/backport-filter-criteria`, heartbeat: `${guide}/backport-heartbeat-period`, timeout: `${guide}/backport-timeout`, maxCount: `${guide}/backport-max-count`, content: `${guide}/backport-payload-content` } as const;

interface Extension { readonly url?: unknown; readonly [value: string]: unknown }
interface Primitive { readonly extension?: readonly Extension[] }
/** What is read of the resource; everything else is refused or left. */
interface Asked {
  readonly status?: unknown; readonly criteria?: unknown; readonly _criteria?: Primitive; readonly end?: unknown; readonly reason?: unknown; readonly contact?: unknown;
  readonly channel?: Primitive & { readonly type?: unknown; readonly endpoint?: unknown; readonly payload?: unknown; readonly _payload?: Primitive; readonly header?: unknown };
}

/** Throws FhirRefusal 422 with the place. */
export function subscriptionFrom(resource: Readonly<Record<string, unknown>>, integration: { readonly integrationId: string; readonly config: Config }, now: Date): NewSubscription {
  const asked = resource as Asked, channel = asked.channel ?? {};
  if (asked.status !== 'requested' && asked.status !== 'active') throw refused('status', 'must be requested: the gateway makes it active when the handshake was heard');
  if (asked.criteria !== topic) throw refused('criteria', `must be ${topic}, the one topic of this server`);
  if (channel.type !== 'rest-hook' && channel.type !== 'websocket') throw refused('channel.type', 'must be rest-hook or websocket');
  if (channel.payload !== undefined && channel.payload !== 'application/fhir+json') throw refused('channel.payload', 'must be application/fhir+json');
  const endsAt = instant(asked.end, now);
  return {
    integrationId: integration.integrationId, channel: channel.type, endpoint: channel.type === 'rest-hook' ? allowedEndpoint(channel.endpoint, integration.config) : undefined, headers: headersFrom(channel.header),
    content: contentOf(channel._payload), filter: filterFrom(asked._criteria?.extension), endsAt, memo: typeof asked.reason === 'string' ? { reason: asked.reason.slice(0, 500) } : {},
    heartbeatSeconds: whole(channel.extension, extensions.heartbeat, 86_400), timeoutSeconds: whole(channel.extension, extensions.timeout, 600), maxCount: whole(channel.extension, extensions.maxCount, 100),
  };
}

function refused(place: string, text: string): FhirRefusal {
  return new FhirRefusal(422, 'invalid', `Subscription.${place} ${text}.`, { expression: `Subscription.${place}` });
}

/** Only where the integration says that this system may be called: else a subscriber could have the gateway call anything inside the hospital. */
export function allowedEndpoint(endpoint: unknown, config: Config): string {
  const url = typeof endpoint === 'string' ? URL.parse(endpoint) : null;
  if (url === null || url.username !== '' || url.password !== '' || url.hash !== '') throw refused('channel.endpoint', 'must be a URL without user name and without #');
  if (!config.subscription_origins.some((origin) => new URL(origin).origin === url.origin)) throw refused('channel.endpoint', 'is not at an origin that this integration allows (subscription_origins): an administrator adds it');
  return url.href;
}

/** Those that a request is made of are ours. */
const ownHeaders = /^(host|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*|accept.*|cookie|x-medscan-.*)$/i;

function headersFrom(headers: unknown): string[] {
  if (headers === undefined) return [];
  if (!Array.isArray(headers) || headers.length > 20) throw refused('channel.header', 'must be at most 20 texts');
  for (const header of headers) {
    const [, name = ''] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}): ?[\x20-\x7e]{0,4000}$/.exec(String(header)) ?? [];
    if (name === '') throw refused('channel.header', 'must be "name: value" in printable ASCII');
    if (ownHeaders.test(name)) throw refused('channel.header', 'names a header that the gateway sets itself');
  }
  return headers as string[];
}

function contentOf(payload: Primitive | undefined): SubscriptionContent {
  const value = payload?.extension?.find(({ url }) => url === extensions.content)?.['valueCode'];
  if (value !== 'empty' && value !== 'id-only' && value !== 'full-resource') throw refused('channel.payload', `must have the extension ${extensions.content} with empty, id-only or full-resource`);
  return value;
}

function whole(list: readonly Extension[] | undefined, url: string, most: number): number | undefined {
  const extension = list?.find((each) => each.url === url);
  if (extension === undefined) return undefined;
  const value = extension['valueUnsignedInt'] ?? extension['valuePositiveInt'] ?? extension['valueInteger'];
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > most) throw refused('channel.extension', `${url.split('/').at(-1)} must be a whole number from 1 to ${most}`);
  return value;
}

/** `DiagnosticReport?patient=Patient/1,Patient/2&status=final` */
function filterFrom(list: readonly Extension[] | undefined): NewSubscription['filter'] {
  const filters = (list ?? []).filter(({ url }) => url === extensions.filter);
  if (filters.length === 0) return {};
  const text = filters[0]?.['valueString'];
  if (filters.length > 1 || typeof text !== 'string' || !text.startsWith('DiagnosticReport?')) throw refused('criteria', 'takes one filter, DiagnosticReport?patient=... or status=...');
  const filter: { patient_ids?: string[]; statuses?: string[] } = {};
  for (const [name, value] of new URLSearchParams(text.slice('DiagnosticReport?'.length))) {
    const values = value.split(',');
    if (name === 'patient' || name === 'subject') filter.patient_ids = values.map((each) => each.replace(/^Patient\//, '').toLowerCase());
    else if (name === 'status') filter.statuses = values;
    else throw refused('criteria', 'filters by patient and status only');
  }
  if (filter.patient_ids?.some((id) => !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)) === true) throw refused('criteria', 'names a patient by an id that this server did not give');
  return filter;
}

function instant(end: unknown, now: Date): string | undefined {
  if (end === undefined) return undefined;
  const at = typeof end === 'string' && end.includes('T') ? Date.parse(end) : Number.NaN;
  if (Number.isNaN(at) || at <= now.getTime()) throw refused('end', 'must be an instant in the future');
  return new Date(at).toISOString();
}

export function subscriptionResource(subscription: Stored): object {
  const { subscriptionId, status, channel, endpoint, headers, content, filter, heartbeatSeconds, timeoutSeconds, maxCount, endsAt, lastError, memo, updatedAt } = subscription;
  const query = new URLSearchParams({ ...(filter.patient_ids === undefined ? {} : { patient: filter.patient_ids.map((id) => `Patient/${id}`).join(',') }), ...(filter.statuses === undefined ? {} : { status: filter.statuses.join(',') }) });
  const numbers = [[extensions.heartbeat, 'valueUnsignedInt', heartbeatSeconds], [extensions.timeout, 'valueUnsignedInt', timeoutSeconds], [extensions.maxCount, 'valuePositiveInt', maxCount]] as const;
  const extension = numbers.flatMap(([url, name, value]) => value === undefined ? [] : [{ url, [name]: value }]);
  return {
    resourceType: 'Subscription', id: subscriptionId, meta: { lastUpdated: updatedAt, profile: [profiles.subscription] }, status, ...(endsAt === undefined ? {} : { end: endsAt }), reason: memo['reason'] ?? 'Results of AI reading',
    criteria: topic, ...(query.size === 0 ? {} : { _criteria: { extension: [{ url: extensions.filter, valueString: `DiagnosticReport?${decodeURIComponent(query.toString())}` }] } }), ...(lastError === undefined ? {} : { error: lastError }),
    channel: {
      ...(extension.length === 0 ? {} : { extension }), type: channel, ...(endpoint === undefined ? {} : { endpoint }), payload: 'application/fhir+json', _payload: { extension: [{ url: extensions.content, valueCode: content }] },
      ...(headers.length === 0 ? {} : { header: headers.map((header) => `${header.split(':')[0]}: (not shown)`) }),
    },
  };
}
