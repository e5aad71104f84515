/**
 * A C-STORE SCU for objects that are larger than memory should be: the dataset is made while it is sent, one fragment at a time, with the
 * socket's own backpressure. Bytes are put together here by hand (PS3.8 9.3, PS3.7 E), so that no code is shared with the gateway.
 */
import { createHash } from 'node:crypto';
import net from 'node:net';
import { once } from 'node:events';

export interface StreamedObject {
  readonly sopClassUid: string; readonly sopInstanceUid: string;
  /** Explicit VR Little Endian; the chunks together are the dataset. */
  chunks(): Iterable<Buffer>;
}

const applicationContext = '1.2.840.10008.3.1.1.1', explicitVrLittleEndian = '1.2.840.10008.1.2.1';
const item = (type: number, body: Buffer): Buffer => Buffer.concat([Buffer.from([type, 0, body.length >> 8, body.length & 255]), body]);
const pdu = (type: number, body: Buffer): Buffer => { const head = Buffer.alloc(6); head[0] = type; head.writeUInt32BE(body.length, 2); return Buffer.concat([head, body]); };
const aeTitle = (title: string): Buffer => Buffer.from(title.padEnd(16));

/** Resolves with the C-STORE-RSP status and the dataset's SHA-256. Rejects when the association is refused or ends early. */
export async function streamObject(object: StreamedObject, target: { host: string; port: number; callingAeTitle: string; calledAeTitle: string }): Promise<{ status: number; sha256: string; byteLength: number }> {
  const socket = net.connect({ host: target.host, port: target.port, noDelay: true });
  try {
    await once(socket, 'connect');
    const read = pduReader(socket);
    socket.write(associateRequest(object.sopClassUid, target));
    const accepted = await read();
    if (accepted[0] !== 2) throw new Error(`the association was answered with PDU type ${accepted[0]}`);
    socket.write(pDataTf(command(object), true, true));
    const hash = createHash('sha256');
    let byteLength = 0, previous: Buffer | undefined;
    for (const chunk of object.chunks()) {
      hash.update(chunk);
      byteLength += chunk.length;
      if (previous !== undefined && !socket.write(pDataTf(previous, false, false))) await once(socket, 'drain');
      previous = chunk;
    }
    socket.write(pDataTf(previous ?? Buffer.alloc(0), false, true));
    const response = await read();
    if (response[0] !== 4) throw new Error(`the C-STORE was answered with PDU type ${response[0]}`);
    socket.write(pdu(5, Buffer.alloc(4)));
    await read();
    return { status: statusOf(response), sha256: hash.digest('hex'), byteLength };
  } finally {
    socket.destroy();
  }
}

function associateRequest(sopClassUid: string, { callingAeTitle, calledAeTitle }: { callingAeTitle: string; calledAeTitle: string }): Buffer {
  const context = item(0x20, Buffer.concat([Buffer.from([1, 0, 0, 0]), item(0x30, Buffer.from(sopClassUid)), item(0x40, Buffer.from(explicitVrLittleEndian))]));
  const user = item(0x50, Buffer.concat([item(0x51, Buffer.from([0, 0, 0x40, 0])), item(0x52, Buffer.from('1.2.826.0.1.3680043.8.498.1'))]));
  return pdu(1, Buffer.concat([Buffer.from([0, 1, 0, 0]), aeTitle(calledAeTitle), aeTitle(callingAeTitle), Buffer.alloc(32), item(0x10, Buffer.from(applicationContext)), context, user]));
}

function pDataTf(fragment: Buffer, isCommand: boolean, isLast: boolean): Buffer {
  const head = Buffer.alloc(6);
  head.writeUInt32BE(fragment.length + 2, 0);
  head[4] = 1;
  head[5] = (isCommand ? 1 : 0) | (isLast ? 2 : 0);
  return pdu(4, Buffer.concat([head, fragment]));
}

/** Implicit VR Little Endian, as every command set (PS3.7 6.3.1). */
function command({ sopClassUid, sopInstanceUid }: StreamedObject): Buffer {
  const element = (number: number, value: Buffer): Buffer => { const head = Buffer.alloc(8); head.writeUInt16LE(number, 2); head.writeUInt32LE(value.length, 4); return Buffer.concat([head, value]); };
  const uid = (text: string): Buffer => Buffer.from(text.length % 2 === 0 ? text : `${text}\0`);
  const us = (value: number): Buffer => { const bytes = Buffer.alloc(2); bytes.writeUInt16LE(value); return bytes; };
  const body = Buffer.concat([element(0x0002, uid(sopClassUid)), element(0x0100, us(1)), element(0x0110, us(1)), element(0x0700, us(0)), element(0x0800, us(0)), element(0x1000, uid(sopInstanceUid))]);
  const groupLength = Buffer.alloc(4);
  groupLength.writeUInt32LE(body.length);
  return Buffer.concat([element(0x0000, groupLength), body]);
}

function statusOf(response: Buffer): number {
  const at = response.indexOf(Buffer.from([0x00, 0x00, 0x00, 0x09, 0x02, 0x00, 0x00, 0x00]));
  if (at < 0) throw new Error('the response has no Status (0000,0900)');
  return response.readUInt16LE(at + 8);
}

/** Hands out one PDU per call. */
function pduReader(socket: net.Socket): () => Promise<Buffer> {
  let bytes: Buffer = Buffer.alloc(0), notify = (): void => undefined, ended = false;
  socket.on('data', (chunk: Buffer) => { bytes = Buffer.concat([bytes, chunk]); notify(); });
  socket.on('error', () => undefined).on('close', () => { ended = true; notify(); });
  return async () => {
    for (;;) {
      const length = bytes.length < 6 ? Infinity : 6 + bytes.readUInt32BE(2);
      if (bytes.length >= length) {
        const whole = Buffer.from(bytes.subarray(0, length));
        bytes = bytes.subarray(length);
        return whole;
      }
      if (ended) throw new Error('the connection ended');
      await new Promise<void>((resolve) => { notify = resolve; });
    }
  };
}
