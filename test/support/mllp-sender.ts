/** A plain MLLP sender: one connection, one message after the other. */
import { once } from 'node:events';
import net from 'node:net';

export class MllpSender {
  readonly #socket: net.Socket;
  private constructor(socket: net.Socket) { this.#socket = socket; }

  static async connect(port: number): Promise<MllpSender> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new MllpSender(socket);
  }

  /** The text of the answer; rejects when the connection ends without one. */
  send(text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      let answer = '';
      const done = (): void => { this.#socket.off('data', take); this.#socket.off('close', lost); };
      const lost = (): void => { done(); reject(new Error('the gateway closed the connection without an answer')); };
      const take = (chunk: Buffer): void => {
        answer += chunk.toString();
        if (!answer.endsWith('\x1c\r')) return;
        done();
        resolve(answer.slice(1, -2));
      };
      this.#socket.on('data', take).once('close', lost);
      this.#socket.write(`\x0b${text}\x1c\r`);
    });
  }

  close(): void { this.#socket.destroy(); }
}
