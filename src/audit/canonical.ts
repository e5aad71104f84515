/**
 * The text of an audit row that its seal is computed over: a JSON array of every column, in a fixed order, as PostgreSQL writes it
 * (microseconds of a timestamp and digits of a number would not survive a detour through JavaScript values).
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { sql } from '../db/pool.ts';

/** Every column of audit_logs; a test compares the list with the table. */
export const sealedColumns = ['organization_id', 'audit_id', 'sequence', 'occurred_at', 'event_code', 'event_name', 'action', 'outcome', 'actor_kind', 'actor_id', 'actor_role',
  'network_address', 'object_type', 'object_id', 'patient_id', 'sync_id', 'request_id', 'detail', 'created_at'] as const;

/** Selects from audit_logs as `l` what canonicalText needs. */
export const canonicalColumns = sql.fragment`l.audit_id, l.sequence, l.occurred_at::text AS occurred_at_text, ARRAY[l.organization_id::text, l.audit_id::text, l.sequence::text,
  to_char(l.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), l.event_code, l.event_name, l.action, l.outcome, l.actor_kind, l.actor_id, l.actor_role,
  l.network_address, l.object_type, l.object_id, l.patient_id::text, l.sync_id::text, l.request_id, l.detail::text,
  to_char(l.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')] AS columns`;

export const CanonicalRow = z.object({ audit_id: z.string(), sequence: z.number(), occurred_at_text: z.string(), columns: z.array(z.string().nullable()) });
export type CanonicalRow = z.infer<typeof CanonicalRow>;

/** What the first seal of an organization follows. */
export const firstHash = '0'.repeat(64);

export function sealHash(previousHash: string, row: { readonly columns: readonly (string | null)[] }): string {
  return createHash('sha256').update(previousHash).update('\n').update(JSON.stringify(row.columns)).digest('hex');
}
