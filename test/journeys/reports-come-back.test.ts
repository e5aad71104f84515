/** The other half of the line, over MLLP: the RIS orders, books, and in the end reports itself. What the gateway keeps of it, as the API shows it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { apiClient, answered, exchanges, startJourney, type ApiAnswer, type Journey } from '../support/journey.ts';
import { MllpSender } from '../support/mllp-sender.ts';
import { processorMilliseconds } from '../support/processor-time.ts';

let journey: Journey;
let ris: MllpSender;
let api: (method: string, path: string, body?: unknown) => Promise<ApiAnswer>;
beforeAll(async () => {
  journey = await startJourney();
  ris = await MllpSender.connect(journey.gateway.ports.hl7!);
  api = await apiClient(journey.gateway, 'Sample Hospital', 'radiologist');
});
afterAll(async () => { ris?.close(); await journey?.stop(); });

const head = (event: string, controlId: string): string => `MSH|^~\\&|RIS|NORTH|MEDSCAN|GATEWAY|20260105100000||${event}|${controlId}|P|2.5.1\rPID|1||BACK-1^^^NORTH^MR||Doe^Jane||19800517|F\r`;
const order = 'ORC|NW|PL-B1|FI-B1\rOBR|1|PL-B1|FI-B1|CTCH^CT chest^L||||||||||||||ACC-B1\r';
const booked = 'SCH|1|1|||||||||^^^20260110083000+0000||||||||||||||BOOKED|PL-B1|FI-B1\rRGS|1\rAIS|1|A|CTCH^CT chest^L|20260110084500+0000\r';
const result = (status: string, impression: string): string =>
  `ORC|RE|PL-B1|FI-B1\rOBR|1|PL-B1|FI-B1|CTCH^CT chest^L||||||||||||||ACC-B1||||20260110103000+0000||RAD|${status}|||||||4711&Reader&Robin\rOBX|1|TX|CTCH&GDT^CT chest^L||Nodule & scar in the right lobe.||||||${status}\rOBX|2|TX|CTCH&IMP^CT chest^L||${impression}||||||${status}\r`;

test('ordered, booked, reported, corrected: one study with its time and two versions of its report', async () => {
  const answers = [];
  for (const message of [
    head('ORM^O01', 'B1') + order, head('SIU^S12', 'B2') + booked, head('ORU^R01', 'B3') + result('F', 'Nodule.'), head('ORU^R01', 'B3') + result('F', 'Nodule.'), head('ORU^R01', 'B4') + result('C', 'Scar only.'),
    head('ORU^R01', 'B5') + result('F', 'x').replaceAll('FI-B1', 'OTHER').replaceAll('PL-B1', 'OTHER').replaceAll('ACC-B1', 'OTHER'),
  ]) answers.push(await ris.send(message));
  expect(answers.map((answer) => /MSA\|\w\w\|\w\w/.exec(answer)?.[0])).toEqual(['MSA|AA|B1', 'MSA|AA|B2', 'MSA|AA|B3', 'MSA|AA|B3', 'MSA|AA|B4', 'MSA|AA|B5']);
  const [scan] = (await api('GET', '/api/v1/scans')).body.items.filter((row: { accession_number: string }) => row.accession_number === 'ACC-B1');
  expect(scan).toMatchObject({ status: 'scheduled', scheduled_at: '2026-01-10T08:45:00.000Z' });
  const reports = (await api('GET', '/api/v1/reports')).body.items.filter((report: { scan_id: string }) => report.scan_id === scan.scan_id);
  expect(reports).toMatchObject([{ version: 2, status: 'corrected', author_name: 'Robin Reader' }, { version: 1, status: 'final' }]);
  expect((await api('GET', `/api/v1/reports/${reports[0].report_id}`)).body).toMatchObject({ findings_text: 'Nodule & scar in the right lobe.', impression: 'Scar only.' });
  const recorded = await answered(journey.gateway, "l.interaction IN ('SIU^S12', 'ORU^R01')");
  expect(recorded.map((row) => [row.control_id, row.message_status, row.scan_id !== null])).toEqual([['B2', 'accepted', true], ['B3', 'accepted', true], ['B3', 'duplicate', true], ['B4', 'accepted', true], ['B5', 'accepted', false]]);
  expect(await exchanges(journey.gateway, "l.direction = 'outbound'"), 'nobody is sent what the RIS wrote').toEqual([]);
});

test('a result of 20,000 lines takes a second or two of the processor, and all of its text', async () => {
  const lines = Array.from({ length: 20_000 }, (_, index) => `OBX|${index + 1}|TX|CTCH&GDT^CT chest^L||L${index}||||||P`).join('\r');
  const started = processorMilliseconds();
  expect(await ris.send(`${head('ORU^R01', 'B9')}OBR|1|PL-B1|FI-B9|CTCH^CT chest^L||||||||||||||ACC-B1|||||||P\r${lines}\r`)).toContain('MSA|AA|B9');
  expect(processorMilliseconds() - started).toBeLessThan(5_000);
  expect(await journey.gateway.db.asOwner("SELECT split_part(findings_text, E'\\n', 20000) AS last FROM reports WHERE document->'external'->>'identifier' = 'FI-B9'")).toEqual([{ last: 'L19999' }]);
});
