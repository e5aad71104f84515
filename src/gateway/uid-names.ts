/** What people call a SOP class or a transfer syntax; the UID itself where it has no name. */
import { sopClassName } from '#standards/dicom/sop-classes.ts';
import { transferSyntaxes } from '#standards/dicom/transfer-syntaxes.ts';

/** Services that are no storage (PS3.4). */
const services: ReadonlyMap<string, string> = new Map([
  ['1.2.840.10008.1.1', 'Verification'], ['1.2.840.10008.1.20.1', 'Storage Commitment Push Model'], ['1.2.840.10008.3.1.2.3.3', 'Modality Performed Procedure Step'],
  ['1.2.840.10008.5.1.4.31', 'Modality Worklist - FIND'],
  ...['Patient', 'Study'].flatMap((root, index) => ['FIND', 'MOVE', 'GET'].map((what, service): [string, string] => [`1.2.840.10008.5.1.4.1.2.${index + 1}.${service + 1}`, `${root} Root Query/Retrieve - ${what}`])),
]);

export const uidName = (uid: string): string => services.get(uid) ?? transferSyntaxes.get(uid)?.name ?? sopClassName(uid);
