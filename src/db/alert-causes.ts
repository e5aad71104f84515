/**
 * Alerts whose cause is gone end by themselves, whatever ended it: a later analysis, a corrected rule, a person. In: the open alerts of one organization.
 * Out: those that nothing stands behind any more, ended. One whose rows are gone has no cause either. Each look goes by keys: how many scans there are
 * does not matter.
 */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import type { AlertKind } from './alerts.ts';
import { ORGANIZATION } from './current-organization.ts';
import { jsonText } from './json-text.ts';
import { sql } from './pool.ts';

const Open = z.object({ alert_id: z.string(), kind: z.string(), subject: z.string(), message: z.string(), last_seen_at: z.date(), occurrences: z.number(), about: z.array(z.unknown()).nullable() });
type Open = z.infer<typeof Open>;
const Key = z.object({ key: z.string() });

/** More than anybody reads. */
const MOST = 5_000;

/** What the subject of an alert names, and which of these still have the cause. `since`: when each was last raised. */
interface Cause { readonly kind: AlertKind; readonly subject: RegExp; remain(tx: CommonQueryMethods, keys: readonly string[], alerts: readonly Open[]): Promise<readonly string[]> }

const ID = '([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})';
const aboutScan = new RegExp(`^scan ${ID}$`);
const uuids = (keys: readonly string[]): ReturnType<typeof sql.array> => sql.array([...keys], 'uuid');
const texts = (keys: readonly string[]): ReturnType<typeof sql.array> => sql.array([...keys], 'text');

const causes: readonly Cause[] = [
  {
    // No later analysis of the same scan by the same model was made, and somebody still wants one.
    kind: 'analysis_failed', subject: new RegExp(`^analysis ${ID}$`),
    remain: (tx, ids) => tx.anyFirst(sql.type(Key)`
      SELECT f.analysis_id AS key FROM ai_analyses f JOIN scans s ON s.organization_id = f.organization_id AND s.scan_id = f.scan_id
      WHERE f.organization_id = ${ORGANIZATION} AND f.analysis_id = ANY(${uuids(ids)}) AND s.order_status IS DISTINCT FROM 'cancelled' AND NOT EXISTS (
        SELECT FROM ai_analyses n WHERE n.organization_id = f.organization_id AND n.scan_id = f.scan_id AND n.model_id = f.model_id AND n.status = 'completed' AND n.analysis_id >= f.analysis_id)`),
  },
  {
    // A rule in force asks for the model in a version that is not there.
    kind: 'analysis_failed', subject: /^model (.+)$/,
    remain: (tx, names) => tx.anyFirst(sql.type(Key)`
      SELECT DISTINCT x->>'model_name' AS key FROM workflow_rules r, jsonb_array_elements(CASE jsonb_typeof(r.actions) WHEN 'array' THEN r.actions ELSE '[]' END) x
      WHERE r.organization_id = ${ORGANIZATION} AND r.is_enabled AND r.state = 'active' AND x->>'action' = 'run_model' AND x->>'model_name' = ANY(${texts(names)}) AND NOT EXISTS (
        SELECT FROM ai_models m WHERE m.organization_id = r.organization_id AND m.model_name = x->>'model_name' AND m.status = 'active' AND m.model_version = coalesce(x->>'model_version', m.model_version))`),
  },
  {
    // The rule is in force as it was: the next scan would show that it cannot be read.
    kind: 'analysis_failed', subject: /^workflow rule (.+)$/,
    async remain(tx, names, alerts) {
      const rules = await tx.any(sql.type(z.object({ name: z.string(), updated_at: z.date() }))`SELECT name, updated_at FROM workflow_rules WHERE organization_id = ${ORGANIZATION} AND name = ANY(${texts(names)}) AND is_enabled AND state = 'active'`);
      return names.filter((name, index) => rules.some((rule) => rule.name === name && rule.updated_at <= alerts[index]!.last_seen_at));
    },
  },
  {
    kind: 'instance_conflict', subject: /^study (.+)$/,
    remain: (tx, studies) => tx.anyFirst(sql.type(Key)`
      SELECT DISTINCT s.study_instance_uid AS key FROM scans s WHERE s.organization_id = ${ORGANIZATION} AND s.study_instance_uid = ANY(${texts(studies)})
        AND EXISTS (SELECT FROM scan_files f WHERE f.organization_id = s.organization_id AND f.scan_id = s.scan_id AND f.conflict_of IS NOT NULL AND f.status = 'quarantined')`),
  },
  {
    // Nobody was merged, and a patient without identifier is still nobody.
    kind: 'identity_conflict', subject: new RegExp(`^patient ${ID}$`),
    async remain(tx, ids, alerts) {
      const patients = await tx.any(sql.type(z.object({ patient_id: z.string(), identity_status: z.string() }))`
        SELECT patient_id, identity_status FROM patients WHERE organization_id = ${ORGANIZATION} AND patient_id = ANY(${uuids(ids)}) AND merged_into_patient_id IS NULL`);
      return ids.filter((id, index) => patients.some((patient) => patient.patient_id === id && (patient.identity_status === 'quarantined' || !alerts[index]!.message.startsWith('A message without a patient identifier'))));
    },
  },
  {
    // An image of another patient waits (or another version of an image: any that waits keeps the alert); or an order, a report or an appointment of another
    // patient names the scan. That ends when both are one patient, when either scan is given up, or when the order was placed for the right one. An order
    // whose numbers are another scan's of the same patient (no patient_id) is for a person, until either scan is given up.
    kind: 'identity_conflict', subject: aboutScan,
    async remain(tx, ids, alerts) {
      const waiting = new Set(await tx.anyFirst(sql.type(Key)`
        SELECT DISTINCT scan_id AS key FROM scan_files WHERE organization_id = ${ORGANIZATION} AND scan_id = ANY(${uuids(ids)}) AND status = 'quarantined'`));
      const named = ids.flatMap((id, index) => (alerts[index]!.about ?? []).map((other) => ({ scan_id: id, ...other as object })));
      const apart = new Set(named.length === 0 ? [] : await tx.anyFirst(sql.type(Key)`
        SELECT DISTINCT s.scan_id AS key FROM jsonb_to_recordset(${jsonText(named)}::jsonb) AS r(scan_id uuid, patient_id uuid, order_scan_id uuid)
        JOIN scans s ON s.organization_id = ${ORGANIZATION} AND s.scan_id = r.scan_id
        LEFT JOIN patients p ON p.organization_id = ${ORGANIZATION} AND p.patient_id = r.patient_id
        WHERE s.order_status IS DISTINCT FROM 'cancelled' AND (r.patient_id IS NULL OR s.patient_id <> coalesce(p.merged_into_patient_id, p.patient_id))
          AND (r.order_scan_id IS NULL OR EXISTS (SELECT FROM scans o WHERE o.organization_id = ${ORGANIZATION} AND o.scan_id = r.order_scan_id AND (r.patient_id IS NULL OR o.patient_id <> s.patient_id) AND o.order_status IS DISTINCT FROM 'cancelled'))`));
      // Of before, what an order or a report says is for a person.
      return ids.filter((id, index) => waiting.has(id) || (alerts[index]!.about ? apart.has(id) : !alerts[index]!.message.startsWith('An instance names another patient')));
    },
  },
  {
    kind: 'images_missing', subject: aboutScan,
    remain: (tx, ids) => tx.anyFirst(sql.type(Key)`
      SELECT scan_id AS key FROM scans WHERE organization_id = ${ORGANIZATION} AND scan_id = ANY(${uuids(ids)}) AND coalesce(completeness_proof, '') NOT IN ('instance_count', 'mpps', 'forced') AND order_status IS DISTINCT FROM 'cancelled'`),
  },
  {
    kind: 'priors_not_fetched', subject: aboutScan,
    remain: (tx, ids) => tx.anyFirst(sql.type(Key)`
      SELECT scan_id AS key FROM prior_searches WHERE organization_id = ${ORGANIZATION} AND scan_id = ANY(${uuids(ids)}) AND status = 'failed'
      UNION SELECT for_scan_id FROM study_retrievals WHERE organization_id = ${ORGANIZATION} AND for_scan_id = ANY(${uuids(ids)}) AND purpose = 'prior' AND status = 'failed'`),
  },
  {
    kind: 'sla_breach', subject: aboutScan,
    remain: (tx, ids) => tx.anyFirst(sql.type(Key)`SELECT scan_id AS key FROM scan_queue WHERE organization_id = ${ORGANIZATION} AND scan_id = ANY(${uuids(ids)}) AND status NOT IN ('completed', 'cancelled')`),
  },
  {
    // The newest report that was made here is the withdrawn one, and the order stands.
    kind: 'images_after_withdrawal', subject: aboutScan,
    remain: (tx, ids) => tx.anyFirst(sql.type(Key)`
      SELECT s.scan_id AS key FROM scans s CROSS JOIN LATERAL (
        SELECT r.status FROM reports r WHERE r.organization_id = s.organization_id AND r.scan_id = s.scan_id AND r.author_kind = 'device' ORDER BY r.version DESC LIMIT 1) n
      WHERE s.organization_id = ${ORGANIZATION} AND s.scan_id = ANY(${uuids(ids)}) AND s.order_status IS DISTINCT FROM 'cancelled' AND n.status IN ('entered-in-error', 'cancelled')`),
  },
];

