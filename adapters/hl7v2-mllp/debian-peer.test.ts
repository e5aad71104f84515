/** A client and a receiver that none of us wrote: mllp_send and the MLLP server of Debian's python3-hl7. */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { hl7v2Config } from './config.ts';
import { deliverOru } from './deliver-oru.ts';
import { adt, fakeGateway, startListener } from './testing/fake-gateway.ts';
import { sampleReport } from './testing/sample-report.ts';

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

/** Prints its port, then for each message what the library reads in it, and acknowledges with the library's own ACK. */
const receiver = `
import asyncio
from hl7.mllp import start_hl7_server
async def handle(reader, writer):
    while not writer.is_closing():
        try:
            message = await reader.readmessage()
        except asyncio.IncompleteReadError:
            break
        finding = [segment for segment in message.segments("OBX") if str(segment[2]) == "CWE"][0]
        print(message["MSH.F9.R1.C1"], message["PID.F5.R1.C1"], message["OBR.F18"], len(message.segments("OBX")), finding[5][0][8], sep="|", flush=True)
        writer.writemessage(message.create_ack())
        await writer.drain()
async def main():
    server = await start_hl7_server(handle, host="127.0.0.1", port=0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
`;

test.skipIf(!mllpSend)('the server of python3-hl7 reads a report and its acknowledgment makes it delivered', async () => {
  const server = spawn('/usr/bin/python3', ['-c', receiver], { stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = new AbortController();
  try {
    const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
    const port = (await lines.next()).value;
    const config = hl7v2Config.parse({ host: '127.0.0.1', port: Number(port) });
    const delivery = { deliveryId: 'd', organizationId: 'o', controlId: 'REPORT-77', attempt: 1, document: sampleReport };
    expect(await deliverOru(delivery, config, { ...fakeGateway().context, signal: stop.signal })).toMatchObject({ kind: 'delivered', answerCode: 'AA' });
    expect((await lines.next()).value).toBe('ORU|Smith|ACC1|7|Right apical pneumothorax');
  } finally { stop.abort(); server.kill(); await once(server, 'close'); }
});
