/** The three queries that the database's documentation prints, word for word with `$user_id` bound, and as the API serves them. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sql } from '../src/db/pool.ts';
import { inOrganization } from '../src/db/transaction.ts';
import { apiFixture, type ApiFixture } from './api/support.ts';

let api: ApiFixture;
beforeAll(async () => { api = await apiFixture(); });
afterAll(() => api.close());

const pendingScans = `SELECT s.scan_number, s.scan_type, p.patient_number, sq.priority_score
FROM scan_queue sq
JOIN scans s ON sq.scan_id = s.scan_id
JOIN patients p ON s.patient_id = p.patient_id
WHERE sq.assigned_to_user_id = $user_id
  AND sq.status = 'assigned'
ORDER BY sq.priority_score DESC, sq.queue_entered_at ASC;`;

const performance = `SELECT 
  am.model_name,
  am.model_version,
  COUNT(a.analysis_id) as total_analyses,
  AVG(a.processing_duration_seconds) as avg_processing_time,
  AVG(a.confidence_score) as avg_confidence
FROM ai_analyses a
JOIN ai_models am ON a.model_id = am.model_id
WHERE a.status = 'completed'
  AND a.processing_start_time >= CURRENT_DATE - INTERVAL '30 days'
GROUP BY am.model_name, am.model_version
ORDER BY avg_confidence DESC;`;

const criticalFindings = `SELECT 
  s.scan_number,
  p.patient_number,
  f.finding_type,
  f.confidence_percentage,
  f.description,
  a.processing_end_time
FROM findings f
JOIN ai_analyses a ON f.analysis_id = a.analysis_id
JOIN scans s ON a.scan_id = s.scan_id
JOIN patients p ON s.patient_id = p.patient_id
WHERE f.severity = 'critical'
  AND f.is_confirmed IS NULL
ORDER BY a.processing_end_time DESC;`;

/** As the application's role in one organization, like every query of the product. */
async function asTenant(text: string, userId?: string): Promise<readonly Record<string, unknown>[]> {
  const token = { ...sql.unsafe`SELECT`, sql: text.replace('$user_id', '$1'), values: userId === undefined ? [] : [userId] };
  return inOrganization(api.db.database, api.north.organizationId, async (tx) => await tx.any(token as ReturnType<typeof sql.unsafe>) as readonly Record<string, unknown>[]);
}

const served = async (path: string): Promise<unknown[]> => {
  const { body } = await api.call('POST', '/api/v1/auth/login', { body: { email: api.north.emails.radiologist, password: 'correct horse battery' } });
  expect(body.role).toBe('radiologist');
  const cookie = (await api.call('POST', '/api/v1/auth/login', { body: { email: api.north.emails.radiologist, password: 'correct horse battery' } })).headers.get('set-cookie')!.split(';')[0]!;
  return (await api.call('GET', `/api/v1${path}`, { cookie })).body.items;
};

test('pending scans for a radiologist', async () => {
  const rows = await asTenant(pendingScans, api.north.userIds.radiologist);
  expect(rows).toEqual([{ scan_number: expect.stringMatching(/^S\d{6}-\d{6}$/), scan_type: 'ct', patient_number: 'MRN-north', priority_score: 50 }]);
  expect(await served('/scan-queue/mine')).toEqual(rows);
  expect(await asTenant(pendingScans, api.south.userIds.radiologist)).toEqual([]);
});

test('AI analysis performance by model', async () => {
  const rows = await asTenant(performance);
  expect(rows).toEqual([{ model_name: 'medscan-blob-detector', model_version: '1.0.0', total_analyses: 1, avg_processing_time: 2, avg_confidence: 0.9 }]);
  expect(await served('/analytics/model-performance')).toEqual(rows);
});

test('critical findings requiring immediate attention', async () => {
  const rows = await asTenant(criticalFindings);
  expect(rows).toEqual([{ scan_number: expect.any(String), patient_number: 'MRN-north', finding_type: 'Nodule', confidence_percentage: 91, description: 'Nodule, 9 mm', processing_end_time: expect.any(Date) }]);
  expect(await served('/findings/critical-unreviewed')).toEqual(rows.map((row) => ({ ...row, processing_end_time: (row['processing_end_time'] as Date).toISOString() })));
  await api.db.asOwner('UPDATE findings SET is_confirmed = true');
  expect(await asTenant(criticalFindings)).toEqual([]);
});
