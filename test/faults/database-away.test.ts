/**
 * PostgreSQL goes away under a running gateway: the cable is pulled, and the server is killed. Senders are told to try again (A700, AE, 503) and
 * never that something is stored; the process lives; within ten seconds of the database's return everything goes on by itself.
 */
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/db/embedded-postgres.ts';
import { createDatabase, sql, type Database } from '../../src/db/pool.ts';
import { provision } from '../../src/db/provision.ts';
import { seedSampleHospital } from '../../src/db/seed.ts';
import { asSystem } from '../../src/db/transaction.ts';
import { createApiToken } from '../../src/db/user-sessions.ts';
import { createLog } from '../../src/log.ts';
import { registrationMessage } from '../../src/simulator/hl7-messages.ts';
import { startHospital, type Hospital } from '../../src/simulator/hospital.ts';
import { testKeys } from '../support/database.ts';
import { eventually } from '../support/gateway.ts';
import { startGatewayProcess, type GatewayProcess } from '../support/gateway-process.ts';
import { anOrder, smallStudy, somebody } from '../support/journey.ts';
import { tcpRelay, type TcpRelay } from '../support/tcp-relay.ts';

const MOST_MILLISECONDS = 10_000;
let home: string;
let server: EmbeddedPostgres;
let relay: TcpRelay;
let gateway: GatewayProcess;
let hospital: Hospital;
let database: Database;
let owner: pg.Pool;
let token: string;

beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'medscan-away-'));
  await chmod(home, 0o755); // the server may run as another account
  server = await startEmbeddedPostgres({ home, log: createLog({ logLevel: 'silent' }) });
  const url = new URL(server.ownerUrl);
  relay = await tcpRelay({ host: url.hostname, port: Number(url.port) });
  url.port = String(relay.port);
  gateway = await startGatewayProcess({ DATABASE_URL: url.href, MEDSCAN_HOME: path.join(home, 'gateway'), MEDSCAN_QUIET_SECONDS: '1', MEDSCAN_ENCRYPTION_KEY: Buffer.alloc(32, 'test').toString('hex') });
  hospital = await startHospital({ gateway: { host: '127.0.0.1', dicomPort: gateway.ports.dicom, hl7Port: gateway.ports.hl7 } });
  database = await createDatabase((await provision(server.ownerUrl, testKeys)).appUrl, createLog({ logLevel: 'silent' }));
  owner = new pg.Pool({ connectionString: server.ownerUrl, max: 2 });
  owner.on('error', () => undefined);
  await seedSampleHospital(database, testKeys, { pacs: hospital.pacs.port, ris: hospital.ris.port, emr: hospital.emr.port });
  token = (await createApiToken(database, { organizationName: 'Sample Hospital', role: 'service', name: 'EMR' })).token;
  await eventually(async () => (await hospital.ris.register(somebody())).code === 'AA', 10_000); // integrations are read again every few seconds
});
afterAll(async () => {
  await gateway?.stop();
  await hospital?.stop();
  await database?.close();
  await owner?.end();
  await relay?.pullOut();
  await server?.stop();
  await rm(home, { recursive: true, force: true });
});

const count = async (text: string, values: unknown[]): Promise<number> => (await owner.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${text}`, values)).rows[0]!.n;

interface Told { readonly stored: number | undefined; readonly registered: string | undefined; readonly posted: number; readonly ids: { readonly sop: string; readonly controlId: string; readonly patientNumber: string }; readonly milliseconds: number }

/** One message on each port at the same time, and what its sender was told. */
async function sendEach(): Promise<Told> {
  const started = performance.now();
  const patient = somebody(), [image] = smallStudy({ patient, accessionNumber: anOrder().accessionNumber }).objects;
  const envelope = hospital.ris.envelope(), patientNumber = `FHIR-${patient.patientId}`;
  const [[answer], registered, posted] = await Promise.all([
    hospital.pacs.store([image!]), hospital.ris.send(registrationMessage('A04', patient, envelope)),
    fetch(`http://127.0.0.1:${gateway.ports.http}/fhir/r4/Patient`, {
      method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' },
      body: JSON.stringify({ resourceType: 'Patient', identifier: [{ system: 'urn:oid:1.3.6.1.4.1.5962.99.1.1', value: patientNumber }], name: [{ family: 'Away' }] }),
    }).then(async (response) => { await response.arrayBuffer(); return response.status; }, () => 0),
  ]);
  return { stored: answer!.status, registered: registered.code, posted, ids: { sop: image!.sopInstanceUid, controlId: envelope.controlId, patientNumber }, milliseconds: performance.now() - started };
}

const isTaken = (told: Told): boolean => told.stored === 0 && told.registered === 'AA' && told.posted === 201;
async function expectNoFalsePromise(all: readonly Told[]): Promise<void> {
  for (const { stored, registered, posted, ids } of all) {
    if (stored === 0) expect(await count('scan_files WHERE sop_instance_uid = $1', [ids.sop]), 'a stored image').toBe(1);
    if (registered === 'AA') expect(await count('message_identities WHERE control_id = $1', [ids.controlId]), 'a message answered AA').toBe(1);
    if (posted === 201) expect(await count('patients WHERE patient_number = $1', [ids.patientNumber]), 'a Patient answered 201').toBe(1);
  }
}

