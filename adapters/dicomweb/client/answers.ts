/** What a server answers to a search (PS3.18 10.6.3, DICOM JSON of annex F), read without trusting any of it. */
type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

/** One match. */
export class Match {
  readonly #dataset: Json;
  constructor(dataset: Json) { this.#dataset = dataset; }

  /** Of an element as '0020000D': its values as text, without those that are empty. */
  texts(tag: string): readonly string[] {
    const element = this.#dataset[tag];
    const values = isObject(element) && Array.isArray(element['Value']) ? element['Value'] as readonly unknown[] : [];
    return values.filter((value) => typeof value === 'string' || typeof value === 'number').map((value) => String(value).trim()).filter((value) => value !== '');
  }

  /** '' when there is none. */
  text(tag: string): string { return this.texts(tag)[0] ?? ''; }
  wholeNumber(tag: string): number | undefined { const text = this.text(tag); return /^\d{1,9}$/.test(text) ? Number(text) : undefined; }
}

/** Undefined: the body is no list of data sets. An empty one is a list of none. */
export function matchesOf(body: Buffer): readonly Match[] | undefined {
  if (body.length === 0) return [];
  try {
    const value = JSON.parse(body.toString('utf8')) as unknown;
    return Array.isArray(value) && value.every(isObject) ? value.map((dataset) => new Match(dataset)) : undefined;
  } catch {
    return undefined;
  }
}
