/**
 * A SUBSCRIBER IS CALLED HERE (rest-hook). In: a handshake, a sign of life, or events. Out: whether it was heard. The address is judged again at each
 * call, because settings change; redirects are not followed, the answer is not read, and TLS is that of the integration.
 */
import { createHmac } from 'node:crypto';
import { fetch } from 'undici';
import type { Dispatcher } from 'undici';
import type { AdapterContext, DeliveryOutcome } from '#gateway/adapter.ts';
import type { Notification, SubscriptionNotifier } from '#gateway/subscriptions.ts';
import type { Config } from './config.ts';
import { openConnection } from './connection.ts';
import { failureByError, failureByStatus } from './failure.ts';
import { notificationBundle } from './notification-bundle.ts';
import { allowedEndpoint } from './subscription-resource.ts';

const defaultTimeoutSeconds = 30, mostAnswerBytes = 65_536;

export const subscriptions: SubscriptionNotifier<Config> = { notify };

async function notify(notification: Notification, config: Config, context: AdapterContext): Promise<DeliveryOutcome> {
  const { subscription, kind, events } = notification, interaction = `${kind} Subscription`;
  let endpoint: string;
  try {
    endpoint = allowedEndpoint(subscription.endpoint, config);
  } catch {
    return { kind: 'refused', answerCode: 'settings', text: 'the address of the subscriber is at no origin that this integration allows (subscription_origins)', interaction, peer: '' };
  }
  const peer = new URL(endpoint).host, body = JSON.stringify(notificationBundle(kind, subscription, events, config, (config.service_url ?? '').replace(/\/+$/, ''), context.now()));
  const about = { interaction, peer, sent: Buffer.from(body), sentType: 'application/fhir+json' };
  const timeout = AbortSignal.timeout((subscription.timeoutSeconds ?? defaultTimeoutSeconds) * 1000);
  let dispatcher: Dispatcher | undefined;
  try {
    dispatcher = openConnection({ ...config, maximum_answer_bytes: mostAnswerBytes });
    const response = await fetch(endpoint, { method: 'POST', body, headers: headersFor(subscription.headers, config, body, context.now()), redirect: 'manual', signal: AbortSignal.any([context.signal, timeout]), dispatcher });
    await response.body?.cancel();
    if (response.ok) return { kind: 'delivered', answerCode: String(response.status), ...about };
    // The headers of an answer are the same class in every realm; undici's is not the compiler's.
    return { ...outcomeOf(failureByStatus(response.status, undefined, new Headers([...response.headers]), context.now())), ...about };
  } catch (error) {
    return { ...outcomeOf(failureByError(error)), ...about };
  } finally {
    await dispatcher?.close().catch(() => undefined);
  }
}

function outcomeOf({ kind, answerCode, text, retryAfterMilliseconds }: ReturnType<typeof failureByStatus>) {
  if (kind === 'refused') return { kind, answerCode, text };
  return kind === 'unconfirmed' ? { kind, text } : { kind, text, ...(retryAfterMilliseconds === undefined ? {} : { retryAfterMilliseconds }) };
}

function headersFor(own: readonly string[], config: Config, body: string, now: Date): Record<string, string> {
  const seconds = Math.floor(now.getTime() / 1000);
  const signature = config.subscription_signing_key === undefined ? undefined : `t=${seconds},v1=${createHmac('sha256', config.subscription_signing_key).update(`${seconds}.${body}`).digest('hex')}`;
  return {
    ...Object.fromEntries(own.map((header) => { const at = header.indexOf(':'); return [header.slice(0, at).trim().toLowerCase(), header.slice(at + 1).trim()]; })),
    'content-type': 'application/fhir+json', 'accept-encoding': 'identity', ...(signature === undefined ? {} : { 'x-medscan-signature': signature }),
  };
}
