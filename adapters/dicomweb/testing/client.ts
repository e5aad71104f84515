/** A DICOMweb client for tests, with nothing of the adapter in it. */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';

export interface Answer { readonly status: number; readonly headers: Headers; readonly body: Buffer; readonly json: any }
export interface ReceivedPart { readonly headers: string; readonly bytes: Buffer }

export class DicomwebTestClient {
  readonly base: string;
  readonly #token: string | undefined;

  constructor(port: number, token?: string) {
    this.base = `http://127.0.0.1:${port}/dicom-web`;
    this.#token = token;
  }

  async send(method: string, path: string, headers: Readonly<Record<string, string>> = {}, body?: Buffer): Promise<Answer> {
    const response = await fetch(this.base + path, { method, headers: { ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }), ...headers }, ...(body === undefined ? {} : { body: new Uint8Array(body) }) });
    const bytes = Buffer.from(await response.arrayBuffer());
    const isJson = (response.headers.get('content-type') ?? '').includes('json');
    return { status: response.status, headers: response.headers, body: bytes, json: isJson && bytes.length > 0 ? JSON.parse(bytes.toString('utf8')) : undefined };
  }

  get(path: string, accept?: string): Promise<Answer> { return this.send('GET', path, accept === undefined ? {} : { accept }); }

  store(files: readonly Buffer[], study?: string): Promise<Answer> {
    return this.send('POST', study === undefined ? '/studies' : `/studies/${study}`, { 'content-type': relatedType, accept: 'application/dicom+json' }, multipartOf(files));
  }

  /** Sends chunks as they come and resolves with the answer, however early it is. */
  stream(path: string, headers: Readonly<Record<string, string>>, chunks: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<{ status: number; text: string }> {
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
    const outgoing = httpRequest(this.base + path, { method: 'POST', headers: { authorization: `Bearer ${this.#token}`, 'transfer-encoding': 'chunked', ...headers } });
    outgoing.setMaxListeners(0);
    let isAnswered = false;
    outgoing.once('response', (response: IncomingMessage) => {
      isAnswered = true;
      buffer(response).then((bytes) => resolve({ status: response.statusCode ?? 0, text: bytes.toString('utf8') }), reject);
    });
    outgoing.once('error', (error) => { if (!isAnswered) reject(error); });
    void (async () => {
      for await (const chunk of chunks) {
        if (isAnswered || outgoing.destroyed) break;
        if (!outgoing.write(chunk)) await new Promise<void>((ready) => { outgoing.once('drain', ready).once('close', ready).once('response', () => ready()); });
      }
      outgoing.end();
    })().catch(reject);
    return promise;
  }
}

export const boundary = 'test-boundary.7MA4YWxkTrZu0gW';
export const relatedType = `multipart/related; type="application/dicom"; boundary=${boundary}`;

export function multipartOf(parts: readonly Buffer[], type = 'application/dicom'): Buffer {
  return Buffer.concat([...parts.flatMap((part) => [Buffer.from(`--${boundary}\r\nContent-Type: ${type}\r\n\r\n`), part, Buffer.from('\r\n')]), Buffer.from(`--${boundary}--\r\n`)]);
}

/** Takes a whole multipart body apart, by the boundary of its content type. */
export function partsOf({ headers, body }: Pick<Answer, 'headers' | 'body'>): readonly ReceivedPart[] {
  const mark = /boundary="?([^";]+)/.exec(headers.get('content-type') ?? '')?.[1];
  if (mark === undefined) throw new Error(`no boundary in ${headers.get('content-type')}`);
  const parts: ReceivedPart[] = [];
  const delimiter = Buffer.from(`--${mark}`);
  for (let at = body.indexOf(delimiter); at >= 0;) {
    const next = body.indexOf(Buffer.concat([Buffer.from('\r\n'), delimiter]), at + delimiter.length);
    if (next < 0) break;
    const part = body.subarray(at + delimiter.length + 2, next);
    const split = part.indexOf('\r\n\r\n');
    parts.push({ headers: part.toString('latin1', 0, split), bytes: part.subarray(split + 4) });
    at = next + 2;
  }
  return parts;
}
