/**
 * The body of a request: as bytes of the right kind, not too many, and never more read than allowed, compressed or not; and as the resource it holds,
 * whether JSON or XML.
 */
import { createGunzip } from 'node:zlib';
import { Readable } from 'node:stream';
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
  const tooLarge = new FhirRefusal(413, 'too-long', `The request has more than ${maximumBytes} bytes, which is the most this integration takes.`);
  if (Number(request.headers.get('content-length') ?? 0) > maximumBytes) throw tooLarge;
  const stream = encoding === 'identity' || request.body === null ? request.body ?? [] : Readable.fromWeb(request.body as never).pipe(createGunzip());
  const chunks: Uint8Array[] = [];
  let byteLength = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      byteLength += chunk.byteLength;
      if (byteLength > maximumBytes) throw tooLarge;      // leaving the loop cancels the stream
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof FhirRefusal) throw error;
    if (String((error as { code?: unknown }).code).startsWith('Z_')) throw new FhirRefusal(400, 'structure', 'The body is not what Content-Encoding says: it cannot be decompressed.');
    throw new FhirRefusal(400, 'incomplete', 'The request ended before its body did.');
  }
  if (byteLength === 0) throw new FhirRefusal(400, 'required', 'The request has no body; it must be one resource as JSON or XML.');
  return { bytes: Buffer.concat(chunks, byteLength), mediaType };
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
