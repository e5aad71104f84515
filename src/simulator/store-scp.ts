/**
 * C-STORE SCP over dcmjs-dimse behind a loopback listener: receives results as a PACS does. Datasets are kept as the bytes that came.
 * For tests and the demo only: the library alone is not safe on a network.
 */
import type net from 'node:net';
import { Writable } from 'node:stream';
import dimse from 'dcmjs-dimse';
import './silence-dicom-library.ts';
import { Arrivals } from './arrivals.ts';
import { LoopbackListener } from './loopback-listener.ts';
import { Misbehaviour } from './misbehaviour.ts';
import type { SendableObject } from './part10-file.ts';

/** A700: out of resources. C000: cannot understand. `refuse`: A-ASSOCIATE-RJ. `silent`: no response to the C-STORE. */
export type PacsMode = 'accept' | 'refuse' | 'A700' | 'C000' | 'silent' | 'abort' | 'down';
export interface StoredObjectOfPacs extends SendableObject { readonly callingAeTitle: string; readonly at: Date; readonly status: number }

type Association = InstanceType<typeof dimse.association.Association>;
type PresentationContext = InstanceType<typeof dimse.association.PresentationContext>;
type StoreRequest = InstanceType<typeof dimse.requests.CStoreRequest>;
type StoreResponse = InstanceType<typeof dimse.responses.CStoreResponse>;
type EchoRequest = InstanceType<typeof dimse.requests.CEchoRequest>;
type EchoResponse = InstanceType<typeof dimse.responses.CEchoResponse>;

const { Status, PresentationContextResult, RejectReason, RejectResult, RejectSource } = dimse.constants;

export class StoreScp {
  readonly received = new Arrivals<StoredObjectOfPacs>();
  readonly behaviour: Misbehaviour<PacsMode>;
  readonly #listener: LoopbackListener;

  private constructor(port: number) {
    this.#listener = new LoopbackListener(port, (socket) => serve(socket, this));
    this.behaviour = new Misbehaviour<PacsMode>('accept', async (mode) => mode === 'down' ? this.#listener.close() : this.#listener.open());
  }

  static async start(port = 0): Promise<StoreScp> {
    const scp = new StoreScp(port);
    await scp.#listener.open();
    return scp;
  }

  get port(): number { return this.#listener.port; }
  async stop(): Promise<void> { await this.#listener.close(); }
}

function serve(socket: net.Socket, owner: StoreScp): void {
  const connection = new ScpConnection(socket, { pduTimeout: 600_000 });
  connection.owner = owner;
  connection.peer = socket;
  // The library's Server does this for a connection that it has accepted itself.
  Object.assign(connection, { connected: true, connectedTime: Date.now() });
  connection.on('networkError', () => socket.destroy());
}

/** Never asks to wait: the library loses data of a PDU when a stream does. */
class DatasetInMemory extends Writable {
  readonly chunks: Buffer[] = [];
  constructor() { super({ highWaterMark: Number.MAX_SAFE_INTEGER }); }
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void { this.chunks.push(Buffer.from(chunk)); done(); }
}

class ScpConnection extends dimse.Scp {
  owner: StoreScp | undefined;
  peer: net.Socket | undefined;
  #callingAeTitle = '';
  #dataset: Buffer = Buffer.alloc(0);
  #transferSyntaxUid = '';

  override associationRequested(association: Association): void {
    if (this.owner?.behaviour.mode === 'refuse') {
      this.owner.behaviour.take();
      this.sendAssociationReject(RejectResult.Transient, RejectSource.ServiceProviderPresentation, RejectReason.TemporaryCongestion);
      this.peer?.end();
      return;
    }
    this.#callingAeTitle = association.getCallingAeTitle();
    if (association.getMaxPduLength() === 0) association.setMaxPduLength(dimse.Implementation.getMaxPduLength());
    for (const { context } of association.getPresentationContexts()) context.setResult(PresentationContextResult.Accept, context.getTransferSyntaxUids()[0]);
    this.sendAssociationAccept();
  }
  override associationReleaseRequested(): void { this.sendAssociationReleaseResponse(); }

  override createStoreWritableStream(): Writable { return new DatasetInMemory(); }
  override createDatasetFromStoreWritableStream(writable: Writable, context: PresentationContext, done: (dataset: never) => void): void {
    writable.once('finish', () => {
      this.#dataset = Buffer.concat((writable as DatasetInMemory).chunks);
      this.#transferSyntaxUid = context.getAcceptedTransferSyntaxUid() ?? '';
      done(undefined as never);
    });
  }

  override cStoreRequest(request: StoreRequest, answer: (response: StoreResponse) => void): void {
    const mode = this.owner?.behaviour.take() ?? 'accept';
    const status = mode === 'A700' ? 0xa700 : mode === 'C000' ? 0xc000 : Status.Success;
    if (mode === 'accept' || mode === 'silent') this.#keep(request, status);
    if (mode === 'silent') return;
    if (mode === 'abort') { this.sendAbort(); this.peer?.end(); return; }
    const response = dimse.responses.CStoreResponse.fromRequest(request);
    response.setStatus(status);
    answer(response);
  }
  override cEchoRequest(request: EchoRequest, answer: (response: EchoResponse) => void): void {
    const response = dimse.responses.CEchoResponse.fromRequest(request);
    response.setStatus(Status.Success);
    answer(response);
  }

  #keep(request: StoreRequest, status: number): void {
    this.owner?.received.add({
      sopClassUid: request.getAffectedSopClassUid(), sopInstanceUid: request.getAffectedSopInstanceUid(), transferSyntaxUid: this.#transferSyntaxUid,
      dataset: this.#dataset, callingAeTitle: this.#callingAeTitle, at: new Date(), status,
    });
  }
}
