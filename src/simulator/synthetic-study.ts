/** A CT study of the phantom (src/ai/phantom.ts) as a scanner would send it: one series, CT Image Storage, Explicit VR Little Endian. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import type { DatasetElements } from '#standards/dicom/dataset-writer.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { uidOfUuid } from '#standards/dicom/uids.ts';
import { demoPhantom } from '../ai/phantom.ts';
import type { Phantom } from '../ai/phantom.ts';
import type { SimulatedPatient } from './hl7-messages.ts';
import type { SendableObject } from './part10-file.ts';

export interface StudyRequest {
  readonly patient: SimulatedPatient;
  readonly accessionNumber: string;
  /** New ones when absent. */
  readonly studyInstanceUid?: string; readonly seriesInstanceUid?: string;
  readonly phantom?: Phantom;
  readonly studyAt?: Date;
  readonly studyDescription?: string;
}
export interface SyntheticStudy { readonly studyInstanceUid: string; readonly seriesInstanceUid: string; readonly objects: readonly SendableObject[] }

const ctImageStorage = '1.2.840.10008.5.1.4.1.1.2';
const explicitVrLittleEndian = '1.2.840.10008.1.2.1';
const rescaleIntercept = -1024;

/** 24 slices of 256 x 256 with three lesions unless another phantom is given. */
export function syntheticStudy(request: StudyRequest): SyntheticStudy {
  const phantom = request.phantom ?? demoPhantom();
  const studyInstanceUid = request.studyInstanceUid ?? newUid(), seriesInstanceUid = request.seriesInstanceUid ?? newUid();
  const shared = { ...patientModule(request.patient), ...studyAndSeries(request, studyInstanceUid, seriesInstanceUid), ...frameAndEquipment(phantom) };
  const objects = phantom.slices.map((pixels, index) => {
    const sopInstanceUid = newUid();
    const dataset = encodeDataset({ ...shared, ...imageModule(phantom, index, sopInstanceUid), '(7fe0,0010)': { vr: 'OW', value: storedValues(pixels) } });
    return { sopClassUid: ctImageStorage, sopInstanceUid, transferSyntaxUid: explicitVrLittleEndian, dataset };
  });
  return { studyInstanceUid, seriesInstanceUid, objects };
}

/** The object as a DICOM file (PS3.10). */
export function part10File({ sopClassUid, sopInstanceUid, transferSyntaxUid, dataset }: SendableObject): Buffer {
  return Buffer.concat([buildPart10Header({ sopClassUid, sopInstanceUid, transferSyntaxUid }), dataset]);
}
/** Writes IM000001.dcm ... and returns the paths in slice order. */
export async function writeStudy(study: SyntheticStudy, directory: string): Promise<readonly string[]> {
  await mkdir(directory, { recursive: true });
  return Promise.all(study.objects.map(async (object, index) => {
    const path = join(directory, `IM${String(index + 1).padStart(6, '0')}.dcm`);
    await writeFile(path, part10File(object));
    return path;
  }));
}

function newUid(): string { return uidOfUuid(randomUUID()); }

/** Specific Character Set UTF-8; the alphabetic group may hold any writing then (PS3.5 6.1.2). */
function patientModule(patient: SimulatedPatient): DatasetElements {
  const alphabetic = [patient.familyName, patient.givenName, patient.middleName ?? ''].join('^').replace(/\^+$/, '');
  const name = [alphabetic, patient.ideographicName ?? '', patient.phoneticName ?? ''].join('=').replace(/=+$/, '');
  return {
    '(0008,0005)': 'ISO_IR 192', '(0010,0010)': name, '(0010,0020)': patient.patientId, '(0010,0021)': patient.assigningAuthority,
    '(0010,0030)': patient.birthDate, '(0010,0040)': patient.sex === 'U' ? null : patient.sex,
  };
}

function studyAndSeries(request: StudyRequest, studyInstanceUid: string, seriesInstanceUid: string): DatasetElements {
  const { date, time } = momentOf(request.studyAt ?? new Date());
  const description = request.studyDescription ?? 'CT CHEST';
  return {
    '(0008,0012)': date, '(0008,0013)': time, '(0008,0020)': date, '(0008,0021)': date, '(0008,0022)': date, '(0008,0023)': date,
    '(0008,0030)': time, '(0008,0031)': time, '(0008,0032)': time, '(0008,0033)': time, '(0008,0201)': '+0000',
    '(0008,0050)': request.accessionNumber, '(0008,0060)': 'CT', '(0008,0090)': 'Okafor^Grace', '(0008,1030)': description, '(0008,103e)': 'Axial 2.5 mm lung',
    '(0018,0015)': 'CHEST', '(0018,1030)': 'CHEST ROUTINE',
    '(0020,000d)': studyInstanceUid, '(0020,000e)': seriesInstanceUid, '(0020,0010)': '1', '(0020,0011)': 2, '(0020,0012)': 1,
  };
}

function frameAndEquipment(phantom: Phantom): DatasetElements {
  return {
    '(0008,0008)': ['ORIGINAL', 'PRIMARY', 'AXIAL'], '(0008,0070)': 'Simulated', '(0008,0080)': 'North Hospital', '(0008,1010)': 'CT1', '(0008,1090)': 'Phantom CT',
    '(0018,0050)': phantom.sliceSpacingMillimetres, '(0018,0060)': 120, '(0018,0088)': phantom.sliceSpacingMillimetres, '(0018,1020)': '1.0', '(0018,1210)': 'B30f', '(0018,5100)': 'HFS',
    '(0020,0037)': [...phantom.imageOrientation], '(0020,0052)': newUid(), '(0020,1040)': null,
    '(0028,0002)': 1, '(0028,0004)': 'MONOCHROME2', '(0028,0010)': phantom.rows, '(0028,0011)': phantom.columns,
    '(0028,0030)': [phantom.pixelSpacingMillimetres, phantom.pixelSpacingMillimetres], '(0028,0100)': 16, '(0028,0101)': 12, '(0028,0102)': 11, '(0028,0103)': 0,
    '(0028,1050)': -600, '(0028,1051)': 1500, '(0028,1052)': rescaleIntercept, '(0028,1053)': 1, '(0028,1054)': 'HU',
  };
}

function imageModule(phantom: Phantom, index: number, sopInstanceUid: string): DatasetElements {
  const position = phantom.imagePositions[index] ?? [0, 0, 0];
  return { '(0008,0016)': ctImageStorage, '(0008,0018)': sopInstanceUid, '(0020,0013)': index + 1, '(0020,0032)': [...position], '(0020,1041)': position[2] };
}

/** Hounsfield units to the 12 bits that a scanner stores. */
function storedValues(hounsfield: Int16Array): Buffer {
  const bytes = Buffer.alloc(hounsfield.length * 2);
  for (const [index, value] of hounsfield.entries()) bytes.writeUInt16LE(Math.min(4095, Math.max(0, value - rescaleIntercept)), index * 2);
  return bytes;
}

function momentOf(at: Date): { date: string; time: string } {
  const digits = at.toISOString().replaceAll(/[-:T]/g, '');
  return { date: digits.slice(0, 8), time: digits.slice(8, 14) };
}
