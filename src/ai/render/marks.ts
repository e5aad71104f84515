/** What an analysis found, drawn on the picture: a box and a label for each mark, and a caption in a strip of its own below the image. */
import type { Mark } from '#gateway/images.ts';
import type { Raster } from './display-frame.ts';
import { drawText, fillBox, outlineBox, textWidth, type Colour } from './draw.ts';

const yellow: Colour = [255, 214, 10], red: Colour = [255, 70, 70], black: Colour = [0, 0, 0], white: Colour = [255, 255, 255];

export function withColour(raster: Raster): Raster {
  if (raster.samplesPerPixel === 3) return raster;
  const data = new Uint8ClampedArray(raster.data.length * 3);
  for (let pixel = 0; pixel < raster.data.length; pixel += 1) data.fill(raster.data[pixel]!, pixel * 3, pixel * 3 + 3);
  return { ...raster, samplesPerPixel: 3, data };
}

/** @param scale pixels of the raster per pixel of the stored frame, across and down */
export function drawMarks(raster: Raster, marks: readonly Mark[], scale: readonly [across: number, down: number]): void {
  const size = letterSize(raster), line = Math.max(2, Math.round(size / 8));
  for (const { left, top, width, height, isUrgent } of marks) {
    const box = [left * scale[0], top * scale[1], width * scale[0], height * scale[1]] as const;
    // A dark line on both sides, for images that are as bright as the mark.
    outlineBox(raster, ...box, line + 1, black);
    outlineBox(raster, ...box, line, isUrgent ? red : yellow);
  }
  for (const mark of marks) drawLabel(raster, mark, scale, size, line);
}

function drawLabel(raster: Raster, { left, top, height, label, isUrgent }: Mark, scale: readonly [number, number], size: number, line: number): void {
  const text = shortened(label, size, raster.columns - 8);
  const width = textWidth(text, size) + 8, lineHeight = size * 1.35;
  const above = top * scale[1] - line - lineHeight - 2;
  const y = above >= 0 ? above : Math.min(raster.rows - lineHeight, (top + height) * scale[1] + line + 2);
  const x = Math.max(0, Math.min(raster.columns - width, left * scale[0] - line));
  fillBox(raster, x, y, width, lineHeight, black, 0.7);
  drawText(raster, text, x + 4, y + size * 0.05, size, isUrgent ? red : yellow);
}

/** The raster with lines of text below it. */
export function withCaption(raster: Raster, lines: readonly string[]): Raster {
  const size = letterSize(raster), lineHeight = Math.round(size * 1.4);
  const rows = raster.rows + lines.length * lineHeight + Math.round(size * 0.6);
  const data = new Uint8ClampedArray(rows * raster.columns * 3);
  data.set(raster.data);
  const taller: Raster = { ...raster, rows, data };
  for (const [index, text] of lines.entries()) drawText(taller, shortened(text, size, raster.columns - 12), 6, raster.rows + size * 0.25 + index * lineHeight, size, white);
  return taller;
}

function letterSize({ rows, columns }: Raster): number {
  return Math.max(13, Math.round(Math.min(columns, rows * 1.5) / 42));
}

function shortened(text: string, size: number, width: number): string {
  const oneLine = text.replaceAll(/\s+/g, ' ').slice(0, 400);
  if (textWidth(oneLine, size) <= width) return oneLine;
  let kept = oneLine;
  while (kept.length > 1 && textWidth(`${kept}...`, size) > width) kept = kept.slice(0, Math.floor(kept.length * 0.9));
  return `${kept.toWellFormed()}...`;
}
