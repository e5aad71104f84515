/** What a server's Store Instances Response (PS3.18 table 10.5.3-1) says of one instance; JSON, or XML as older servers answer. Never throws. */
export type StoreStatus =
  | { readonly kind: 'stored' }
  /** The server told what became of objects, and this is none of them. */
  | { readonly kind: 'unnamed' }
  | { readonly kind: 'failed'; readonly code: string; readonly text: string; readonly isDuplicate: boolean; readonly isLater: boolean };

const failedSequence = '00081198', referencedSequence = '00081199', otherFailures = '0008119A';

/** Undefined: the answer does not say. */
export function statusOfStore(body: Buffer, contentType: string, sopInstanceUid: string): StoreStatus | undefined {
  const text = body.toString('utf8');
  if (contentType.includes('xml')) return ofXml(text, sopInstanceUid);
  const dataset = jsonObject(text);
  if (dataset === undefined) return undefined;
  const failures = [...itemsOf(dataset, failedSequence), ...itemsOf(dataset, otherFailures)];
  const failure = failures.find((item) => firstOf(item, '00081155') === sopInstanceUid) ?? failures[0];
  if (failure !== undefined) return failed(Number(firstOf(failure, '00081197')));
  if (itemsOf(dataset, referencedSequence).some((item) => firstOf(item, '00081155') === sopInstanceUid)) return { kind: 'stored' };
  return dataset[referencedSequence] === undefined && dataset[failedSequence] === undefined ? undefined : { kind: 'unnamed' };
}

/** Only one object is sent, so a failure in the answer is its failure. A sequence of failures may be there and empty. */
function ofXml(text: string, sopInstanceUid: string): StoreStatus | undefined {
  if (/tag="00081198"[^>]*[^/]>\s*<Item/.test(text)) return failed(Number(/tag="00081197"[^>]*>\s*<Value[^>]*>\s*(\d+)/.exec(text)?.[1] ?? NaN));
  if (text.includes('tag="00081199"') && text.includes(sopInstanceUid)) return { kind: 'stored' };
  return /tag="0008119[89]"/.test(text) ? { kind: 'unnamed' } : undefined;
}

const phrases: Readonly<Record<number, string>> = {
  0x0110: 'processing failure', 0x0111: 'the server has this SOP instance already', 0x0112: 'no such SOP instance', 0x0117: 'invalid SOP instance', 0x0122: 'the server does not take this SOP class', 0x0124: 'not authorized',
  0xc122: 'the server does not take this transfer syntax', 0xb00e: 'the server has this SOP instance already',
};

function failed(reason: number): StoreStatus {
  if (!Number.isInteger(reason) || reason < 0 || reason > 0xffff) return { kind: 'failed', code: '????', text: 'the server refused the object without a reason', isDuplicate: false, isLater: false };
  const byClass = (reason & 0xff00) === 0xa700 ? 'the server is out of resources' : (reason & 0xff00) === 0xa900 ? 'the data set does not match its SOP class' : (reason & 0xf000) === 0xc000 ? 'the server cannot understand the object' : 'the server refused the object';
  const code = reason.toString(16).toUpperCase().padStart(4, '0');
  return { kind: 'failed', code, text: `${phrases[reason] ?? byClass} (Failure Reason ${code})`, isDuplicate: reason === 0x0111 || reason === 0xb00e, isLater: (reason & 0xff00) === 0xa700 };
}

type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Some servers answer with a list of one. */
function jsonObject(text: string): Json | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    const one: unknown = Array.isArray(value) ? value[0] : value;
    return isObject(one) ? one : undefined;
  } catch {
    return undefined;
  }
}

function valuesOf(dataset: Json, tag: string): readonly unknown[] {
  const element = dataset[tag];
  return isObject(element) && Array.isArray(element['Value']) ? element['Value'] as readonly unknown[] : [];
}
const itemsOf = (dataset: Json, tag: string): readonly Json[] => valuesOf(dataset, tag).filter(isObject);
/** Padding means nothing, and some servers leave it. */
function firstOf(dataset: Json, tag: string): unknown {
  const [value] = valuesOf(dataset, tag);
  return typeof value === 'string' ? value.replace(/[\0 ]+$/, '') : value;
}
