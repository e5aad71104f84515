/** Pages over a whole gateway with the sample hospital: a person decides about images that are kept out of use, tries a connection, reads who called. */
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SendableObject } from '../../src/simulator/part10-file.ts';
import { storeObjects } from '../../src/simulator/store-scu.ts';
import { anOrder, delivered, scanOf, smallStudy, somebody, startJourney, type Journey } from '../support/journey.ts';
import { eventually } from '../support/gateway.ts';

let journey: Journey, base: string, cookie: string;
const patient = somebody(), { accessionNumber } = anOrder(), study = smallStudy({ patient, accessionNumber });
const [first, second] = study.objects as [SendableObject, SendableObject];
/** The same number of bytes, so that no length has to follow. */
const changed = (dataset: Buffer, from: string, to: string): Buffer => {
  const at = dataset.indexOf(from);
  expect([at > 0, to.length], from).toEqual([true, from.length]);
  return Buffer.concat([dataset.subarray(0, at), Buffer.from(to), dataset.subarray(at + from.length)]);
};
const otherUid = `${second.sopInstanceUid.slice(0, -1)}${(Number(second.sopInstanceUid.at(-1)) + 1) % 10}`;
const conflicting: SendableObject = { ...first, dataset: changed(first.dataset, 'Phantom CT', 'Phantom XX') };
const foreign: SendableObject = { ...second, sopInstanceUid: otherUid, dataset: changed(changed(second.dataset, second.sopInstanceUid, otherUid), patient.patientId, patient.patientId.replace('N', 'X')) };

beforeAll(async () => {
  journey = await startJourney();
  base = `http://127.0.0.1:${journey.gateway.ports.http}`;
  const signedIn = await fetch(`${base}/login`, { method: 'POST', redirect: 'manual', headers: { origin: base }, body: new URLSearchParams({ email: journey.seeded.adminEmail, password: journey.seeded.adminPassword! }) });
  cookie = signedIn.headers.get('set-cookie')!.split(';')[0]!;
});
afterAll(() => journey?.stop());
const get = async (path: string): Promise<{ status: number; text: string; type: string | null }> => fetch(base + path, { headers: { cookie } }).then(async (answer) => ({ status: answer.status, text: await answer.text(), type: answer.headers.get('content-type') }));

const post = async (path: string, fields: Record<string, string>): Promise<{ status: number; text: string; location: string | null }> =>
  fetch(base + path, { method: 'POST', redirect: 'manual', headers: { cookie, origin: base }, body: new URLSearchParams(fields) }).then(async (answer) => ({ status: answer.status, text: await answer.text(), location: answer.headers.get('location') }));
const linksOf = (text: string): string[] => [...new Set([...text.matchAll(/href="(\/scans\/[^"]+\/images\/[^"?]+)"/g)].map((match) => match[1]!))];
/** Once it is complete, and for the time after `run`: how often it has been. */
const completed = (run = 0): Promise<number> => eventually(async () => {
  const scan = await scanOf(journey.gateway, study.studyInstanceUid);
  return scan.images_complete_at !== null && scan.completion_run > run && scan.completion_run;
});

let scanPath: string;

test('the page of a scan says where it is, and a number finds it', async () => {
  await journey.hospital.pacs.store(study.objects);
  const report = await delivered(journey.gateway, study.studyInstanceUid);
  scanPath = `/scans/${(await scanOf(journey.gateway, study.studyInstanceUid)).scan_id}`;
  const { text } = await get(scanPath);
  expect(text).toContain('delivered to 3 systems');
  expect(text).toContain(`/reports/${report.report_id}`);
  expect((await get(`/reports/${report.report_id}`)).text).toContain('Where it went');
  for (const wanted of [study.studyInstanceUid, patient.patientId, patient.familyName.slice(0, 6).toLowerCase()]) expect((await post('/scans', { text: wanted })).text, wanted).toContain(scanPath);
  expect((await post('/scans', { text: 'no-such-number' })).text).toContain('No scan matches.');
  const small = /src="([^"]+\/picture\?size=small)"/.exec(text)![1]!;
  expect(await get(small)).toMatchObject({ status: 200, type: 'image/jpeg' });
});

test('an image that came again with other content stands beside the one in use: pictures, senders, and only what differs', async () => {
  await journey.hospital.pacs.store([conflicting, foreign]);
  await completed();
  const { text } = await get(scanPath);
  expect(text).toContain('2 images wait for a decision');
  const [conflict, stranger] = await Promise.all(linksOf(text).map(async (link) => ({ link, ...await get(link) }))).then((all) => [all.find((one) => one.text.includes('with other content'))!, all.find((one) => one.text.includes('names another patient'))!]);
  const rows = /What differs in the header[\s\S]*?<tbody>([\s\S]*?)<\/tbody>/.exec(conflict!.text)![1]!;
  expect(rows.match(/<tr>/g)).toHaveLength(1);
  expect(rows).toMatch(/\(0008,1090\)[\s\S]*Phantom XX[\s\S]*Phantom CT/);
  const strange = /What differs about patient and study[\s\S]*?<tbody>([\s\S]*?)<\/tbody>/.exec(stranger!.text)![1]!;
  expect(strange.match(/<tr>/g)).toHaveLength(1);
  expect(strange).toMatch(new RegExp(`\\(0010,0020\\)[\\s\\S]*${patient.patientId.replace('N', 'X')}[\\s\\S]*${patient.patientId}`));
  for (const [, picture] of conflict!.text.matchAll(/src="([^"]+\/picture)"/g)) expect(await get(picture!)).toMatchObject({ status: 200, type: 'image/jpeg' });
});

