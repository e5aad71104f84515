/**
 * What the gateway asks of another system: which studies of a patient it has, how many images a study has there, to send them, what is
 * scheduled, and whether it keeps what was sent to it. Whether and when it asks is the integration's own setting (`wanted`); what an answer
 * is good for is decided in the pipeline.
 *
 *   pipeline job -> adapter.queries.x(question, integration, context) -> QueryOutcome -> sync_logs
 *
 * Nothing here throws for what the network or the peer does: that is the outcome.
 */
import type { AdapterContext, InboundMessage, Integration, Peer, Receive } from './adapter.ts';
import type { CommitmentItem } from './commitments.ts';

/**
 * `text` is shown to people who may not see patients: our words and codes. `sent` is what was asked, kept as the exchange's payload; `count` how many
 * rows or images the answer holds.
 */
export type QueryOutcome<T> = (
  | { readonly kind: 'answered'; readonly answerCode: string; readonly value: T; readonly text?: string }
  | { readonly kind: 'refused'; readonly answerCode: string; readonly text: string }        // asking again changes nothing: a person must look
  | { readonly kind: 'unreachable'; readonly text: string; readonly retryAfterMilliseconds?: number } // never asked, or told "later"
  | { readonly kind: 'unconfirmed'; readonly text: string }                                 // asked, no answer to the end
) & { readonly interaction: string; readonly peer: string; readonly sent?: Buffer; readonly sentType?: string; readonly count?: number };

export interface Queries<Config = unknown> {
  /** What the protocol calls each question: on record while it is asked, until the outcome names its own. */
  readonly interactions: { readonly findStudies: string; readonly countInstances: string; readonly listInstances: string; readonly retrieve: string };
  /** What the settings want to be asked, by rule. */
  wanted(config: Config): Wanted;
  /** Studies of one patient, as the source tells them; `describeSeries` of the newest are looked at by series too. */
  findStudies(question: StudyQuestion, integration: Integration<Config>, context: AdapterContext): Promise<QueryOutcome<readonly FoundStudy[]>>;
  /** How many images the source has of a study; by name when `byName`. `value` undefined: it does not know the study. */
  countInstances(study: StudyReference & { readonly byName: boolean }, integration: Integration<Config>, context: AdapterContext): Promise<QueryOutcome<StudyContents | undefined>>;
  /** Has images sent here: they arrive by the ordinary way in, each with an exchange of its own. */
  retrieve(selection: StudyReference & { readonly instances?: readonly FoundInstance[] }, integration: Integration<Config>, receive: Receive, context: AdapterContext): Promise<QueryOutcome<Retrieved>>;
  /** Worklist items of the window that the settings name, each as a message for `receive`. Absent: the protocol has no worklist. */
  findScheduled?(integration: Integration<Config>, context: AdapterContext): Promise<QueryOutcome<readonly InboundMessage<Config>[]>>;
}

/** Undefined parts are not wanted. */
export interface Wanted {
  readonly completeness?: {
    /** wait: look again. fetch: have the missing images sent. */
    readonly whenMissing: 'wait' | 'fetch';
    readonly lookAgainSeconds: number;
    /** Asked for so long without proof, `withoutProof` decides. */
    readonly giveUpMinutes: number;
    /** complete: with what is here, and an alert. hold: a person decides. */
    readonly withoutProof: 'complete' | 'hold';
  };
  readonly priors?: PriorsRule;
  readonly worklist?: { readonly everySeconds: number };
  readonly commitment?: { readonly askAgainMinutes: number; readonly alertAfterMinutes: number };
  /** IANA zone of its dates; UTC when absent. */
  readonly timeZone?: string | undefined;
  /** How the source names the patients it is asked about: assigning authority, '' for its own. */
  readonly assigningAuthority: string;
}

export interface PriorsRule {
  /** When a scan is complete, or as soon as it is ordered. */
  readonly when: 'complete' | 'ordered';
  readonly mostStudies: number;
  readonly withinDays: number;
  /** A study with more images than this is left out. */
  readonly mostInstances: number;
  readonly modality: 'same' | 'any';
  /** same_or_unknown: also studies whose body part the source does not tell. */
  readonly bodyPart: 'same' | 'same_or_unknown' | 'any';
  /** Only for scans of these types; empty: all. */
  readonly forScanTypes: readonly string[];
  /** Priors are analysed as if they had been sent for it. */
  readonly analyze: boolean;
}

export interface StudyQuestion {
  readonly patientId: string;
  /** DA, both ends included. */
  readonly from?: string; readonly to?: string;
  readonly describeSeries: number;
}
export interface StudyReference { readonly studyInstanceUid: string; readonly patientId?: string }
export interface FoundStudy {
  readonly studyInstanceUid: string;
  readonly patientId: string; readonly issuerOfPatientId: string; readonly patientBirthDate: string;
  /** DA and TM; '' when not told. */
  readonly studyDate: string; readonly studyTime: string;
  readonly modalities: readonly string[];
  /** Of its series, as far as it was described and they tell. */
  readonly bodyParts: readonly string[];
  readonly numberOfInstances: number | undefined;
}
export interface FoundInstance { readonly seriesInstanceUid: string; readonly sopInstanceUid: string; readonly sopClassUid: string }
export interface StudyContents { readonly numberOfInstances: number; /** With byName. */ readonly instances?: readonly FoundInstance[] }
/** Counts of images as the source told them. `byReceive`: they came on the association that asked (C-GET). */
export interface Retrieved { readonly completed: number; readonly failed: number; readonly warning: number; readonly byReceive: boolean }

/** Asks for storage commitment of what a delivery stored (PS3.4 annex J). */
export interface CommitmentAsker<Config = unknown> {
  /**
   * N-ACTION. `answered`: the other side took the request; `value` is its result when it came on the same association, else it comes by
   * AdapterContext.confirmations.
   */
  ask(transactionUid: string, items: readonly CommitmentItem[], integration: Integration<Config>, context: AdapterContext): Promise<QueryOutcome<CommitmentAnswer | undefined>>;
}
export interface CommitmentAnswer { readonly committed: readonly CommitmentItem[]; readonly failed: readonly (CommitmentItem & { readonly reason: string })[] }

/** Takes results of storage commitment in that come on an association of the other side. */
export interface Confirmations {
  /** Resolves after the commit. unknown: nobody asked under this transaction UID. */
  told(told: CommitmentTold): Promise<'accepted' | 'unknown'>;
}
export interface CommitmentTold extends CommitmentAnswer {
  readonly integration: Integration; readonly peer: Peer;
  readonly transactionUid: string;
  /** The event information as it came. */
  readonly message: Buffer;
  readonly facts: Readonly<Record<string, unknown>>;
}
