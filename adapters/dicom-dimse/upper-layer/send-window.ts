const mostUnsentBytes = 1024 * 1024;

/** Hands bytes to the connection without waiting for each: up to a megabyte is on its way, so that reading and sending overlap and memory stays flat. */
export class SendWindow {
  readonly #send: (bytes: Buffer) => Promise<boolean>;
  readonly #unsent: { readonly byteLength: number; readonly isSent: Promise<boolean> }[] = [];
  #byteLength = 0;

  constructor(send: (bytes: Buffer) => Promise<boolean>) { this.#send = send; }

  /** False when the connection takes nothing more. `sent` is told when the operating system has the bytes and they may be written over. */
  async send(bytes: Buffer, sent?: (bytes: Buffer) => void): Promise<boolean> {
    const isSent = this.#send(bytes);
    this.#unsent.push({ byteLength: bytes.length, isSent: sent ? isSent.then((ok) => { if (ok) sent(bytes); return ok; }) : isSent });
    this.#byteLength += bytes.length;
    while (this.#byteLength > mostUnsentBytes) if (!await this.#first()) return false;
    return true;
  }

  /** Resolves when the operating system took everything. */
  async isSent(): Promise<boolean> {
    while (this.#unsent.length > 0) if (!await this.#first()) return false;
    return true;
  }

  #first(): Promise<boolean> {
    const first = this.#unsent.shift();
    this.#byteLength -= first?.byteLength ?? 0;
    return first?.isSent ?? Promise.resolve(true);
  }
}
