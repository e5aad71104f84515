/**
 * How an answer is put on the wire (R4 http.html#mime-type, #preferences): JSON or XML by _format, else by Accept; gzip where it is accepted and saves
 * something. Everything below works with JSON; here is the only place that turns an answer into something else.
 */
import { gzip } from 'node:zlib';
import { promisify } from 'node:util';
import { writeFhirXml } from '#standards/fhir/xml.ts';
import { FhirRefusal } from './answer.ts';

export type Format = 'json' | 'xml';
const compress = promisify(gzip);
const leastCompressed = 1024;

/** Throws FhirRefusal 406 when neither is wanted, 400 when _format names something else. */
export function wantedFormat(request: Request): Format {
  const format = new URL(request.url).searchParams.get('_format')?.toLowerCase().replaceAll(' ', '+');
  if (format !== undefined) {
    if (/^(json|xml)$|^(application\/(fhir\+)?(json|xml)|text\/xml)(;.*)?$/.test(format)) return format.includes('xml') ? 'xml' : 'json';
    throw new FhirRefusal(406, 'not-supported', '_format must be json or xml, or one of their media types.');
  }
  const accepted = rangesOf(request.headers.get('accept') ?? '*/*');
  const best = (pattern: RegExp): number => Math.max(0, ...accepted.filter(({ type }) => pattern.test(type)).map(({ quality }) => quality));
  const any = best(/^(\*\/\*|application\/\*)$/), json = best(/json$/), xml = best(/xml$/);
  if (json === 0 && xml === 0 && any === 0) throw new FhirRefusal(406, 'not-supported', 'Answers are application/fhir+json or application/fhir+xml; Accept excludes both.');
  return xml > json && xml >= any ? 'xml' : 'json';
}

/** 'a/b;q=0.5, c/d' */
function rangesOf(accept: string): { type: string; quality: number }[] {
  return accept.toLowerCase().split(',').slice(0, 50).map((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    const quality = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1);
    return { type, quality: Number.isFinite(quality) ? quality : 0 };
  });
}

/** The same answer in the format and encoding that the request accepts. A refusal of the format itself goes out as JSON. */
export async function encoded(request: Request, response: Response): Promise<Response> {
  if (response.body === null || !response.headers.get('content-type')?.startsWith('application/fhir+json')) return response;
  let bytes = Buffer.from(await response.arrayBuffer());
  const headers = new Headers(response.headers);
  // A resource that the library cannot write stays JSON, and says so.
  const xml = isXmlWanted(request) ? await writeFhirXml(JSON.parse(bytes.toString()) as Record<string, unknown>).catch(() => undefined) : undefined;
  if (xml !== undefined) {
    bytes = Buffer.from(xml);
    headers.set('content-type', 'application/fhir+xml; charset=utf-8');
  }
  headers.append('vary', 'accept, accept-encoding');
  if (bytes.byteLength >= leastCompressed && acceptsGzip(request)) {
    bytes = await compress(bytes);
    headers.set('content-encoding', 'gzip');
  }
  headers.set('content-length', String(bytes.byteLength));
  return new Response(request.method === 'HEAD' ? null : new Uint8Array(bytes), { status: response.status, headers });
}

function isXmlWanted(request: Request): boolean {
  try {
    return wantedFormat(request) === 'xml';
  } catch {
    return false;
  }
}

function acceptsGzip(request: Request): boolean {
  return rangesOf(request.headers.get('accept-encoding') ?? '').some(({ type, quality }) => (type === 'gzip' || type === 'x-gzip') && quality > 0);
}

export type Preference = 'minimal' | 'representation' | 'OperationOutcome';
/** Prefer: return=...; an OperationOutcome when nothing is said. */
export function preferredReturn(request: Request): Preference {
  const [, wanted] = /(?:^|[,;\s])return=("?)(minimal|representation|OperationOutcome)\1(?:$|[,;\s])/.exec(request.headers.get('prefer') ?? '')?.slice(1) ?? [];
  return wanted as Preference | undefined ?? 'OperationOutcome';
}
export function isLenient(request: Request): boolean {
  return /(?:^|[,;\s])handling="?lenient\b/.test(request.headers.get('prefer') ?? '');
}
