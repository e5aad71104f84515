/**
 * BYTES tensors of the Open Inference Protocol v2, binary: each element is its length in 4 bytes, little endian, then the bytes. The same address, limits and
 * failures as open-inference.ts.
 */
import { AiError } from '../ai-error.ts';
import { exchange, type Endpoint } from './open-inference.ts';

export interface BytesTensor { readonly name: string; readonly elements: readonly Buffer[] }

/** The elements of the output tensor, at least one. Rejects with AiError. */
export async function inferBytes(endpoint: Endpoint, input: BytesTensor, output: string, call: { readonly timeoutMilliseconds: number; readonly signal: AbortSignal }): Promise<[Buffer, ...Buffer[]]> {
  const parts = input.elements.flatMap((element) => [lengthOf(element), element]);
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const head = Buffer.from(JSON.stringify({
    inputs: [{ name: input.name, datatype: 'BYTES', shape: [input.elements.length], parameters: { binary_data_size: size } }], outputs: [{ name: output, parameters: { binary_data: true } }],
  }));
  const { body, headerLength } = await exchange(endpoint, { headers: { 'inference-header-content-length': String(head.length) }, body: new Blob([head, ...parts] as Uint8Array<ArrayBuffer>[]) }, call);
  const [first, ...others] = elementsOf(body, headerLength === null ? body.length : Number(headerLength), output);
  if (first === undefined) throw broken(`output ${output} is empty`);
  return [first, ...others];
}

const broken = (text: string): AiError => new AiError('model', `The inference server's answer breaks the protocol: ${text}.`);

function lengthOf(element: Buffer): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(element.length);
  return bytes;
}

interface Output { readonly name?: unknown; readonly datatype?: unknown; readonly data?: unknown; readonly parameters?: { readonly binary_data_size?: unknown } }

function elementsOf(body: Buffer, headLength: number, name: string): Buffer[] {
  if (!Number.isInteger(headLength) || headLength < 0 || headLength > body.length) throw broken('Inference-Header-Content-Length does not fit the body');
  let offset = headLength;
  for (const output of outputsIn(body.subarray(0, headLength))) {
    const size = output.parameters?.binary_data_size;
    const length = typeof size === 'number' && Number.isInteger(size) && size >= 0 ? size : 0;
    if (offset + length > body.length) throw broken(`output ${name} ends after the body`);
    if (output.name === name && output.datatype !== 'BYTES') throw broken(`output ${name} is not BYTES`);
    if (output.name === name) return size === undefined ? textElements(output.data, name) : binaryElements(body.subarray(offset, offset + length), name);
    offset += length;
  }
  throw broken(`output ${name} is missing`);
}

function outputsIn(head: Buffer): readonly Output[] {
  try {
    const { outputs } = JSON.parse(head.toString('utf8')) as { outputs?: unknown };
    if (Array.isArray(outputs)) return outputs as readonly Output[];
  } catch { /* told below */ }
  throw broken('its head is not the JSON of an inference response');
}

function textElements(data: unknown, name: string): Buffer[] {
  if (!Array.isArray(data) || !data.every((element) => typeof element === 'string')) throw broken(`output ${name} has no strings`);
  return data.map((element) => Buffer.from(element as string));
}

function binaryElements(bytes: Buffer, name: string): Buffer[] {
  const elements: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = at + 4 <= bytes.length ? bytes.readUInt32LE(at) : Infinity;
    if (at + 4 + length > bytes.length) throw broken(`an element of output ${name} ends after it`);
    elements.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return elements;
}
