/** Connect, log in, read the CapabilityStatement: everything a delivery does before it would change something. Each step says what to do when it fails. */
import net from 'node:net';
import type { AdapterContext, ConnectionStep, ConnectionTest } from '#gateway/adapter.ts';
import { wordsOf } from '#standards/fhir/operation-outcome.ts';
import type { CapabilityStatement } from '#standards/fhir/types.ts';
import { LoginError } from './backend-services-auth.ts';
import type { Config } from './config.ts';
import { failureByError } from './failure.ts';
import { createFhirClient } from './fhir-client.ts';
import type { FhirClient } from './fhir-client.ts';
import { planFor, planWords, scopesFor } from './plan.ts';
import { missingScopes } from './scopes.ts';
import { offerOf } from './server-offer.ts';

interface Finding { readonly ok: boolean; readonly detail: string; readonly advice?: string }

export async function testConnection(config: Config, context: AdapterContext): Promise<ConnectionTest> {
  if (config.base_url === undefined) {
    const detail = 'This system sends to the gateway and gets no results: there is nothing to connect to.';
    return { ok: true, steps: [{ step: 'settings', ok: true, milliseconds: 0, detail, advice: 'To send results there, set base_url.' }] };
  }
  const steps: ConnectionStep[] = [];
  const run = async (step: string, work: () => Promise<Finding>): Promise<boolean> => {
    const start = performance.now();
    const finding = await work().catch((error: unknown): Finding => ({ ok: false, detail: error instanceof LoginError ? error.message : failureByError(error).text }));
    steps.push({ step, milliseconds: Math.round(performance.now() - start), ...finding });
    return finding.ok;
  };
  let client: FhirClient | undefined;
  try {
    const opened = createFhirClient(config);
    client = opened;
    const ok = await run('connect', () => connect(config, context.signal))
      && await run('login', () => login(opened, config, context.signal))
      && await run('metadata', () => readMetadata(opened, config, context.signal))
      && (opened.grantedScopes() === undefined || await run('scopes', () => checkScopes(opened, config, context.signal)));
    return { ok, steps };
  } catch (error) {
    return { ok: false, steps: [...steps, { step: 'settings', ok: false, milliseconds: 0, detail: error instanceof Error ? error.message : 'the settings cannot be used', advice: 'Check the certificates and keys: they must be PEM.' }] };
  } finally {
    await client?.close().catch(() => undefined);
  }
}

/** TCP only; TLS shows at the next step, where its certificate is judged. */
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

async function login(client: FhirClient, config: Config, signal: AbortSignal): Promise<Finding> {
  const plain = config.base_url?.startsWith('http://') === true ? { advice: 'The address is http: patient data and our login go unencrypted. Use https.' } : {};
  try {
    await client.authorization(signal);
  } catch (error) {
    if (!(error instanceof LoginError)) throw error;
    return { ok: false, detail: error.message, advice: 'Check token_url, client_id, the secret or key, and that the system knows our public key under key_id.' };
  }
  const how = config.authentication === 'none' ? 'No login is configured' : config.token_url === undefined ? `Login by ${config.authentication} (tried with the first delivery)` : 'The token endpoint gave a token';
  return { ok: true, detail: how, ...plain };
}

/** What the token may do against what a delivery needs, before the first one is refused. */
async function checkScopes(client: FhirClient, config: Config, signal: AbortSignal): Promise<Finding> {
  const exchanged = await client.capabilities(signal), body = 'answer' in exchanged ? exchanged.answer.body as CapabilityStatement : undefined;
  const plan = body?.resourceType === 'CapabilityStatement' ? planFor(offerOf(body), config) : undefined, granted = client.grantedScopes() ?? '';
  if (plan === undefined || 'refused' in plan) return { ok: true, detail: 'not judged' };
  const needed = new Map([...scopesFor(plan, config), ...config.pull_types.map((type): [string, string] => [type, `${scopesFor(plan, config).get(type) ?? ''}s`])]);
  const missing = missingScopes(needed, granted);
  if (missing.length === 0) return { ok: true, detail: granted.includes('system/') ? 'The token allows all that a delivery does' : 'The server names no system scopes: what the token allows shows at the first delivery' };
  return { ok: false, detail: `The token does not allow ${missing.map(inWords).join(', ')}`, advice: `Have these scopes granted to the client at the server, and ask for them in scope: ${missing.join(' ')}` };
}

const verbs: Readonly<Record<string, string>> = { c: 'create', r: 'read', u: 'update', d: 'delete', s: 'search' };
/** 'system/Observation.cu' -> 'create and update of Observation' */
function inWords(scope: string): string {
  const [, type = '', letters = ''] = /^system\/(\w+)\.(\w+)$/.exec(scope) ?? [];
  return `${letters.split('').map((letter) => verbs[letter]).join(' and ')} of ${type}`;
}

async function readMetadata(client: FhirClient, config: Config, signal: AbortSignal): Promise<Finding> {
  const exchanged = await client.capabilities(signal);
  if ('failure' in exchanged) return { ok: false, detail: exchanged.failure.text, advice: 'Check base_url, and tls_ca if the certificate is not trusted.' };
  const { status, body } = exchanged.answer;
  const statement = body as CapabilityStatement;
  if (status !== 200 || statement?.resourceType !== 'CapabilityStatement') {
    return { ok: false, detail: `GET metadata: HTTP ${status}${wordsOf(body, 200) === undefined ? ' and no CapabilityStatement' : `: ${wordsOf(body, 200)}`}`, advice: 'base_url must be the service base: the address to which /metadata is added.' };
  }
  const isR4 = typeof statement.fhirVersion === 'string' && statement.fhirVersion.startsWith('4.0');
  if (!isR4) return { ok: false, detail: `The server speaks FHIR ${statement.fhirVersion}; the gateway speaks 4.0 (R4).`, advice: 'Many servers offer R4 under another base URL.' };
  const plan = planFor(offerOf(statement), config), { detail: way, advice } = planWords(plan, config);
  const detail = `${`FHIR ${statement.fhirVersion}${statement.software?.name === undefined ? '' : `, ${statement.software.name} ${statement.software.version ?? ''}`}`.trimEnd()}; ${way}`;
  return { ok: !('refused' in plan), detail, ...(advice === undefined ? {} : { advice }) };
}
