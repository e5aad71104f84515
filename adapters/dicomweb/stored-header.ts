/** The header of a stored instance: its data set read up to Pixel Data, and no further. */
import type { Holdings, StoredInstance } from '#gateway/holdings.ts';
import { DatasetHead } from '#standards/dicom/dataset-head.ts';
import { readHeader, type DicomHeader } from '#standards/dicom/header.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { tags } from '#standards/dicom/tag.ts';
import { transferSyntaxOf } from '#standards/dicom/transfer-syntaxes.ts';

export interface StoredHeader {
  readonly header: DicomHeader;
  readonly hasPixelData: boolean;
  /** Where in the data set Pixel Data, or what comes with them, begin; undefined when there are none or they cannot be reached (deflated). */
  readonly pixelDataAt: number | undefined;
}

/** Functional groups of a large enhanced object are a few MiB. */
const mostHeaderBytes = 32 * 1024 * 1024;

export async function readStoredHeader(holdings: Holdings, instance: StoredInstance): Promise<StoredHeader> {
  const prefix = buildPart10Header(instance);
  const head = new DatasetHead(prefix, instance.transferSyntaxUid, mostHeaderBytes);
  const stream = holdings.openDataset(instance);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      head.add(chunk);
      if (head.isComplete) break;
    }
  } finally {
    stream.destroy();
  }
  const bytes = head.bytes();
  const header = readHeader(bytes, instance.transferSyntaxUid);
  const isBefore = head.stoppedAt !== undefined && head.stoppedAt <= tags.pixelData;
  return {
    header, hasPixelData: isBefore || header.hasPixelData,
    pixelDataAt: isBefore && !transferSyntaxOf(instance.transferSyntaxUid).deflated ? bytes.length - prefix.length : undefined,
  };
}
