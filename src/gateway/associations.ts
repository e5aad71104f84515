/**
 * The association log: who called, what was offered and accepted, why it was refused or broke off, how much was moved. One record per
 * DICOM association, told when it ended; a burst of equal refusals is one record that counts its repeats. Never values of patients.
 */
export type AssociationOutcome =
  | 'released'            // A-RELEASE, in good order
  | 'rejected'            // A-ASSOCIATE-RJ: see `rejection`
  | 'aborted-by-peer'
  | 'aborted-by-gateway'  // a limit, a PDU that the standard does not allow, or the gateway stopped
  | 'connection-lost'     // closed without a release
  | 'unreadable';         // what knocked was no A-ASSOCIATE-RQ

export interface OfferedContext {
  readonly id: number;
  readonly abstract_syntax: string;
  readonly transfer_syntaxes: readonly string[];
  /** PS3.8 table 9-18; 0 is accepted. */
  readonly result: number;
  /** Only when accepted. */
  readonly transfer_syntax?: string;
}

export interface AssociationRecord {
  /** The same in every record of one burst. */
  readonly associationId: string;
  /** Undefined: no organization claims the caller. */
  readonly organizationId: string | undefined;
  readonly integrationId: string | undefined;
  readonly startedAt: Date;
  readonly finishedAt: Date;
  readonly callingAeTitle?: string;
  readonly calledAeTitle?: string;
  readonly peerAddress: string;
  readonly peerPort: number;
  readonly tlsProtocol?: string;
  readonly tlsSubject?: string;
  readonly implementationClassUid?: string;
  readonly implementationVersionName?: string;
  /** Largest P-DATA-TF that the caller takes; 0 is no limit. */
  readonly peerMaximumLength?: number;
  readonly contexts: readonly OfferedContext[];
  readonly outcome: AssociationOutcome;
  /** result/source/reason of PS3.8 table 9-21, for example 1/1/7. */
  readonly rejection?: string;
  readonly reason?: string;
  readonly advice?: string;
  /** Of the connection, both TLS and PDU headers included. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Requests by DIMSE service: { 'C-STORE': 120, 'C-ECHO': 1 }. */
  readonly requests: Readonly<Record<string, number>>;
  /** What became of the C-STOREs: { accepted, duplicate, rejected, failed }. */
  readonly objects: Readonly<Record<string, number>>;
  /** How often the same refusal came again within its burst. */
  readonly repeats: number;
}

export interface AssociationLog {
  /** Written behind the peer's back; what cannot be written is lost, as no promise hangs on it. */
  record(association: AssociationRecord): void;
}
