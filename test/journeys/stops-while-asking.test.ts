/** The gateway stops, or a worker dies, while an archive is asked for images: nothing waits for the archive, and the fetch is taken up again. */
import { afterEach, expect, test } from 'vitest';
import { startScriptedArchive } from '../../adapters/dicom-dimse/testing/scripted-archive.ts';
import { CommandField } from '../../adapters/dicom-dimse/upper-layer/command-set.ts';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { retrieveStudy } from '../../src/pipeline/retrieve-study.ts';
import { watch } from '../../src/pipeline/watch-sources.ts';
import { eventually } from '../support/gateway.ts';
import { changeSettings, exchanges, scanOf, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';

let journey: Journey;
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => { for (const cleanup of cleanups.splice(0).reverse()) await cleanup(); });

test('stop() does not wait for a C-MOVE that goes on and on; the exchange says what is known, and the fetch stays queued', async () => {
  journey = await startJourney({ MEDSCAN_QUIET_SECONDS: '1', MEDSCAN_STOP_SECONDS: '25' });
  cleanups.push(() => journey.hospital.stop());
  const patient = somebody();
  const archive = await startScriptedArchive(({ command, respond }) => {
    if (command.commandField !== CommandField.cFindRq) return; // a C-MOVE without an answer
    respond({ status: 0xff00 }, encodeDataset({ '(0008,0052)': 'STUDY', '(0010,0020)': patient.patientId, '(0020,000d)': '1.2.3.4', '(0008,0020)': '20250101', '(0020,1208)': '10' }));
    respond({ status: 0 });
  });
  cleanups.push(() => archive.close());
  await changeSettings(journey.gateway, 'PACS', { destination: { ...archive.destination }, calling_ae_titles: [], priors: { most_studies: 1, body_part: 'any', modality: 'any' } });
  const study = smallStudy({ patient, accessionNumber: 'ACC-STOP-1' });
  await journey.hospital.pacs.store(study.objects);
  await eventually(async () => archive.asked.some(({ commandField }) => commandField === CommandField.cMoveRq));
  const { db } = journey.gateway;

  // A second worker that is sent the same job leaves it alone: the first one has it.
  const [{ organization_id: organizationId, retrieval_id: retrievalId }] = await db.asOwner<{ organization_id: string; retrieval_id: string }>('SELECT organization_id, retrieval_id FROM study_retrievals') as [{ organization_id: string; retrieval_id: string }];
  const nobody = { of: () => [], find: () => undefined, organizations: () => [organizationId] };
  expect(await retrieveStudy({ database: db.database, boss: journey.gateway.boss, sources: nobody, retrySeconds: 1, now: () => new Date() }, { organizationId, retrievalId })).toBe('nothing to do');

  // As if that worker had died: its lease ends, the next look sends the job again, and another worker takes it.
  await db.asOwner("UPDATE study_retrievals SET next_at = now() - interval '10 minutes'");
  await watch({ database: db.database, boss: journey.gateway.boss, sources: nobody, log: { warn() { /* nothing fails */ } } as never, now: () => new Date() }, true);
  const scan = await scanOf(journey.gateway, study.studyInstanceUid);
  const rows = (): ReturnType<typeof exchanges> => exchanges(journey.gateway, "interaction = 'C-MOVE' AND scan_id = $1", [scan.scan_id]);
  await eventually(async () => (await rows()).length === 2);
  expect((await rows()).at(-1)).toMatchObject({ message_status: 'sending' });
  const since = performance.now();
  // The database is dropped with the gateway: what it wrote last is read in between.
  const dropped = db.drop;
  let last: { moved: Awaited<ReturnType<typeof rows>>; retrievals: unknown } | undefined;
  Object.assign(db, { drop: async () => { last = { moved: await rows(), retrievals: await db.asOwner('SELECT status, attempts, last_text FROM study_retrievals') }; await dropped(); } });
  await journey.gateway.stop();
  expect(performance.now() - since, 'less than the time that what is under way is given').toBeLessThan(20_000);
  expect(last!.moved.map((row) => [row.message_status, row.error_class])).toEqual([['unconfirmed', 'ambiguous'], ['unconfirmed', 'ambiguous']]);
  expect(last!.retrievals).toMatchObject([{ status: 'queued', last_text: expect.stringContaining('no answer to the end') }]);
});
