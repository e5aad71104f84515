/** Grey values to 8 bits for a display: the window or VOI LUT of the image, or the one that is asked for (PS3.3 C.11.2). */
import type { DataSet } from 'dicom-parser';
import type { VoiWindow } from '#gateway/images.ts';
import { item, number } from '../decode/image-header.ts';
import { readLut } from '../decode/grey-values.ts';

export type ToDisplay = (value: number) => number;

/** @param frame from 0. Results are 0..255, not rounded. */
export function displayFunction(dataset: DataSet, frame: number, values: ArrayLike<number>, wanted: VoiWindow | undefined, isPlain8Bit: boolean): ToDisplay {
  const window = wanted ?? windowOf(dataset, frame);
  if (window !== undefined) return windowFunction(window);
  const table = item(dataset, 'x00283010', 0);
  if (table !== undefined && table.elements['x00283006'] !== undefined) return lutFunction(table, dataset.uint16('x00280103') === 1);
  if (isPlain8Bit) return (value) => value;
  const { low, high } = rangeOf(values, number(dataset, 'x00280120') ?? padding(dataset));
  return high > low ? (value) => ((value - low) / (high - low)) * 255 : () => 128;
}

function padding(dataset: DataSet): number | undefined {
  return dataset.uint16('x00280103') === 1 ? dataset.int16('x00280120') : dataset.uint16('x00280120');
}

/** The first of several; Frame VOI LUT of the functional groups before the image's own. */
function windowOf(dataset: DataSet, frame: number): VoiWindow | undefined {
  const groups = [item(dataset, 'x52009230', frame), item(dataset, 'x52009229', 0)].map((group) => group && item(group, 'x00289132', 0));
  const place = groups.find((group) => group?.elements['x00281050'] !== undefined) ?? dataset;
  const [centre, width] = [number(place, 'x00281050'), number(place, 'x00281051')];
  const name = (place.string('x00281056') ?? 'LINEAR').trim().toLowerCase().replace('_', '-');
  if (centre === undefined || width === undefined || !(width > 0)) return undefined;
  return { centre, width, function: name === 'sigmoid' || name === 'linear-exact' ? name : 'linear' };
}

export function windowFunction({ centre, width, function: form }: VoiWindow): ToDisplay {
  if (form === 'sigmoid') return (value) => 255 / (1 + Math.exp((-4 * (value - centre)) / width));
  if (form === 'linear-exact') return (value) => ((value - centre) / width + 0.5) * 255;
  // C.11.2.1.2.1: a width of 1 is a step.
  if (width <= 1) return (value) => (value <= centre - 0.5 ? 0 : 255);
  return (value) => ((value - (centre - 0.5)) / (width - 1) + 0.5) * 255;
}

function lutFunction(table: DataSet, signed: boolean): ToDisplay {
  const lut = readLut(table, 'x00283002', 'x00283006', signed);
  const top = 2 ** (table.uint16('x00283002', 2) ?? 16) - 1;
  return (value) => (lut(Math.round(value)) / top) * 255;
}

function rangeOf(values: ArrayLike<number>, padded: number | undefined): { low: number; high: number } {
  let low = Infinity, high = -Infinity;
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index]!;
    if (value === padded || Number.isNaN(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}
