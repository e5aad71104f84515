import { afterEach, expect, test } from 'vitest';
import { generatePhantom } from '../ai/phantom.ts';
import { startHospital } from './hospital.ts';
import type { Hospital } from './hospital.ts';
import { sampleOrder, samplePatients } from './sample-patients.ts';
import { syntheticStudy } from './synthetic-study.ts';

const running: Hospital[] = [];
afterEach(async () => { for (const hospital of running.splice(0)) await hospital.stop(); });
async function start(gateway: { dicomPort: number; hl7Port: number }): Promise<Hospital> {
  const hospital = await startHospital({ gateway: { host: '127.0.0.1', ...gateway } });
  running.push(hospital);
  return hospital;
}

test('two hospitals reach each other where a gateway would be', async () => {
  const receiver = await start({ dicomPort: 1, hl7Port: 1 });
  const sender = await start({ dicomPort: receiver.pacs.port, hl7Port: receiver.ris.port });
  const phantom = generatePhantom({ seed: 1, slices: 2, rows: 32, columns: 32, lesions: [] });
  const study = syntheticStudy({ patient: samplePatients.plain, accessionNumber: sampleOrder('1').accessionNumber, phantom });
  expect((await sender.pacs.store(study.objects)).map((answer) => answer.status)).toEqual([0, 0]);
  expect(receiver.pacs.received.items.map((item) => item.dataset)).toEqual(study.objects.map((object) => object.dataset));
  // A RIS takes no registrations: refused, but received whole.
  expect((await sender.ris.register(samplePatients.plain)).code).toBe('AR');
  expect((await sender.ris.order(samplePatients.plain, sampleOrder('1', study.studyInstanceUid))).code).toBe('AR');
  expect(receiver.ris.received.items.map((item) => item.type)).toEqual(['ADT^A04^ADT_A01', 'ORM^O01^ORM_O01']);
});
