/**
 * Logging in at a FHIR server: what goes into `Authorization`. Tokens come from OAuth 2.0 client credentials, with a secret (RFC 6749 4.4) or a
 * signed assertion (SMART App Launch 2, Backend Services: RS384 or ES384, exp within 5 minutes, a new jti each time).
 */
import { randomUUID } from 'node:crypto';
import { SignJWT, importPKCS8 } from 'jose';
import type { Dispatcher } from 'undici';
import type { Config } from './config.ts';
import { failureByError, failureByStatus } from './failure.ts';
import type { Failure } from './failure.ts';

export interface Login {
  /** Value of the Authorization header, or undefined for none. Throws LoginError. */
  authorization(signal: AbortSignal): Promise<string | undefined>;
  /** The server did not take the token: get another one next time. True when that may help. */
  forget(): boolean;
  /** The scopes that the server said it granted with the newest token; undefined: it did not say. */
  granted(): string | undefined;
}

export class LoginError extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.text);
    this.name = 'LoginError';
    this.failure = failure;
  }
}

export function loginFor(config: Config, dispatcher: Dispatcher): Login {
  const fixed = (value: string | undefined): Login => ({ authorization: async () => value, forget: () => false, granted: () => undefined });
  switch (config.authentication) {
    case 'none': return fixed(undefined);
    case 'basic': return fixed(basic(config.username ?? '', config.password ?? ''));
    case 'bearer': return fixed(`Bearer ${config.bearer_token ?? ''}`);
    case 'client-secret':
    case 'private-key-jwt': return tokenLogin(config, dispatcher);
  }
}

function basic(user: string, secret: string): string {
  return `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}`;
}

const renewBeforeMilliseconds = 30_000;

/** One request for a token at a time, whoever asks; a token is renewed 30 s before it ends. */
function tokenLogin(config: Config, dispatcher: Dispatcher): Login {
  let token: { value: string; renewAt: number; scope: string | undefined } | undefined;
  let request: Promise<string> | undefined;
  const fetchToken = async (): Promise<string> => {
    // Not the caller's signal: others wait for the same token.
    const answer = await requestToken(config, dispatcher, AbortSignal.timeout(config.request_timeout_milliseconds));
    token = { value: answer.value, scope: answer.scope, renewAt: Date.now() + answer.lifetimeMilliseconds - renewBeforeMilliseconds };
    return answer.value;
  };
  return {
    async authorization(signal) {
      signal.throwIfAborted();
      if (token !== undefined && token.renewAt > Date.now()) return `Bearer ${token.value}`;
      request ??= fetchToken().finally(() => { request = undefined; });
      return `Bearer ${await request}`;
    },
    granted: () => token?.scope,
    forget() {
      const had = token !== undefined;
      token = undefined;
      return had;
    },
  };
}

interface Granted { readonly value: string; readonly scope: string | undefined; readonly lifetimeMilliseconds: number }

async function requestToken(config: Config, dispatcher: Dispatcher, signal: AbortSignal): Promise<Granted> {
  const form = new URLSearchParams({ grant_type: 'client_credentials', scope: config.scope });
  const headers: Record<string, string> = { accept: 'application/json', 'accept-encoding': 'identity' };
  if (config.authentication === 'private-key-jwt') {
    form.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
    form.set('client_assertion', await assertion(config));
  } else {
    // RFC 6749 2.3.1: id and secret are form-encoded before they become a Basic header.
    headers['authorization'] = basic(encodeURIComponent(config.client_id ?? ''), encodeURIComponent(config.client_secret ?? ''));
  }
  let status: number, text: string, answerHeaders: Headers;
  try {
    const init = { method: 'POST', body: form, headers, signal, redirect: 'manual', dispatcher };
    const response = await fetch(config.token_url ?? '', init as unknown as RequestInit);
    [status, text, answerHeaders] = [response.status, await response.text(), response.headers];
  } catch (error) {
    const failure = failureByError(error);
    throw new LoginError({ ...failure, kind: failure.kind === 'refused' ? 'refused' : 'unreachable', text: `token endpoint: ${failure.text}` });
  }
  return tokenOf(status, text, answerHeaders);
}

function tokenOf(status: number, text: string, headers: Headers): Granted {
  const answer = jsonObject(text);
  if (status !== 200) {
    const code = typeof answer['error'] === 'string' && /^[a-z_]{1,60}$/.test(answer['error']) ? `: ${answer['error']}` : ''; // RFC 6749 5.2
    const failure = failureByStatus(status, text, headers, new Date());
    throw new LoginError({ ...failure, text: `token endpoint: HTTP ${status}${code}` });
  }
  const { access_token: value, expires_in: lifetime, scope } = answer;
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value)) throw new LoginError({ kind: 'refused', answerCode: '200', text: 'token endpoint: the answer holds no access_token' });
  return { value, scope: typeof scope === 'string' && scope.length <= 10_000 ? scope : undefined, lifetimeMilliseconds: typeof lifetime === 'number' && lifetime > 0 ? lifetime * 1000 : 60_000 };
}

function jsonObject(text: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null ? value as Record<string, unknown> : {};
  } catch {
    return {};
  }
}

async function assertion(config: Config): Promise<string> {
  const { signing_algorithm: algorithm, client_id: client = '', token_url: audience = '', key_id: keyId = '' } = config;
  try {
    const key = await importPKCS8(config.private_key ?? '', algorithm);
    return await new SignJWT({}).setProtectedHeader({ alg: algorithm, kid: keyId, typ: 'JWT' }).setIssuer(client).setSubject(client).setAudience(audience)
      .setJti(randomUUID()).setIssuedAt().setExpirationTime('4m').sign(key);
  } catch {
    throw new LoginError({ kind: 'refused', answerCode: 'key', text: `private_key is not a PKCS #8 PEM key for ${algorithm}` });
  }
}
