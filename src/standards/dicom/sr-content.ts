/** Content items of a Structured Report as dataset elements (PS3.3 C.17.3, C.18). */
import { decimalString } from './dataset-writer.ts';
import type { DatasetElements } from './dataset-writer.ts';

/** Code value, coding scheme designator, code meaning. */
export type Concept = readonly [value: string, scheme: string, meaning: string];
export type ContentItem = DatasetElements;
export type Relationship = 'CONTAINS' | 'HAS CONCEPT MOD' | 'HAS OBS CONTEXT' | 'HAS ACQ CONTEXT' | 'INFERRED FROM' | 'SELECTED FROM' | 'HAS PROPERTIES';
export interface ImageReference { readonly sopClassUid: string; readonly sopInstanceUid: string; readonly frame?: number | undefined }

/** PS3.3 8.8: values of more than 16 characters have an element of their own. */
export function codeItem([value, scheme, meaning]: Concept): DatasetElements {
  return { [value.length <= 16 ? '(0008,0100)' : '(0008,0119)']: value, '(0008,0102)': scheme.slice(0, 16), '(0008,0104)': line(meaning, 64) };
}

export function container(concept: Concept, children: readonly ContentItem[], template?: string): ContentItem {
  return {
    ...base('CONTAINS', 'CONTAINER', concept, children), '(0040,a050)': 'SEPARATE',
    ...(template === undefined ? {} : { '(0040,a504)': [{ '(0008,0105)': 'DCMR', '(0040,db00)': template }] }),
  };
}
export function code(relationship: Relationship, concept: Concept, value: Concept, children: readonly ContentItem[] = []): ContentItem {
  return { ...base(relationship, 'CODE', concept, children), '(0040,a168)': [codeItem(value)] };
}
export function text(relationship: Relationship, concept: Concept, value: string): ContentItem {
  return { ...base(relationship, 'TEXT', concept), '(0040,a160)': paragraph(value) };
}
export function uidReference(relationship: Relationship, concept: Concept, uid: string): ContentItem {
  return { ...base(relationship, 'UIDREF', concept), '(0040,a124)': uid };
}
export function measurement(relationship: Relationship, concept: Concept, value: number, unit: Concept): ContentItem {
  const decimal = decimalString(value);
  return {
    ...base(relationship, 'NUM', concept),
    '(0040,a300)': [{ '(0040,08ea)': [codeItem(unit)], '(0040,a30a)': decimal, ...(Number(decimal) === value ? {} : { '(0040,a161)': value }) }],
  };
}
export function image(relationship: Relationship, { sopClassUid, sopInstanceUid, frame }: ImageReference): ContentItem {
  return { ...base(relationship, 'IMAGE'), '(0008,1199)': [{ '(0008,1150)': sopClassUid, '(0008,1155)': sopInstanceUid, '(0008,1160)': frame }] };
}
/** Pairs of column, row; 0,0 is the top left corner of the top left pixel (PS3.3 C.18.6.1.1). */
export function spatialCoordinates(concept: Concept, graphicType: 'POINT' | 'POLYLINE' | 'ELLIPSE' | 'CIRCLE', data: readonly number[], selectedFrom: ImageReference): ContentItem {
  return { ...base('CONTAINS', 'SCOORD', concept, [image('SELECTED FROM', selectedFrom)]), '(0070,0022)': data, '(0070,0023)': graphicType };
}
/** Triplets of x, y, z in millimetres in the Frame of Reference (PS3.3 C.18.9). */
export function spatialCoordinates3d(concept: Concept, graphicType: 'POINT' | 'POLYGON' | 'ELLIPSE' | 'ELLIPSOID', data: readonly number[], frameOfReferenceUid: string): ContentItem {
  return { ...base('CONTAINS', 'SCOORD3D', concept), '(0070,0022)': data, '(0070,0023)': graphicType, '(3006,0024)': frameOfReferenceUid };
}

function base(relationship: Relationship, valueType: string, concept?: Concept, children: readonly ContentItem[] = []): ContentItem {
  return {
    '(0040,a010)': relationship, '(0040,a040)': valueType,
    '(0040,a043)': concept === undefined ? undefined : [codeItem(concept)],
    '(0040,a730)': children.length === 0 ? undefined : children,
  };
}

/** One line for LO, SH and the like: no delimiter, no control character, cut to the characters that the VR allows. */
export function line(value: string, most: number): string {
  return Array.from(value.replaceAll(/[\p{Cc}\\]+/gu, ' ').trim()).slice(0, most).join('').trim();
}
/** Text for UT: lines end in CR LF (PS3.5 6.1.3). */
export function paragraph(value: string): string {
  return value.replaceAll(/\r\n?|\n/g, '\r\n').replaceAll(/(?![\t\r\n\f])\p{Cc}/gu, ' ').trimEnd();
}
