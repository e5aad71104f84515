/**
 * Every request below the mount finds its handler here.
 *
 *   POST auth/token, GET .well-known/...              token-endpoint.ts, smart-configuration.ts, published-keys.ts
 *   GET metadata                                      capability-statement.ts
 *   GET [type]/[id], GET [type], POST [type]/_search  answer-read-search.ts
 *   POST [type]/$validate, POST $validate             validate-operation.ts
 *   POST a batch                                      receive-bundle.ts
 *   POST, PUT Patient, ServiceRequest                 receive-resource.ts
 */
import type { AdapterContext, IntegrationDirectory, Peer, Receive } from '#gateway/adapter.ts';
import { outcome } from '#standards/fhir/operation-outcome.ts';
import { answerRead, readRequestOf } from './answer-read-search.ts';
import { FhirRefusal, answer, refusalAnswer } from './answer.ts';
import { acceptsJson } from './body.ts';
import { gatewayCapabilities } from './capability-statement.ts';
import type { Config } from './config.ts';
import { interactionOf } from './interaction.ts';
import { jwksPath, publishedKeys } from './published-keys.ts';
import { receiveBundle } from './receive-bundle.ts';
import { receiveResource } from './receive-resource.ts';
import { smartConfiguration } from './smart-configuration.ts';
import { answerTokenRequest } from './token-endpoint.ts';
import { validate } from './validate-operation.ts';

export const mount = '/fhir/r4';

export async function handle(request: Request, peer: Peer, integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext): Promise<Response> {
  try {
    return await route(request, peer, integrations, receive, context);
  } catch (error) {
    if (error instanceof FhirRefusal) return refusalAnswer(error);
    context.log.error({ err: error, method: request.method }, 'a FHIR request failed before anything was stored; the sender is told to try again');
    return answer(503, outcome('error', 'exception', 'The gateway could not handle this now; nothing was stored. Try again.'), { 'retry-after': '30' });
  }
}

async function route(request: Request, peer: Peer, integrations: IntegrationDirectory<Config>, receive: Receive, context: AdapterContext): Promise<Response> {
  const base = serviceBase(request), steps = stepsOf(request), [first = '', second] = steps, { method } = request;
  const isRead = method === 'GET' || method === 'HEAD';
  if (isRead && new URL(request.url).pathname === jwksPath) return publishedKeys(integrations, context);
  if (first === 'auth' && second === 'token' && steps.length === 2) return answerTokenRequest(request, peer, integrations, context);
  if (isRead && !acceptsJson(request)) throw new FhirRefusal(406, 'not-supported', 'Answers are application/fhir+json only; XML is not offered.');
  if (isRead && first === 'metadata' && second === undefined) return answer(200, gatewayCapabilities(base, context.now()));
  if (isRead && first === '.well-known' && second === 'smart-configuration' && steps.length === 2) return smartConfiguration(base);
  if (method === 'POST' && steps.at(-1) === '$validate' && steps.length <= 2) return validate(request, steps.length === 2 ? first : undefined, integrations, context);
  if ((isRead && first !== '' && first !== 'metadata' && steps.length <= 2) || (method === 'POST' && second === '_search' && steps.length === 2)) {
    return answerRead(request, await readRequestOf(request, steps, base), peer, integrations, context);
  }
  if (method === 'POST' && first === '') return receiveBundle(request, base, integrations, context, (entry) => handle(entry, peer, integrations, receive, context));
  return receiveResource(request, interactionOf(request, mount), peer, integrations, receive, context, base);
}

function stepsOf(request: Request): string[] {
  const { pathname } = new URL(request.url);
  return (pathname.startsWith(mount) ? pathname.slice(mount.length) : pathname).split('/').filter((part) => part !== '');
}

function serviceBase(request: Request): string {
  return new URL(request.url).origin + mount;
}
