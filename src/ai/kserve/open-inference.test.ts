/** A scripted inference server on the other side: good answers, bad ones, none. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { InferenceCall } from '../tensor.ts';
import { inferRemotely, type Endpoint } from './open-inference.ts';

type Handler = (request: http.IncomingMessage, body: Buffer, response: http.ServerResponse) => void;
let server: http.Server | undefined;
afterEach(async () => {
  server?.closeAllConnections();
  if (server?.listening === true) await new Promise((resolve) => server!.close(resolve));
});

async function serve(handler: Handler, more: Partial<Endpoint> = {}): Promise<Endpoint> {
  server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => handler(request, Buffer.concat(chunks), response));
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, model: 'blob detector', headers: {}, responseByteLength: 100_000, ...more };
}

function call(more: Partial<InferenceCall> = {}): InferenceCall {
  return { inputs: [{ name: 'volume', datatype: 'FP32', shape: [1, 2], data: Float32Array.of(1.5, -2) }], outputs: ['score', 'index'], timeoutMilliseconds: 5000, signal: new AbortController().signal, ...more };
}

function answer(response: http.ServerResponse, outputs: readonly object[], binary: Buffer, headers: http.OutgoingHttpHeaders = {}): void {
  const head = Buffer.from(JSON.stringify({ model_name: 'm', outputs }));
  response.writeHead(200, { 'inference-header-content-length': head.length, ...headers }).end(Buffer.concat([head, binary]));
}
const goodOutputs = [{ name: 'score', datatype: 'FP32', shape: [2], parameters: { binary_data_size: 8 } }, { name: 'index', datatype: 'INT64', shape: [1], parameters: { binary_data_size: 8 } }];
const goodBytes = Buffer.concat([Buffer.from(Float32Array.of(0.25, 8).buffer), Buffer.from(BigInt64Array.of(7n).buffer)]);

test('tensors go out and come back in binary form', async () => {
  const seen: { url?: string | undefined; head?: unknown; data?: number[]; authorization?: string | undefined } = {};
  const endpoint = await serve((request, body, response) => {
    const length = Number(request.headers['inference-header-content-length']);
    Object.assign(seen, { url: request.url, authorization: request.headers.authorization, head: JSON.parse(body.subarray(0, length).toString()), data: [body.readFloatLE(length), body.readFloatLE(length + 4)] });
    answer(response, goodOutputs, goodBytes);
  }, { version: '3', headers: { authorization: 'Bearer t' } });
  const outputs = await inferRemotely(endpoint, call());
  expect(Array.from(outputs.get('score')!.data as Float32Array)).toEqual([0.25, 8]);
  expect(outputs.get('index')!.data).toEqual(BigInt64Array.of(7n));
  expect(seen).toEqual({
    url: '/v2/models/blob%20detector/versions/3/infer', authorization: 'Bearer t', data: [1.5, -2],
    head: { inputs: [{ name: 'volume', datatype: 'FP32', shape: [1, 2], parameters: { binary_data_size: 8 } }], outputs: [{ name: 'score', parameters: { binary_data: true } }, { name: 'index', parameters: { binary_data: true } }] },
  });
});

test('a server without the binary extension may answer in JSON', async () => {
  const endpoint = await serve((_request, _body, response) => response.end(JSON.stringify({ outputs: [{ name: 'score', datatype: 'FP32', shape: [2], data: [1, 2] }, { name: 'index', datatype: 'INT64', shape: [1], data: [3] }] })));
  const outputs = await inferRemotely(endpoint, call());
  expect(Array.from(outputs.get('score')!.data as Float32Array)).toEqual([1, 2]);
});

test.each<[string, Handler, string, RegExp]>([
  ['503', (_request, _body, response) => response.writeHead(503).end('busy'), 'unavailable', /answered 503/],
  ['429', (_request, _body, response) => response.writeHead(429).end(), 'unavailable', /answered 429/],
  ['404 with its error text', (_request, _body, response) => response.writeHead(404).end('{"error":"unknown model"}'), 'model', /answered 404: unknown model/],
  ['a redirect, which is not followed', (_request, _body, response) => response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end(), 'model', /answered 307/],
  ['garbage', (_request, _body, response) => response.end('<html>'), 'model', /not the JSON of an inference response/],
  ['a head longer than the body', (_request, _body, response) => answer(response, goodOutputs, goodBytes, { 'inference-header-content-length': 99_999 }), 'model', /Inference-Header-Content-Length/],
  ['too few bytes', (_request, _body, response) => answer(response, goodOutputs, goodBytes.subarray(0, 12)), 'model', /ends after the body/],
  ['a shape that does not fit', (_request, _body, response) => answer(response, [{ ...goodOutputs[0], shape: [3] }, goodOutputs[1]!], goodBytes), 'model', /its shape needs 12/],
  ['a missing output', (_request, _body, response) => answer(response, [goodOutputs[0]!], goodBytes), 'model', /output index is missing/],
  ['an answer over the limit', (_request, _body, response) => response.end(Buffer.alloc(200_000)), 'model', /longer than 100000 bytes/],
  ['a connection cut in the middle', (_request, _body, response) => { response.writeHead(200, { 'content-length': 1000 }).write('{'); response.destroy(); }, 'unavailable', /cannot be reached/],
])('%s is an error of its class', async (_name, handler, errorClass, text) => {
  await expect(inferRemotely(await serve(handler), call())).rejects.toMatchObject({ name: 'AiError', class: errorClass, message: expect.stringMatching(text) });
});

test('a server that never answers is left after the time limit', async () => {
  await expect(inferRemotely(await serve(() => undefined), call({ timeoutMilliseconds: 100 }))).rejects.toMatchObject({ class: 'timeout', retryable: true });
});

test('a server that stops in the middle of its answer is left, too', async () => {
  await expect(inferRemotely(await serve((_request, _body, response) => void response.write('{')), call({ timeoutMilliseconds: 100 }))).rejects.toMatchObject({ class: 'timeout' });
});

test('the caller\'s abort ends the request', async () => {
  const controller = new AbortController();
  const endpoint = await serve(() => controller.abort());
  await expect(inferRemotely(endpoint, call({ signal: controller.signal }))).rejects.toMatchObject({ class: 'aborted' });
});

test('no server at all is unavailable', async () => {
  const endpoint = await serve(() => undefined);
  await new Promise((resolve) => server!.close(resolve));
  await expect(inferRemotely(endpoint, call())).rejects.toMatchObject({ class: 'unavailable', message: expect.stringContaining('ECONNREFUSED') });
});
