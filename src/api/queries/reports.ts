import { z } from '@hono/zod-openapi';
import { ORGANIZATION } from '../../db/current-organization.ts';
import { sql, type Transaction } from '../../db/pool.ts';
import { id, json, optionalTimestamp, text, timestamp } from '../fields.ts';
import { keyAfter, pageQuery } from '../pagination.ts';

export const reportStatuses = ['preliminary', 'final', 'amended', 'corrected', 'cancelled', 'entered-in-error'] as const;

export const Report = z.object({
  report_id: id, lineage_id: id, version: z.int(), supersedes_report_id: id.nullable(), scan_id: id, patient_id: id, analysis_id: id.nullable(), status: z.enum(reportStatuses),
  template_id: id.nullable(), indication: text, technique: text, findings_text: z.string(), impression: z.string(), conclusion_codes: z.array(json),
  author_kind: z.enum(['device', 'user', 'external']), author_name: z.string(), signed_by: id.nullable(), signed_at: optionalTimestamp, created_at: timestamp, updated_at: timestamp,
}).openapi('Report');

export const Delivery = z.object({
  delivery_id: id, integration_id: id, integration_name: z.string(), status: z.enum(['queued', 'sending', 'delivered', 'refused', 'skipped']), attempts: z.int(),
  next_attempt_at: timestamp, last_outcome: text, last_text: text, delivered_at: optionalTimestamp,
  commitment: z.enum(['awaited', 'committed', 'refused']).nullable().describe('whether the destination keeps it for good, where it is asked (storage commitment)'),
}).openapi('Delivery');

export const ReportWithDeliveries = Report.extend({ document: json, deliveries: z.array(Delivery) }).openapi('ReportWithDeliveries');

export const reportQuery = pageQuery.extend({ status: z.enum(reportStatuses).optional(), scan_id: id.optional() });

const columns = sql.fragment`r.report_id, r.lineage_id, r.version, r.supersedes_report_id, r.scan_id, s.patient_id, r.analysis_id, r.status, r.template_id, r.indication, r.technique,
  r.findings_text, r.impression, r.conclusion_codes, r.author_kind, r.author_name, r.signed_by, r.signed_at, r.created_at, r.updated_at`;
const source = sql.fragment`reports r JOIN scans s ON s.organization_id = r.organization_id AND s.scan_id = r.scan_id`;

export function listReports(tx: Transaction, query: z.output<typeof reportQuery>) {
  return tx.any(sql.type(Report)`
    SELECT ${columns} FROM ${source}
    WHERE r.organization_id = ${ORGANIZATION} AND r.report_id < coalesce(${keyAfter(query)}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
      AND (${query.status ?? null}::text IS NULL OR r.status = ${query.status ?? null})
      AND (${query.scan_id ?? null}::uuid IS NULL OR r.scan_id = ${query.scan_id ?? null}::uuid)
    ORDER BY r.report_id DESC LIMIT ${query.limit + 1}`);
}

export async function readReport(tx: Transaction, reportId: string): Promise<z.output<typeof ReportWithDeliveries> | undefined> {
  const report = await tx.maybeOne(sql.type(Report.extend({ document: json }))`SELECT ${columns}, r.document FROM ${source} WHERE r.organization_id = ${ORGANIZATION} AND r.report_id = ${reportId}`);
  if (!report) return undefined;
  const deliveries = await tx.any(sql.type(Delivery)`
    SELECT d.delivery_id, d.integration_id, i.name AS integration_name, d.status, d.attempts, d.next_attempt_at, d.last_outcome, d.last_text, d.delivered_at, d.commitment
    FROM deliveries d JOIN external_integrations i ON i.organization_id = d.organization_id AND i.integration_id = d.integration_id
    WHERE d.organization_id = ${ORGANIZATION} AND d.report_id = ${reportId} ORDER BY d.position`);
  return { ...report, deliveries: [...deliveries] };
}
