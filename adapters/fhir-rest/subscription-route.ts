/**
 * SUBSCRIPTIONS ARE ASKED FOR HERE. In: requests below /Subscription. Each system sees its own only.
 *
 *   POST Subscription, GET Subscription, GET | DELETE Subscription/[id]
 *   GET | POST Subscription/[id]/$status, Subscription/$status       where it stands, in numbers
 *   GET | POST Subscription/[id]/$events                             events again, by their numbers
 *   GET | POST Subscription/[id]/$get-ws-binding-token, without id   a token for the websocket, good for a minute
 */
import type { AdapterContext, IntegrationDirectory, Peer } from '#gateway/adapter.ts';
import type { Reader } from '#gateway/records.ts';
import type { Subscription, Subscriptions } from '#gateway/subscriptions.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import { FhirRefusal, answer } from './answer.ts';
import { readBody, resourceFrom } from './body.ts';
import type { Config } from './config.ts';
import { isLenient } from './negotiate.ts';
import { notificationBundle, statusParameters } from './notification-bundle.ts';
import { demand, principalOf, readingIntegration } from './read-access.ts';
import type { Access } from './read-access.ts';
import { subscriptionFrom, subscriptionResource } from './subscription-resource.ts';

const mostBytes = 65_536, tokenSeconds = 60;
export const socketPath = 'subscriptions/websocket';

interface Asking extends Access { readonly reader: Reader; readonly subscriptions: Subscriptions; readonly base: string }

export async function answerSubscription(request: Request, steps: readonly string[], base: string, peer: Peer, integrations: IntegrationDirectory<Config>, context: AdapterContext): Promise<Response> {
  const principal = await principalOf(request, context), integration = readingIntegration(principal, integrations);
  if (context.subscriptions === undefined) throw new FhirRefusal(503, 'transient', 'Subscriptions cannot be had now.');
  const asking: Asking = { principal, integration, base, subscriptions: context.subscriptions, reader: { organizationId: principal.organizationId, userId: principal.userId, role: principal.role, address: peer.address } };
  const [, second, third] = steps, { method } = request, isRead = method === 'GET' || method === 'HEAD';
  const operation = third ?? (second?.startsWith('$') === true ? second : undefined), id = second?.startsWith('$') === true ? undefined : second;
  if ((principal.scopes ?? []).length === 0 && !['service', 'integrator', 'administrator'].includes(principal.role)) throw new FhirRefusal(403, 'forbidden', `The role '${principal.role}' may not subscribe.`);
  // Who hears of results may as well read them.
  demand(principal, 'DiagnosticReport', 'r');
  demand(principal, 'Subscription', operation !== undefined || isRead ? 'r' : method === 'DELETE' ? 'd' : 'c');
  if (operation !== undefined && (isRead || method === 'POST') && steps.length <= 3) return operate(request, operation, id, asking, context);
  if (steps.length > 2) throw new FhirRefusal(404, 'not-found', 'There is nothing here.');
  if (id === undefined && isRead && [...new URL(request.url).searchParams.keys()].some((name) => name !== '_format' && name !== '_pretty') && !isLenient(request)) throw new FhirRefusal(400, 'not-supported', 'Subscription lists all of yours and takes no search parameters; with Prefer: handling=lenient they are ignored.');
  if (id === undefined && isRead) return answer(200, searchset(await asking.subscriptions.list(asking.reader, integration.integrationId), base));
  if (id === undefined && method === 'POST') return create(request, asking, context);
  if (id !== undefined && isRead) return answer(200, subscriptionResource(await found(id, asking)));
  if (id !== undefined && method === 'DELETE') {
    await found(id, asking);
    await asking.subscriptions.remove(asking.reader, integration.integrationId, id);
    return answer(204, undefined);
  }
  const allow = id === undefined ? 'GET, HEAD, POST' : 'GET, HEAD, DELETE';
  throw new FhirRefusal(405, 'not-supported', `${method} is not taken here, only ${allow}. To change a subscription delete it and make a new one.`, { headers: { allow } });
}

async function create(request: Request, { integration, reader, subscriptions, base }: Asking, context: AdapterContext): Promise<Response> {
  const resource = await resourceFrom(await readBody(request, mostBytes));
  if (resource['resourceType'] !== 'Subscription') throw new FhirRefusal(400, 'invalid', 'The resource in the body must be a Subscription.', { expression: 'resourceType' });
  const asked = subscriptionFrom(resource, integration, context.now());
  try {
    const made = await subscriptions.create(reader, asked);
    return answer(201, subscriptionResource(made), { location: `${base}/Subscription/${made.subscriptionId}` });
  } catch (error) {
    if (error instanceof Error && error.constructor.name === 'SubscriptionLimitError') throw new FhirRefusal(422, 'too-costly', `No more: ${error.message}. Delete one that is not needed.`);
    throw error;
  }
}

