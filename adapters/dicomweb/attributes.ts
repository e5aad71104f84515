/** The attributes that can be matched (PS3.18 tables 10.6.1-5, 10.6.3-3 to -5) and told: tag, keyword, VR, key of the holdings, level. */
import type { InstanceHolding, InstanceKey, SeriesHolding, StudyHolding } from '#gateway/holdings.ts';
import type { Level } from './resource.ts';

export type Holding = StudyHolding & Partial<Omit<SeriesHolding, keyof StudyHolding>> & Partial<Omit<InstanceHolding, keyof SeriesHolding>>;
type Told = string | number | null | undefined | readonly string[];
export interface Attribute {
  readonly tag: string; readonly keyword: string; readonly vr: string; readonly level: Level;
  readonly key?: InstanceKey;
  read(row: Holding): Told;
}

const attribute = (level: Level) => (tag: string, keyword: string, vr: string, read: (row: Holding) => Told, key?: InstanceKey): Attribute =>
  ({ tag, keyword, vr, level, read, ...(key === undefined ? {} : { key }) });
const study = attribute('study'), series = attribute('series'), instance = attribute('instance');

export const attributes: readonly Attribute[] = [
  study('00080005', 'SpecificCharacterSet', 'CS', () => 'ISO_IR 192'),
  study('00080020', 'StudyDate', 'DA', (row) => row.studyDate, 'studyDate'),
  study('00080030', 'StudyTime', 'TM', (row) => row.studyTime, 'studyTime'),
  study('00080050', 'AccessionNumber', 'SH', (row) => row.accessionNumber, 'accessionNumber'),
  study('00080056', 'InstanceAvailability', 'CS', () => 'ONLINE'),
  study('00080061', 'ModalitiesInStudy', 'CS', (row) => row.modalitiesInStudy, 'modalitiesInStudy'),
  study('00080080', 'InstitutionName', 'LO', (row) => row.institutionName, 'institutionName'),
  study('00080090', 'ReferringPhysicianName', 'PN', (row) => row.referringPhysicianName, 'referringPhysicianName'),
  study('00080201', 'TimezoneOffsetFromUTC', 'SH', (row) => row.timezoneOffsetFromUtc),
  study('00081030', 'StudyDescription', 'LO', (row) => row.studyDescription, 'studyDescription'),
  study('00100010', 'PatientName', 'PN', (row) => row.patientName, 'patientName'),
  study('00100020', 'PatientID', 'LO', (row) => row.patientId, 'patientId'),
  study('00100021', 'IssuerOfPatientID', 'LO', (row) => row.issuerOfPatientId, 'issuerOfPatientId'),
  study('00100030', 'PatientBirthDate', 'DA', (row) => row.patientBirthDate, 'patientBirthDate'),
  study('00100040', 'PatientSex', 'CS', (row) => row.patientSex, 'patientSex'),
  study('0020000D', 'StudyInstanceUID', 'UI', (row) => row.studyInstanceUid, 'studyInstanceUid'),
  study('00200010', 'StudyID', 'SH', (row) => row.studyId, 'studyId'),
  study('00201206', 'NumberOfStudyRelatedSeries', 'IS', (row) => row.numberOfStudyRelatedSeries),
  study('00201208', 'NumberOfStudyRelatedInstances', 'IS', (row) => row.numberOfStudyRelatedInstances),
  series('00080060', 'Modality', 'CS', (row) => row.modality, 'modality'),
  series('0008103E', 'SeriesDescription', 'LO', (row) => row.seriesDescription, 'seriesDescription'),
  series('00180015', 'BodyPartExamined', 'CS', (row) => row.bodyPartExamined, 'bodyPartExamined'),
  series('0020000E', 'SeriesInstanceUID', 'UI', (row) => row.seriesInstanceUid, 'seriesInstanceUid'),
  series('00200011', 'SeriesNumber', 'IS', (row) => row.seriesNumber, 'seriesNumber'),
  series('00201209', 'NumberOfSeriesRelatedInstances', 'IS', (row) => row.numberOfSeriesRelatedInstances),
  instance('00080016', 'SOPClassUID', 'UI', (row) => row.sopClassUid, 'sopClassUid'),
  instance('00080018', 'SOPInstanceUID', 'UI', (row) => row.sopInstanceUid, 'sopInstanceUid'),
  instance('00083002', 'AvailableTransferSyntaxUID', 'UI', (row) => row.transferSyntaxUid),
  instance('00200013', 'InstanceNumber', 'IS', (row) => row.instanceNumber, 'instanceNumber'),
  instance('00280008', 'NumberOfFrames', 'IS', (row) => row.numberOfFrames),
  instance('00280010', 'Rows', 'US', (row) => row.rows),
  instance('00280011', 'Columns', 'US', (row) => row.columns),
  instance('00280100', 'BitsAllocated', 'US', (row) => row.bitsAllocated),
];

const byName = new Map(attributes.flatMap((one) => [[one.tag, one], [one.keyword, one]]));

/** By '00100010', '0010,0010' or keyword; undefined for what the gateway does not keep in rows. */
export const attributeNamed = (name: string): Attribute | undefined => byName.get(name) ?? byName.get(name.replaceAll(/[(),]/g, '').toUpperCase());

export const depthOf: Readonly<Record<Level, number>> = { study: 0, series: 1, instance: 2 };
