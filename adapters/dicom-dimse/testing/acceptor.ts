/** A receiver made of bytes: answers each PDU of a sender with what the test says, or not at all. */
import { createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Socket } from 'node:net';
import type { Destination } from '../config.ts';
import { configSchema } from '../config.ts';
import { decodeAssociateRequest, encodeAssociateAccept, encodeCommandPdu, encodeReleaseResponse } from '../upper-layer/pdu.ts';
import type { AssociateRequest } from '../upper-layer/pdu.ts';
import { decodeCommandSet, encodeResponse } from '../upper-layer/command-set.ts';
import type { ResponseFields } from '../upper-layer/command-set.ts';
import { PduReader } from '../upper-layer/pdu-reader.ts';

export interface AcceptorScript {
  /** Instead of an A-ASSOCIATE-AC; undefined bytes: silence. */
  readonly onAssociate?: (request: AssociateRequest, socket: Socket) => Buffer | undefined;
  readonly maximumLength?: number;
  /** Whether a context is accepted, by its transfer syntax. */
  readonly accepts?: (transferSyntax: string) => boolean;
  readonly tls?: { readonly key: Buffer; readonly cert: Buffer };
  readonly onMessage?: (socket: Socket) => ResponseFields | undefined;
}
export interface ScriptedAcceptor {
  readonly destination: Destination;
  readonly proposed: AssociateRequest[];
  readonly datasets: Buffer[];
  readonly sopInstanceUids: string[];
  close(): Promise<void>;
}

export async function startAcceptor(script: AcceptorScript = {}): Promise<ScriptedAcceptor> {
  const proposed: AssociateRequest[] = [], datasets: Buffer[] = [], sopInstanceUids: string[] = [];
  const sockets = new Set<Socket>();
  const serve = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => { /* the peer gave up, as some tests want */ });
    let command: Buffer[] = [], data: Buffer[] = [], context = 0, isCommand = false, isLast = false;
    const respond = (): void => {
      const request = decodeCommandSet(Buffer.concat(command));
      if (request.hasDataSet && isCommand) return;
      if (request.hasDataSet) { datasets.push(Buffer.concat(data)); sopInstanceUids.push(request.affectedSopInstanceUid); }
      [command, data] = [[], []];
      const fields = script.onMessage ? script.onMessage(socket) : { status: 0 };
      if (fields) socket.write(encodeCommandPdu(context, encodeResponse(request, fields)));
    };
    const reader = new PduReader({
      header() { /* anything */ },
      pdu(type, bytes) {
        if (type === 5) socket.end(encodeReleaseResponse());
        if (type !== 1) return;
        const request = decodeAssociateRequest(bytes);
        proposed.push(request);
        const contexts = request.presentationContexts.map((one) => {
          const transferSyntax = one.transferSyntaxes[0] ?? '';
          return { ...one, transferSyntax, result: script.accepts?.(transferSyntax) ?? true ? 0 : 3 };
        });
        const answer = script.onAssociate ? script.onAssociate(request, socket) : encodeAssociateAccept(request, contexts, script.maximumLength ?? 16384, { classUid: '1.2.3', versionName: 'SCRIPT' });
        if (answer) socket.write(answer);
      },
      pdv(id, ofCommand, last) { context = id; isCommand = ofCommand; isLast = last; },
      fragment(bytes) { (isCommand ? command : data).push(bytes); },
      endOfPdv() { if (isLast) respond(); },
    });
    socket.on('data', (chunk: Buffer) => { reader.push(chunk); });
  };
  const server = script.tls ? createTlsServer(script.tls, serve).on('tlsClientError', () => { /* what some tests want */ }) : createServer(serve);
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address() as { port: number };
  const { destination } = configSchema.parse({ destination: { host: '127.0.0.1', port, called_ae_title: 'PACS', connect_timeout_milliseconds: 500, response_timeout_milliseconds: 500 } });
  return {
    destination: destination!, proposed, datasets, sopInstanceUids,
    close: () => new Promise((resolve) => { server.close(() => { resolve(); }); for (const socket of sockets) socket.destroy(); }),
  };
}
