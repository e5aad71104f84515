/**
 * The letters of everything that the gateway prints or draws: DejaVu Sans Condensed, parsed once. pdfkit brings the parser and its types name
 * neither the font it holds nor that it takes one that is parsed.
 */
import { fileURLToPath } from 'node:url';
import PDFDocument from 'pdfkit';

export type Weight = 'regular' | 'bold';

/** Lengths are in font units, y upwards. */
export interface Typeface {
  readonly unitsPerEm: number;
  readonly ascent: number;
  readonly descent: number;
  hasGlyphForCodePoint(codePoint: number): boolean;
  layout(text: string): { readonly glyphs: readonly { readonly path: { readonly commands: readonly OutlineCommand[] } }[]; readonly positions: readonly { readonly xAdvance: number; readonly xOffset: number; readonly yOffset: number }[] };
}
export interface OutlineCommand { readonly command: 'moveTo' | 'lineTo' | 'quadraticCurveTo' | 'bezierCurveTo' | 'closePath'; readonly args: readonly number[] }

export const faceOf = (pen: InstanceType<typeof PDFDocument>): Typeface => (pen as unknown as { _font: { font: Typeface } })._font.font;

let parsed: Readonly<Record<Weight, Typeface>> | undefined;
export function typefaces(): Readonly<Record<Weight, Typeface>> {
  const parse = (name: string): Typeface => faceOf(new PDFDocument({ font: fileURLToPath(import.meta.resolve(`dejavu-fonts-ttf/ttf/${name}.ttf`)) }));
  parsed ??= { regular: parse('DejaVuSansCondensed'), bold: parse('DejaVuSansCondensed-Bold') };
  return parsed;
}

export const substitute = '\u25a1';
/** The text with a box for each character that the font lacks; control characters but line feeds become blanks. */
export function printableText(face: Typeface, text: string): { readonly text: string; readonly isLacking: boolean } {
  let isLacking = false;
  const kept = Array.from(text.normalize('NFC').replaceAll(/\r\n?/g, '\n').replaceAll(/[^\P{Cc}\n]/gu, ' '), (character) => {
    if (character === '\n' || face.hasGlyphForCodePoint(character.codePointAt(0) ?? 0)) return character;
    isLacking = true;
    return substitute;
  });
  return { text: kept.join(''), isLacking };
}
