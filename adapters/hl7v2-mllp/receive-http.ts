/**
 * HL7 over HTTP (the HAPI draft that engines speak): POST /hl7v2 with a message as body; the acknowledgment is the answer's body.
 *
 *   token -> organization -> body -> receiveFrame, as if it had come in a block -> 200 with AA, AE, AR ... in MSA-1
 *      \-> 401, 403      \-> 413, 415
 *
 * Any acknowledgment is HTTP 200: the transport did its work (section 2.6). The body of a request without a valid token is not read.
 */
import { randomUUID } from 'node:crypto';
import type { AdapterContext, Integration, IntegrationDirectory, Peer, Principal, Receive } from '#gateway/adapter.ts';
import type { Hl7v2Config } from './config.ts';
import { maximumFrameBytes } from './mllp.ts';
import { receiveFrame } from './receive-frame.ts';

export const mount = '/hl7v2';
const mediaTypes = ['application/hl7-v2', 'application/hl7-v2+er7', 'x-application/hl7-v2+er7'];
/** Roles of accounts and tokens that stand for a system or its keeper. */
const senders = ['service', 'integrator', 'administrator'];

export async function handle(request: Request, peer: Peer, integrations: IntegrationDirectory<Hl7v2Config>, receive: Receive, context: AdapterContext): Promise<Response> {
  if (new URL(request.url).pathname !== mount) return problem(404, `HL7 messages are posted to ${mount}.`);
  if (request.method !== 'POST') return problem(405, 'Only POST is taken here.', { allow: 'POST' });
  const token = /^Bearer +(\S+)$/i.exec(request.headers.get('authorization') ?? '')?.[1];
  const principal = token === undefined ? undefined : await context.authenticate(token);
  const refused = refusalOf(principal);
  if (refused || !principal) {
    await receive({
      integration: undefined, interaction: 'POST', controlId: randomUUID(), peer, receivedAt: context.now(), facts: {}, head: Buffer.alloc(0), sha256: '', byteSize: 0,
    }, { reason: 'not-allowed', text: refused?.text ?? '' });
    return refused?.response ?? problem(401, 'A valid access token is needed.');
  }
  const type = (request.headers.get('content-type') ?? '').split(';')[0]!.trim().toLowerCase();
  if (!mediaTypes.includes(type) || (request.headers.get('content-encoding') ?? 'identity') !== 'identity') return problem(415, `The content type must be ${mediaTypes[0]}, not encoded.`);
  const body = await readBody(request);
  if (!body) return problem(413, `A message has at most ${maximumFrameBytes} bytes.`);
  if (body.length === 0) return problem(400, 'The request has no body; it must be one HL7 message.');
  return acknowledged(body, type, peer, { principal, integrations, receive, context });
}

interface Sent { readonly principal: Principal; readonly integrations: IntegrationDirectory<Hl7v2Config>; readonly receive: Receive; readonly context: AdapterContext }

async function acknowledged(body: Buffer, type: string, peer: Peer, { principal, integrations, receive, context }: Sent): Promise<Response> {
  const answers = await receiveFrame(body, peer, {
    integrations: () => ofSender(integrations.all(), principal), receive, together: context.writes?.together, now: () => context.now(),
    onError(error) { context.log.error({ error: error instanceof Error ? error.name : 'unknown' }, 'receiving an HL7 message failed unexpectedly; the sender was asked to try again'); },
  });
  for (const answer of answers) answer.heard(true);
  // Enhanced mode may owe two answers, or none: one response carries what there is.
  const bytes = Buffer.concat(answers.map((answer) => answer.bytes));
  return bytes.length === 0 ? new Response(null, { status: 204 }) : new Response(new Uint8Array(bytes), { status: 200, headers: { 'content-type': `${type}; charset=utf-8` } });
}

/** Those of the token's organization; the one that the token names, when it names one. */
function ofSender(all: readonly Integration<Hl7v2Config>[], { organizationId, scopes = [] }: Principal): readonly Integration<Hl7v2Config>[] {
  const own = all.filter((integration) => integration.organizationId === organizationId);
  const named = own.filter(({ integrationId }) => scopes.includes(`integration:${integrationId}`));
  return named.length > 0 ? named : own;
}

function refusalOf(principal: Principal | undefined): { text: string; response: Response } | undefined {
  if (!principal) return { text: 'an HL7 message by HTTP came without a valid token', response: problem(401, 'A valid access token is needed: Authorization: Bearer <token>.', { 'www-authenticate': 'Bearer realm="medscan"' }) };
  const mayWrite = principal.scopes === undefined || principal.scopes.length === 0 || principal.scopes.some((scope) => scope.startsWith('integration:'));
  if (senders.includes(principal.role) && mayWrite) return undefined;
  return { text: `a token of role ${principal.role} may not send HL7 messages`, response: problem(403, 'This token may not send messages.') };
}

/** undefined: larger than a message may be; the rest is not read. */
async function readBody(request: Request): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let byteLength = 0;
  for await (const chunk of request.body ?? []) {
    byteLength += chunk.byteLength;
    if (byteLength > maximumFrameBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, byteLength);
}

function problem(status: number, detail: string, headers: Record<string, string> = {}): Response {
  return new Response(`${detail}\n`, { status, headers: { 'content-type': 'text/plain; charset=utf-8', ...headers } });
}
