/**
 * One DICOMweb request to one answer.
 *
 *   route -> token -> integration -> STOW-RS | QIDO-RS | WADO-RS
 *     \-> 404 405 400   \-> 401     \-> 403, on record
 *
 * The body of a request without a valid token is not read. What cannot be handled now is 503: try again.
 */
import type { HttpInbound, IntegrationDirectory, Principal } from '#gateway/adapter.ts';
import { Refusal, reasonOf, refusalAnswer, tryAgain } from './answer.ts';
import { answerQido } from './answer-qido.ts';
import { answerWado } from './answer-wado.ts';
import { authenticate, callerFor, type Caller, type Purpose } from './caller.ts';
import type { Config } from './config.ts';
import { recordRefusal, type Recorder } from './record-refusal.ts';
import { receiveStow } from './receive-stow.ts';
import { mount, resourceOf, type Resource } from './resource.ts';

const purposeOf = ({ kind }: Resource): Purpose => (kind === 'store' ? 'store' : kind === 'search' ? 'query' : 'retrieve');

export const handle: HttpInbound<Config>['handle'] = async (request, peer, integrations, receive, context) => {
  try {
    const url = new URL(request.url);
    const resource = resourceOf(request.method, url.pathname);
    const caller = await identify(request, purposeOf(resource), { peer, receive, context }, integrations);
    const base = (caller.integration.config.public_url ?? `${url.origin}${mount}`).replace(/\/+$/, '');
    if (resource.kind === 'store') return await store(request, caller, { peer, receive, context }, resource.study, base);
    const read = { request, url, caller, peer, context, base };
    return resource.kind === 'search' ? await answerQido(resource, read) : await answerWado(resource, read);
  } catch (error) {
    if (error instanceof Refusal) return refusalAnswer(error);
    context.log.error({ error: error instanceof Error ? error.message : String(error), method: request.method }, 'a DICOMweb request failed; the sender is told to try again');
    return refusalAnswer(new Refusal(503, 'The gateway could not handle this now. Try again.', tryAgain));
  }
};

/** Throws Refusal 401 or 403, after it is on record. */
async function identify(request: Request, purpose: Purpose, record: Recorder, integrations: IntegrationDirectory<Config>): Promise<Caller> {
  const known: { principal?: Principal } = {};
  try {
    known.principal = await authenticate(request, record.context);
    return callerFor(known.principal, purpose, record.peer, integrations);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const integration = integrations.all().find(({ organizationId }) => organizationId === known.principal?.organizationId);
    await recordRefusal(request, purpose, { ...known, integration }, record, { reason: reasonOf(error.status), text: error.message }, error.status);
    throw error;
  }
}

/** A request of a known caller that is refused for its form is an exchange too. */
async function store(request: Request, caller: Caller, record: Recorder, study: string | undefined, base: string): Promise<Response> {
  try {
    return await receiveStow(request, { caller, ...record, study }, base);
  } catch (error) {
    if (error instanceof Refusal) await recordRefusal(request, 'store', caller, record, { reason: reasonOf(error.status), text: error.message }, error.status);
    throw error;
  }
}
