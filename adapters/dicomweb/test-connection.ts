/** TCP, then a search for one study: everything a delivery does before it would change something, under the same login. */
import net from 'node:net';
import type { AdapterContext, ConnectionStep, ConnectionTest } from '#gateway/adapter.ts';
import type { Config } from './config.ts';
import { failureByError, failureByStatus } from './failure.ts';
import { baseUrl, createClient, type DicomwebClient } from './web-client.ts';

type Finding = Pick<ConnectionStep, 'ok' | 'detail' | 'advice'>;

export async function testConnection(config: Config, context: AdapterContext): Promise<ConnectionTest> {
  if (config.base_url === undefined) {
    return { ok: true, steps: [{ step: 'settings', ok: true, milliseconds: 0, detail: 'This system only calls the gateway; there is nothing to call.', advice: 'To send reports there, set base_url.' }] };
  }
  const steps: ConnectionStep[] = [];
  const run = async (step: string, work: () => Promise<Finding>): Promise<boolean> => {
    const start = performance.now();
    const finding = await work();
    steps.push({ step, milliseconds: Math.round(performance.now() - start), ...finding });
    return finding.ok;
  };
  let client: DicomwebClient | undefined;
  try {
    const opened = createClient(config);
    client = opened;
    const ok = await run('TCP', () => connect(config, context.signal)) && await run('GET /studies', () => search(opened, config, context));
    return { ok, steps };
  } catch (error) {
    return { ok: false, steps: [...steps, { step: 'settings', ok: false, milliseconds: 0, detail: error instanceof Error ? error.message : 'the settings cannot be used', advice: 'Check the certificates and keys: they must be PEM.' }] };
  } finally {
    await client?.close().catch(() => undefined);
  }
}

/** TLS shows at the next step, where its certificate is judged. */
async function connect(config: Config, signal: AbortSignal): Promise<Finding> {
  const url = new URL(config.base_url ?? ''), port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
  const { promise, resolve } = Promise.withResolvers<Finding>();
  const socket = net.connect({ host: url.hostname.replace(/^\[|\]$/g, ''), port, signal });
  const fail = (detail: string): void => resolve({ ok: false, detail, advice: `Check that ${url.host} is right and that a firewall lets the gateway through to port ${port}.` });
  socket.setTimeout(config.connect_timeout_milliseconds, () => fail(`no connection within ${config.connect_timeout_milliseconds} ms`));
  socket.once('connect', () => resolve({ ok: true, detail: `TCP connection to ${url.hostname} port ${port}` }));
  socket.once('error', (error) => fail(failureByError(error).text));
  return promise.finally(() => socket.destroy());
}

/** What was found is thrown away: it may be about a patient. */
async function search(client: DicomwebClient, config: Config, context: AdapterContext): Promise<Finding> {
  const exchanged = await client.send({ method: 'GET', path: '/studies?limit=1', headers: { accept: 'application/dicom+json' } }, context.signal);
  if ('failure' in exchanged) return { ok: false, detail: exchanged.failure.text, advice: 'Check base_url, and tls_ca if the certificate is not trusted.' };
  const { status, contentType, retryAfter } = exchanged.answer;
  const plain = config.base_url?.startsWith('http://') === true ? { advice: 'The address is http: patient data and our login go unencrypted. Use https.' } : {};
  if (status === 204 || (status === 200 && contentType.includes('json'))) return { ok: true, detail: 'the server answers searches (QIDO-RS); storing shows with the first report', ...plain };
  if (status === 200) return { ok: false, detail: `the server answers a search with ${contentType.split(';')[0]?.slice(0, 80) || 'no content type'}, not with DICOM JSON`, advice: `Check base_url: ${baseUrl(config)}/studies must be the studies of a DICOMweb service.` };
  if (status === 405 || status === 501) return { ok: true, detail: `HTTP ${status}: the server does not search; that is not needed for reports`, ...plain };
  const { text } = failureByStatus(status, retryAfter, context.now());
  return { ok: false, detail: text, advice: status === 401 || status === 403 ? 'Check authentication, user name and password or token, and what they may do there.' : 'base_url must be the address to which /studies is added.' };
}
