/** multipart/related put together while it is sent (RFC 2046 5.1). The boundary is random: that it occurs in a part is as likely as guessing a key. */
import { randomUUID } from 'node:crypto';

export interface MultipartWriter {
  /** Value of Content-Type. */
  readonly contentType: string;
  head(headers: Readonly<Record<string, string>>): Buffer;
  end(): Buffer;
}

/** @param type of the parts, e.g. 'application/dicom' */
export function multipartWriter(type: string): MultipartWriter {
  const boundary = `medscan-${randomUUID()}${randomUUID().slice(0, 8)}`;
  let isFirst = true;
  return {
    contentType: `multipart/related; type="${type}"; boundary=${boundary}`,
    head(headers) {
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('');
      const opening = isFirst ? '' : '\r\n';
      isFirst = false;
      return Buffer.from(`${opening}--${boundary}\r\n${lines}\r\n`, 'latin1');
    },
    end: () => Buffer.from(`${isFirst ? '' : '\r\n'}--${boundary}--\r\n`, 'latin1'),
  };
}
