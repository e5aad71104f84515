/** The body of a request as bytes: right kind, not too many, and never more read than allowed. */
import { FhirRefusal } from './answer.ts';

/** Throws FhirRefusal: 415, 406, 413, 400. */
export async function readBody(request: Request, maximumBytes: number): Promise<Buffer> {
  checkHeaders(request);
  const tooLarge = new FhirRefusal(413, 'too-long', `The request has more than ${maximumBytes} bytes, which is the most this integration takes.`);
  if (Number(request.headers.get('content-length') ?? 0) > maximumBytes) throw tooLarge;
  const chunks: Uint8Array[] = [];
  let byteLength = 0;
  try {
    for await (const chunk of request.body ?? []) {
      byteLength += chunk.byteLength;
      if (byteLength > maximumBytes) throw tooLarge;      // leaving the loop cancels the stream
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof FhirRefusal) throw error;
    throw new FhirRefusal(400, 'incomplete', 'The request ended before its body did.');
  }
  if (byteLength === 0) throw new FhirRefusal(400, 'required', 'The request has no body; it must be one resource as JSON.');
  return Buffer.concat(chunks, byteLength);
}

function checkHeaders(request: Request): void {
  const [type = '', ...parameters] = (request.headers.get('content-type') ?? '').toLowerCase().split(';').map((part) => part.trim());
  const isJson = type === 'application/fhir+json' || type === 'application/json';
  const isOther = parameters.some((parameter) => /^charset=(?!"?utf-8"?$)|^fhirversion=(?!"?4\.0"?$)/.test(parameter));
  if (!isJson || isOther) throw new FhirRefusal(415, 'not-supported', 'The content type must be application/fhir+json (UTF-8, FHIR 4.0). XML is not taken.');
  const encoding = request.headers.get('content-encoding')?.toLowerCase() ?? 'identity';
  if (encoding !== 'identity') throw new FhirRefusal(415, 'not-supported', 'Content-Encoding is not taken; send the body as it is.');
  if (!acceptsJson(request)) throw new FhirRefusal(406, 'not-supported', 'Answers are application/fhir+json; Accept excludes it.');
}

export function acceptsJson(request: Request): boolean {
  return /\*\/\*|application\/\*|json/.test(request.headers.get('accept')?.toLowerCase() ?? '*/*');
}
