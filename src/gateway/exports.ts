/**
 * Whole sets of records for another system, made in the background. In: which types, changed since when. Out: one file of lines for each type, until it
 * expires. What changed up to `transactionAt` is in it; the rest is for the next time.
 */
import type { Reader, RecordKind, RecordRow } from './records.ts';

export interface ExportRequest { readonly integrationId: string; readonly types: readonly string[]; readonly since?: string | undefined; readonly url: string }
export interface ExportOutput { readonly type: string; readonly count: number; readonly byteLength: number }
export interface RecordExport extends ExportRequest {
  readonly exportId: string;
  readonly organizationId: string;
  readonly userId: string;
  readonly status: 'queued' | 'running' | 'completed' | 'failed' | 'cancelled';
  readonly transactionAt: string;
  /** Written so far. */
  readonly recordCount: number;
  readonly outputs: readonly ExportOutput[];
  readonly errorText: string | undefined;
  readonly expiresAt: string;
}

/** Of the asker's organization and integration only; another's is undefined. Each start, download and end is on record. */
export interface Exports {
  /** Undefined: too many are running for this system. */
  start(reader: Reader, request: ExportRequest): Promise<RecordExport | undefined>;
  read(reader: Reader, integrationId: string, exportId: string): Promise<RecordExport | undefined>;
  /** Stops it when it runs, and removes its files. */
  end(reader: Reader, integrationId: string, exportId: string): Promise<boolean>;
  /** Undefined: there is no such file. */
  open(reader: Reader, made: RecordExport, type: string): Promise<{ readonly byteLength: number; readonly stream: ReadableStream<Uint8Array> } | undefined>;
}

/** An adapter that puts records into lines. */
export interface RecordExporter<Config> {
  readonly types: Readonly<Record<string, RecordKind>>;
  /** One line without its end. */
  line(record: RecordRow, config: Config): string;
}
