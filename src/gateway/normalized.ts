/**
 * What a message says, as rows: the one shape that DICOM, HL7 v2 and FHIR are brought to, and all that persist reads.
 * Keys are the column names of the tables they go to. In every row: absent = the message says nothing (leave the stored value),
 * null = the message clears the value (HL7 v2 "" null, ch. 2.5.3), a value = set it.
 */
export interface Normalized {
  /** How far demographics are to be believed: a registration system corrects an image header, never the reverse. */
  readonly authority: SourceAuthority;
  readonly patient?: PatientRow;
  /** Patient merges and links (ADT^A40, A24 ...), in message order; each is applied after `patient`. */
  readonly merges?: readonly PatientMerge[];
  readonly history?: readonly HistoryRow[];
  /** An imaging order or its change (ORM^O01, ServiceRequest). */
  readonly order?: OrderRow;
  /** Reports of studies that come back from another system (ORU^R01, MDM^T02). */
  readonly reports?: readonly InboundReportRow[];
  /** The appointment of a study that was ordered before (SIU). */
  readonly schedule?: ScheduleRow;
  /** One received DICOM instance with the study and series it says it belongs to. */
  readonly instance?: InstanceRow;
  readonly warnings: readonly MappingWarning[];
  readonly trace: MakeTrace;
  /** '<mapping file name>@<version>', e.g. 'hl7v2-adt-to-rows@1.0.0'. */
  readonly mapping: string;
}
export type SourceAuthority = 'registration' | 'order' | 'image';

export interface PatientIdentifier {
  readonly value: string;
  /** PID-3.4.1, Issuer of Patient ID (0010,0021), Identifier.system; '' when the sender names none and the integration has no default. */
  readonly assigning_authority: string;
  /** HL7 table 0203: MR, PI, SS ... */
  readonly type_code?: string;
}
export interface PatientRow {
  /** Our own patient_id, where a sender refers to a patient by what we called it (FHIR 'Patient/<id>'). An unknown one is refused. */
  readonly patient_id?: string;
  /** First is the one to match and to show, unless the mapping picked another as `patient_number`. May be empty: identity is then quarantined. */
  readonly identifiers: readonly PatientIdentifier[];
  readonly family_name?: string | null; readonly given_name?: string | null; readonly middle_name?: string | null;
  readonly name_prefix?: string | null; readonly name_suffix?: string | null;
  /** Whole groups in DICOM form, components joined by ^ (PS3.5 6.2.1.2). */
  readonly ideographic_name?: string | null; readonly phonetic_name?: string | null;
  /** ISO date cut to its precision: '1980', '1980-05', '1980-05-17'. */
  readonly birth_date?: string | null;
  readonly sex?: 'male' | 'female' | 'other' | 'unknown' | null;
  readonly address?: readonly PostalAddress[] | null;
  readonly telecom?: readonly Telecom[] | null;
  readonly deceased?: boolean | null; readonly deceased_at?: string | null;
  readonly active?: boolean;
}
export interface PostalAddress { line?: string; line2?: string; city?: string; state?: string; postal_code?: string; country?: string; use?: string }
export interface Telecom { system: 'phone' | 'email' | 'fax' | 'other'; value: string; use?: string }

/** `prior` names who is to go, or of a link the second patient. */
export interface PatientMerge {
  /** Absent: merge. link, unlink: both stay, and are one person, or are not (ADT^A24, A37). */
  readonly kind?: 'merge' | 'link' | 'unlink';
  readonly survivor: readonly PatientIdentifier[]; readonly prior: readonly PatientIdentifier[];
  /** What of a merge that contradicts or repeats an earlier one; absent: taken. Rejected, nothing of the message is kept. */
  readonly policy?: { readonly repeated?: 'accept' | 'reject'; readonly inverse?: 'accept' | 'ignore' | 'reject'; readonly circular?: 'accept' | 'ignore' | 'reject' };
  /** Where it stands, in the sender's words: MRG[2]-1. */
  readonly location?: string;
}

export interface HistoryRow {
  readonly kind: 'condition' | 'allergy' | 'procedure' | 'medication' | 'visit';
  readonly code?: string | null; readonly code_system?: string | null; readonly display: string;
  readonly onset?: string | null; readonly status?: string | null; readonly severity?: string | null; readonly detail?: Readonly<Record<string, unknown>>;
}

export type ScanType = 'xray' | 'ct' | 'mri' | 'ultrasound' | 'mammogram' | 'pet' | 'nuclear' | 'other';
export type ScanPriority = 'routine' | 'urgent' | 'emergency' | 'stat';

