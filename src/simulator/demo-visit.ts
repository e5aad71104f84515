/** A person looks: signs in over the API as anyone would, opens the list of critical findings, keeps a preference of the list, and signs out. */
import { z } from 'zod';

const Findings = z.object({ items: z.array(z.unknown()) });

export interface Visit { readonly criticalFindings: number }

/** Throws an Error that names the request and the answer when one is not 2xx. */
export async function visitAsPerson(baseUrl: string, account: { readonly email: string; readonly password: string }): Promise<Visit> {
  const login = await request(`${baseUrl}/api/v1/auth/login`, { method: 'POST', body: JSON.stringify(account), headers: { 'content-type': 'application/json' } });
  const headers = { cookie: login.headers.getSetCookie().map((cookie) => cookie.split(';')[0]).join('; '), origin: baseUrl };
  const findings = Findings.parse(await (await request(`${baseUrl}/api/v1/findings/critical-unreviewed`, { headers })).json());
  await request(`${baseUrl}/api/v1/auth/me/preferences/findings.rows`, { method: 'PUT', body: JSON.stringify({ value: 50 }), headers: { ...headers, 'content-type': 'application/json' } });
  await request(`${baseUrl}/api/v1/auth/logout`, { method: 'POST', headers });
  return { criticalFindings: findings.items.length };
}

async function request(url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new Error(`${init.method ?? 'GET'} ${new URL(url).pathname} was answered ${response.status}`);
  return response;
}
