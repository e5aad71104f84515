/**
 * A C-STORE sender that costs little: PDUs are cut once, only the SOP Instance UID is patched. One association, one object in flight.
 * The time of an answer is from the last byte handed to the socket's buffer to the C-STORE-RSP.
 */
import { once } from 'node:events';
import net from 'node:net';
import { encodeAssociateRequest, encodeCommandPdu, encodeDataPdu, encodeReleaseRequest } from '../../adapters/dicom-dimse/upper-layer/pdu.ts';
import { encodeStoreRequest } from '../../adapters/dicom-dimse/upper-layer/command-set.ts';
import { encodeDataset, type DatasetElements } from '#standards/dicom/dataset-writer.ts';

const PDU_BYTES = 128 * 1024 - 6;
export const IMPLEMENTATION = { classUid: '2.25.1', versionName: 'BENCH' };

export interface Template { readonly sopClassUid: string; readonly dataset: (study: number, instance: number) => Buffer }

/** Objects of one kind: a header of ordinary size and `pixelBytes` of noise. UIDs have one length, so that every dataset has. */
export function template(kind: 'ct' | 'sr' | 'dx', pixelBytes: number): Template {
  const sopClassUid = { ct: '1.2.840.10008.5.1.4.1.1.2', sr: '1.2.840.10008.5.1.4.1.1.88.11', dx: '1.2.840.10008.5.1.4.1.1.1.1' }[kind];
  const noise = Buffer.alloc(pixelBytes);
  for (let at = 0; at + 4 <= pixelBytes; at += 4) noise.writeUInt32LE((at * 2654435761) >>> 0, at);
  const header = (study: number, instance: number): DatasetElements => ({
    '(0008,0005)': 'ISO_IR 100', '(0008,0016)': sopClassUid, '(0008,0018)': uid(study, 1, instance), '(0008,0020)': '20260101', '(0008,0030)': '120000', '(0008,0050)': `A${study}`,
    '(0008,0060)': kind.toUpperCase(), '(0008,0070)': 'BENCH', '(0008,0090)': 'REFERRING^DOCTOR', '(0008,1030)': 'BENCHMARK STUDY', '(0008,103E)': 'SERIES', '(0010,0010)': `BENCH^PATIENT${study}`,
    '(0010,0020)': `B${study}`, '(0010,0030)': '19700101', '(0010,0040)': 'O', '(0018,0015)': 'CHEST', '(0020,000D)': uid(study, 0, 0), '(0020,000E)': uid(study, 1, 0), '(0020,0010)': '1',
    '(0020,0011)': 1, '(0020,0013)': instance, ...(kind === 'sr' ? { '(0040,A043)': [], '(0040,A160)': { vr: 'UT', value: noise.toString('hex').slice(0, pixelBytes) } }
      : { '(0028,0002)': 1, '(0028,0010)': 512, '(0028,0011)': 512, '(0028,0100)': 16, '(7FE0,0010)': { vr: 'OW', value: noise } }),
  });
  return { sopClassUid, dataset: (study, instance) => encodeDataset(header(study, instance)) };
}

const run = String(Date.now() % 1e8).padStart(8, '1');
const uid = (study: number, series: number, instance: number): string => `2.25.9${run}.${String(1_000_000 + study)}.${series}.${String(1_000_000 + instance)}`;
export const sopInstanceUid = (study: number, instance: number): string => uid(study, 1, instance);

export class StoreSender {
  readonly #socket: net.Socket;
  #received = Buffer.alloc(0);
  #waiting: ((pdu: Buffer) => void) | undefined;
  #messageId = 0;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => { this.#received = Buffer.concat([this.#received, chunk as Buffer]); this.#next(); });
  }

  static async connect(port: number, sopClassUid: string): Promise<StoreSender> {
    const socket = net.connect({ host: '127.0.0.1', port, noDelay: true });
    await once(socket, 'connect');
    const sender = new StoreSender(socket);
    socket.write(encodeAssociateRequest({ calledAeTitle: 'ANY-SCP', callingAeTitle: 'BENCH', maximumLength: 1 << 17, implementation: IMPLEMENTATION, contexts: [{ id: 1, abstractSyntax: sopClassUid, transferSyntaxes: ['1.2.840.10008.1.2.1'] }] }));
    const answer = await sender.#pdu();
    if (answer[0] !== 2) throw new Error(`port ${port} answered the association with PDU type ${answer[0]}`);
    return sender;
  }

  /** Resolves with the milliseconds to the answer; throws unless it is Success. */
  async store(sopClassUid: string, sopInstanceUid: string, dataset: Buffer): Promise<number> {
    this.#messageId = (this.#messageId % 60_000) + 1;
    const started = performance.now();
    this.#socket.cork();
    this.#socket.write(encodeCommandPdu(1, encodeStoreRequest({ sopClassUid, sopInstanceUid, messageId: this.#messageId })));
    for (let at = 0; at < dataset.length; at += PDU_BYTES) this.#socket.write(encodeDataPdu(1, dataset.subarray(at, at + PDU_BYTES), at + PDU_BYTES >= dataset.length));
    this.#socket.uncork();
    const response = await this.#pdu();
    const status = response.lastIndexOf(Buffer.from([0, 0, 0, 9, 2, 0, 0, 0]));
    if (response[0] !== 4 || status < 0 || response.readUInt16LE(status + 8) !== 0) throw new Error(`C-STORE was not answered with Success (PDU type ${response[0]}, status ${status < 0 ? 'missing' : response.readUInt16LE(status + 8).toString(16)})`);
    return performance.now() - started;
  }

  async release(): Promise<void> {
    this.#socket.end(encodeReleaseRequest());
    await once(this.#socket, 'close').catch(() => {});
  }

  #pdu(): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const gone = (): void => reject(new Error('the connection ended before the answer'));
      this.#socket.once('close', gone);
      this.#waiting = (pdu) => { this.#socket.off('close', gone); resolve(pdu); };
      this.#next();
    });
  }

  #next(): void {
    if (!this.#waiting || this.#received.length < 6) return;
    const end = 6 + this.#received.readUInt32BE(2);
    if (this.#received.length < end) return;
    const pdu = this.#received.subarray(0, end);
    this.#received = this.#received.subarray(end);
    const resolve = this.#waiting;
    this.#waiting = undefined;
    resolve(pdu);
  }
}
