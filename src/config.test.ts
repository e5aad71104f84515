import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { ConfigError, loadConfig } from './config.ts';

function problemsOf(environment: Record<string, string>): readonly string[] {
  try {
    loadConfig(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

test('needs no setting at all', () => {
  expect(loadConfig({})).toMatchObject({
    databaseUrl: undefined, home: path.resolve('data'), bind: '127.0.0.1', httpPort: 8080, dicomPort: 11112, hl7Port: 2575,
    roles: ['gateway', 'worker', 'api'], logLevel: 'info', encryptionKey: undefined, quietSeconds: 30,
  });
});

test('reports every problem at once, with the variable, what was given and what is wanted', () => {
  const problems = problemsOf({ MEDSCAN_HTTP_PORT: '99999', MEDSCAN_ROLES: 'gateway,doctor', MEDSCAN_LOG_LEVEL: 'loud', MEDSCAN_QUIET_SECONDS: '-1' });
  expect(problems).toHaveLength(4);
  expect(problems[0]).toBe('MEDSCAN_HTTP_PORT is "99999"; wanted: a port, 0 (any free one) to 65535, or off');
  expect(problems.map((problem) => problem.split(' ')[0])).toEqual(['MEDSCAN_HTTP_PORT', 'MEDSCAN_ROLES', 'MEDSCAN_LOG_LEVEL', 'MEDSCAN_QUIET_SECONDS']);
});

test('never repeats a secret', () => {
  const problems = problemsOf({ DATABASE_URL: 'mysql://root:hunter2@db/x', MEDSCAN_ENCRYPTION_KEY: 'hunter2' });
  expect(problems).toHaveLength(2);
  expect(problems.join()).not.toContain('hunter2');
});

test('takes an encryption key as hexadecimal, as base64 or from a file', () => {
  const key = Buffer.alloc(32, 7);
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'medscan-config-')), 'key');
  writeFileSync(file, `${key.toString('hex')}\n`);
  expect(loadConfig({ MEDSCAN_ENCRYPTION_KEY: key.toString('hex') }).encryptionKey).toEqual(key);
  expect(loadConfig({ MEDSCAN_ENCRYPTION_KEY: key.toString('base64') }).encryptionKey).toEqual(key);
  expect(loadConfig({ MEDSCAN_ENCRYPTION_KEY_FILE: file }).encryptionKey).toEqual(key);
  expect(problemsOf({ MEDSCAN_ENCRYPTION_KEY_FILE: '/nowhere/key' })[0]).toContain('ENOENT');
  expect(problemsOf({ MEDSCAN_ENCRYPTION_KEY: key.toString('hex').slice(2) })).toHaveLength(1);
});

test('an empty variable counts as not set', () => {
  expect(loadConfig({ MEDSCAN_HTTP_PORT: '', DATABASE_URL: '' })).toMatchObject({ httpPort: 8080, databaseUrl: undefined });
});

test('a port can be turned off, and a TLS port needs a certificate and its key', () => {
  expect(loadConfig({ MEDSCAN_HTTP_PORT: 'off', MEDSCAN_DICOM_PORT: 'off', MEDSCAN_HL7_PORT: 'off' })).toMatchObject({ httpPort: undefined, dicomPort: undefined, hl7Port: undefined });
  expect(problemsOf({ MEDSCAN_DICOM_TLS_PORT: '2762', MEDSCAN_HTTPS_PORT: '0', MEDSCAN_TLS_CERT_FILE: 'gateway.crt' })).toEqual([
    'MEDSCAN_HTTPS_PORT, MEDSCAN_DICOM_TLS_PORT: TLS needs a certificate and its key; wanted: MEDSCAN_TLS_CERT_FILE and MEDSCAN_TLS_KEY_FILE',
  ]);
});

test.each([
  [{ MEDSCAN_BIND: '0.0.0.0' }, 1], [{ MEDSCAN_BIND: '10.1.2.3' }, 1], [{ MEDSCAN_BIND: '::' }, 1], [{ MEDSCAN_BIND: '0.0.0.0', MEDSCAN_DICOM_PORT: 'off' }, 1],
  [{ MEDSCAN_BIND: '127.0.0.1' }, 0], [{ MEDSCAN_BIND: '::1' }, 0], [{ MEDSCAN_BIND: 'localhost' }, 0], [{ MEDSCAN_BIND: '0.0.0.0', MEDSCAN_INSECURE: 'true' }, 0],
  [{ MEDSCAN_BIND: '0.0.0.0', MEDSCAN_DICOM_PORT: 'off', MEDSCAN_HL7_PORT: 'off' }, 0], [{ MEDSCAN_BIND: '0.0.0.0', MEDSCAN_ROLES: 'api,worker' }, 0],
])('patient data in the clear from other machines must be wanted: %j', (environment, count) => {
  const problems = problemsOf(environment as Record<string, string>);
  expect(problems).toHaveLength(count);
  if (count > 0) expect(problems[0]).toMatch(/^MEDSCAN_BIND is .*MEDSCAN_INSECURE=true/);
});
