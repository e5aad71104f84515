/** What the pipeline gives an AI runtime and what it gets back. */
import type { Coded, FindingLocation, Measurement, ReportFinding } from '#domain/report-document.ts';
import type { AiModel, DeIdentification } from './model.ts';

export interface AiInstance {
  /** Absolute path of a Part 10 file. */
  readonly path: string;
  /** Where the dataset starts in it (after preamble and group 0002). */
  readonly datasetOffset: number;
  readonly sopInstanceUid: string;
  readonly sopClassUid: string;
  readonly seriesInstanceUid: string;
  readonly transferSyntaxUid: string;
  readonly instanceNumber?: number;
  readonly modality?: string;
  readonly numberOfFrames?: number;
}

export interface AnalyzeInput {
  readonly model: AiModel;
  readonly studyInstanceUid: string;
  readonly instances: readonly AiInstance[];
  /** How images leave to models of others; absent: they do not. */
  readonly outbound?: OutboundImages;
  readonly signal: AbortSignal;
}

/** Images on their way to somebody else's model, without what tells whose they are. */
export interface OutboundImages {
  /** Rejects with AiError 'input', in words, for an image that must not leave. */
  deIdentified(instance: AiInstance, options: DeIdentification): Promise<{ readonly file: Buffer; readonly sopInstanceUid: string; readonly warnings: readonly string[] }>;
  /** Whether the pixels may leave; rejects as above. Resolves to what a person should look at. */
  checkPixels(instance: AiInstance, options: DeIdentification): Promise<readonly string[]>;
  /** What was replaced is remembered and the export is on record: only then may anything be sent. */
  commit(facts: { readonly options: DeIdentification | false; readonly sent: number; readonly refused: number }): Promise<void>;
  /** Of a UID that came back; undefined: none of those that were sent. */
  originalUid(uid: string): string | undefined;
}

export interface AiFinding {
  readonly type: Coded;
  readonly severity: ReportFinding['severity'];
  readonly confidencePercentage: number;
  readonly description: string;
  readonly bodySite?: Coded;
  readonly laterality?: 'left' | 'right' | 'bilateral';
  readonly location?: FindingLocation;
  readonly measurements: readonly Measurement[];
}

export interface AnalyzeResult {
  /** Most severe first. Empty: the model ran and found nothing. */
  readonly findings: readonly AiFinding[];
  /** Highest confidence of a finding, 0..1; null when there is none. */
  readonly confidenceScore: number | null;
  readonly modelMilliseconds: number;
  readonly decodeMilliseconds: number;
  readonly framesRead: number;
  /** What was left out and why; shown to a person with the result. */
  readonly warnings: readonly string[];
}

export interface AiRuntime {
  /** Rejects with AiError. Calls may run side by side; memory is the caller's concern. */
  analyze(input: AnalyzeInput): Promise<AnalyzeResult>;
  /** Ends threads and processes; running calls fail as 'unavailable'. */
  close(): Promise<void>;
}

export interface AiLog {
  debug(facts: object, text: string): void;
  info(facts: object, text: string): void;
  warn(facts: object, text: string): void;
  error(facts: object, text: string): void;
}
