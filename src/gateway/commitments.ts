/**
 * Storage Commitment (PS3.4 annex J) as the gateway keeps it: "do you have these, for good?" is put on record, answered after a look at every
 * file, and told until the asker has heard it.
 *
 *   N-ACTION -> request(): exchange, row and job committed -> check(): files read and hashed -> N-EVENT-REPORT -> told()
 */
import type { DeliveryOutcome, Integration, Peer } from './adapter.ts';

export interface CommitmentItem { readonly sopClassUid: string; readonly sopInstanceUid: string }
/** Failure Reason (0008,1197), PS3.3 C.14.1.1. */
export type FailureReason = 'processing failure' | 'no such object instance' | 'class/instance conflict';

export interface CommitmentRequest {
  readonly integration: Integration;
  readonly peer: Peer;
  readonly transactionUid: string;
  readonly items: readonly CommitmentItem[];
  /** The action information as it came. */
  readonly message: Buffer;
  readonly facts: Readonly<Record<string, unknown>>;
}
export interface CommitmentResult {
  readonly commitmentId: string;
  readonly transactionUid: string;
  readonly committed: readonly CommitmentItem[];
  readonly failed: readonly (CommitmentItem & { readonly reason: FailureReason })[];
}

export interface Commitments {
  /** Resolves after the commit; throws when the request cannot be kept. The same transaction UID again asks again. */
  request(request: CommitmentRequest): Promise<{ readonly commitmentId: string; answered(code: string, heard: boolean): void }>;
  /** Reads and hashes every file, keeps the result. Undefined: told already. */
  check(organizationId: string, commitmentId: string): Promise<CommitmentResult | undefined>;
  /** Puts one attempt to tell the result on record. */
  told(organizationId: string, commitmentId: string, outcome: DeliveryOutcome): Promise<void>;
  /** The asker is gone before it was told: it is called now. */
  callBack(organizationId: string, commitmentId: string): Promise<void>;
}

/** An adapter that can tell the result on an association of its own. */
export interface CommitmentReporter<Config> {
  /** Never throws for what the network or the peer does. */
  report(result: CommitmentResult, config: Config, signal: AbortSignal): Promise<DeliveryOutcome>;
}
