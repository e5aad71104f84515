/** DICOM unique identifiers (PS3.5 chapter 9 and annex B). */
import { createHash } from 'node:crypto';

/** At most 64 characters, components of digits without leading zero (PS3.5 9.1). */
export function isValidUid(text: string): boolean {
  return text.length <= 64 && /^(0|[1-9]\d*)(\.(0|[1-9]\d*))+$/.test(text);
}

/** Padding removed: one NUL by the standard, NULs and spaces by habit. */
export function trimUid(text: string): string {
  return text.replace(/[\0 ]+$/, '').replace(/^ +/, '');
}

/**
 * A UID under 2.25 (PS3.5 B.2) that is the same for the same name, for ever: the first 128 bits of SHA-256 marked as a
 * version 8 UUID (RFC 9562 5.8), in decimal. Prefix the name with its purpose so that two purposes never share one UID.
 */
export function deriveUid(name: string): string {
  const bytes = createHash('sha256').update(name, 'utf8').digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return `2.25.${BigInt(`0x${bytes.toString('hex')}`)}`;
}

/** The UUID itself as a UID (PS3.5 B.2). Throws RangeError when the text is not a UUID. */
export function uidOfUuid(uuid: string): string {
  const hex = uuid.replace(/^urn:uuid:/i, '').replaceAll('-', '');
  if (!/^[0-9a-f]{32}$/i.test(hex)) throw new RangeError('not a UUID: 32 hexadecimal digits are expected');
  return `2.25.${BigInt(`0x${hex}`)}`;
}