/** Returns how many ended. */
export async function endSettledAlerts(tx: CommonQueryMethods): Promise<number> {
  const open = await tx.any(sql.type(Open)`
    SELECT alert_id, kind, subject, message, last_seen_at, occurrences, about FROM system_alerts
    WHERE organization_id = ${ORGANIZATION} AND resolved_at IS NULL AND kind = ANY(${texts([...new Set(causes.map(({ kind }) => kind))])}) ORDER BY last_seen_at DESC LIMIT ${MOST}`);
  const settled: Open[] = [];
  for (const cause of causes) {
    const about = open.flatMap((alert) => { const key = alert.kind === cause.kind ? cause.subject.exec(alert.subject)?.[1] : undefined; return key === undefined ? [] : [{ key, alert }]; });
    if (about.length === 0) continue;
    const remaining = new Set(await cause.remain(tx, about.map(({ key }) => key), about.map(({ alert }) => alert)));
    settled.push(...about.filter(({ key }) => !remaining.has(key)).map(({ alert }) => alert));
  }
  if (settled.length === 0) return 0;
  // One that was raised again since it was read has a cause that was not looked at.
  const { rowCount } = await tx.query(sql.typeAlias('void')`
    UPDATE system_alerts a SET resolved_at = now() FROM unnest(${uuids(settled.map(({ alert_id }) => alert_id))}, ${sql.array(settled.map(({ occurrences }) => occurrences), 'int4')}) r(alert_id, occurrences)
    WHERE a.organization_id = ${ORGANIZATION} AND a.alert_id = r.alert_id AND a.resolved_at IS NULL AND a.occurrences = r.occurrences`);
  return rowCount;
}
