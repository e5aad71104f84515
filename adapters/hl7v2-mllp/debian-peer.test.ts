/** A client that none of us wrote: mllp_send of Debian's python3-hl7. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { adt, fakeGateway, startListener } from './testing/fake-gateway.ts';

const mllpSend = ((): string | undefined => {
  try { return execFileSync('sh', ['-c', 'command -v mllp_send']).toString().trim(); } catch { return undefined; }
})();
if (!mllpSend) process.stderr.write('mllp_send test skipped: install python3-hl7 (apt install python3-hl7)\n');

test.skipIf(!mllpSend)('mllp_send delivers a file of messages and prints our acknowledgments', async () => {
  const gateway = fakeGateway();
  const listener = await startListener(gateway);
  const file = join(mkdtempSync(join(tmpdir(), 'medscan-mllp-')), 'messages.hl7');
  writeFileSync(file, ['P1', 'P2', 'P3'].map((id) => adt(id)).join('').replaceAll('\r', '\r\n'));
  try {
    const { stdout } = await promisify(execFile)(mllpSend ?? '', ['--loose', '-p', String(listener.port), '-f', file, '127.0.0.1'], { timeout: 20_000 });
    expect(stdout.match(/MSA\|AA\|P\d/g)).toEqual(['MSA|AA|P1', 'MSA|AA|P2', 'MSA|AA|P3']);
    expect(gateway.received.map(({ receipt }) => receipt.kind)).toEqual(['accepted', 'accepted', 'accepted']);
  } finally { await listener.close(0); }
});
