/**
 * The installation's key and what is made from it. One 32-byte key (MEDSCAN_ENCRYPTION_KEY, or generated once under MEDSCAN_HOME/secrets)
 * yields by HKDF one key per purpose: sealing column values, blind indexes for exact search, the application role's password.
 * A sealed value is bound to where it stands (`aad`, e.g. 'external_integrations/<id>/credentials'), so that it cannot be moved to another row.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, unlink } from 'node:fs/promises';
import path from 'node:path';

export interface Keys {
  /** Names the key without revealing it; stands in every sealed value. */
  readonly keyId: string;
  /** AES-256-GCM. Returns 'v1.<key id>.<base64url of iv, tag, ciphertext>'. */
  seal(aad: string, plain: string): string;
  /** Throws SecretError when the value was sealed with another key, for another place, or was changed. */
  open(aad: string, sealed: string): string;
  /** Keyed hash (base64url) for exact search in a sealed column; equal values in different contexts have different indexes. */
  blindIndex(context: string, value: string): string;
  /** 32 bytes for one named purpose; the same on every node that has the same key. */
  derive(purpose: string): Buffer;
}

export class SecretError extends Error {
  constructor(text: string) {
    super(text);
    this.name = 'SecretError';
  }
}

const ivLength = 12;
const tagLength = 16;

export function keysFrom(key: Buffer): Keys {
  if (key.length !== 32) throw new SecretError(`An encryption key has 32 bytes, not ${key.length}.`);
  const derive = (purpose: string): Buffer => Buffer.from(hkdfSync('sha256', key, '', `medscan/${purpose}`, 32));
  const sealingKey = derive('seal');
  const indexKey = derive('blind-index');
  const keyId = derive('key-id').toString('hex').slice(0, 8);
  return {
    keyId,
    derive,
    seal: (aad, plain) => `v1.${keyId}.${encrypt(sealingKey, aad, plain)}`,
    open: (aad, sealed) => decrypt(sealingKey, keyId, aad, sealed),
    blindIndex: (context, value) => createHmac('sha256', indexKey).update(`${Buffer.byteLength(context)}:${context}${value}`).digest('base64url'),
  };
}

/** The configured key, else the key file of this installation, which is generated when missing. */
export async function loadKeys(settings: { readonly home: string; readonly encryptionKey: Buffer | undefined }): Promise<Keys> {
  if (settings.encryptionKey) return keysFrom(settings.encryptionKey);
  const file = path.join(settings.home, 'secrets', 'encryption.key');
  return keysFrom(Buffer.from(await readOrCreateSecretFile(file, () => randomBytes(32).toString('hex')), 'hex'));
}

/** Reads a one-line secret, or creates it (mode 0600, directory 0700). Of several processes that start at once, all get the same. */
export async function readOrCreateSecretFile(file: string, make: () => string): Promise<string> {
  const existing = await readFile(file, 'utf8').catch(unlessMissing);
  if (existing !== undefined) return existing.trim();
  await mkdir(path.dirname(path.dirname(file)), { recursive: true }); // its mode is not ours to choose
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${randomBytes(6).toString('hex')}`;
  const handle = await open(temporary, 'wx', 0o600);
  try {
    await handle.writeFile(`${make()}\n`);
    await handle.sync();
    await link(temporary, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await handle.close();
    await unlink(temporary);
  }
  return (await readFile(file, 'utf8')).trim();
}

function encrypt(key: Buffer, aad: string, plain: string): string {
  const iv = randomBytes(ivLength);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(aad));
  const ciphertext = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), ciphertext]).toString('base64url');
}

function decrypt(key: Buffer, keyId: string, aad: string, sealed: string): string {
  const [version, sealedBy, body] = sealed.split('.');
  if (version !== 'v1' || !sealedBy || body === undefined) throw new SecretError('This is not a sealed value.');
  if (sealedBy !== keyId) throw new SecretError(`The value was sealed with key ${sealedBy}; this installation has key ${keyId}. Set MEDSCAN_ENCRYPTION_KEY to the key that sealed it.`);
  const bytes = Buffer.from(body, 'base64url');
  if (bytes.length < ivLength + tagLength) throw new SecretError('The sealed value is cut short.');
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, ivLength), { authTagLength: tagLength });
  decipher.setAAD(Buffer.from(aad)).setAuthTag(bytes.subarray(ivLength, ivLength + tagLength));
  try {
    return decipher.update(bytes.subarray(ivLength + tagLength), undefined, 'utf8') + decipher.final('utf8');
  } catch {
    throw new SecretError('The sealed value was changed, or it belongs to another row.');
  }
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
