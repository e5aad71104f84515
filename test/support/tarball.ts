/** The files of a .tgz as npm makes them (ustar): enough for packages, no links, no sparse files. */
import { gunzipSync } from 'node:zlib';

const BLOCK = 512;

export function* filesOfTarball(bytes: Buffer): Generator<{ name: string; content: Buffer }> {
  const tar = gunzipSync(bytes, { maxOutputLength: 1024 * 1024 * 1024 });
  for (let at = 0; at + BLOCK <= tar.length;) {
    const header = tar.subarray(at, at + BLOCK);
    const text = (from: number, to: number): string => header.toString('latin1', from, to).replace(/\0[\s\S]*$/, '');
    const name = [text(345, 500), text(0, 100)].filter(Boolean).join('/'), byteLength = Number.parseInt(text(124, 136).trim() || '0', 8);
    if (name === '') return;
    if (header[156] === 0x30 || header[156] === 0) yield { name, content: tar.subarray(at + BLOCK, at + BLOCK + byteLength) };
    at += BLOCK + Math.ceil(byteLength / BLOCK) * BLOCK;
  }
}
