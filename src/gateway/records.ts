/**
 * The organization's records, for those who may read them: patients, orders, studies, reports, findings, models. Another shape of the same rows
 * than holdings.ts: whole documents in our own words, which an adapter writes in its standard's.
 *
 *   read(reader, kind, id)           one record, or undefined: not there, or another organization's
 *   search(reader, query)            one page, newest first; `next` is opaque, sealed, and all that next() needs
 *
 * Every call is one transaction under row level security, and on record in the audit log before it answers: who, which kind, by the names of which
 * criteria, which patients were told. An unreadable `next` is undefined, as if there were no more. What takes too long throws TooCostlyError.
 */
import type { InboundMessage, RejectReason } from './adapter.ts';
import type { Normalized } from './normalized.ts';
import type { ReportDocument, ReportFinding, ReportModel, ReportPatient, ReportScan, ReportSeries } from '#domain/report-document.ts';

export interface Reader { readonly organizationId: string; readonly userId: string; readonly role: string; readonly address: string }

export type RecordKind = 'patient' | 'order' | 'study' | 'report' | 'finding' | 'model' | 'version' | 'audit' | 'condition' | 'allergy' | 'task';

/** All of them hold (AND); the values of one are alternatives (OR). A criterion that a kind does not have finds nothing. */
export interface Criteria {
  readonly ids?: readonly string[];
  /** When the record changed last, and when what it tells of happened: study, order or finding time. */
  readonly updated?: readonly TimeRange[];
  readonly at?: readonly TimeRange[];
  readonly patientIds?: readonly string[];
  /** Patient identifiers; without authority, under any. Of the patient itself, or whose the record is. */
  readonly patientIdentifiers?: readonly { readonly value: string; readonly authority?: string }[];
  readonly accessionNumbers?: readonly string[];
  /** Accession, placer or filler order number. */
  readonly orderNumbers?: readonly string[];
  readonly studyInstanceUids?: readonly string[];
  readonly trackingUids?: readonly string[];
  /** In the stored words of the kind. */
  readonly statuses?: readonly string[];
  /** Code of procedure or finding; without system, of any. `system` as stored. */
  readonly codes?: readonly { readonly code: string; readonly systems?: readonly string[] }[];
  /** report, finding, version: of which report. */
  readonly reportIds?: readonly string[];
  /** study, order, report, finding, task: of which scan. */
  readonly scanIds?: readonly string[];
  readonly findingIds?: readonly string[];
  /** What a name or another text begins with, is, or contains; upper and lower case alike, except when it `is`. */
  readonly texts?: readonly { readonly columns: readonly TextColumn[]; readonly match: 'begins' | 'is' | 'contains'; readonly values: readonly string[] }[];
  /** All of them hold. */
  readonly born?: readonly DayComparison[];
  readonly sexes?: readonly string[];
  readonly modalities?: readonly string[];
  /** What an integration calls records of this kind. */
  readonly names?: readonly { readonly name: string; readonly integrationId: string }[];
}
export interface DayComparison { readonly is: '=' | '<' | '<=' | '>' | '>='; readonly date: string }
export type TextColumn = 'family_name' | 'given_name' | 'middle_name' | 'name_prefix' | 'name_suffix';
/** Both ends included; milliseconds since 1970. */
export interface TimeRange { readonly from?: number; readonly to?: number }

export interface RecordQuery {
  readonly kind: RecordKind;
  readonly criteria: Criteria;
  readonly count: number;
  /** Newest made first where nothing else is asked for. */
  readonly sort?: RecordSort;
  /** Counts all matches, which costs a look at each. */
  readonly total: boolean;
  /** Kept with `next` and given back by next(). */
  readonly memo: Readonly<Record<string, string>>;
}
export interface RecordSort { readonly by: 'updated' | 'at' | 'family'; readonly isDescending: boolean }
export interface RecordPage { readonly kind: RecordKind; readonly records: readonly RecordRow[]; readonly total: number | undefined; readonly next: string | undefined; readonly memo: Readonly<Record<string, string>> }