test('nothing is decided without a reason, without a second yes, or about what somebody else decided meanwhile', async () => {
  const [link] = linksOf((await get(scanPath)).text);
  const files = (): Promise<unknown> => journey.gateway.db.asOwner('SELECT scan_file_id, status, conflict_of FROM scan_files ORDER BY 1');
  const before = await files();
  expect((await get((await post(`${link}/decide`, { decision: 'use', reason: ' ' })).location!)).text).toContain('A decision needs a reason');
  expect((await get((await post(`${link}/decide`, { decision: 'keep', reason: 'a reason' })).location!)).text).toContain('Choose one');
  const asked = await post(`${link}/decide`, { decision: 'use', reason: 'a <b>reason</b>' });
  expect(asked.text).toContain('Use this image?');
  expect(asked.text).toContain('a &lt;b&gt;reason');
  expect((await get((await post(`${link}/decide`, { decision: 'use', reason: 'a reason', confirmed: 'archived' })).location!)).text).toContain('Somebody decided about it meanwhile');
  expect(await files()).toEqual(before);
});

const browserPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path));
test.skipIf(browserPath === undefined)('a person decides with the keyboard alone, comes back after the sign-in, and sees what happened (needs Chromium)', async () => {
  const link = await Promise.all(linksOf((await get(scanPath)).text).map(async (one) => ({ one, ...await get(one) }))).then((all) => all.find(({ text }) => text.includes('with other content'))!.one);
  const run = await completed();
  const browser = await chromium.launch({ executablePath: browserPath!, args: ['--no-sandbox'] });
  try {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()); });
    await page.goto(base + link);
    await page.getByLabel('E-mail address').fill(journey.seeded.adminEmail);
    await page.getByLabel('Password').fill(journey.seeded.adminPassword!);
    await page.keyboard.press('Enter');
    await page.waitForURL(base + link);
    expect(await page.locator('img.large').evaluateAll((all) => Promise.all(all.map((img: any) => img.decode().then(() => img.naturalWidth > 0))))).toEqual([true, true]);
    await page.getByLabel(/^Reason/).focus();
    await page.keyboard.type('the modality sent a corrected one');
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Use this image …');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Use this image?' }).waitFor();
    await page.getByRole('button', { name: 'Use this image' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('status').waitFor();
    expect(await page.getByRole('status').textContent()).toContain('It is in use now');
    expect(await page.getByRole('table').last().textContent()).toContain('the modality sent a corrected one');
    expect(errors).toEqual([]);
  } finally {
    await browser.close();
  }
  // The job of the quiet time, an hour here, waits under the scan's key: the one of the decision is that one.
  const { organization_id: organizationId, scan_id: scanId } = await scanOf(journey.gateway, study.studyInstanceUid);
  await journey.gateway.boss.send('complete-scan', { organizationId, scanId }, { singletonKey: `${scanId} now` });
  await completed(run);
  expect(await journey.gateway.db.asOwner("SELECT status FROM scan_files WHERE sop_instance_uid = $1 ORDER BY received_at", [first.sopInstanceUid])).toEqual([{ status: 'archived' }, { status: 'stored' }]);
});

test('each decision can be taken back on the page; of two versions the other one is offered instead', async () => {
  const page = async (words: string): Promise<{ one: string; text: string }> => Promise.all(linksOf((await get(scanPath)).text).map(async (one) => ({ one, ...await get(one) }))).then((all) => all.find(({ text }) => text.includes(words))!);
  const decide = async (link: string, decision: string, confirmed: string): Promise<string> => (await get((await post(`${link}/decide`, { decision, reason: 'asked the ward', confirmed })).location!)).text;
  const { one: stranger } = await page('names another patient');
  expect(await decide(stranger, 'use', 'quarantined')).toContain('It is in use now');
  const { text: used } = await page('was put in use by a decision');
  expect(used).toContain('value="set aside"');
  expect(used).not.toContain('value="use"');
  expect(await decide(stranger, 'set aside', 'stored')).toContain('It is set aside; the scan is completed and analysed again without it.');
  expect((await get(stranger)).text.match(/asked the ward/g)).toHaveLength(2);
  const inUse = linksOf((await get(`${scanPath}/images?series=${study.seriesInstanceUid}`)).text);
  expect(inUse).toHaveLength(study.objects.length);
  const texts = await Promise.all(inUse.map(async (one) => (await get(one)).text));
  expect(texts.filter((text) => text.includes('To take it out of use, open another version'))).toHaveLength(1);
  expect(texts.filter((text) => text.includes('value="set aside"'))).toHaveLength(study.objects.length - 1);
});

