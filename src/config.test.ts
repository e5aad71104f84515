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
  expect(problems[0]).toBe('MEDSCAN_HTTP_PORT is "99999"; wanted: a port, 0 (any free one) to 65535');
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
