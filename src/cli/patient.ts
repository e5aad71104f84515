import { z } from 'zod';
import { organizationsNamed } from '../db/operator-reads.ts';
import { sql } from '../db/pool.ts';
import { inOrganization } from '../db/transaction.ts';
import { undoMerge } from '../pipeline/index.ts';
import { CommandError } from './explain.ts';
import { table } from './print.ts';
import { withInstallation } from './with-installation.ts';

const Merge = z.object({ merge_id: z.string(), kind: z.string(), merged_at: z.date(), unmerged_at: z.date().nullable(), survivor_patient_id: z.string(), prior_patient_id: z.string().nullable(), scans: z.number() });
const actor = { kind: 'system', id: 'medscan patient unmerge' } as const;

/** Ids alone: a terminal keeps what it shows. */
export async function listMergesCommand(identifier: string, options: { readonly organization?: string }): Promise<void> {
  await withInstallation(async ({ database }) => {
    const rows: unknown[][] = [];
    for (const { organization_id: organizationId, name } of await organizationsNamed(database, options.organization)) {
      const merges = await inOrganization(database, organizationId, (tx) => tx.any(sql.type(Merge)`
        SELECT DISTINCT m.merge_id, m.kind, m.merged_at, m.unmerged_at, m.survivor_patient_id, m.prior_patient_id, jsonb_array_length(m.moved->'scans') AS scans
        FROM patient_identifiers i JOIN patient_merges m ON m.organization_id = i.organization_id AND (m.survivor_patient_id = i.patient_id OR m.prior_patient_id = i.patient_id)
        WHERE i.value_index = ${identifier} ORDER BY m.merged_at`));
      rows.push(...merges.map((merge) => [merge.merge_id, name, merge.kind, merge.merged_at.toISOString(), merge.unmerged_at?.toISOString() ?? '', merge.survivor_patient_id, merge.prior_patient_id ?? '', merge.scans]));
    }
    if (rows.length === 0) return console.log('No patient with this identifier was merged.');
    console.log(table(['ID', 'ORGANIZATION', 'KIND', 'MERGED', 'UNDONE', 'SURVIVOR', 'PRIOR', 'SCANS MOVED'], rows as (string | number)[][]));
  });
}

export async function unmergeCommand(mergeId: string, options: { readonly organization?: string; readonly laterScans?: string }): Promise<void> {
  const isId = (text: string): boolean => z.uuid().safeParse(text).success;
  if (!isId(mergeId)) throw new CommandError(`"${mergeId}" is not the id of a merge; see: medscan patient merges IDENTIFIER`);
  const later = options.laterScans === undefined ? undefined : options.laterScans === 'none' ? [] : options.laterScans.split(',').map((text) => text.trim());
  if (later?.some((text) => !isId(text))) throw new CommandError('--later-scans wants ids of scans with commas between them, or: none');
  await withInstallation(async ({ database }) => {
    for (const { organization_id: organizationId } of await organizationsNamed(database, options.organization)) {
      const unmerged = await inOrganization(database, organizationId, (tx) => undoMerge(tx, mergeId, later, actor));
      if (unmerged.kind === 'not-found') continue;
      if (unmerged.kind === 'refused') throw new CommandError(unmerged.reason);
      if (unmerged.kind === 'undecided') {
        throw new CommandError(`Scans came after the merge; say which of them belong to the earlier patient: --later-scans ID,ID or --later-scans none\n${unmerged.scans.map((scan) => `  ${scan.scanId}  ${scan.scanNumber}`).join('\n')}`);
      }
      console.log(`Undone: patient ${unmerged.patientId} is separate from ${unmerged.survivorPatientId} again; ${unmerged.scanIds.length} scans went back.`);
      if (unmerged.corrected.length > 0) console.log(`Withdrawn of the other patient and told anew of this one: ${unmerged.corrected.map(({ reportId, toldAnewAs }) => `${reportId} as ${toldAnewAs}`).join(', ')}`);
      const others = unmerged.reportIds.filter((id) => !unmerged.corrected.some(({ reportId }) => reportId === id));
      if (others.length > 0) console.log(`These reports name the other patient and were made elsewhere, or replaced since: ${others.join(', ')}`);
      return;
    }
    throw new CommandError(`There is no merge ${mergeId}.`);
  });
}
