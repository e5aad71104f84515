import { mkdtemp, readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { keysFrom, loadKeys, readOrCreateSecretFile, SecretError } from './secrets.ts';

const keys = keysFrom(Buffer.alloc(32, 1));

test('opens what it sealed, and seals the same text differently each time', () => {
  const sealed = keys.seal('external_integrations/1/credentials', 'Grüße');
  expect(sealed).toMatch(/^v1\.[0-9a-f]{8}\.[\w-]+$/);
  expect(keys.seal('external_integrations/1/credentials', 'Grüße')).not.toBe(sealed);
  expect(keys.open('external_integrations/1/credentials', sealed)).toBe('Grüße');
});

test('refuses a value that was moved to another row', () => {
  const sealed = keys.seal('external_integrations/1/credentials', 'secret');
  expect(() => keys.open('external_integrations/2/credentials', sealed)).toThrow(SecretError);
});

test.each([
  ['another key', keysFrom(Buffer.alloc(32, 2)).seal('a', 'x'), /sealed with key/],
  ['a changed byte', keys.seal('a', 'xyz').replace(/.(?=.{4}$)/, (letter) => (letter === 'A' ? 'B' : 'A')), /was changed/],
  ['a cut value', keys.seal('a', 'x').slice(0, 20), /cut short/],
  ['plain text', 'hunter2', /not a sealed value/],
])('refuses %s in words', (_, sealed, words) => {
  expect(() => keys.open('a', sealed)).toThrow(words);
});

test('a blind index depends on key, context and value, and on nothing else', () => {
  expect(keys.blindIndex('patients.family', 'DOE')).toBe(keysFrom(Buffer.alloc(32, 1)).blindIndex('patients.family', 'DOE'));
  const indexes = [keys.blindIndex('ab', 'c'), keys.blindIndex('a', 'bc'), keys.blindIndex('a', 'c'), keysFrom(Buffer.alloc(32, 2)).blindIndex('a', 'c')];
  expect(new Set(indexes).size).toBe(4);
});

test('generates one key file for processes that start at once, readable by its owner alone', async () => {
  const home = await mkdtemp(path.join(tmpdir(), 'medscan-keys-'));
  const loaded = await Promise.all(Array.from({ length: 8 }, () => loadKeys({ home, encryptionKey: undefined })));
  expect(new Set(loaded.map(({ keyId }) => keyId)).size).toBe(1);
  expect((await stat(path.join(home, 'secrets/encryption.key'))).mode & 0o777).toBe(0o600);
  expect(await readdir(path.join(home, 'secrets'))).toEqual(['encryption.key']);
  expect(await readOrCreateSecretFile(path.join(home, 'secrets/encryption.key'), () => 'new')).toMatch(/^[0-9a-f]{64}$/);
});

test('leaves the mode of the home directory to the system and closes the directory of secrets', async () => {
  const home = path.join(await mkdtemp(path.join(tmpdir(), 'medscan-keys-')), 'home');
  await loadKeys({ home, encryptionKey: undefined });
  expect((await stat(path.join(home, 'secrets'))).mode & 0o777).toBe(0o700);
  expect((await stat(home)).mode & 0o777).toBe(0o777 & ~process.umask());
});
