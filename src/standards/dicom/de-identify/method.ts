/** What a de-identified image says of itself (PS3.3 C.12.1.1.1, C.7.1.1): that it is, how (CID 7050), and what became of its dates. */
import { elementOf } from '../dataset-copy.ts';
import type { DataElement } from '../elements.ts';
import type { DeIdentifyOptions } from './de-identify.ts';

type Code = readonly [value: string, meaning: string];
const basicProfile: Code = ['113100', 'Basic Application Confidentiality Profile'];
const fullDates: Code = ['113106', 'Retain Longitudinal Temporal Information Full Dates Option'];
const modifiedDates: Code = ['113107', 'Retain Longitudinal Temporal Information Modified Dates Option'];
const patientCharacteristics: Code = ['113108', 'Retain Patient Characteristics Option'];
const deviceIdentity: Code = ['113109', 'Retain Device Identity Option'];

export function methodElements({ dates, keepsPatientCharacteristics, keepsDeviceIdentity }: DeIdentifyOptions): DataElement[] {
  const codes = [basicProfile, ...(dates === 'kept' ? [fullDates] : dates === 'shifted' ? [modifiedDates] : []), ...(keepsPatientCharacteristics ? [patientCharacteristics] : []), ...(keepsDeviceIdentity ? [deviceIdentity] : [])];
  const items = codes.map(([value, meaning]) => new Map([elementOf(0x00080100, 'SH', value), elementOf(0x00080102, 'SH', 'DCM'), elementOf(0x00080104, 'LO', meaning)].map((element) => [element.tag, element])));
  return [
    elementOf(0x00120062, 'CS', 'YES'), { tag: 0x00120064, vr: 'SQ', bytes: Buffer.alloc(0), littleEndian: true, items },
    elementOf(0x00280303, 'CS', dates === 'kept' ? 'UNMODIFIED' : dates === 'shifted' ? 'MODIFIED' : 'REMOVED'),
  ];
}
