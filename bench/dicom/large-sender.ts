/** Sends one object of so many MiB to the gateway, from a process of its own so that it does not slow the senders that are measured: `node bench/dicom/large-sender.ts port mebibytes sopInstanceUid`. */
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import { streamObject } from '../../test/support/streaming-store.ts';

const [port, mebibytes, sopInstanceUid = ''] = process.argv.slice(2);
const sopClassUid = '1.2.840.10008.5.1.4.1.1.7.2', fragmentBytes = 32 * 1024, byteLength = Number(mebibytes) * 2 ** 20;
const header = encodeDataset({
  '(0008,0016)': sopClassUid, '(0008,0018)': sopInstanceUid, '(0008,0060)': 'OT', '(0010,0010)': 'BENCH^LARGE', '(0010,0020)': 'LARGE', '(0020,000D)': `${sopInstanceUid}.1`, '(0020,000E)': `${sopInstanceUid}.2`,
  '(0028,0008)': String(Number(mebibytes) * 4), '(0028,0010)': 512, '(0028,0011)': 512, '(0028,0100)': 8,
});
const pixelData = Buffer.from([0xe0, 0x7f, 0x10, 0x00, 0x4f, 0x42, 0, 0, 0, 0, 0, 0]);
pixelData.writeUInt32LE(byteLength, 8);
const { status } = await streamObject({
  sopClassUid, sopInstanceUid,
  * chunks() {
    yield Buffer.concat([header, pixelData]);
    for (let sent = 0; sent < byteLength; sent += fragmentBytes) yield Buffer.alloc(fragmentBytes, sent / fragmentBytes);
  },
}, { host: '127.0.0.1', port: Number(port), callingAeTitle: 'LARGE', calledAeTitle: 'ANY-SCP' });
process.exitCode = status === 0 ? 0 : 1;
