import { z } from '@hono/zod-openapi';
import { auditEvents } from '../../audit/event.ts';
import { verifyAuditChain } from '../../audit/verify.ts';
import type { ApiDependencies } from '../context.ts';
import { listOf, toPage } from '../pagination.ts';
import { AuditLog, auditLogQuery, listAuditLogs } from '../queries/audit-logs.ts';
import type { ApiRouter } from '../router.ts';
import { checkpointKey } from '../../audit/checkpoint.ts';

const Verification = z.object({
  ok: z.boolean(), rows: z.int().describe('Sealed rows that were checked'), unsealed: z.int().describe('Rows written since the last sealing'),
  checkpoint_position: z.int().nullable(),
  defects: z.array(z.object({ kind: z.enum(['changed', 'deleted', 'inserted', 'reordered', 'cut', 'forged']), sequence: z.int().nullable(), position: z.int().nullable(), text: z.string() })),
}).openapi('AuditVerification');

export function auditLogRoutes(router: ApiRouter, { keys }: ApiDependencies): void {
  router.route('GET /audit-logs', { summary: 'Audit entries, newest first', tag: 'audit', query: auditLogQuery, returns: listOf(AuditLog) }, ({ transact, query }) => transact(async (tx, audit) => {
    const page = toPage(await listAuditLogs(tx, query), query, (entry) => String(entry.sequence));
    await audit({ ...auditEvents.auditLogUsed, action: 'R', patientId: query.patient_id, detail: { newest: page.items[0]?.sequence, oldest: page.items.at(-1)?.sequence } });
    return page;
  }));

  router.route('POST /audit-logs/verify', {
    summary: 'Check the audit log against its seals', tag: 'audit', returns: Verification,
    description: 'Recomputes the hash chain of this organization and checks its signed heads. Each defect names the sequence number of the row it concerns.',
  }, ({ transact }) => transact(async (tx, audit) => {
    const found = await verifyAuditChain(tx, { publicKey: checkpointKey(keys).publicKey });
    await audit({ ...auditEvents.auditLogUsed, action: 'E', outcome: found.ok ? 'success' : 'serious_failure', detail: { verified_rows: found.rows, defects: found.defects.length } });
    return { ok: found.ok, rows: found.rows, unsealed: found.unsealed, checkpoint_position: found.checkpointPosition, defects: found.defects.slice(0, 1000).map((defect) => ({ ...defect })) };
  }));
}
