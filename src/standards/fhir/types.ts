/** The FHIR R4 types, for the compiler only: nothing of the package is loaded at run time. */
export type {
  Attachment, AuditEvent, Bundle, BundleEntry, CapabilityStatement, CodeableConcept, Coding, Device, DiagnosticReport, DocumentReference, Identifier, ImagingStudy,
  Observation, ObservationComponent, OperationOutcome, OperationOutcomeIssue, Organization, Patient, Provenance, Reference, Resource, ServiceRequest,
} from '@medplum/fhirtypes';
