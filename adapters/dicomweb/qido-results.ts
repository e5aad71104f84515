/** A row of the holdings as one search result: DICOM JSON with the Retrieve URL of what was found. */
import type { Attribute, Holding } from './attributes.ts';
import { jsonElement, type JsonDataset, type JsonElement } from './dicom-json.ts';

/** @param fields in ascending order of their tags within each level */
export function resultOf(row: Holding, fields: readonly Attribute[], base: string): JsonDataset {
  const entries: [string, JsonElement][] = fields.map((attribute) => {
    const value = attribute.read(row);
    return [attribute.tag, jsonElement(attribute.vr, typeof value === 'object' && value !== null ? value : [value])];
  });
  entries.push(['00081190', { vr: 'UR', Value: [retrieveUrl(row, base)] }]);
  return Object.fromEntries(entries.toSorted(([one], [other]) => (one < other ? -1 : 1)).filter(([tag, element]) => element.Value !== undefined || !leftOutWhenEmpty.has(tag)));
}

/** Empty would say that there is none, where nothing is known. */
const leftOutWhenEmpty = new Set(['00080201', '00280008', '00280010', '00280011', '00280100', '00100021']);

export function retrieveUrl({ studyInstanceUid, seriesInstanceUid, sopInstanceUid }: Pick<Holding, 'studyInstanceUid' | 'seriesInstanceUid' | 'sopInstanceUid'>, base: string): string {
  const named = [['studies', studyInstanceUid], ['series', seriesInstanceUid], ['instances', sopInstanceUid]].filter(([, uid]) => uid !== undefined);
  return [base, ...named.flatMap(([level, uid]) => [level, encodeURIComponent(uid!)])].join('/');
}
