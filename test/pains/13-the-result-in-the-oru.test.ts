/**
 * "Some customer setups need report content" beyond a notice. Here an integration chooses what its ORU^R01 carries: text, coded findings, measurements,
 * the report as PDF, a link; and it reaches the RIS whole through the outbox, the same bytes at each attempt.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { changeSettings, delivered, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';
import { parseMessage } from '#standards/hl7v2/parse.ts';
import { hl7Reader } from '#standards/hl7v2/reader.ts';

let journey: Journey;
beforeAll(async () => {
  journey = await startJourney();
  await changeSettings(journey.gateway, 'RIS', { deliver_content: ['text', 'findings', 'measurements', 'pdf', 'link'], link_address: 'https://viewer.example/{study_instance_uid}' });
});
afterAll(() => journey?.stop());

test('the RIS has findings and impression as text, coded findings with numbers, a PDF that opens, and a link', async () => {
  const { hospital: { pacs, ris }, gateway } = journey;
  ris.behaviour.set('hang-up').catch(() => undefined);
  const study = smallStudy({ patient: somebody(), accessionNumber: 'CONTENT-1' });
  await pacs.store(study.objects);
  await ris.received.first(() => true, 20_000);
  await ris.behaviour.set('accept');
  await delivered(gateway, study.studyInstanceUid);
  const results = ris.received.items.map(({ bytes }) => hl7Reader(parseMessage(bytes)));
  const result = results.at(-1)!;
  const types = result.all('OBX-2');
  for (const type of ['ST', 'TX', 'CWE', 'NM', 'ED', 'RP']) expect(types).toContain(type);
  const index = types.indexOf('ED') + 1;
  const pdfs = results.map((each) => each.first(`OBX[${index}]-5.5`));
  const pdf = Buffer.from(pdfs.at(-1) ?? '', 'base64');
  expect(pdf.subarray(0, 5).toString()).toBe('%PDF-');
  expect(pdf.toString('latin1').trimEnd().endsWith('%%EOF'), 'whole').toBe(true);
  expect(new Set(pdfs).size, 'the same at each attempt').toBe(1);
  expect(result.first(`OBX[${types.indexOf('RP') + 1}]-5.1`)).toBe(`https://viewer.example/${study.studyInstanceUid}`);
  expect(new Set(results.map((each) => each.first('MSH-10'))).size).toBe(1);
});
