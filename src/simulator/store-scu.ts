/**
 * C-STORE SCU over dcmjs-dimse, independent of the gateway's own upper layer. The library would parse, re-encode and convert what it
 * sends; here each dataset goes out as the bytes that it has, on a presentation context for exactly its transfer syntax.
 */
import type { Socket } from 'node:net';
import dimse from 'dcmjs-dimse';
import './silence-dicom-library.ts';
import type { SendableObject } from './part10-file.ts';

export interface StoreTarget { readonly host: string; readonly port: number; readonly callingAeTitle: string; readonly calledAeTitle: string }
/** `status` is the C-STORE-RSP status; undefined: no answer, or no presentation context was accepted for it. */
export interface StoreAnswer { readonly sopInstanceUid: string; readonly status: number | undefined; readonly text: string }
export interface StoreOptions {
  readonly answered?: (answer: StoreAnswer, done: number, total: number) => void;
  /** Without an answer for so long the association is given up. */
  readonly timeoutMilliseconds?: number;
}

// The library keeps every request of an association in memory.
const mostPerAssociation = 100;

/** Sends in order, over as many associations as needed. Never rejects for what the network or the SCP does: that is in the answers. */
export async function storeObjects(objects: readonly SendableObject[], target: StoreTarget, options: StoreOptions = {}): Promise<readonly StoreAnswer[]> {
  const answers: StoreAnswer[] = [];
  for (let start = 0; start < objects.length; start += mostPerAssociation) {
    const batch = objects.slice(start, start + mostPerAssociation);
    answers.push(...await storeBatch(batch, target, options, (answer, done) => options.answered?.(answer, start + done, objects.length)));
  }
  return answers;
}

class RawDataset extends dimse.Dataset {
  readonly raw: Buffer;
  constructor({ sopClassUid, sopInstanceUid, transferSyntaxUid, dataset }: SendableObject) {
    super({ SOPClassUID: sopClassUid, SOPInstanceUID: sopInstanceUid }, transferSyntaxUid);
    this.raw = evenLength(dataset);
  }
  override getDenaturalizedDataset(): Buffer { return this.raw; }
}

/** A PDV has an even length (PS3.8 9.3.5); only a deflated dataset can be odd, and it is padded with one NUL (PS3.5 A.5). */
export function evenLength(dataset: Buffer): Buffer {
  return dataset.length % 2 === 0 ? dataset : Buffer.concat([dataset, Buffer.alloc(1)]);
}

type Association = InstanceType<typeof dimse.association.Association>;
type StoreRequest = InstanceType<typeof dimse.requests.CStoreRequest>;
/** What the published types leave out: the connection behind a Client. */
interface ClientNetwork {
  readonly socket: Socket;
  sendAssociationRequest(association: Association): void;
  sendRequests(requests: readonly StoreRequest[]): void;
  sendAssociationReleaseRequest(): void;
  on(event: 'abort', listener: () => void): void;
}

async function storeBatch(objects: readonly SendableObject[], target: StoreTarget, options: StoreOptions, report: (answer: StoreAnswer, done: number) => void): Promise<StoreAnswer[]> {
  const client = new dimse.Client();
  const answers = new Map<StoreRequest, StoreAnswer>();
  let socket: Socket | undefined;
  let trouble = 'the connection was closed before the answer';
  const settle = (request: StoreRequest, answer: StoreAnswer): void => { answers.set(request, answer); report(answer, answers.size); };
  const requests = objects.map((object) => {
    const request = new dimse.requests.CStoreRequest(new RawDataset(object));
    request.on('response', (response: { getStatus(): number; getErrorComment?(): string | undefined }) =>
      settle(request, { sopInstanceUid: object.sopInstanceUid, status: response.getStatus(), text: response.getErrorComment?.() ?? '' }));
    client.addRequest(request);
    return { request, object };
  });
  await new Promise<void>((resolve) => {
    client.on('associationRejected', () => { trouble = 'the association was rejected'; });
    client.on('networkError', (error: Error) => { trouble = error.message; resolve(); });
    client.on('closed', () => resolve());
    client.send(target.host, target.port, target.callingAeTitle, target.calledAeTitle, { pduTimeout: options.timeoutMilliseconds ?? 60_000, associationLingerTimeout: 0 });
    const network = (client as unknown as { network: ClientNetwork }).network;
    socket = network.socket;
    socket.setNoDelay(true);
    network.on('abort', () => { trouble = 'the association was aborted'; socket?.destroy(); });
    negotiateExactly(network, objects, requests, settle);
  });
  socket?.destroy();
  return requests.map(({ request, object }) => answers.get(request) ?? { sopInstanceUid: object.sopInstanceUid, status: undefined, text: trouble });
}

/** One presentation context per SOP class and transfer syntax; requests whose pair was refused are not sent. */
function negotiateExactly(network: ClientNetwork, objects: readonly SendableObject[], requests: readonly { request: StoreRequest; object: SendableObject }[], settle: (request: StoreRequest, answer: StoreAnswer) => void): void {
  const propose = network.sendAssociationRequest.bind(network), send = network.sendRequests.bind(network);
  let agreed: Association | undefined;
  network.sendAssociationRequest = (association) => {
    association.clearPresentationContexts();
    for (const { sopClassUid, transferSyntaxUid } of uniquePairs(objects)) {
      association.addTransferSyntaxToPresentationContext(association.addPresentationContext(sopClassUid), transferSyntaxUid);
    }
    agreed = association;
    propose(association);
  };
  network.sendRequests = () => {
    const isAccepted = ({ sopClassUid, transferSyntaxUid }: SendableObject): boolean => agreed?.getPresentationContexts().some(({ context }) =>
      context.getResult() === 0 && context.getAbstractSyntaxUid() === sopClassUid && context.getAcceptedTransferSyntaxUid() === transferSyntaxUid) === true;
    const accepted = requests.filter(({ object }) => isAccepted(object));
    for (const { request, object } of requests.filter((each) => !accepted.includes(each))) {
      settle(request, { sopInstanceUid: object.sopInstanceUid, status: undefined, text: 'no presentation context was accepted for its SOP class and transfer syntax' });
    }
    if (accepted.length === 0) network.sendAssociationReleaseRequest();
    else send(accepted.map(({ request }) => request));
  };
}

function uniquePairs(objects: readonly SendableObject[]): readonly SendableObject[] {
  return [...new Map(objects.map((object) => [`${object.sopClassUid} ${object.transferSyntaxUid}`, object])).values()].slice(0, 128);
}
