/** The query parameters of a rendered picture (PS3.18 8.3.5.1): quality, window, viewport; annotation and iccprofile are told apart from mistakes. */
import type { Viewport, VoiWindow } from '#gateway/images.ts';
import { Refusal } from './answer.ts';

export interface RenderedQuery { readonly quality: number; readonly window: VoiWindow | undefined; readonly viewport: Viewport | undefined; readonly warnings: readonly string[] }

const defaultQuality = 85;
const mostEdgePixels = 4096;
const functions = ['linear', 'linear-exact', 'sigmoid'] as const;

/** Throws Refusal 400 for what is not written as the standard says. */
export function renderedQuery(parameters: URLSearchParams, isThumbnail: boolean): RenderedQuery {
  const warnings: string[] = [];
  for (const name of new Set(parameters.keys())) {
    if (parameters.getAll(name).length > 1) throw new Refusal(400, `The parameter ${printable(name)} is given more than once.`);
    if (!known.has(name) || (isThumbnail && name !== 'viewport' && known.has(name) && name !== 'accept')) warnings.push(`The parameter ${printable(name)} was ignored.`);
  }
  const window = isThumbnail ? null : parameters.get('window'), viewport = parameters.get('viewport'), quality = isThumbnail ? null : parameters.get('quality');
  return { quality: quality === null ? defaultQuality : qualityOf(quality), window: window === null ? undefined : windowOf(window), viewport: viewport === null ? undefined : viewportOf(viewport, isThumbnail), warnings };
}
const known = new Set(['quality', 'window', 'viewport', 'accept']);
const printable = (name: string): string => name.replaceAll(/[^\w-]/g, '?').slice(0, 40);

function qualityOf(text: string): number {
  const quality = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (quality < 1 || quality > 100) throw new Refusal(400, 'quality is a whole number from 1 to 100.');
  return quality;
}

function windowOf(text: string): VoiWindow {
  const [centre, width, name = 'linear', ...more] = text.split(',').map((part) => part.trim());
  const [centreValue, widthValue] = [numberOf(centre), numberOf(width)];
  const found = functions.find((one) => one === name.toLowerCase());
  if (centreValue === undefined || widthValue === undefined || widthValue <= 0 || found === undefined || more.length > 0) throw new Refusal(400, 'window is centre,width,function: two numbers, the second above 0, and linear, linear-exact or sigmoid.');
  return { centre: centreValue, width: widthValue, function: found };
}

/** vw,vh[,sx,sy,sw,sh]; parts of the image that are left empty are the whole; negative sw or sh flip (PS3.18 8.3.5.1.3). */
function viewportOf(text: string, isThumbnail: boolean): Viewport {
  const words = 'viewport is width,height in pixels up to 4096, and for a part of the image its left,top,width,height.';
  const parts = text.split(',').map((part) => part.trim());
  const numbers = parts.map(numberOf);
  const [width, height, left, top, sourceWidth, sourceHeight] = numbers;
  if (width === undefined || height === undefined || !isEdge(width) || !isEdge(height) || ![2, 4, 6].includes(parts.length) || parts.some((part, index) => part !== '' && numbers[index] === undefined)) throw new Refusal(400, words);
  if (isThumbnail && parts.length > 2) throw new Refusal(400, 'The viewport of a thumbnail is width,height.');
  if (parts.length === 2) return { width, height };
  if ((left ?? 0) < 0 || (top ?? 0) < 0 || sourceWidth === 0 || sourceHeight === 0) throw new Refusal(400, words);
  return { width, height, source: { left: left ?? 0, top: top ?? 0, width: Math.abs(sourceWidth ?? wholeEdge), height: Math.abs(sourceHeight ?? wholeEdge), flipsHorizontally: (sourceWidth ?? 0) < 0, flipsVertically: (sourceHeight ?? 0) < 0 } };
}
/** More than any image has: cut to the image where it is drawn. */
const wholeEdge = 65_535;
const isEdge = (value: number): boolean => Number.isInteger(value) && value >= 1 && value <= mostEdgePixels;
function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^[+-]?\d{1,10}(\.\d{1,10})?$/.test(text) ? Number(text) : undefined;
}