async function untilTaken(): Promise<{ milliseconds: number; all: Told[] }> {
  const started = performance.now();
  const all: Told[] = [];
  await eventually(async () => { all.push(await sendEach()); return isTaken(all.at(-1)!); }, MOST_MILLISECONDS);
  return { milliseconds: performance.now() - started, all };
}

test('with the database all three ports take messages', async () => {
  expect(isTaken(await sendEach())).toBe(true);
});

test('while the cable is out: A700, AE and 503, soon, and /readyz says why; afterwards everything goes on', async () => {
  const study = smallStudy({ patient: somebody(), accessionNumber: anOrder().accessionNumber });
  expect((await hospital.pacs.store(study.objects)).every((answer) => answer.status === 0)).toBe(true);
  await relay.pullOut();
  const away = [await sendEach(), await sendEach(), await sendEach()];
  for (const told of away) {
    expect([told.stored?.toString(16), told.registered, told.posted]).toEqual(['a700', 'AE', 503]);
    expect(told.milliseconds).toBeLessThan(6_000);
  }
  expect((await fetch(`http://127.0.0.1:${gateway.ports.http}/readyz`)).status).toBe(503);
  expect((await fetch(`http://127.0.0.1:${gateway.ports.http}/healthz`)).status).toBe(200);
  expect(gateway.child.exitCode).toBeNull();

  await relay.plugIn();
  const { milliseconds, all } = await untilTaken();
  console.log(`database unreachable: answers after ${Math.round(Math.max(...away.map((told) => told.milliseconds)))} ms at most; all ports took messages ${Math.round(milliseconds)} ms after its return`);
  for (const told of away) {
    expect(await count('scan_files WHERE sop_instance_uid = $1', [told.ids.sop])).toBe(0);
    expect(await count('message_identities WHERE control_id = $1', [told.ids.controlId])).toBe(0);
  }
  await expectNoFalsePromise(all);
  // The study that was under way when the cable was pulled comes to its report without anybody's help.
  await hospital.emr.reports.first((report) => JSON.stringify(report).includes(study.studyInstanceUid) || hospital.emr.list('ImagingStudy').some((resource) => JSON.stringify(resource).includes(study.studyInstanceUid)), 30_000, 'the report of the interrupted study');
});

test('a connection that is dropped without a word costs one statement, not all that come after it', async () => {
  const url = new URL((await provision(server.ownerUrl, testKeys)).appUrl);
  const quiet = await tcpRelay({ host: url.hostname, port: Number(url.port) });
  url.port = String(quiet.port);
  const silent = await createDatabase(url.href, createLog({ logLevel: 'silent' }), { maxPoolSize: 1, silenceMilliseconds: 500 });
  try {
    await silent.ping();
    quiet.cutOffSilently();
    const started = performance.now();
    await expect(asSystem(silent, 'test', (tx) => tx.query(sql.typeAlias('void')`SELECT`))).rejects.toThrow();
    expect(performance.now() - started, 'the limit, and the driver\'s patience of 5 s with a connection that it gives up; TCP would take minutes').toBeLessThan(30_000);
    await eventually(async () => asSystem(silent, 'test', (tx) => tx.query(sql.typeAlias('void')`SELECT`)).then(() => true, () => false), MOST_MILLISECONDS);
  } finally {
    await quiet.pullOut();
    await silent.close();
  }
});

test('kill -9 of the server while messages stream in: nothing told as stored is missing, and the gateway lives', async () => {
  const all: Told[] = [];
  let isSending = true;
  const sending = (async () => { while (isSending) all.push(await sendEach()); })();
  await eventually(async () => all.length >= 2);
  const processId = Number((await readFile(path.join(await dataDirectory(), 'postmaster.pid'), 'utf8')).split('\n')[0]);
  process.kill(processId, 'SIGKILL');
  const killed = performance.now();
  await eventually(async () => !isTaken(all.at(-1)!), 5_000).catch(() => undefined);
  // How long a server recovers is the disk's business; what is promised counts from its return.
  await eventually(() => owner.query('SELECT').then(() => true, () => false), 60_000);
  await eventually(async () => isTaken(all.at(-1)!), MOST_MILLISECONDS + 5_000);
  console.log(`server killed: all ports took messages ${Math.round(performance.now() - killed)} ms after the kill, its restart included`);
  isSending = false;
  await sending;
  expect(gateway.child.exitCode).toBeNull();
  await expectNoFalsePromise(all);
  expect(all.some((told) => !isTaken(told)), 'the kill was felt').toBe(true);
});

async function dataDirectory(): Promise<string> {
  return (await owner.query<{ data_directory: string }>('SHOW data_directory')).rows[0]!.data_directory;
}
