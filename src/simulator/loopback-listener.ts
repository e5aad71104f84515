/** A TCP listener on 127.0.0.1 that can go down and come back on the same port, cutting its connections: a system that is switched off. */
import net from 'node:net';
import { once } from 'node:events';

export class LoopbackListener {
  #port: number;
  #server: net.Server | undefined;
  readonly #sockets = new Set<net.Socket>();
  readonly #connected: (socket: net.Socket) => void;

  constructor(port: number, connected: (socket: net.Socket) => void) {
    this.#port = port;
    this.#connected = connected;
  }

  /** The bound port once it has listened; it stays the same while down. */
  get port(): number { return this.#port; }

  async open(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = net.createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => this.#sockets.delete(socket));
      this.#connected(socket);
    });
    this.#server = server;
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as net.AddressInfo).port;
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
