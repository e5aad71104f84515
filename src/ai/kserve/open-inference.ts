/**
 * Open Inference Protocol v2 over HTTP with the binary tensor extension, as KServe, Triton and OpenVINO Model Server speak it:
 *   POST <base>/v2/models/<model>[/versions/<version>]/infer
 *   Inference-Header-Content-Length: n;  body = n bytes of JSON, then the tensors' bytes, little endian, in the order of the JSON.
 * Answers are bounded in size and time; redirects are not followed, because the study's pixels and the credentials would follow, too.
 */
import { AiError, abortedError } from '../ai-error.ts';
import type { AiModelConfig } from '../model.ts';
import { elementCount, type InferenceCall, type Tensor } from '../tensor.ts';
import { parseAnswer } from './answer.ts';

export type Endpoint = NonNullable<AiModelConfig['endpoint']>;

/** Rejects with AiError: 'unavailable' (no connection, 429, 5xx), 'timeout', 'model' (other 4xx, an answer that breaks the protocol), 'aborted'. */
export async function inferRemotely(endpoint: Endpoint, call: InferenceCall): Promise<ReadonlyMap<string, Tensor>> {
  const { body, headerLength } = await exchange(endpoint, request(call), call);
  return parseAnswer(body, headerLength, call.outputs);
}

export interface InferenceRequest { readonly headers: Readonly<Record<string, string>>; readonly body: Blob }

/** One request and its answer, whatever tensors they hold. Rejects with AiError, as inferRemotely does. */
export async function exchange(endpoint: Endpoint, { headers, body: sent }: InferenceRequest, call: Pick<InferenceCall, 'timeoutMilliseconds' | 'signal'>): Promise<{ readonly body: Buffer; readonly headerLength: string | null }> {
  const limit = AbortSignal.timeout(call.timeoutMilliseconds);
  const signal = AbortSignal.any([call.signal, limit]);
  try {
    const response = await fetch(inferUrl(endpoint), { method: 'POST', redirect: 'manual', signal, headers: { ...endpoint.headers, 'content-type': 'application/octet-stream', ...headers }, body: sent });
    const body = await readLimited(response, endpoint.responseByteLength);
    refuseStatus(response, body);
    return { body, headerLength: response.headers.get('inference-header-content-length') };
  } catch (error) {
    if (error instanceof AiError) throw error;
    if (call.signal.aborted) throw abortedError();
    if (limit.aborted) throw new AiError('timeout', `The inference server did not answer within ${call.timeoutMilliseconds} ms.`);
    const code = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code ?? (error as Error).name;
    throw new AiError('unavailable', `The inference server cannot be reached (${code}).`, { cause: error });
  }
}

function inferUrl({ url, model, version }: Endpoint): string {
  return `${url.replace(/\/+$/, '')}/v2/models/${encodeURIComponent(model)}${version === undefined ? '' : `/versions/${encodeURIComponent(version)}`}/infer`;
}

function request(call: InferenceCall): InferenceRequest {
  const parts = call.inputs.map((tensor) => new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength));
  const head = Buffer.from(JSON.stringify({
    inputs: call.inputs.map((tensor) => ({ name: tensor.name, datatype: tensor.datatype, shape: tensor.shape, parameters: { binary_data_size: tensor.data.byteLength } })),
    outputs: call.outputs.map((name) => ({ name, parameters: { binary_data: true } })),
  }));
  for (const tensor of call.inputs) if (elementCount(tensor.shape) !== tensor.data.length) throw new AiError('model', `Input ${tensor.name} has ${tensor.data.length} elements, its shape ${tensor.shape.join(' x ')} needs others.`);
  return { headers: { 'inference-header-content-length': String(head.length) }, body: new Blob([head, ...parts]) };
}

function refuseStatus(response: Response, body: Buffer): void {
  if (response.ok) return;
  const retry = response.status === 429 || response.status >= 500;
  throw new AiError(retry ? 'unavailable' : 'model', `The inference server answered ${response.status}${retry ? '' : errorText(body)}.`);
}

/** The protocol's error object is { "error": "..." }; anything else is not repeated. */
function errorText(body: Buffer): string {
  try {
    const { error } = JSON.parse(body.subarray(0, 4096).toString('utf8')) as { error?: unknown };
    return typeof error === 'string' ? `: ${error.slice(0, 300)}` : '';
  } catch {
    return '';
  }
}

async function readLimited(response: Response, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += (chunk as Uint8Array).byteLength;
    if (length > limit) throw new AiError('model', `The inference server's answer is longer than ${limit} bytes.`);
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks);
}