test('a connection test shows each step on the page, and what to do about the one that failed', async () => {
  const of = (name: string): string => `/systems/${journey.seeded.integrations[name]}`;
  const well = await post(`${of('PACS')}/test`, { store: 'true' });
  expect(well.text).toMatch(/PACS answers as it should[\s\S]*TCP[\s\S]*A-ASSOCIATE[\s\S]*C-ECHO[\s\S]*C-STORE/);
  await journey.hospital.pacs.behaviour.set('refuse');
  const refused = await post(`${of('PACS')}/test`, {});
  await journey.hospital.pacs.behaviour.set('accept');
  expect(refused.text).toMatch(/A-ASSOCIATE did not work[\s\S]*temporary congestion[\s\S]*too many associations open/);
  expect(refused.text).not.toContain('C-ECHO');
  expect(refused.text).toContain('destination.called_ae_title');
});

test('a system is connected on the page as an evening goes: with a mistake, under a name that is taken, and well; then it is tried', async () => {
  const fields = { name: 'PACS', kind: 'archive', direction: 'outbound', enabled: 'on', settings: `destination:\n  host: 127.0.0.1\n  port: ${journey.hospital.pacs.port}\n  called_ae_title: NORTHPACS\n` };
  expect((await get('/systems/new?adapter=dicom-dimse')).text).toContain('destination.called_ae_title');
  expect((await post('/systems/new?adapter=dicom-dimse', { ...fields, name: 'ARCHIVE', settings: fields.settings.replace('called_ae_title', 'called_title') })).text).toMatch(/Nothing was saved[\s\S]*<strong>destination/);
  expect((await post('/systems/new?adapter=dicom-dimse', fields)).text).toContain('There is a system called PACS already.');
  const saved = await post('/systems/new?adapter=dicom-dimse', { ...fields, name: 'ARCHIVE' });
  expect([saved.status, saved.location]).toEqual([303, expect.stringMatching(/^\/systems\//)]);
  const id = /^\/systems\/[0-9a-f-]+/.exec(saved.location!)![0];
  expect((await post(`${id}/test`, {})).text).toContain('ARCHIVE answers as it should');
  expect((await get(`${id}/edit`)).text).toMatch(/called_ae_title: NORTHPACS/);
  await journey.gateway.db.asOwner("UPDATE external_integrations SET is_enabled = false WHERE name = 'ARCHIVE'");
});

test('who called and was refused is on the pages: by a system, and by none', async () => {
  const target = { host: '127.0.0.1', port: journey.gateway.ports.dicom!, callingAeTitle: 'LOSTCT' };
  await storeObjects([first], { ...target, calledAeTitle: 'NOBODY' });
  const systems = await eventually(async () => { const { text } = await get('/systems'); return text.includes('LOSTCT') && text; });
  expect(systems).toMatch(/belong to no system[\s\S]*LOSTCT[\s\S]*NOBODY[\s\S]*Correct the called AE title at the sender/);
  const list = await eventually(async () => { const { text } = await get('/associations?outcome=released'); return text.includes('NORTHPACS → MEDSCAN') && text; });
  const one = await get(/href="(\/associations\/[^"]+)"/.exec(list)![1]!);
  expect(one.text).toMatch(/presentation contexts? accepted[\s\S]*CT Image Storage[\s\S]*Explicit VR Little Endian[\s\S]*taken/);
  const [refused] = await journey.gateway.db.asOwner<{ association_id: string }>(`INSERT INTO association_logs (organization_id, association_id, started_at, finished_at, duration_ms, peer_address, peer_port, outcome, contexts)
    VALUES ($1, medscan_uuid_v7(), now(), now(), 1, '10.0.0.9', 1, 'released', '[{"id": 1, "abstract_syntax": "1.2.840.10008.5.1.4.1.2.2.1", "transfer_syntaxes": ["1.2.840.10008.1.2"], "result": 1}]') RETURNING association_id`, [journey.seeded.organizationId]);
  const advice = /A setting of the system keeps this service or class out: ([\w, ]+)\./.exec((await get(`/associations/${refused!.association_id}`)).text)![1]!;
  const settings = (await get('/systems/new?adapter=dicom-dimse')).text;
  expect(advice.split(', ').filter((setting) => !settings.includes(`>${setting}</th>`)), 'settings that do not exist').toEqual([]);
  const statement = await get(`/systems/${journey.seeded.integrations['PACS']}/conformance`);
  expect(statement.text).toContain('<h2>4 Networking</h2>');
  expect(statement.text).toContain('<td>CT Image Storage</td>');
});
