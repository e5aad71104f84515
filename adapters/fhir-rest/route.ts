/**
 * Every request below the mount finds its handler here.
 *
 *   POST auth/token, GET .well-known/...              token-endpoint.ts, smart-configuration.ts, published-keys.ts
 *   GET metadata                                      capability-statement.ts
 *   GET [type]/[id], its _history, GET [type], POST [type]/_search  answer-read-search.ts
 *   POST [type]/$validate, POST $validate             validate-operation.ts
 *   POST a batch or a transaction                     receive-bundle.ts, receive-transaction.ts
 *   POST, PUT of what is taken                        receive-resource.ts
 *
 * Answers are made as JSON; negotiate.ts puts them on the wire as XML or compressed where that is asked for.
 */
import type { AdapterContext, IntegrationDirectory, Peer, Receive } from '#gateway/adapter.ts';
import { TooCostlyError } from '#gateway/records.ts';
import { outcome } from '#standards/fhir/operation-outcome.ts';
import { answerRead, readRequestOf } from './answer-read-search.ts';
import { FhirRefusal, answer, refusalAnswer } from './answer.ts';
import { gatewayCapabilities } from './capability-statement.ts';
import type { Config } from './config.ts';
import { interactionOf, writtenTypes } from './interaction.ts';
import { mount } from './mount.ts';
import { encoded, wantedFormat } from './negotiate.ts';
import { answerExport, isExport } from './export-route.ts';
import { jwksPath, publishedKeys } from './published-keys.ts';
import { receiveBundle } from './receive-bundle.ts';
import { receiveResource } from './receive-resource.ts';
import { servedTypes } from './served-types.ts';
import { smartConfiguration } from './smart-configuration.ts';
import { answerSubscription } from './subscription-route.ts';
import { answerTokenRequest } from './token-endpoint.ts';
import { validate } from './validate-operation.ts';

export { mount };

export async function handle(request: Request, peer: Peer, integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext): Promise<Response> {
  return encoded(request, await answered(request, peer, integrations, receive, context));
}

async function answered(request: Request, peer: Peer, integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext): Promise<Response> {
  try {
    return await route(request, peer, integrations, receive, context);
  } catch (error) {
    if (error instanceof FhirRefusal) return refusalAnswer(error);
    if (error instanceof TooCostlyError) return answer(400, outcome('error', 'too-costly', 'The search takes too long here: narrow it, by patient, identifier, date or _count, or leave out _sort and _total.'));
    context.log.error({ err: error, method: request.method }, 'a FHIR request failed before anything was stored; the sender is told to try again');
    return answer(503, outcome('error', 'exception', 'The gateway could not handle this now; nothing was stored. Try again.'), { 'retry-after': '30' });
  }
}

async function route(request: Request, peer: Peer, allIntegrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext): Promise<Response> {
  const base = serviceBase(request), steps = stepsOf(request), [first = '', second] = steps, { method } = request;
  const isRead = method === 'GET' || method === 'HEAD';
  if (isRead && new URL(request.url).pathname === jwksPath) return publishedKeys(allIntegrations, context);
  const integrations = openTo(peer, allIntegrations);
  if (first === 'auth' && second === 'token' && steps.length === 2) return answerTokenRequest(request, peer, integrations, context);
  if (isRead) wantedFormat(request);
  if (isExport(steps) && method !== 'OPTIONS') return answerExport(request, steps, base, peer, integrations, context);
  if (first === 'Subscription' && method !== 'OPTIONS') return answerSubscription(request, steps, base, peer, integrations, context);
  if (method === 'OPTIONS') return answer(204, undefined, { allow: methodsAt(steps).join(', ') });
  if (isRead && first === 'metadata' && second === undefined) return answer(200, gatewayCapabilities(base, context.now()));
  if (isRead && first === '.well-known' && second === 'smart-configuration' && steps.length === 2) return smartConfiguration(base);
  if (method === 'POST' && steps.at(-1) === '$validate' && steps.length <= 2) return validate(request, steps.length === 2 ? first : undefined, integrations, context);
  const read = (isRead && first !== 'metadata') || (method === 'POST' && second === '_search') ? readRequestOf(request, steps, base) : undefined;
  if (read !== undefined) return answerRead(request, read, peer, integrations, context);
  if (method === 'POST' && first === '') return receiveBundle(request, base, peer, integrations, receive, context, (entry) => answered(entry, peer, integrations, receive, context));
  return receiveResource(request, interactionOf({ method, url: new URL(request.url), ifNoneExist: request.headers.get('if-none-exist') }, mount), peer, integrations, receive, context, base);
}

/** The integrations that this peer may be: one that names client certificates is there for nobody else, whatever the token. */
function openTo({ tlsSubject = '' }: Peer, integrations: IntegrationDirectory<Config>): IntegrationDirectory<Config> {
  return { ...integrations, all: () => integrations.all().filter(({ config: { tls_subjects: allowed } }) => allowed.length === 0 || allowed.includes(tlsSubject)) };
}

/** What may be asked at a path, for OPTIONS. */
function methodsAt([type = '', second]: readonly string[]): string[] {
  if (type === '') return ['POST', 'OPTIONS'];
  const isWritten = Object.hasOwn(writtenTypes, type), isServed = Object.hasOwn(servedTypes, type);
  const isForm = second === '_search' || second === '$validate' || type === '$validate' || type === 'auth';
  if (isForm) return ['POST', 'OPTIONS'];
  return [...(isServed || !isWritten ? ['GET', 'HEAD'] : []), ...(isWritten ? [...(second === undefined ? ['POST'] : []), 'PUT'] : []), 'OPTIONS'];
}

function stepsOf(request: Request): string[] {
  const { pathname } = new URL(request.url);
  return (pathname.startsWith(mount) ? pathname.slice(mount.length) : pathname).split('/').filter((part) => part !== '');
}

function serviceBase(request: Request): string {
  return new URL(request.url).origin + mount;
}
