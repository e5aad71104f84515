/** What the pipeline gives an AI runtime and what it gets back. */
import type { Coded, FindingLocation, Measurement, ReportFinding } from '#domain/report-document.ts';
import type { AiModel } from './model.ts';

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
  readonly signal: AbortSignal;
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
