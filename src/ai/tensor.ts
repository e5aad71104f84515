/** A named array as it goes to a model and comes back; datatypes by the Open Inference Protocol's names. */
export interface Tensor {
  readonly name: string;
  readonly datatype: 'FP32' | 'INT64';
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer> | BigInt64Array<ArrayBuffer>;
}

export interface InferenceCall {
  readonly inputs: readonly Tensor[];
  /** Names of the outputs wanted. */
  readonly outputs: readonly string[];
  readonly timeoutMilliseconds: number;
  readonly signal: AbortSignal;
}
/** One model, ready to be called. Rejects with AiError. */
export type Infer = (call: InferenceCall) => Promise<ReadonlyMap<string, Tensor>>;

export const elementCount = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
