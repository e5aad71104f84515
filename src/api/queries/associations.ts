import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, instant, text, timestamp } from '../fields.ts';
import { keyAfter, pageQuery } from '../pagination.ts';

export const associationOutcomes = ['released', 'rejected', 'aborted-by-peer', 'aborted-by-gateway', 'connection-lost', 'unreadable'] as const;
const counts = z.record(z.string(), z.int());

export const Association = z.object({
  association_id: id, integration_id: id.nullable(), integration_name: text, started_at: timestamp, finished_at: timestamp, duration_ms: z.number(),
  calling_ae_title: text, called_ae_title: text, peer_address: z.string(), peer_port: z.int(), tls_protocol: text, tls_subject: text,
  implementation_class_uid: text, implementation_version: text, peer_maximum_length: z.number().nullable(), contexts_offered: z.int(), contexts_accepted: z.int(),
  outcome: z.enum(associationOutcomes), rejection: text.describe('result/source/reason of PS3.8 table 9-21'), reason: text, advice: text,
  bytes_received: z.number(), bytes_sent: z.number(), requests: counts, objects: counts, repeats: z.int().describe('how often the same refusal came again within its burst'),
}).openapi('Association');
export const AssociationWithContexts = Association.extend({
  contexts: z.array(z.object({ id: z.int(), abstract_syntax: z.string(), transfer_syntaxes: z.array(z.string()), result: z.int().describe('PS3.8 table 9-18; 0 is accepted'), transfer_syntax: z.string().optional() })),
}).openapi('AssociationWithContexts');

export const associationQuery = pageQuery.extend({
  outcome: z.enum(associationOutcomes).optional(), integration_id: id.optional(), calling_ae_title: z.string().max(16).optional(), started_from: instant.optional(), started_before: instant.optional(),
});

const columns = sql.fragment`l.association_id, l.integration_id, i.name AS integration_name, l.started_at, l.finished_at, l.duration_ms, l.calling_ae_title, l.called_ae_title, l.peer_address, l.peer_port,
  l.tls_protocol, l.tls_subject, l.implementation_class_uid, l.implementation_version, l.peer_maximum_length::float8 AS peer_maximum_length, jsonb_array_length(l.contexts) AS contexts_offered,
  l.contexts_accepted, l.outcome, l.rejection, l.reason, l.advice, l.bytes_received::float8 AS bytes_received, l.bytes_sent::float8 AS bytes_sent, l.requests, l.objects, l.repeats`;
const source = sql.fragment`association_logs l LEFT JOIN external_integrations i ON i.organization_id = l.organization_id AND i.integration_id = l.integration_id`;

export function listAssociations(tx: Transaction, query: z.output<typeof associationQuery>) {
  return tx.any(sql.type(Association)`
    SELECT ${columns} FROM ${source}
    WHERE l.organization_id = ${ORGANIZATION} AND l.association_id < coalesce(${keyAfter(query)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      AND (${query.outcome ?? null}::text IS NULL OR l.outcome = ${query.outcome ?? null})
      AND (${query.integration_id ?? null}::uuid IS NULL OR l.integration_id = ${query.integration_id ?? null}::uuid)
      AND (${query.calling_ae_title ?? null}::text IS NULL OR l.calling_ae_title = ${query.calling_ae_title ?? null})
      AND (${query.started_from ?? null}::timestamptz IS NULL OR l.started_at >= ${query.started_from ?? null}::timestamptz)
      AND (${query.started_before ?? null}::timestamptz IS NULL OR l.started_at < ${query.started_before ?? null}::timestamptz)
    ORDER BY l.association_id DESC LIMIT ${query.limit + 1}`);
}

export function readAssociation(tx: Transaction, associationId: string) {
  return tx.maybeOne(sql.type(AssociationWithContexts)`SELECT ${columns}, l.contexts FROM ${source} WHERE l.organization_id = ${ORGANIZATION} AND l.association_id = ${associationId}`);
}
