/**
 * What an audit row says: who did what to which object, with what outcome, in the words of DICOM PS3.15 A.5.
 * The codes are DCM codes (PS3.16 annex D); a login, logout, start or stop also carries its Event Type Code in `detail.event_type`.
 */
export interface AuditEvent {
  readonly eventCode: string;
  readonly eventName: string;
  /** Create, Read, Update, Delete, Execute (PS3.15 table A.5-1, EventActionCode). */
  readonly action: 'C' | 'R' | 'U' | 'D' | 'E';
  readonly outcome: AuditOutcome;
  readonly actor: AuditActor;
  readonly object?: AuditObject | undefined;
  readonly patientId?: string | undefined;
  /** The exchange (sync_logs row) this happened in. */
  readonly syncId?: string | undefined;
  readonly requestId?: string | undefined;
  /** Ids, codes and counts. Names of fields that changed, never a patient's values. */
  readonly detail?: Readonly<Record<string, unknown>> | undefined;
}

/** EventOutcomeIndicator 0, 4, 8 and 12. */
export type AuditOutcome = 'success' | 'minor_failure' | 'serious_failure' | 'major_failure';

export interface AuditActor {
  /** user: a person. application: an AE title, a sending application, an API token. system: the gateway itself. */
  readonly kind: 'user' | 'application' | 'system';
  readonly id: string;
  readonly role?: string | undefined;
  /** Network address of the other side, without port. */
  readonly address?: string | undefined;
}

export interface AuditObject {
  /** Table name in the singular: 'scan', 'scan_file', 'integration'. */
  readonly type: string;
  readonly id: string;
}

/** Event ID codes of PS3.15 A.5.3; spread one into an AuditEvent: `{ ...auditEvents.instancesAccessed, action: 'R', ... }`. */
export const auditEvents = {
  applicationActivity: { eventCode: '110100', eventName: 'Application Activity' },
  auditLogUsed: { eventCode: '110101', eventName: 'Audit Log Used' },
  beginTransferring: { eventCode: '110102', eventName: 'Begin Transferring DICOM Instances' },
  instancesAccessed: { eventCode: '110103', eventName: 'DICOM Instances Accessed' },
  instancesTransferred: { eventCode: '110104', eventName: 'DICOM Instances Transferred' },
  studyDeleted: { eventCode: '110105', eventName: 'DICOM Study Deleted' },
  dataExport: { eventCode: '110106', eventName: 'Export' },
  dataImport: { eventCode: '110107', eventName: 'Import' },
  networkEntry: { eventCode: '110108', eventName: 'Network Entry' },
  orderRecord: { eventCode: '110109', eventName: 'Order Record' },
  patientRecord: { eventCode: '110110', eventName: 'Patient Record' },
  procedureRecord: { eventCode: '110111', eventName: 'Procedure Record' },
  query: { eventCode: '110112', eventName: 'Query' },
  securityAlert: { eventCode: '110113', eventName: 'Security Alert' },
  userAuthentication: { eventCode: '110114', eventName: 'User Authentication' },
} as const satisfies Record<string, { readonly eventCode: string; readonly eventName: string }>;

/** Event Type Codes that refine an event; written as `detail: { event_type: eventTypes.login }`. */
export const eventTypes = {
  applicationStart: { code: '110120', name: 'Application Start' },
  applicationStop: { code: '110121', name: 'Application Stop' },
  login: { code: '110122', name: 'Login' },
  logout: { code: '110123', name: 'Logout' },
  securityConfiguration: { code: '110129', name: 'Security Configuration' },
  softwareConfiguration: { code: '110131', name: 'Software Configuration' },
  useOfRestrictedFunction: { code: '110132', name: 'Use of Restricted Function' },
  emergencyOverrideStarted: { code: '110127', name: 'Emergency Override Started' },
  objectSecurityAttributesChanged: { code: '110133', name: 'Object Security Attributes Changed' },
  securityRolesChanged: { code: '110136', name: 'Security Roles Changed' },
  userSecurityAttributesChanged: { code: '110137', name: 'User Security Attributes Changed' },
} as const satisfies Record<string, { readonly code: string; readonly name: string }>;
