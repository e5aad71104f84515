/** The inference server's answer to tensors; every length is checked before it is believed. */
import { z } from 'zod';
import { AiError } from '../ai-error.ts';
import { elementCount, type Tensor } from '../tensor.ts';

const answerSchema = z.object({
  outputs: z.array(z.object({
    name: z.string(), datatype: z.string(), shape: z.array(z.number().int().min(0)),
    parameters: z.object({ binary_data_size: z.number().int().min(0).optional() }).optional(),
    data: z.array(z.union([z.number(), z.boolean()])).optional(),
  })),
});
type Output = z.infer<typeof answerSchema>['outputs'][number];

const broken = (text: string): AiError => new AiError('model', `The inference server's answer breaks the protocol: ${text}.`);

export function parseAnswer(body: Buffer, headerLength: string | null, wanted: readonly string[]): ReadonlyMap<string, Tensor> {
  const head = headerLength === null ? body.length : Number(headerLength);
  if (!Number.isInteger(head) || head < 0 || head > body.length) throw broken('Inference-Header-Content-Length does not fit the body');
  const tensors = new Map<string, Tensor>();
  let offset = head;
  for (const output of readHead(body.subarray(0, head))) {
    const size = output.parameters?.binary_data_size;
    if (size !== undefined && offset + size > body.length) throw broken(`output ${output.name} ends after the body`);
    tensors.set(output.name, size === undefined ? fromNumbers(output) : fromBytes(output, body.subarray(offset, offset + size)));
    offset += size ?? 0;
  }
  const missing = wanted.filter((name) => !tensors.has(name));
  if (missing.length > 0) throw broken(`output ${missing.join(', ')} is missing`);
  return tensors;
}

function readHead(bytes: Buffer): Output[] {
  try {
    return answerSchema.parse(JSON.parse(bytes.toString('utf8'))).outputs;
  } catch {
    throw broken('its head is not the JSON of an inference response');
  }
}

const WIDTH: Readonly<Record<string, number>> = { FP32: 4, FP64: 8, INT64: 8, INT32: 4, UINT8: 1 };

function fromBytes(output: Output, bytes: Buffer): Tensor {
  const width = WIDTH[output.datatype];
  if (width === undefined) throw broken(`output ${output.name} has datatype ${output.datatype}; read are ${Object.keys(WIDTH).join(', ')}`);
  const count = elementCount(output.shape);
  if (bytes.length !== count * width) throw broken(`output ${output.name} has ${bytes.length} bytes, its shape needs ${count * width}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (output.datatype === 'INT64') return { name: output.name, datatype: 'INT64', shape: output.shape, data: BigInt64Array.from({ length: count }, (_, index) => view.getBigInt64(index * 8, true)) };
  const read = { FP32: (at: number) => view.getFloat32(at, true), FP64: (at: number) => view.getFloat64(at, true), INT32: (at: number) => view.getInt32(at, true), UINT8: (at: number) => view.getUint8(at) }[output.datatype as 'FP32'];
  return { name: output.name, datatype: 'FP32', shape: output.shape, data: Float32Array.from({ length: count }, (_, index) => read(index * width)) };
}

function fromNumbers(output: Output): Tensor {
  const data = output.data ?? [];
  if (data.length !== elementCount(output.shape)) throw broken(`output ${output.name} has ${data.length} elements, its shape needs ${elementCount(output.shape)}`);
  return { name: output.name, datatype: 'FP32', shape: output.shape, data: Float32Array.from(data, Number) };
}
