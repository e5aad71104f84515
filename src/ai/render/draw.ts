/** Boxes and text in an RGB raster. Letters are the outlines of the typeface, filled by non-zero winding with four lines per pixel row. */
import { printableText, typefaces, type OutlineCommand } from '#standards/typeface.ts';
import type { Raster } from './display-frame.ts';

export type Colour = readonly [red: number, green: number, blue: number];

export function fillBox(raster: Raster, left: number, top: number, width: number, height: number, colour: Colour, opacity = 1): void {
  for (let y = Math.max(0, Math.round(top)); y < Math.min(raster.rows, Math.round(top + height)); y += 1) {
    for (let x = Math.max(0, Math.round(left)); x < Math.min(raster.columns, Math.round(left + width)); x += 1) blend(raster, x, y, colour, opacity);
  }
}

/** A frame of the line's width round the box, outside of it, so that nothing in the box is covered. */
export function outlineBox(raster: Raster, left: number, top: number, width: number, height: number, line: number, colour: Colour): void {
  fillBox(raster, left - line, top - line, width + 2 * line, line, colour);
  fillBox(raster, left - line, top + height, width + 2 * line, line, colour);
  fillBox(raster, left - line, top, line, height, colour);
  fillBox(raster, left + width, top, line, height, colour);
}

export function textWidth(text: string, size: number): number {
  const face = typefaces().regular;
  return face.layout(printableText(face, text).text).positions.reduce((sum, { xAdvance }) => sum + xAdvance, 0) * (size / face.unitsPerEm);
}

/** @param top of the line; a line is 1.25 sizes high */
export function drawText(raster: Raster, text: string, left: number, top: number, size: number, colour: Colour): void {
  const face = typefaces().regular;
  const scale = size / face.unitsPerEm, baseline = top + size;
  const { glyphs, positions } = face.layout(printableText(face, text).text);
  let x = left;
  for (const [index, glyph] of glyphs.entries()) {
    const { xAdvance, xOffset, yOffset } = positions[index]!;
    fillOutline(raster, edges(glyph.path.commands, (at, up) => [x + (at + xOffset) * scale, baseline - (up + yOffset) * scale]), colour);
    x += xAdvance * scale;
  }
}

type Point = readonly [x: number, y: number];
interface Edge { readonly from: Point; readonly to: Point }
const linesPerRow = 4;
const piecesPerCurve = 6;

function edges(commands: readonly OutlineCommand[], place: (x: number, y: number) => Point): Edge[] {
  const out: Edge[] = [];
  let start: Point = [0, 0], at: Point = [0, 0];
  const lineTo = (to: Point): void => { out.push({ from: at, to }); at = to; };
  for (const { command, args } of commands) {
    const points = Array.from({ length: args.length / 2 }, (_, index) => place(args[index * 2]!, args[index * 2 + 1]!));
    if (command === 'moveTo') { start = at = points[0]!; continue; }
    if (command === 'closePath') { lineTo(start); continue; }
    const curve = [at, ...points];
    const pieces = curve.length === 2 ? 1 : piecesPerCurve;
    for (let piece = 1; piece <= pieces; piece += 1) lineTo(pointOn(curve, piece / pieces));
  }
  return out;
}

/** De Casteljau, for lines and curves of any order. */
function pointOn(curve: readonly Point[], share: number): Point {
  let points = curve;
  while (points.length > 1) points = points.slice(1).map(([x, y], index) => [points[index]![0] * (1 - share) + x * share, points[index]![1] * (1 - share) + y * share]);
  return points[0]!;
}

function fillOutline(raster: Raster, outline: readonly Edge[], colour: Colour): void {
  if (outline.length === 0) return;
  const ys = outline.flatMap(({ from, to }) => [from[1], to[1]]);
  const coverage = new Float32Array(raster.columns);
  for (let row = Math.max(0, Math.floor(Math.min(...ys))); row < Math.min(raster.rows, Math.ceil(Math.max(...ys))); row += 1) {
    coverage.fill(0);
    for (let line = 0; line < linesPerRow; line += 1) addSpans(coverage, outline, row + (line + 0.5) / linesPerRow);
    for (let x = 0; x < coverage.length; x += 1) if (coverage[x]! > 0) blend(raster, x, row, colour, Math.min(1, coverage[x]!));
  }
}

function addSpans(coverage: Float32Array, outline: readonly Edge[], y: number): void {
  const crossings = outline.flatMap(({ from: [x0, y0], to: [x1, y1] }) => ((y0 <= y) === (y1 <= y) ? [] : [{ x: x0 + ((y - y0) / (y1 - y0)) * (x1 - x0), turn: y1 > y0 ? 1 : -1 }])).toSorted((one, other) => one.x - other.x);
  let winding = 0;
  for (const [index, { x, turn }] of crossings.entries()) {
    winding += turn;
    const end = crossings[index + 1]?.x;
    if (winding === 0 || end === undefined) continue;
    for (let at = Math.max(0, Math.floor(x)); at < end && at < coverage.length; at += 1) coverage[at] = coverage[at]! + Math.max(0, Math.min(at + 1, end) - Math.max(at, x)) / linesPerRow;
  }
}

function blend(raster: Raster, x: number, y: number, colour: Colour, opacity: number): void {
  const at = (y * raster.columns + x) * 3;
  for (let channel = 0; channel < 3; channel += 1) raster.data[at + channel] = raster.data[at + channel]! * (1 - opacity) + colour[channel]! * opacity;
}

