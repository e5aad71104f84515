/** One question to the server of an integration, and what became of it in the words of the contract. */
import type { Integration } from '#gateway/adapter.ts';
import type { QueryOutcome } from '#gateway/queries.ts';
import type { Config } from '../config.ts';
import type { Failure } from '../failure.ts';
import { baseUrl, clientFor, type DicomwebClient } from '../web-client.ts';

type WithoutPlace<T> = T extends unknown ? Omit<T, 'interaction' | 'peer' | 'sent' | 'sentType' | 'count'> : never;
export type Result<T> = WithoutPlace<QueryOutcome<T>>;
export interface Asked<T> { readonly result: Result<T>; readonly count?: number }

/** @param path what is asked first; it goes on record. `work` never throws for what network and server do */
export async function asked<T>({ config }: Integration<Config>, interaction: string, path: string, work: (client: DicomwebClient) => Promise<Asked<T>>): Promise<QueryOutcome<T>> {
  if (config.base_url === undefined) return { kind: 'refused', interaction, peer: '', answerCode: '', text: 'the integration has no base_url to ask' };
  const place = { interaction, peer: baseUrl(config), sent: Buffer.from(path), sentType: 'text/uri-list' };
  let client: DicomwebClient;
  try {
    client = clientFor(config);
  } catch (error) {
    return { ...place, kind: 'refused', answerCode: 'settings', text: `the settings cannot be used (${error instanceof Error ? error.message : 'unknown'}); check certificates and keys` };
  }
  const { result, count } = await work(client);
  return { ...result, ...place, ...(count === undefined ? {} : { count }) };
}

export function resultOf({ kind, answerCode, text, retryAfterMilliseconds }: Failure): Result<never> {
  if (kind === 'refused') return { kind, answerCode, text };
  return kind === 'unconfirmed' ? { kind, text } : { kind, text, ...(retryAfterMilliseconds === undefined ? {} : { retryAfterMilliseconds }) };
}

