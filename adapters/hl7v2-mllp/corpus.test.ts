/** Every message of the corpus through the real listener: each frame is answered, and what was sent is on record byte for byte. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { splitFrame } from '#standards/hl7v2/batch.ts';
import type { Listener } from '#gateway/adapter.ts';
import { Sender, adt, fakeGateway, startListener } from './testing/fake-gateway.ts';

const folder = resolve(process.env['MEDSCAN_CORPUS'] ?? '../shared/corpus', 'hl7v2/messages');
const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.hl7')).toSorted() : [];
if (files.length === 0) process.stderr.write(`HL7 corpus tests skipped: no messages at ${folder} (set MEDSCAN_CORPUS)\n`);

const gateway = fakeGateway();
let listener: Listener;
beforeAll(async () => { listener = await startListener(gateway); });
afterAll(() => listener.close(0));

test.skipIf(files.length === 0).for(files)('answers %s', async (file) => {
  const bytes = readFileSync(`${folder}/${file}`);
  const sender = await Sender.connect(listener.port);
  const before = gateway.received.length;
  try {
    const answer = await sender.send(bytes);
    expect(answer).toMatch(/\rMSA[^A-Z0-9\r]([AC][AER])/);
    const recorded = gateway.received.slice(before);
    expect(recorded.length).toBeGreaterThan(0);
    for (const { message } of recorded) expect(bytes.includes(message.head)).toBe(true);
    const code = /MSA[^A-Z0-9\r]([AC][AER])/.exec(answer ?? '')?.[1];
    if (messageCount(bytes) === 1) expect(code?.[1] === 'A').toBe(recorded.every(({ receipt }) => receipt.kind === 'accepted' || receipt.kind === 'duplicate'));
  } finally { sender.close(); }
});

function messageCount(bytes: Buffer): number { try { return splitFrame(bytes).messages.length; } catch { return 0; } }

test.skipIf(files.length === 0)('records at least one exchange for every file and keeps serving', async () => {
  expect(gateway.received.length).toBeGreaterThanOrEqual(files.length);
  const sender = await Sender.connect(listener.port);
  expect(await sender.send(adt('AFTER-ALL'))).toContain('MSA|AA|AFTER-ALL');
  sender.close();
});
