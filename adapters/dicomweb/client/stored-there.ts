/**
 * Whether a server has an object that was stored there, when its answer to the store does not say: by QIDO-RS, and where it offers none by WADO-RS metadata.
 * In: the UIDs. Out: there, not there (yet), or why nobody knows.
 */
import { readHeader } from '#standards/dicom/header.ts';
import type { AdapterContext } from '#gateway/adapter.ts';
import { failureByStatus, type Failure } from '../failure.ts';
import type { DicomwebClient } from '../web-client.ts';
import { matchesOf } from './answers.ts';
import { search, uidPath } from './search.ts';

export interface ObjectNames { readonly study: string; readonly series: string; readonly instance: string }
export type Presence = { readonly kind: 'there'; readonly by: 'QIDO-RS' | 'WADO-RS' } | { readonly kind: 'not there' } | { readonly kind: 'not known'; readonly failure: Failure };

const instanceTag = '00080018';
const mostBytes = 16 * 1024 * 1024;

/** Of a file that we made. */
export function namesOf(file: Buffer, instance: string): ObjectNames {
  const { dataset } = readHeader(file), uid = (tag: number): string => dataset.get(tag)?.bytes.toString('latin1').replace(/[\0 ]+$/, '') ?? '';
  return { study: uid(0x0020000d), series: uid(0x0020000e), instance };
}

/** Never throws for what network and server do. */
export async function presenceOf(client: DicomwebClient, { study, series, instance }: ObjectNames, context: Pick<AdapterContext, 'signal' | 'now'>): Promise<Presence> {
  const found = await search(client, { path: `${uidPath(study, series)}/instances`, keys: { [instanceTag]: instance }, told: [], nameTag: instanceTag, name: instance, mostMatches: 100_000 }, context);
  if (!('failure' in found)) return found.matches.length > 0 ? { kind: 'there', by: 'QIDO-RS' } : { kind: 'not there' };
  // 404: some servers say so of a series that they do not have, others offer no searches. Metadata tells.
  if (found.failure.kind !== 'refused') return { kind: 'not known', failure: found.failure };
  const exchanged = await client.send({ method: 'GET', path: `${uidPath(study, series, instance)}/metadata`, headers: { accept: 'application/dicom+json' } }, context.signal, { purpose: 'retrieve', mostBytes });
  if ('failure' in exchanged) return { kind: 'not known', failure: exchanged.failure.kind === 'refused' ? found.failure : exchanged.failure };
  const { status, retryAfter, body } = exchanged.answer;
  if (status === 200 && matchesOf(body)?.some((match) => match.text(instanceTag) === instance)) return { kind: 'there', by: 'WADO-RS' };
  const failure = failureByStatus(status, retryAfter, context.now(), 'retrieve');
  return { kind: 'not known', failure: status >= 300 && failure.kind !== 'refused' ? failure : found.failure };
}
