/** The object of a connection test that stores, in the transfer syntaxes that are offered for it. */
import { testObject as syntheticObject } from '#standards/dicom/test-object.ts';
import { explicitVrLittleEndian, implicitVrLittleEndian } from '#standards/dicom/transfer-syntaxes.ts';
import { toImplicitVr } from './implicit-vr.ts';
import type { StoreObject } from './upper-layer/dimse-scu.ts';

let made: StoreObject | undefined;

export function testObject(): StoreObject {
  const { sopClassUid, sopInstanceUid, dataset } = syntheticObject();
  return made ??= { sopClassUid, sopInstanceUid, encodings: new Map([[explicitVrLittleEndian, dataset], [implicitVrLittleEndian, toImplicitVr(dataset)]]) };
}
