/** Data element tags: the number gggg * 65536 + eeee in code, '(gggg,eeee)' in lower case hex wherever people read or write them. */
export const tags = {
  specificCharacterSet: 0x00080005, timezoneOffsetFromUtc: 0x00080201,
  item: 0xfffee000, itemDelimitation: 0xfffee00d, sequenceDelimitation: 0xfffee0dd,
  extendedOffsetTable: 0x7fe00001, floatPixelData: 0x7fe00008, pixelData: 0x7fe00010,
} as const;

export function formatTag(tag: number): string {
  return `(${hex4(tag >>> 16)},${hex4(tag & 0xffff)})`;
}

function hex4(number: number): string {
  return (0x10000 + number).toString(16).slice(1);
}

/** '(0010,0010)', '0010,0010' and '00100010' in either case; undefined for anything else. */
export function parseTag(text: string): number | undefined {
  const match = /^\(?([0-9a-fA-F]{4}),?([0-9a-fA-F]{4})\)?$/.exec(text.trim());
  return match === null ? undefined : Number.parseInt(`${match[1]}${match[2]}`, 16);
}
