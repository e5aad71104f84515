/** An archive made of bytes: takes every context, and does with each request what the test says. */
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import type { Destination } from '../config.ts';
import { configSchema } from '../config.ts';
import type { CommandSet, ResponseFields } from '../upper-layer/command-set.ts';
import { decodeCommandSet, encodeResponse } from '../upper-layer/command-set.ts';
import { decodeAssociateRequest, encodeAssociateAccept, encodeCommandPdu, encodeDataPdu, encodeReleaseResponse } from '../upper-layer/pdu.ts';
import type { AssociateRequest } from '../upper-layer/pdu.ts';
import { PduReader } from '../upper-layer/pdu-reader.ts';

export interface Asked {
  readonly command: CommandSet; readonly dataset: Buffer; readonly contextId: number; readonly socket: Socket; readonly association: AssociateRequest;
  respond(fields: ResponseFields, dataset?: Buffer): void;
  /** A request of ours on this association. */
  ask(contextId: number, command: Buffer, dataset?: Buffer): void;
}
export interface ScriptedArchive {
  readonly destination: Destination;
  readonly asked: CommandSet[];
  readonly associations: AssociateRequest[];
  close(): Promise<void>;
}

export async function startScriptedArchive(onRequest: (asked: Asked) => void, options: { accepts?: (abstractSyntax: string, transferSyntax: string) => boolean } = {}): Promise<ScriptedArchive> {
  const asked: CommandSet[] = [], associations: AssociateRequest[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => { /* the asker gave up, as some tests want */ });
    let association: AssociateRequest, command: Buffer[] = [], data: Buffer[] = [], contextId = 0, isCommand = false, isLast = false;
    const send = (id: number, bytes: Buffer, dataset?: Buffer): void => { if (socket.writable) socket.write(Buffer.concat([encodeCommandPdu(id, bytes), ...(dataset ? [encodeDataPdu(id, dataset, true)] : [])])); };
    const message = (): void => {
      const request = decodeCommandSet(Buffer.concat(command));
      if (request.hasDataSet && isCommand) return;
      const dataset = Buffer.concat(data), id = contextId;
      [command, data] = [[], []];
      asked.push(request);
      onRequest({ command: request, dataset, contextId: id, socket, association, respond: (fields, answer) => { send(id, encodeResponse(request, { ...fields, hasDataSet: answer !== undefined }), answer); }, ask: send });
    };
    const reader = new PduReader({
      header() { /* anything */ },
      pdu(type, bytes) {
        if (type === 5) socket.end(encodeReleaseResponse());
        if (type !== 1) return;
        association = decodeAssociateRequest(bytes);
        associations.push(association);
        const contexts = association.presentationContexts.map((one) => {
          const transferSyntax = one.transferSyntaxes.find((uid) => options.accepts?.(one.abstractSyntax, uid) ?? true);
          return { ...one, transferSyntax: transferSyntax ?? one.transferSyntaxes[0]!, result: transferSyntax === undefined ? 3 : 0 };
        });
        socket.write(encodeAssociateAccept(association, contexts, 16384, { classUid: '1.2.3', versionName: 'SCRIPT' }));
      },
      pdv(id, ofCommand, last) { contextId = id; isCommand = ofCommand; isLast = last; },
      fragment(bytes) { (isCommand ? command : data).push(Buffer.from(bytes)); },
      endOfPdv() { if (isLast) message(); },
    });
    socket.on('data', (chunk: Buffer) => { reader.push(chunk); });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address() as { port: number };
  const { destination } = configSchema.parse({ destination: { host: '127.0.0.1', port, called_ae_title: 'ARCHIVE', connect_timeout_milliseconds: 1000, response_timeout_milliseconds: 1000 } });
  return { destination: destination!, asked, associations, close: () => new Promise((resolve) => { server.close(() => { resolve(); }); for (const socket of sockets) socket.destroy(); }) };
}

