/**
 * A person decides about an image that is kept out of use: another version under a UID that is stored already, or one that names another patient than its
 * study. In: the file, and whether it is to be used. Out: its scan is completed again with it, and analysed; or it is set aside, kept and used for nothing.
 * Each decision can be taken back: an image that is in use is set aside as well, and its scan is analysed again without it.
 */
import type { PgBoss } from 'pg-boss';
import { auditEvents, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { endSettledAlerts } from '../db/alert-causes.ts';
import { cancelUnfinishedAnalyses } from '../db/analyses.ts';
import { hasOtherVersions, holdFile, putInUse, setAside, type HeldFile } from '../db/file-versions.ts';
import { bossDb, type Database } from '../db/pool.ts';
import { reopenScan } from '../db/scan-completion.ts';
import { enterQueue } from '../db/scan-queue.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import { QUEUES } from '../queue/queues.ts';
import type { Decision } from './commands.ts';

export interface DecideDependencies { readonly database: Database; readonly boss: PgBoss; now(): Date }
export type VersionDecision = 'use' | 'set aside';

export async function decideVersion({ database, boss, now }: DecideDependencies, organizationId: string, scanFileId: string, decision: VersionDecision, reason: string, actor: AuditActor): Promise<Decision> {
  return inOrganization(database, organizationId, async (tx): Promise<Decision> => {
    const file = await holdFile(tx, scanFileId);
    if (!file) return { kind: 'not-found' };
    const why = whyNot(file, decision, await hasOtherVersions(tx, file));
    if (why !== undefined) return { kind: 'refused', reason: why };
    const replaced = decision === 'use' ? await putInUse(tx, file) : await setAside(tx, scanFileId);
    await recordAudit(tx, {
      ...auditEvents.procedureRecord, action: 'U', outcome: 'success', actor, object: { type: 'scan_file', id: scanFileId }, patientId: file.patient_id,
      detail: { decision, reason, scan_id: file.scan_id, was: file.status, ...(replaced ? { replaces: replaced.scan_file_id, replaces_in_scan: replaced.scan_id } : {}) },
    });
    await endSettledAlerts(tx);
    if (decision === 'set aside' && file.status !== 'stored') return { kind: 'done' };
    // An image that was in use in another study is not part of that one any more.
    const changed = replaced && replaced.scan_id !== file.scan_id ? [file, replaced] : [file];
    const whyWaiting = decision === 'use' ? 'A person put an image in use that was kept out of it; the scan is completed again.' : 'A person set one of its images aside; the scan is completed again without it.';
    for (const { scan_id: scanId, priority } of changed) await completeAgain({ boss, now }, tx, organizationId, { scanId, priority, whyWaiting });
    return { kind: 'done' };
  });
}

/** What is being analysed may have begun with either version: only what is begun from here on counts. */
async function completeAgain({ boss, now }: Pick<DecideDependencies, 'boss' | 'now'>, tx: Transaction, organizationId: string, scan: Parameters<typeof enterQueue>[1][number]): Promise<void> {
  const { scanId } = scan;
  await cancelUnfinishedAnalyses(tx, scanId);
  await reopenScan(tx, scanId);
  await enterQueue(tx, [scan], now());
  await boss.send(QUEUES.completeScan.name, { organizationId, scanId }, { singletonKey: scanId, db: bossDb(tx) as never });
}

function whyNot({ status, conflict_of: conflictOf }: HeldFile, decision: VersionDecision, hasOthers: boolean): string | undefined {
  if (status === 'deleted') return 'The file was deleted; its facts are kept.';
  if (status === 'stored' && conflictOf === null) return decision === 'use' ? 'The file is in use already.' : hasOthers ? 'The file is in use. Put another version of it in use instead.' : undefined;
  return decision === 'set aside' && status === 'archived' ? 'The file was set aside already.' : undefined;
}
