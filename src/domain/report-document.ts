/**
 * One AI result ready to leave: everything that a DICOM SR, an ORU^R01 or a DiagnosticReport is built from, and nothing about who gets it.
 * Built once per report version by pipeline/report.ts, read by every adapter's deliver. Times are ISO 8601 UTC.
 */
export interface ReportDocument {
  readonly reportId: string;
  /** 1, 2, ...; a later version replaces the earlier at the receiver. */
  readonly version: number;
  readonly status: 'preliminary' | 'final' | 'amended' | 'corrected' | 'cancelled' | 'entered-in-error';
  readonly issuedAt: string;
  readonly organization: { readonly organizationId: string; readonly name: string };
  readonly patient: ReportPatient;
  readonly scan: ReportScan;
  readonly models: readonly ReportModel[];
  readonly findings: readonly ReportFinding[];
  readonly sections: { readonly indication?: string; readonly technique?: string; readonly findings: string; readonly impression: string };
  readonly conclusionCodes: readonly Coded[];
}

export interface Coded { readonly system: string; readonly code: string; readonly display: string }

export interface ReportPatient {
  readonly patientId: string;
  readonly patientNumber: string;
  readonly identifiers: readonly { readonly value: string; readonly assigningAuthority: string; readonly typeCode?: string }[];
  readonly familyName?: string; readonly givenName?: string; readonly middleName?: string; readonly namePrefix?: string; readonly nameSuffix?: string;
  readonly ideographicName?: string; readonly phoneticName?: string;
  readonly birthDate?: string;
  readonly sex?: 'male' | 'female' | 'other' | 'unknown';
}

export interface ReportScan {
  readonly scanId: string;
  readonly scanNumber: string;
  readonly studyInstanceUid: string;
  readonly accessionNumber?: string; readonly placerOrderNumber?: string; readonly fillerOrderNumber?: string;
  readonly procedureCode?: Coded; readonly studyDescription?: string;
  readonly studyAt?: string; readonly studyId?: string;
  readonly referringPhysician?: string;
  readonly modalities: readonly string[];
  readonly bodyPart?: string;
  readonly series: readonly ReportSeries[];
}
export interface ReportSeries {
  readonly seriesInstanceUid: string; readonly seriesNumber?: number; readonly modality?: string; readonly description?: string;
  readonly instances: readonly { readonly sopInstanceUid: string; readonly sopClassUid: string; readonly instanceNumber?: number }[];
}

export interface ReportModel {
  readonly analysisId: string; readonly modelId: string; readonly name: string; readonly version: string;
  readonly manufacturer: string; readonly notForClinicalUse: boolean;
  /** UDI device identifier (the UDI-DI, e.g. a GTIN) of a registered device. */
  readonly udi?: string;
}

export interface ReportFinding {
  readonly findingId: string; readonly analysisId: string;
  /** Stays with the finding over versions (DICOM tracking UID, DCM 112040). */
  readonly trackingUid: string;
  readonly type: Coded;
  readonly severity: 'low' | 'medium' | 'high' | 'critical';
  readonly confidencePercentage: number;
  readonly description: string;
  readonly bodySite?: Coded; readonly laterality?: 'left' | 'right' | 'bilateral';
  readonly location?: FindingLocation;
  readonly measurements: readonly Measurement[];
}
/** Pixel coordinates are column, row from the top left of the frame (PS3.3 C.10.5); patient coordinates are millimetres in the Frame of Reference (LPS). */
export interface FindingLocation {
  readonly seriesInstanceUid: string; readonly sopInstanceUid: string; readonly sopClassUid: string; readonly frame: number;
  readonly frameOfReferenceUid?: string;
  readonly boundingBox: { readonly left: number; readonly top: number; readonly width: number; readonly height: number };
  readonly centre3d?: readonly [number, number, number];
}
export interface Measurement { readonly type: Coded; readonly value: number; readonly unit: string }