export interface Records {
  read(reader: Reader, kind: RecordKind, id: string): Promise<RecordRow | undefined>;
  /** The record as it is and as it was, newest first: every version of a report, of patients and orders those since versions are kept, of others the current one. */
  history(reader: Reader, kind: RecordKind, id: string): Promise<readonly RecordRow[]>;
  /** The same of all records of a kind: what changed last first, a page at a time. `next` is good for changes() only; undefined: it cannot be read. */
  changes(reader: Reader, kind: RecordKind, from: { readonly since: number | undefined; readonly count: number } | { readonly next: string }): Promise<Pick<RecordPage, 'records' | 'next'> | undefined>;
  search(reader: Reader, query: RecordQuery): Promise<RecordPage>;
  next(reader: Reader, kind: RecordKind, next: string): Promise<RecordPage | undefined>;
}

/** The question took longer than one system may hold the database: it has to be narrower. */
export class TooCostlyError extends Error {
  constructor(options?: ErrorOptions) {
    super('the search takes too long', options);
    this.name = 'TooCostlyError';
  }
}

interface Stored { readonly id: string; readonly updatedAt: string }
export type RecordRow = PatientRecord | OrderRecord | StudyRecord | ReportRecord | FindingRecord | ModelRecord | VersionRecord | AuditRecord | StatementRecord | TaskRecord;
export interface PatientRecord extends Stored {
  readonly kind: 'patient';
  readonly patient: ReportPatient;
  /** Identifiers that are no longer in use: retired, or of a patient merged into this one. */
  readonly oldIdentifiers: ReportPatient['identifiers'];
  readonly isActive: boolean;
  /** The survivor, when this one was merged into another. */
  readonly mergedInto: string | undefined;
  readonly deceased: boolean | undefined;
  /** ISO 8601, cut to the precision that was sent. */
  readonly deceasedAt?: string | undefined;
  readonly addresses?: readonly PostalAddress[];
  readonly contacts?: readonly ContactPoint[];
}
/** `use` as the system named it that said so: FHIR's codes, or table 0190 in words. */
export interface PostalAddress { readonly line?: string; readonly line2?: string; readonly city?: string; readonly state?: string; readonly postal_code?: string; readonly country?: string; readonly use?: string }
export interface ContactPoint { readonly value?: string; readonly system?: string; readonly use?: string }
interface OfPatient extends Stored { readonly patientId: string }
export interface OrderRecord extends OfPatient {
  readonly kind: 'order';
  readonly scan: ReportScan;
  readonly orderStatus: 'ordered' | 'held' | 'cancelled';
  readonly isDone: boolean;
  readonly priority: 'routine' | 'urgent' | 'emergency' | 'stat';
  readonly reason: string | undefined;
  readonly scheduledAt: string | undefined;
  readonly createdAt: string;
}
export interface StudyRecord extends OfPatient {
  readonly kind: 'study';
  /** Announced: its Study Instance UID is known and no image is here yet. */
  readonly isAnnounced: boolean;
  readonly isCancelled: boolean;
  readonly scan: Omit<ReportScan, 'series'> & { readonly series: readonly (ReportSeries & { readonly instanceCount: number })[] };
  readonly hasOrder: boolean;
}
/** The newest version of a report; `id` is what receivers know the report by. */
export interface ReportRecord extends OfPatient { readonly kind: 'report'; readonly document: ReportDocument; readonly hasOrder: boolean }
/** A finding with the newest report of its scan; not current when that report no longer has it. */
export interface FindingRecord extends OfPatient { readonly kind: 'finding'; readonly finding: ReportFinding; readonly document: ReportDocument; readonly isCurrent: boolean; readonly hasOrder: boolean }
export interface ModelRecord extends Stored { readonly kind: 'model'; readonly model: ReportModel; readonly isActive: boolean }
/** One version of a report: who made it from what. */
export interface VersionRecord extends OfPatient { readonly kind: 'version'; readonly document: ReportDocument; readonly hasOrder: boolean }
export interface AuditRecord extends Stored {
  readonly kind: 'audit';
  readonly eventCode: string; readonly eventName: string; readonly action: 'C' | 'R' | 'U' | 'D' | 'E';
  readonly outcome: 'success' | 'minor_failure' | 'serious_failure' | 'major_failure';
  readonly actor: { readonly kind: 'user' | 'application' | 'system'; readonly id: string; readonly role?: string; readonly address?: string };
  readonly object?: { readonly type: string; readonly id: string };
  readonly patientId?: string;
}

