/**
 * PATIENTS AND ORDERS ARE FETCHED HERE from an EMR that does not send (setting `pull_types`). In: since when. Out: each resource that changed, received as
 * if the EMR had sent `PUT [type]/[id]`.
 *
 *   GET [type]?_lastUpdated=ge<since - 5 min>&_sort=_lastUpdated&_count=100, and its next pages
 *
 * All times are the server's own, so that its clock may be wrong; the overlap covers transactions that end late. What was received before is a repeat, told apart by meta.versionId or
 * meta.lastUpdated, and changes nothing. The time is moved on page by page as far as everything was taken, so that a stop loses nothing.
 */
import { createHash } from 'node:crypto';
import type { AdapterContext, InboundMessage, Integration, Receive } from '#gateway/adapter.ts';
import type { Pulled, Puller } from '#gateway/pulls.ts';
import type { Resource } from '#standards/fhir/types.ts';
import { validateResource } from '#standards/fhir/validate.ts';
import { issueText } from '#standards/fhir/operation-outcome.ts';
import type { Config } from './config.ts';
import { controlIdOf } from './control-id.ts';
import { failureByStatus } from './failure.ts';
import { clientFor } from './fhir-client.ts';
import type { Exchanged } from './fhir-client.ts';
import type { Interaction } from './interaction.ts';
import { resourcesOf } from './lookup.ts';

const overlapMilliseconds = 300_000, pageSize = 100, mostPages = 1000;

export const pulls: Puller<Config> = {
  plan: (config) => config.pull_types.length === 0 || config.base_url === undefined ? undefined : { types: config.pull_types, everySeconds: config.pull_seconds },
  pull,
};

/** `until` counts only while the server keeps to _sort: else what comes on later pages may be older. */
interface Progress { until: number; read: number; taken: number; refused: number; newest: number; isSorted: boolean }

async function pull(integration: Integration<Config>, type: string, since: string | undefined, receive: Receive, context: AdapterContext): Promise<Pulled> {
  const { config } = integration, client = clientFor(config), now = context.now().getTime();
  const from = since ?? (config.pull_days > 0 ? new Date(now - config.pull_days * 86_400_000).toISOString() : new Date(now).toISOString());
  const progress: Progress = { until: Date.parse(from), read: 0, taken: 0, refused: 0, newest: 0, isSorted: true };
  const after = new Date(Date.parse(from) - overlapMilliseconds).toISOString();
  let askedAt = context.now(), exchanged: Exchanged | undefined = await client.search(type, { _lastUpdated: `ge${after}`, _sort: '_lastUpdated', _count: String(pageSize) }, context.signal);
  let servedAt: number | undefined;
  for (let pages = 1; exchanged !== undefined; pages += 1) {
    const fault = faultOf(exchanged, type, context.now());
    // A person hears of a fault that lasts, on whichever page; what was taken before it stays taken, and the next time begins there.
    if (fault !== undefined) return { ...fault, ...partly(progress, from) };
    const { body, headers } = (exchanged as Extract<Exchanged, { answer: unknown }>).answer;
    servedAt ??= Date.parse(headers?.get('date') ?? '') || Date.parse(from);
    for (const resource of resourcesOf(body).filter(({ resourceType }) => resourceType === type)) {
      const receipt = await take(resource, askedAt, integration, receive, context, client.baseUrl);
      progress.read += 1;
      if (receipt === 'failed') return { kind: 'failed', text: 'the gateway could not take what it read; nothing was lost', ...partly(progress, from) };
      progress[receipt] += 1;
      const updatedAt = Date.parse(resource.meta?.lastUpdated ?? '') || 0;
      progress.isSorted &&= updatedAt >= progress.newest;
      progress.newest = Math.max(progress.newest, updatedAt);
      progress.until = Math.max(progress.until, Math.min(updatedAt, servedAt));
      if (context.signal.aborted) return told({ ...progress, ...partly(progress, from) });
    }
    if (pages >= mostPages) return told({ ...progress, ...partly(progress, from) });
    askedAt = context.now();
    exchanged = await client.nextPage(body, context.signal);
  }
  // All pages were read: what changed before the search began is known, even where nothing did.
  return told({ ...progress, until: Math.max(progress.until, (servedAt ?? 0) - overlapMilliseconds) });
}

const told = ({ until, read, taken, refused }: Omit<Progress, 'until'> & { readonly until: number | string }): Pulled => ({ kind: 'read', until: new Date(until).toISOString(), read, taken, refused });
/** How far it was read when not all pages were. */
const partly = ({ until, isSorted }: Progress, from: string): { until: string } => ({ until: isSorted ? new Date(until).toISOString() : from });

function faultOf(exchanged: Exchanged, type: string, now: Date): Extract<Pulled, { kind: 'failed' }> | undefined {
  if ('failure' in exchanged) return { kind: 'failed', text: exchanged.failure.text, retryAfterMilliseconds: exchanged.failure.retryAfterMilliseconds };
  const { status, headers, body } = exchanged.answer;
  if (status !== 200) {
    const { text, retryAfterMilliseconds } = failureByStatus(status, body, headers, now);
    return { kind: 'failed', text: `search of ${type}: ${text}`, retryAfterMilliseconds };
  }
  return (body as { resourceType?: unknown } | null)?.resourceType === 'Bundle' ? undefined : { kind: 'failed', text: `search of ${type}: the answer is no Bundle` };
}

/** 'taken' when it is committed, now or before. What the system sent itself after it was asked is newer than what it told (`firstReceivedAt`). */
async function take(resource: Resource, askedAt: Date, integration: Integration<Config>, receive: Receive, context: AdapterContext, baseUrl: string): Promise<'taken' | 'refused' | 'failed'> {
  const head = Buffer.from(JSON.stringify(resource)), sha256 = createHash('sha256').update(head).digest('hex'), receivedAt = context.now();
  const interaction: Interaction = { kind: 'update', resourceType: resource.resourceType as 'Patient', id: resource.id ?? '' };
  const message: InboundMessage<Config> = {
    integration, interaction: `update ${resource.resourceType}`, controlId: controlIdOf(interaction, resource as unknown as Record<string, unknown>, { sha256, requestId: undefined, receivedAt }), peer: { address: new URL(baseUrl).hostname, port: Number(new URL(baseUrl).port) || 443, application: 'pull' },
    receivedAt, head, sha256, byteSize: head.byteLength, facts: { mediaType: 'application/fhir+json', interaction: 'update', pulled: true, firstReceivedAt: askedAt.toISOString(), ...(resource.id === undefined ? {} : { id: resource.id }) },
  };
  const [issue] = validateResource(resource);
  const receipt = await receive(message, issue === undefined ? undefined : { reason: 'invalid', text: issueText(issue), location: issue.expression });
  receipt.answered(receipt.kind === 'failed' ? '503' : receipt.kind === 'rejected' ? '422' : '200', true);
  return receipt.kind === 'failed' ? 'failed' : receipt.kind === 'rejected' ? 'refused' : 'taken';
}
