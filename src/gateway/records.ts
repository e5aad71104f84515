/**
 * The organization's records, for those who may read them: patients, orders, studies, reports, findings, models. Another shape of the same rows
 * than holdings.ts: whole documents in our own words, which an adapter writes in its standard's.
 *
 *   read(reader, kind, id)           one record, or undefined: not there, or another organization's
 *   search(reader, query)            one page, newest first; `next` is opaque, sealed, and all that next() needs
 *
 * Every call is one transaction under row level security, and on record in the audit log before it answers: who, which kind, by the names of which
 * criteria, which patients were told. An unreadable `next` is undefined, as if there were no more.
 */
import type { ReportDocument, ReportFinding, ReportModel, ReportPatient, ReportScan, ReportSeries } from '#domain/report-document.ts';

export interface Reader { readonly organizationId: string; readonly userId: string; readonly role: string; readonly address: string }

export type RecordKind = 'patient' | 'order' | 'study' | 'report' | 'finding' | 'model' | 'version' | 'audit';

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
  readonly findingIds?: readonly string[];
}
/** Both ends included; milliseconds since 1970. */
export interface TimeRange { readonly from?: number; readonly to?: number }

export interface RecordQuery {
  readonly kind: RecordKind;
  readonly criteria: Criteria;
  readonly count: number;
  /** Counts all matches, which costs a look at each. */
  readonly total: boolean;
  /** Kept with `next` and given back by next(). */
  readonly memo: Readonly<Record<string, string>>;
}
export interface RecordPage { readonly kind: RecordKind; readonly records: readonly RecordRow[]; readonly total: number | undefined; readonly next: string | undefined; readonly memo: Readonly<Record<string, string>> }

export interface Records {
  read(reader: Reader, kind: RecordKind, id: string): Promise<RecordRow | undefined>;
  search(reader: Reader, query: RecordQuery): Promise<RecordPage>;
  next(reader: Reader, kind: RecordKind, next: string): Promise<RecordPage | undefined>;
}

interface Stored { readonly id: string; readonly updatedAt: string }
export type RecordRow = PatientRecord | OrderRecord | StudyRecord | ReportRecord | FindingRecord | ModelRecord | VersionRecord | AuditRecord;
export interface PatientRecord extends Stored {
  readonly kind: 'patient';
  readonly patient: ReportPatient;
  /** Identifiers that are no longer in use: retired, or of a patient merged into this one. */
  readonly oldIdentifiers: ReportPatient['identifiers'];
  readonly isActive: boolean;
  /** The survivor, when this one was merged into another. */
  readonly mergedInto: string | undefined;
  readonly deceased: boolean | undefined;
}
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
  readonly scan: Omit<ReportScan, 'series'> & { readonly series: readonly (ReportSeries & { readonly instanceCount: number })[] };
  readonly hasOrder: boolean;
}
/** The newest version of a report; `id` is what receivers know the report by. */
export interface ReportRecord extends OfPatient { readonly kind: 'report'; readonly document: ReportDocument; readonly hasOrder: boolean }
/** A finding with the newest report of its scan; not current when that report no longer has it. */
export interface FindingRecord extends OfPatient { readonly kind: 'finding'; readonly finding: ReportFinding; readonly document: ReportDocument; readonly isCurrent: boolean; readonly hasOrder: boolean }
export interface ModelRecord extends Stored { readonly kind: 'model'; readonly model: ReportModel; readonly isActive: boolean }
/** One version of a report: who made it from what. */
export interface VersionRecord extends OfPatient { readonly kind: 'version'; readonly document: ReportDocument }
export interface AuditRecord extends Stored {
  readonly kind: 'audit';
  readonly eventCode: string; readonly eventName: string; readonly action: 'C' | 'R' | 'U' | 'D' | 'E';
  readonly outcome: 'success' | 'minor_failure' | 'serious_failure' | 'major_failure';
  readonly actor: { readonly kind: 'user' | 'application' | 'system'; readonly id: string; readonly role?: string; readonly address?: string };
  readonly object?: { readonly type: string; readonly id: string };
  readonly patientId?: string;
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