async function found(id: string, { subscriptions, reader, integration }: Asking): Promise<Subscription> {
  const subscription = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id) ? await subscriptions.read(reader, integration.integrationId, id) : undefined;
  if (subscription === undefined) throw new FhirRefusal(404, 'not-found', 'There is no Subscription with this id.');
  return subscription;
}

function searchset(list: readonly Subscription[], base: string): object {
  const entry = list.map((subscription) => ({ fullUrl: `${base}/Subscription/${subscription.subscriptionId}`, resource: subscriptionResource(subscription), search: { mode: 'match' } }));
  return { resourceType: 'Bundle', type: 'searchset', total: list.length, link: [{ relation: 'self', url: `${base}/Subscription` }], ...(entry.length === 0 ? {} : { entry }) };
}

async function operate(request: Request, operation: string, id: string | undefined, asking: Asking, context: AdapterContext): Promise<Response> {
  const parameters = await parametersOf(request), { subscriptions, reader, integration, base } = asking;
  if (operation === '$events' && id !== undefined) {
    const subscription = await found(id, asking), content = parameters.get('content')?.[0] ?? subscription.content;
    if (content !== 'empty' && content !== 'id-only' && content !== 'full-resource') throw new FhirRefusal(400, 'value', 'content must be empty, id-only or full-resource.');
    const events = await subscriptions.events(reader, subscription, { from: numberOf(parameters, 'eventsSinceNumber') ?? 1, to: numberOf(parameters, 'eventsUntilNumber') });
    return answer(200, notificationBundle('query-event', { ...subscription, content }, events, integration.config, base, context.now()));
  }
  if (operation !== '$status' && operation !== '$get-ws-binding-token') throw new FhirRefusal(404, 'not-found', 'Subscription has the operations $status, $events and $get-ws-binding-token.');
  const ids = id === undefined ? parameters.get('id') : [id];
  const wanted = ids === undefined ? await subscriptions.list(reader, integration.integrationId) : await Promise.all(ids.slice(0, 100).map((each) => found(each, asking)));
  if (operation === '$get-ws-binding-token') return bindingToken(wanted, asking, context);
  const entry = wanted.map((subscription) => ({ fullUrl: `${base}/Subscription/${subscription.subscriptionId}/$status`, resource: statusParameters('query-status', subscription, [], base), search: { mode: 'match' } }));
  return answer(200, { resourceType: 'Bundle', type: 'searchset', total: wanted.length, ...(entry.length === 0 ? {} : { entry }) });
}

function bindingToken(wanted: readonly Subscription[], { subscriptions, reader, base: asked, integration }: Asking, context: AdapterContext): Response {
  // Behind a proxy only the settings know by which address we are reached.
  const base = integration.config.service_url?.replace(/\/+$/, '') ?? asked;
  const sockets = wanted.filter(({ channel, status }) => channel === 'websocket' && status !== 'off').map(({ subscriptionId }) => subscriptionId);
  if (sockets.length === 0) throw new FhirRefusal(422, 'invalid', 'None of these subscriptions has channel.type websocket.');
  return answer(200, {
    resourceType: 'Parameters',
    parameter: [
      { name: 'token', valueString: subscriptions.bindingToken(reader, sockets, tokenSeconds) }, { name: 'expiration', valueDateTime: new Date(context.now().getTime() + tokenSeconds * 1000).toISOString() },
      ...sockets.map((id) => ({ name: 'subscription', valueString: id })), { name: 'websocket-url', valueUrl: `${base.replace(/^http/, 'ws')}/${socketPath}` },
    ],
  });
}

/** Of the URL, or of a Parameters resource in the body. */
async function parametersOf(request: Request): Promise<Map<string, string[]>> {
  const values = new Map<string, string[]>(), add = (name: string, value: string): unknown => values.set(name, [...values.get(name) ?? [], value]);
  for (const [name, value] of new URL(request.url).searchParams) add(name, value);
  if (request.method !== 'POST' || request.body === null || request.headers.get('content-length') === '0') return values;
  const resource = await resourceFrom(await readBody(request, mostBytes)), [issue] = validateResource(resource);
  if (resource['resourceType'] !== 'Parameters') throw new FhirRefusal(400, 'invalid', 'The body must be Parameters.', { expression: 'resourceType' });
  if (issue !== undefined && issue.code !== 'not-supported') throw new FhirRefusal(422, issue.code, `Parameters are not valid: ${issue.text}.`, { expression: issue.expression });
  for (const { name, ...value } of (resource['parameter'] ?? []) as { name: string; [value: string]: unknown }[]) for (const each of Object.values(value)) if (typeof each === 'string' || typeof each === 'number') add(name, String(each));
  return values;
}

function numberOf(parameters: ReadonlyMap<string, readonly string[]>, name: string): number | undefined {
  const [text] = parameters.get(name) ?? [];
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw new FhirRefusal(400, 'value', `${name} must be a whole number.`);
  return Number(text);
}