/** A condition or an allergy that other systems told of. */
export interface StatementRecord extends OfPatient {
  readonly kind: 'condition' | 'allergy';
  readonly display: string;
  readonly code: string | undefined; readonly codeSystem: string | undefined;
  /** ISO date or time, cut to its precision. */
  readonly onset: string | undefined;
  readonly status: string | undefined; readonly severity: string | undefined;
  readonly createdAt: string;
}
/** The reading of a scan, as its place in the queue; `id` is the scan's. */
export interface TaskRecord extends OfPatient {
  readonly kind: 'task';
  readonly accessionNumber: string | undefined;
  readonly hasOrder: boolean; readonly hasImages: boolean;
  readonly status: 'pending' | 'assigned' | 'in_progress' | 'completed' | 'paused' | 'cancelled';
  readonly priority: OrderRecord['priority'];
  readonly whyWaiting: string | undefined;
  readonly enteredAt: string; readonly startedAt: string | undefined; readonly completedAt: string | undefined;
}

/**
 * Writes of several messages in one commit: all of them, or none and nothing of any. What a message is for may depend on what is stored: its guards
 * are judged inside the transaction, which holds what they saw until its end.
 */
export interface Writes {
  together(writes: readonly Write[]): Promise<Written>;
}
export interface Write {
  readonly message: InboundMessage<never> | InboundMessage;
  readonly guards: readonly Guard[];
  /** The kind of record that the message makes or changes: read back as the transaction leaves it. */
  readonly kind: RecordKind;
  /** What the sender calls the record, among its own of this kind: found again by each (criterion `names`). */
  readonly names?: readonly string[];
  /** Index of the write whose patient is this one's, too. */
  readonly patientOf?: number;
  /** It makes an order: one that is here already is not what the sender means, whatever its numbers say. A repeat is no second order. */
  readonly isNewOrder?: boolean;
  /** Who is shown the record as it is afterwards, beyond its id and version: on record as a read. */
  readonly reader?: Reader;
}
export interface Guard {
  readonly kind: RecordKind;
  readonly criteria: Criteria;
  /**
   * `records` are those that fit now, at most two. Throws NormalizeError to refuse everything. 'skip': the first of them is what the sender means, and
   * stays as it is. A function changes what the message says.
   */
  judge(records: readonly RecordRow[]): 'write' | 'skip' | ((normalized: Normalized) => Normalized);
}
export type Written =
  | { readonly kind: 'committed'; readonly results: readonly WriteResult[] }
  /** Nothing was written. `index`: of the write that is the reason. Put on record by the caller (Receive with a Refusal). */
  | { readonly kind: 'rejected'; readonly index: number; readonly reason: RejectReason; readonly text: string; readonly location?: string }
  | { readonly kind: 'failed'; readonly text: string };
export interface WriteResult {
  readonly exchangeId: string;
  readonly outcome: 'accepted' | 'duplicate' | 'skipped';
  /** Undefined: the message has no record of this kind (a cancelled order that was never placed). */
  readonly record: RecordRow | undefined;
  answered(code: string, heard: boolean): void;
}

/** Access tokens for systems that proved who they are in their own standard's way (SMART Backend Services). */
export interface ClientTokens {
  /** A token for the system's own service account, with these scopes only. 'replayed': this assertion was used before, on whichever node. */
  issue(grant: ClientGrant): Promise<{ readonly token: string } | 'replayed' | 'disabled'>;
  /** Puts a refusal on record; `integrationId` undefined: no system is known by that name. */
  refused(attempt: { readonly organizationId: string | undefined; readonly integrationId: string | undefined; readonly address: string; readonly reason: string }): Promise<void>;
}
export interface ClientGrant {
  readonly organizationId: string; readonly integrationId: string; readonly name: string; readonly address: string;
  readonly scopes: readonly string[]; readonly lifetimeSeconds: number;
  /** What the assertion calls itself (jti): taken once. */
  readonly assertionId: string;
}
