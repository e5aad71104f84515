/** The FHIR R4 types, for the compiler only: nothing of the package is loaded at run time. */
export type {
  AllergyIntolerance, Annotation, Attachment, AuditEvent, Binary, Bundle, BundleEntry, CapabilityStatement, CodeableConcept, Coding, Communication, Condition, Device, DiagnosticReport, DocumentReference, Encounter, Endpoint, Flag, Identifier, ImagingStudy,
  Observation, ObservationComponent, OperationOutcome, OperationOutcomeIssue, Organization, Patient, Practitioner, Provenance, Reference, Resource, ServiceRequest, Task,
} from '@medplum/fhirtypes';
