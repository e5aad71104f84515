/**
 * Writes an ONNX file (https://onnx.ai/onnx/repo-docs/IR.html) without the onnx package: the protobuf fields our graphs need, nothing else.
 * Deterministic: the same calls give the same bytes.
 */
export type Attribute = number | readonly number[] | { readonly float: number };
export interface Dimension { readonly name?: string; readonly value?: number }
export interface ValueInfo { readonly name: string; readonly elementType: number; readonly shape: readonly Dimension[]; readonly text?: string }

export const FLOAT = 1;
export const INT64 = 7;

export class OnnxGraph {
  readonly #nodes: Buffer[] = [];
  readonly #initializers: Buffer[] = [];
  readonly #constants = new Map<string, string>();
  #names = 0;

  /** Adds a node and returns the names of its outputs; `outputs` is their number or their names. */
  node(operator: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}, outputs: number | readonly string[] = 1): string[] {
    const names = typeof outputs === 'number' ? Array.from({ length: outputs }, () => this.#fresh(operator)) : [...outputs];
    this.#nodes.push(Buffer.concat([
      ...inputs.map((name) => text(1, name)), ...names.map((name) => text(2, name)), text(3, `${operator}_${this.#nodes.length}`), text(4, operator),
      ...Object.entries(attributes).map(([name, value]) => bytes(5, attribute(name, value))),
    ]));
    return names;
  }

  /** As node(), for operators with one output. */
  apply(operator: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    return this.node(operator, inputs, attributes, 1)[0]!;
  }

  float(values: readonly number[], shape: readonly number[]): string {
    return this.#constant(FLOAT, shape, Buffer.from(Float32Array.from(values).buffer));
  }

  int(values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.#constant(INT64, shape, Buffer.from(BigInt64Array.from(values, BigInt).buffer));
  }

  model(about: { name: string; producer: string; version: string; text: string; metadata: Readonly<Record<string, string>> }, inputs: readonly ValueInfo[], outputs: readonly ValueInfo[]): Buffer {
    const graph = Buffer.concat([
      ...this.#nodes.map((node) => bytes(1, node)), text(2, about.name), ...this.#initializers.map((tensor) => bytes(5, tensor)), text(10, about.text),
      ...inputs.map((value) => bytes(11, valueInfo(value))), ...outputs.map((value) => bytes(12, valueInfo(value))),
    ]);
    return Buffer.concat([
      integer(1, 8), text(2, about.producer), text(3, about.version), integer(5, 1), text(6, about.text), bytes(7, graph),
      bytes(8, Buffer.concat([text(1, ''), integer(2, 13)])),
      ...Object.entries(about.metadata).map(([key, value]) => bytes(14, Buffer.concat([text(1, key), text(2, value)]))),
    ]);
  }

  #fresh(operator: string): string {
    this.#names += 1;
    return `${operator.toLowerCase()}_${this.#names}`;
  }

  #constant(elementType: number, shape: readonly number[], data: Buffer): string {
    const key = `${elementType}:${shape.join('x')}:${data.toString('base64')}`;
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = this.#fresh('constant');
    this.#constants.set(key, name);
    this.#initializers.push(Buffer.concat([...shape.map((size) => integer(1, size)), integer(2, elementType), text(8, name), bytes(9, data)]));
    return name;
  }
}

const FLOAT_ATTRIBUTE = 1;
const INT_ATTRIBUTE = 2;
const INTS_ATTRIBUTE = 7;

function attribute(name: string, value: Attribute): Buffer {
  if (typeof value === 'number') return Buffer.concat([text(1, name), integer(3, value), integer(20, INT_ATTRIBUTE)]);
  if ('float' in value) return Buffer.concat([text(1, name), float32(2, value.float), integer(20, FLOAT_ATTRIBUTE)]);
  return Buffer.concat([text(1, name), ...value.map((item) => integer(8, item)), integer(20, INTS_ATTRIBUTE)]);
}

function valueInfo(value: ValueInfo): Buffer {
  const dimensions = value.shape.map((size) => bytes(1, size.value === undefined ? text(2, size.name ?? '') : integer(1, size.value)));
  const tensor = Buffer.concat([integer(1, value.elementType), bytes(2, Buffer.concat(dimensions))]);
  return Buffer.concat([text(1, value.name), bytes(2, bytes(1, tensor)), ...(value.text === undefined ? [] : [text(3, value.text)])]);
}

function varint(value: number): number[] {
  const out: number[] = [];
  let rest = value;
  while (rest > 127) {
    out.push((rest & 127) | 128);
    rest = Math.floor(rest / 128);
  }
  return [...out, rest];
}
const integer = (field: number, value: number): Buffer => Buffer.from([...varint(field * 8), ...varint(value)]);
const bytes = (field: number, value: Buffer): Buffer => Buffer.concat([Buffer.from([...varint(field * 8 + 2), ...varint(value.length)]), value]);
const text = (field: number, value: string): Buffer => bytes(field, Buffer.from(value, 'utf8'));
function float32(field: number, value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeFloatLE(value);
  return Buffer.concat([Buffer.from(varint(field * 8 + 5)), data]);
}
