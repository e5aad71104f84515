/**
 * The body of a request: as bytes of the right kind, not too many, and never more read than allowed, compressed or not; and as the resource it holds,
 * whether JSON or XML.
 */
import { Readable, pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { FhirJsonError, defaultJsonLimits, parseFhirJson } from '#standards/fhir/json.ts';
import { FhirXmlError, parseFhirXml } from '#standards/fhir/xml.ts';
import { FhirRefusal } from './answer.ts';
import { wantedFormat } from './negotiate.ts';

export type MediaType = 'application/fhir+json' | 'application/fhir+xml';
export interface Body { readonly bytes: Buffer; readonly mediaType: MediaType }

/** Throws FhirRefusal: 415, 406, 413, 400. `maximumBytes` counts what is in the body after decompression. */
export async function readBody(request: Request, maximumBytes: number): Promise<Body> {
  const mediaType = mediaTypeOf(request), encoding = request.headers.get('content-encoding')?.trim().toLowerCase() ?? 'identity';
  if (!['identity', 'gzip', 'x-gzip'].includes(encoding)) throw new FhirRefusal(415, 'not-supported', 'Content-Encoding must be gzip or none.', { headers: { 'accept-encoding': 'gzip' } });
  wantedFormat(request);
  const bytes = await readBytes(request, maximumBytes, `The request has more than ${maximumBytes} bytes, which is the most this integration takes.`, encoding !== 'identity');
  if (bytes.byteLength === 0) throw new FhirRefusal(400, 'required', 'The request has no body; it must be one resource as JSON or XML.');
  return { bytes, mediaType };
}

/** Longer than this without a byte, and the request is given up. */
const idleMilliseconds = 30_000;

/** Throws FhirRefusal: 413 with `tooLarge` as soon as there are too many bytes, 408, 400. */
export async function readBytes(request: Request, maximumBytes: number, tooLarge: string, isCompressed = false, silenceMilliseconds = idleMilliseconds): Promise<Buffer> {
  const refusal = new FhirRefusal(413, 'too-long', tooLarge);
  if (Number(request.headers.get('content-length') ?? 0) > maximumBytes) throw refusal;
  if (request.body === null) return Buffer.alloc(0);
  // Errors and ends go through the pipeline both ways: a sender that leaves ends the decompression, and a body that is too long is read no further.
  const source = Readable.fromWeb(request.body as never), stream = isCompressed ? pipeline(source, createGunzip(), () => undefined) : source;
  const idle = setTimeout(() => { stream.destroy(new FhirRefusal(408, 'timeout', `No byte of the body came for ${silenceMilliseconds / 1000} seconds.`)); }, silenceMilliseconds);
  const chunks: Uint8Array[] = [];
  let byteLength = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      idle.refresh();
      byteLength += chunk.byteLength;
      if (byteLength > maximumBytes) throw refusal;      // leaving the loop destroys the stream
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof FhirRefusal) throw error;
    if (String((error as { code?: unknown }).code).startsWith('Z_')) throw new FhirRefusal(400, 'structure', 'The body is not what Content-Encoding says: it cannot be decompressed.');
    throw new FhirRefusal(400, 'incomplete', 'The request ended before its body did.');
  } finally {
    clearTimeout(idle);
  }
  return Buffer.concat(chunks, byteLength);
}

function mediaTypeOf(request: Request): MediaType {
  const [type = '', ...parameters] = (request.headers.get('content-type') ?? '').toLowerCase().split(';').map((part) => part.trim());
  const isOther = parameters.some((parameter) => /^charset=(?!"?utf-8"?$)|^fhirversion=(?!"?4\.0"?$)/.test(parameter));
  if (!isOther && (type === 'application/fhir+json' || type === 'application/json')) return 'application/fhir+json';
  if (!isOther && (type === 'application/fhir+xml' || type === 'application/xml' || type === 'text/xml')) return 'application/fhir+xml';
  throw new FhirRefusal(415, 'not-supported', 'The content type must be application/fhir+json or application/fhir+xml (UTF-8, FHIR 4.0).');
}

/** Throws FhirRefusal 400. */
export async function resourceFrom({ bytes, mediaType }: Body): Promise<Record<string, unknown>> {
  try {
    return mediaType === 'application/fhir+xml' ? await parseFhirXml(bytes) : parseFhirJson(bytes, { ...defaultJsonLimits, byteLength: bytes.byteLength });
  } catch (error) {
    if (error instanceof FhirJsonError || error instanceof FhirXmlError) throw new FhirRefusal(400, 'structure', error.message);
    throw error;
  }
}
