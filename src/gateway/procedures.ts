/**
 * Modality Performed Procedure Steps (PS3.4 annex F) as the gateway keeps them: what a modality says it is doing and has done. They move the
 * scan, and a completed step's list of instances is proof that the images are complete.
 */
import type { Integration, Peer } from './adapter.ts';

export interface ProcedureMessage {
  readonly integration: Integration;
  readonly peer: Peer;
  readonly interaction: 'N-CREATE MPPS' | 'N-SET MPPS';
  readonly sopInstanceUid: string;
  /** The attribute list as it came. */
  readonly message: Buffer;
  readonly facts: Readonly<Record<string, unknown>>;
}
export interface ProcedureBegun extends ProcedureMessage {
  /** As the step names its patient; '' when it does not. A scan of another patient is not linked. */
  readonly patientId: string;
  /** What the step was scheduled as, most telling first; '' where it says nothing. */
  readonly scheduledAs: readonly { readonly studyInstanceUid: string; readonly accessionNumber: string; readonly requestedProcedureId: string }[];
}
export interface ProcedureChanged extends ProcedureMessage {
  readonly status: 'in_progress' | 'completed' | 'discontinued';
  readonly referencedInstances: readonly string[];
}

export type ProcedureAnswer = {
  readonly kind: 'accepted' | 'duplicate' | 'unknown' | 'final';
  answered(code: string, heard: boolean): void;
};

export interface Procedures {
  /** Resolves after the commit; throws when it cannot be kept. duplicate: the instance exists. */
  begin(step: ProcedureBegun): Promise<ProcedureAnswer>;
  /** unknown: no such instance. final: it was completed or discontinued before and may not change. */
  change(step: ProcedureChanged): Promise<ProcedureAnswer>;
}
