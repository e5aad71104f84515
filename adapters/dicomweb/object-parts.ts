/** The objects of a multipart/related body, each as its bytes pass. */
import { parseMediaType } from './media-type.ts';
import { MultipartReader, defaultLimits } from './multipart.ts';

/**
 * @param foreign told of each part that is no object as it is: not application/dicom, or encoded. It is passed over, unless this throws
 * @throws MultipartError
 */
export async function* objectParts(body: AsyncIterable<Uint8Array>, boundary: string, mostParts: number, foreign: (text: string) => void): AsyncGenerator<AsyncIterable<Buffer>> {
  const reader = new MultipartReader(body, boundary, { ...defaultLimits, parts: mostParts });
  try {
    for (let headers = await reader.next(); headers !== undefined; headers = await reader.next()) {
      const fault = faultOf(headers['content-type'], headers['content-transfer-encoding'], headers['content-encoding']);
      if (fault === undefined) yield reader.bytes();
      else foreign(fault);
    }
  } finally {
    await reader.cancel();
  }
}

function faultOf(type: string | undefined, transferEncoding = 'binary', contentEncoding = 'identity'): string | undefined {
  if (type !== undefined && parseMediaType(type)?.type !== 'application/dicom') return 'a part is not application/dicom';
  if (!/^(binary|8bit)$/i.test(transferEncoding) || !/^identity$/i.test(contentEncoding)) return 'a part is encoded; send its bytes as they are';
  return undefined;
}

export async function* buffersOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const chunk of body) yield Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}
