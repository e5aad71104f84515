/** Values that stand for removed ones (action D): right for the VR, the same for everybody. */
import type { Dataset, DataElement } from '../elements.ts';
import { elementOf } from '../dataset-copy.ts';

const texts: Readonly<Record<string, string>> = {
  AE: 'ANONYMIZED', AS: '000Y', CS: 'ANONYMIZED', DA: '19000101', DS: '0', DT: '19000101000000', IS: '0', LO: 'ANONYMIZED', LT: 'ANONYMIZED', PN: 'ANONYMIZED', SH: 'ANONYMIZED', ST: 'ANONYMIZED',
  TM: '000000', UC: 'ANONYMIZED', UR: 'urn:anonymized', UT: 'ANONYMIZED',
};
const zeros: Readonly<Record<string, number>> = { AT: 4, FD: 8, FL: 4, OB: 2, OD: 8, OF: 4, OL: 4, OV: 8, OW: 2, SL: 4, SS: 2, SV: 8, UL: 4, UN: 2, US: 2, UV: 8 };

export function dummyOf({ tag, vr, items }: DataElement, mapUid: (element: DataElement) => DataElement): DataElement {
  if (items !== undefined) return { tag, vr: 'SQ', bytes: Buffer.alloc(0), littleEndian: true, items: items.slice(0, 1).map((item) => dummyItem(item, mapUid)) };
  return elementOf(tag, vr, texts[vr] ?? Buffer.alloc(zeros[vr] ?? 0));
}

/** The attributes of an item without anything that it says; what is nested in it is left out. */
function dummyItem(item: Dataset, mapUid: (element: DataElement) => DataElement): Dataset {
  const elements = [...item.values()].filter(({ tag, items }) => items === undefined && (tag >>> 16) % 2 === 0);
  return new Map(elements.map((element) => [element.tag, element.vr === 'UI' ? mapUid(element) : dummyOf(element, mapUid)]));
}
