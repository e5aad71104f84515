import { expect, test } from 'vitest';
import { analysed, complete, delivered, findings, hopeless, isForNoModel, linked, received, reported, waitingFor } from './demo-milestones.ts';
import type { StudyProgress } from './demo-progress.ts';
import { DemoScreen } from './demo-screen.ts';

const scan: StudyProgress['scan'] = {
  scan_id: 's', scan_number: 'S1', accession_number: 'A1', placer_order_number: 'P1', priority: 'stat', instance_count: 3, series_count: 1, total_bytes: 2e6,
  images_complete_at: null, completeness_proof: null, why_waiting: 'more images may come',
};
const nothing: StudyProgress = { scan, analyses: [], findings: [], report: undefined, deliveries: [] };
const analysis = (status: string, error_text: string | null = null): StudyProgress['analyses'][number] => ({ analysis_id: 'a', model: 'm 1.0.0', status, seconds: 1.25, error_text });
const delivery = (kind: string, status: string, more: object = {}): StudyProgress['deliveries'][number] => ({ kind, name: kind, status, attempts: 1, last_text: null, answer_code: 'AA', duration_ms: 12.4, ...more });

test('milestones are reached by what the rows say and not before', () => {
  expect([received(4).reached(nothing), complete.reached(nothing), analysed.reached(nothing), findings.reached(nothing), reported.reached(nothing), delivered('ris').reached(nothing)]).toEqual(Array.from({ length: 6 }));
  expect(received(3).reached(nothing)).toBe('scan S1: 3 images in 1 series, 2.0 MB, durable');
  expect(linked.reached({ ...nothing, scan: { ...scan, placer_order_number: null } })).toBeUndefined();
  expect(complete.reached({ ...nothing, scan: { ...scan, images_complete_at: new Date(), completeness_proof: 'quiet_time' } })).toBe('proof: quiet time');
  expect(analysed.reached({ ...nothing, analyses: [analysis('completed'), analysis('processing')] })).toBeUndefined();
  expect(analysed.reached({ ...nothing, analyses: [analysis('completed')] })).toBe('m 1.0.0 completed in 1.3 s');
  expect(findings.reached({ ...nothing, analyses: [analysis('completed')] })).toBe('none');
  expect(delivered('ris').reached({ ...nothing, deliveries: [delivery('pacs', 'delivered'), delivery('ris', 'sending')] })).toBeUndefined();
  expect(delivered('ris').reached({ ...nothing, deliveries: [delivery('ris', 'delivered', { attempts: 3 })] })).toBe('ORU^R01, answered AA in 12 ms at attempt 3');
});

test('what cannot succeed any more is said with its reason', () => {
  expect(hopeless({ ...nothing, analyses: [analysis('processing')] })).toBeUndefined();
  expect(hopeless({ ...nothing, analyses: [analysis('failed', 'no memory')] })).toBe('m 1.0.0 failed: no memory');
  expect(hopeless({ ...nothing, analyses: [analysis('failed'), analysis('completed')] })).toBeUndefined();
  expect(hopeless({ ...nothing, deliveries: [delivery('emr', 'refused', { answer_code: '422', last_text: 'bad code' })] })).toBe('emr refused the report (422): bad code');
  const completeLongAgo = { ...nothing, scan: { ...scan, images_complete_at: new Date(Date.now() - 60_000) } };
  expect([isForNoModel(nothing), isForNoModel(completeLongAgo), isForNoModel({ ...completeLongAgo, analyses: [analysis('queued')] })]).toEqual([false, true, false]);
});

test('the awaited thing is a delivery under way, else the reason on the queue', () => {
  expect(waitingFor(undefined)).toBe('');
  expect(waitingFor(nothing)).toBe('more images may come');
  expect(waitingFor({ ...nothing, deliveries: [delivery('ris', 'queued', { attempts: 2, last_text: 'connection refused' })] })).toBe('ris: attempt 2, connection refused');
});

test('without a terminal there are whole lines only, without control codes', () => {
  const written: string[] = [];
  const screen = new DemoScreen({ write: (text: string) => written.push(text) });
  screen.heading('Title');
  screen.waiting('step', 'soon');
  screen.progress('step', 1, 2);
  screen.done('step', 'detail');
  screen.failed('other', 'reason');
  expect(written.join('')).not.toContain('\u001b');
  expect(written.every((text) => text.endsWith('\n'))).toBe(true);
  expect(written[1]).toMatch(/^ +\d\.\d s {2}ok {4}step +detail\n$/);
});