export interface OrderRow {
  /** new: create or update; change: update; cancel / hold / release: move the scan's status. */
  readonly control: 'new' | 'change' | 'cancel' | 'hold' | 'release';
  readonly accession_number?: string | null; readonly placer_order_number?: string | null; readonly filler_order_number?: string | null;
  readonly study_instance_uid?: string | null;
  readonly scan_type?: ScanType; readonly modality?: string | null;
  readonly procedure_code?: string | null; readonly procedure_system?: string | null; readonly procedure_description?: string | null;
  readonly body_part?: string | null; readonly laterality?: string | null; readonly reason?: string | null;
  readonly priority?: ScanPriority; readonly scheduled_at?: string | null;
  readonly referring_physician?: string | null; readonly requesting_physician?: string | null;
}

/** The numbers by which a later message names a study. */
export type ScanReference = Pick<OrderRow, 'accession_number' | 'placer_order_number' | 'filler_order_number' | 'study_instance_uid'>;

export interface InboundReportRow extends ScanReference {
  /** What the sender calls the report: a later message with the same one is its next version. */
  readonly report_identifier: string;
  readonly status: 'preliminary' | 'final' | 'corrected' | 'cancelled' | 'entered-in-error';
  readonly findings_text: string; readonly impression: string;
  readonly author_name?: string | null; readonly signed_at?: string | null;
}

export interface ScheduleRow extends ScanReference {
  /** cancel: there is no appointment any more; the order stands. */
  readonly control: 'change' | 'cancel';
  readonly scheduled_at?: string | null;
}

export interface InstanceRow {
  readonly study: {
    readonly study_instance_uid: string; readonly accession_number?: string | null; readonly study_description?: string | null;
    /** ISO 8601 with offset when (0008,0201) or the integration's time zone gives one. */
    readonly study_at?: string | null; readonly study_id?: string | null;
    readonly referring_physician?: string | null; readonly institution_name?: string | null; readonly station_name?: string | null;
    readonly scan_type: ScanType; readonly body_part?: string | null; readonly laterality?: string | null; readonly procedure_code?: string | null;
  };
  readonly series: { readonly series_instance_uid: string; readonly series_number?: number | null; readonly series_description?: string | null; readonly modality?: string | null; readonly body_part?: string | null };
  readonly file: {
    readonly sop_instance_uid: string; readonly sop_class_uid: string; readonly transfer_syntax_uid: string; readonly instance_number?: number | null;
    readonly rows?: number | null; readonly columns?: number | null; readonly number_of_frames?: number | null; readonly bits_allocated?: number | null;
    /** Where the dataset starts in the stored file (after preamble and group 0002). */
    readonly dataset_offset: number;
  };
}

/** Something odd that did not stop the message: shown to a person with the exchange. */
export interface MappingWarning { readonly location: string; readonly text: string }
/** One rule's work: source field -> rule -> value -> table.column. `failed` and `unmapped` fields are named too. No PHI leaves the database: traces are stored or shown only to those who may see the message. */
export interface TraceEntry {
  readonly source: string; readonly rule: string; readonly target: string;
  readonly outcome: 'mapped' | 'default' | 'empty' | 'failed' | 'unmapped';
  readonly input?: string; readonly value?: unknown; readonly text?: string;
}

/**
 * The trace, made when somebody looks: most messages are stored and theirs is never seen. A function and not a getter: V8 gives each object literal
 * with a getter a shape of its own, which keeps what the getter refers to, here the whole message, until the next collection of all memory.
 */
export type MakeTrace = () => readonly TraceEntry[];

/**
 * Reads fields of one parsed message by the standard's own path ('PID-3.1', '(0010,0010)', 'Patient.name[0].family').
 * Implemented by src/standards/<standard>/reader.ts. `undefined` = not there; '' = there and empty; null = explicit HL7 null.
 */
export interface SourceReader {
  first(path: string): string | null | undefined;
  all(path: string): readonly (string | null)[];
  /** One reader per repetition, segment or array element at `path`; relative paths below it. */
  each(path: string): readonly SourceReader[];
  /** Paths that hold a value and were not read so far: for the trace's `unmapped`. */
  unread(): readonly string[];
}

/** Runs a mapping file over a source: `map('hl7v2-adt-to-rows', reader, settings)`. The result's rows are plain objects keyed by table. */
export type Mapper = (mapping: string, source: SourceReader, settings?: MapSettings) => MappedRows;
/** Per-integration choices that mapping rules may use (`$setting`): default assigning authority, time zone, code table overrides. */
export type MapSettings = Readonly<Record<string, string | number | boolean | undefined>>;
export interface MappedRows {
  /** table name -> row, or rows where the mapping says `each`. */
  readonly rows: Readonly<Record<string, Readonly<Record<string, unknown>> | readonly Readonly<Record<string, unknown>>[]>>;
  readonly warnings: readonly MappingWarning[];
  readonly trace: MakeTrace;
  /** '<name>@<version>'. */
  readonly mapping: string;
}
