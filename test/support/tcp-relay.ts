/** A cable between the gateway and a server that a test can pull: while it is out, connections are cut and new ones refused. */
import net from 'node:net';
import { once } from 'node:events';

export interface TcpRelay {
  readonly port: number;
  pullOut(): Promise<void>;
  plugIn(): Promise<void>;
  /** What is connected stays connected, and nothing passes any more: packets that get lost. New connections work. */
  cutOffSilently(): void;
}

export async function tcpRelay(target: { host: string; port: number }): Promise<TcpRelay> {
  const sockets = new Set<net.Socket>();
  let server: net.Server | undefined, port = 0;
  const keep = (socket: net.Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  };
  const plugIn = async (): Promise<void> => {
    server = net.createServer({ noDelay: true }, (near) => {
      const far = net.connect({ ...target, noDelay: true });
      keep(near);
      keep(far);
      near.pipe(far);
      far.pipe(near);
      near.on('close', () => far.destroy());
      far.on('close', () => near.destroy());
    });
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as net.AddressInfo).port;
  };
  await plugIn();
  return {
    port, plugIn,
    async pullOut() {
      const closed = server && once(server, 'close');
      server?.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    cutOffSilently() {
      for (const socket of sockets) socket.unpipe().pause();
    },
  };
}
