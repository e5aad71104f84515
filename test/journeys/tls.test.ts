/** All listeners over TLS with client certificates, nothing in the clear: DCMTK, Python's ssl module and a browser's HTTPS are the peers. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seedSampleHospital } from '../../src/db/seed.ts';
import { writeStudy } from '../../src/simulator/synthetic-study.ts';
import { certificateDirectory, haveOpenssl, type Certificate } from '../support/certificates.ts';
import { testGateway, type TestGateway } from '../support/gateway.ts';
import { changeSettings, exchanges, scanOf, smallStudy, somebody } from '../support/journey.ts';

const run = promisify(execFile);
const has = (program: string, ...args: string[]): boolean => { try { execFileSync(program, args, { stdio: 'ignore' }); return true; } catch { return false; } };
if (!haveOpenssl) process.stderr.write('TLS journey skipped: no openssl\n');
const haveDcmtk = has('storescu', '--version'), havePython = has('python3', '--version');
if (!haveDcmtk) process.stderr.write('TLS journey: DCMTK (storescu) is not installed; its test is skipped\n');
if (!havePython) process.stderr.write('TLS journey: python3 is not installed; its test is skipped\n');

const certificates = certificateDirectory();
const authority = haveOpenssl ? certificates.authority('Hospital CA') : undefined!;
const directory = mkdtempSync(path.join(tmpdir(), 'medscan-tls-journey-'));
let gateway: TestGateway, pacs: Certificate, ris: Certificate;

beforeAll(async () => {
  if (!haveOpenssl) return;
  const own = authority.sign('gateway');
  [pacs, ris] = [authority.sign('pacs.hospital.example'), authority.sign('ris.hospital.example')];
  gateway = await testGateway({
    MEDSCAN_TLS_CERT_FILE: own.certificateFile, MEDSCAN_TLS_KEY_FILE: own.keyFile, MEDSCAN_TLS_CLIENT_CA_FILE: authority.certificateFile,
    MEDSCAN_DICOM_TLS_PORT: '0', MEDSCAN_HL7_TLS_PORT: '0', MEDSCAN_HTTPS_PORT: '0', MEDSCAN_DICOM_PORT: 'off', MEDSCAN_HL7_PORT: 'off', MEDSCAN_HTTP_PORT: 'off',
  });
  await seedSampleHospital(gateway.db.database, gateway.db.keys, { pacs: 9, ris: 9, emr: 9 });
  await changeSettings(gateway, 'PACS', { tls_subjects: ['pacs.hospital.example'] });
  await changeSettings(gateway, 'RIS', { tls_subjects: ['ris.hospital.example'] });
});
afterAll(async () => {
  await gateway?.stop();
  certificates.remove();
  rmSync(directory, { recursive: true, force: true });
});

test.skipIf(!haveOpenssl)('nothing listens in the clear', () => {
  expect(gateway.ports).toEqual({ dicom: undefined, hl7: undefined, http: undefined, dicomTls: expect.any(Number), hl7Tls: expect.any(Number), https: expect.any(Number) });
});

test.skipIf(!haveOpenssl || !haveDcmtk)('storescu sends a study with its certificate, and is refused with another\'s and without one', async () => {
  const study = smallStudy({ patient: somebody(), accessionNumber: 'TLS-1' });
  const files = await writeStudy(study, path.join(directory, 'study'));
  const storescu = (options: readonly string[]): Promise<unknown> => run('storescu', [...options, '+cf', authority.certificateFile, '-aet', 'SCANNER', '-aec', 'MEDSCAN', '127.0.0.1', String(gateway.ports.dicomTls), ...files]);
  await expect(storescu(['+tls', ris.keyFile, ris.certificateFile])).rejects.toMatchObject({ stderr: expect.stringContaining('Calling AE Title Not Recognized') });
  await expect(storescu(['+tla'])).rejects.toThrow();
  await storescu(['+tls', pacs.keyFile, pacs.certificateFile]);
  expect((await scanOf(gateway, study.studyInstanceUid)).instance_count).toBe(study.objects.length);
  expect(await exchanges(gateway, "interaction = 'A-ASSOCIATE'")).toMatchObject([{ message_status: 'rejected', error_text: expect.stringContaining('tls_subjects'), peer_application: 'SCANNER' }]);
});

/** One message over MLLP in TLS, the answer on standard output. */
const pythonSender = `
import socket, ssl, sys
port, ca, cert, key, message = int(sys.argv[1]), *sys.argv[2:6]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
with context.wrap_socket(socket.create_connection(('127.0.0.1', port), 10), server_hostname='127.0.0.1') as s:
    s.sendall(b'\\x0b' + message.encode() + b'\\x1c\\r')
    answer = b''
    while not answer.endswith(b'\\x1c\\r'):
        chunk = s.recv(4096)
        if not chunk: break
        answer += chunk
    print(s.version()); print(answer.decode().strip('\\x0b\\x1c\\r').replace('\\r', '\\n'))
`;

test.skipIf(!haveOpenssl || !havePython)('a Python sender is answered over MLLP in TLS when its certificate is that of the RIS', async () => {
  const script = path.join(directory, 'send.py');
  writeFileSync(script, pythonSender);
  const message = (controlId: string): string => `MSH|^~\\&|RIS|NORTH|MEDSCAN|GATEWAY|20260105100000||ADT^A08|${controlId}|P|2.5.1\rEVN||20260105100000\rPID|1||TLS-77^^^NORTH^MR||Sealed^Letter\r`;
  const send = async (by: Certificate, controlId: string): Promise<string> => (await run('python3', [script, String(gateway.ports.hl7Tls), authority.certificateFile, by.certificateFile, by.keyFile, message(controlId)])).stdout;
  expect(await send(ris, 'TLS-A')).toMatch(/^TLSv1\.3\nMSH.*\nMSA\|AA\|TLS-A/);
  expect(await send(pacs, 'TLS-B')).toMatch(/MSA\|AR\|TLS-B/);
  expect(await exchanges(gateway, "interaction = 'ADT^A08'")).toMatchObject([{ control_id: 'TLS-A', message_status: 'accepted' }, { control_id: 'TLS-B', message_status: 'rejected', integration_id: null }]);
});

test.skipIf(!haveOpenssl)('the pages and the API answer over HTTPS without a client certificate', async () => {
  const response = await new Promise<{ status: number | undefined; hsts: unknown }>((resolve, reject) => {
    https.get({ host: '127.0.0.1', port: gateway.ports.https, path: '/healthz', ca: authority.cert }, (answer) => {
      answer.resume().on('end', () => resolve({ status: answer.statusCode, hsts: answer.headers['strict-transport-security'] }));
    }).on('error', reject);
  });
  expect(response).toEqual({ status: 200, hsts: expect.stringContaining('max-age') });
});
