/**
 * Whether there is room for more. In: the free space of the object store and the jobs that wait, looked at once in a while and only when
 * somebody asks; and by the maintenance round, for those in the house. Out: why nothing new should begin now, in words for a person, or undefined. What has begun goes on: an open
 * association or connection is told per message when the store refuses it (A700).
 */
import { raiseAlert, resolveAlert } from '../db/alerts.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import { countWaitingJobs } from '../db/waiting-jobs.ts';
import { QUEUE_SCHEMA } from '../queue/install.ts';
import { QUEUES } from '../queue/queues.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { UNASSIGNED_ORGANIZATION_ID } from '#domain/organization.ts';

const LOOK_MILLISECONDS = 1_000;
const QUEUE_LOOK_MILLISECONDS = 5_000;
const TELL_MILLISECONDS = 60_000;
const SUBJECT = 'job queues';
/** A queue that hovers about its limit is one alert. */
const ALERT_QUIET_SECONDS = 60;

export interface CongestionDependencies { readonly store: Pick<ObjectStore, 'freeBytes' | 'reserveBytes'>; readonly database: Database; readonly queueLimit: number }

/** Never rejects: what cannot be looked at is not called full; the store and the database then speak for themselves. */
export function watchCongestion({ store, database, queueLimit }: CongestionDependencies): () => Promise<string | undefined> {
  const disk = looking(LOOK_MILLISECONDS, async () => {
    const freeBytes = await store.freeBytes();
    return freeBytes < store.reserveBytes ? `the object store has ${mebibytes(freeBytes)} MiB free and keeps ${mebibytes(store.reserveBytes)} MiB in reserve` : undefined;
  });
  let toldAt = -Infinity;
  const queues = looking(QUEUE_LOOK_MILLISECONDS, async () => {
    const text = await tooManyJobs(database, queueLimit);
    // Where no worker runs, no maintenance does: whoever turns senders away says so too, behind their backs.
    if (text !== undefined && performance.now() - toldAt > TELL_MILLISECONDS) {
      toldAt = performance.now();
      void tellFull(database, text).catch(() => { toldAt = -Infinity; });
    }
    return text;
  });
  return async () => await disk() ?? await queues();
}

async function tooManyJobs(database: Database, queueLimit: number): Promise<string | undefined> {
  const jobs = await countWaitingJobs(database, QUEUE_SCHEMA, [QUEUES.completeScan.name, QUEUES.analyze.name], queueLimit + 1);
  return jobs > queueLimit ? `more than ${queueLimit} jobs wait for the workers (MEDSCAN_QUEUE_LIMIT): no new images are taken` : undefined;
}

/** What a sample of the queues says: beyond the limit an alert of the installation, below it for a while its end. Senders are told to come back, and nothing of theirs is on record. */
export async function judgeQueues(database: Database, queueLimit: number): Promise<void> {
  const text = await tooManyJobs(database, queueLimit);
  if (text !== undefined) return tellFull(database, text);
  await inOrganization(database, UNASSIGNED_ORGANIZATION_ID, (tx) => resolveAlert(tx, 'queue_full', SUBJECT, ALERT_QUIET_SECONDS));
}

const tellFull = (database: Database, text: string): Promise<void> => inOrganization(database, UNASSIGNED_ORGANIZATION_ID, (tx) =>
  raiseAlert(tx, { kind: 'queue_full', severity: 'critical', subject: SUBJECT, message: `Senders of images are told to come back later: ${text}. Look whether the workers run and what keeps them.` }));

const mebibytes = (bytes: number): number => Math.floor(bytes / 2 ** 20);

/** The last answer while it is young; callers that ask at once share one look. */
function looking(milliseconds: number, look: () => Promise<string | undefined>): () => Promise<string | undefined> {
  let answer: Promise<string | undefined> | undefined;
  let lookedAt = -Infinity;
  return () => {
    if (answer === undefined || performance.now() - lookedAt > milliseconds) {
      lookedAt = performance.now();
      answer = look().catch(() => undefined);
    }
    return answer;
  };
}
