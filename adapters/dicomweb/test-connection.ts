/**
 * Tries what a delivery and the client's questions would do, one step after the other: TCP, TLS, login and a search, what the settings will ask, and with
 * `stores` a synthetic object there and back. Never throws; without `stores` it changes nothing at the server.
 */
import net from 'node:net';
import tls from 'node:tls';
import type { AdapterContext, ConnectionStep, ConnectionTest, ConnectionTestOptions } from '#gateway/adapter.ts';
import { roundTrip } from './client/round-trip.ts';
import { tryRetrieve, trySearch } from './client/try-services.ts';
import type { Config } from './config.ts';
import { failureByError } from './failure.ts';
import { createClient, tlsOptions, type DicomwebClient } from './web-client.ts';

export type Finding = Pick<ConnectionStep, 'step' | 'ok' | 'detail' | 'advice'>;

export async function testConnection(config: Config, context: AdapterContext, { stores = false }: ConnectionTestOptions = {}): Promise<ConnectionTest> {
  if (config.base_url === undefined) {
    return { ok: true, steps: [{ step: 'settings', ok: true, milliseconds: 0, detail: 'This system only calls the gateway; there is nothing to call.', advice: 'To send reports there, or to ask it for studies, set base_url.' }] };
  }
  const steps: ConnectionStep[] = [];
  let client: DicomwebClient | undefined;
  try {
    client = createClient(config);
    for (const attempt of attempts(config, client, context, stores)) {
      const start = performance.now(), findings = await attempt(), milliseconds = Math.round(performance.now() - start);
      steps.push(...findings.map((finding, index) => ({ ...finding, milliseconds: index === 0 ? milliseconds : 0 })));
      if (findings.some(({ ok }) => !ok)) break;
    }
  } catch (error) {
    steps.push({ step: 'settings', ok: false, milliseconds: 0, detail: error instanceof Error ? error.message : 'the settings cannot be used', advice: 'Check the certificates and keys: they must be PEM.' });
  } finally {
    await client?.close().catch(() => undefined);
  }
  return { ok: steps.every(({ ok }) => ok), steps };
}

function attempts(config: Config, client: DicomwebClient, context: AdapterContext, stores: boolean): readonly (() => Promise<readonly Finding[]>)[] {
  const { completeness, priors } = config;
  return [
    () => reach(config, context.signal),
    () => trySearch(client, config, context),
    ...(priors || completeness?.when_missing === 'fetch' ? [() => tryRetrieve(client, config, context)] : []),
    ...(stores ? [() => roundTrip(client, config, context)] : []),
  ];
}

/** TCP and TLS on a connection of their own, that says nothing. */
async function reach(config: Config, signal: AbortSignal): Promise<readonly Finding[]> {
  const url = new URL(config.base_url ?? ''), isTls = url.protocol === 'https:', port = Number(url.port) || (isTls ? 443 : 80), host = url.hostname.replace(/^\[|\]$/g, '');
  const connected: Finding = { step: 'TCP', ok: true, detail: `TCP connection to ${url.hostname} port ${port}` };
  const { promise, resolve } = Promise.withResolvers<readonly Finding[]>();
  const socket = net.connect({ host, port, signal });
  let found: readonly Finding[] = [];
  const fail = (detail: string): void => resolve([...found, found.length === 0
    ? { step: 'TCP', ok: false, detail, advice: `Check that ${url.host} is right and that a firewall lets the gateway through to port ${port}.` }
    : { step: 'TLS', ok: false, detail, advice: 'Check that the server speaks TLS 1.2 or later on this port, that tls_ca signs its certificate for this host name, and whether it wants a client certificate (tls_certificate, tls_key).' }]);
  socket.setTimeout(config.connect_timeout_milliseconds, () => fail(`no ${found.length === 0 ? 'connection' : 'answer'} within ${config.connect_timeout_milliseconds} ms`));
  socket.on('error', (error) => fail(failureByError(error).text));
  socket.once('connect', () => {
    found = [connected];
    if (!isTls) return resolve(found);
    const secure = tls.connect({ socket, ...(net.isIP(host) === 0 ? { servername: host } : {}), ...tlsOptions(config) });
    secure.on('error', (error) => fail(failureByError(error).text)).once('secureConnect', () => { resolve([...found, { step: 'TLS', ok: true, detail: describeTls(secure) }]); secure.destroy(); });
  });
  return promise.finally(() => socket.destroy());
}

function describeTls(socket: tls.TLSSocket): string {
  const { subject, valid_to: end } = socket.getPeerCertificate(), name = subject?.CN;
  return `${socket.getProtocol()}, ${socket.getCipher().name}; certificate of ${Array.isArray(name) ? name.join(', ') : name ?? 'no name'}, valid to ${new Date(end).toISOString().slice(0, 10)}`;
}
