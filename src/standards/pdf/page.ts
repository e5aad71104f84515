/**
 * The sheet that a report is printed on: A4, fonts embedded, text selectable, a head of its own on each page and a foot with page numbers.
 * DejaVu has Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew and Arabic letters; a character that it lacks is printed as U+25A1, and the
 * page says so. The same calls give the same bytes: nothing here asks for the time.
 */
import PDFDocument from 'pdfkit';
import { faceOf, printableText, substitute, typefaces, type Weight } from '../typeface.ts';

export type Pen = InstanceType<typeof PDFDocument>;
export interface Writing { readonly weight?: Weight; readonly size?: number; readonly colour?: string; readonly align?: 'left' | 'right' }

export const margin = 48, footHeight = 40;
export const ink = '#111111', quiet = '#555555', rule = '#bbbbbb';

export interface SheetOptions { readonly title: string; readonly author: string; readonly subject: string; readonly madeAt: Date; readonly foot: string; readonly watermark?: string | undefined }

export interface Sheet {
  readonly pen: Pen;
  readonly width: number;
  /** Where the next line goes. */
  y(): number;
  /** What is printed for a text: no control characters, right-to-left words in the order of reading, a box for what the font lacks. */
  printable(text: string): string;
  height(text: string, width: number, writing?: Writing): number;
  /** Draws text in a column and leaves the place of the next line alone. Text that is higher than the page must not come here. */
  place(text: string, left: number, top: number, width: number, writing?: Writing): void;
  /** Text over the whole width, on as many pages as it needs. */
  paragraph(text: string, writing?: Writing): void;
  moveTo(y: number): void;
  /** A new page unless so much room is left; true when there is a new one. */
  needs(height: number): boolean;
  finish(): Promise<Buffer>;
}

export function openSheet(options: SheetOptions): Sheet {
  const faces = typefaces();
  const pen = new PDFDocument({
    size: 'A4', margins: { top: margin, left: margin, right: margin, bottom: margin + footHeight }, bufferPages: true, lang: 'en', displayTitle: true, pdfVersion: '1.7',
    font: faces.regular as unknown as string, info: { Title: options.title, Author: options.author, Subject: options.subject, Creator: 'MedScan Gateway', Producer: 'MedScan Gateway', CreationDate: options.madeAt, ModDate: options.madeAt },
  });
  pen.registerFont('regular', faces.regular as unknown as string).registerFont('bold', faces.bold as unknown as string);
  const chunks: Buffer[] = [];
  pen.on('data', (chunk: Buffer) => chunks.push(chunk));
  const ended = new Promise<Buffer>((resolve, reject) => pen.on('end', () => resolve(Buffer.concat(chunks))).on('error', reject));
  const width = pen.page.width - 2 * margin, bottom = pen.page.height - margin - footHeight;
  const take = ({ weight = 'regular', size = 9.5, colour = ink }: Writing = {}): Pen => pen.font(weight).fontSize(size).fillColor(colour);
  let lacksCharacters = false;
  const printable = (text: string): string => {
    const found = printableText(faceOf(pen), inReadingOrder(divisible(text)));
    lacksCharacters ||= found.isLacking;
    return found.text;
  };
  return {
    pen, width, printable, y: () => pen.y,
    height: (text, wide, writing) => take(writing).heightOfString(printable(text), { width: wide }),
    place(text, left, top, wide, writing) {
      const { y } = pen;
      take(writing).text(printable(text), left, top, { width: wide, align: writing?.align ?? 'left' });
      pen.y = y;
    },
    paragraph: (text, writing) => { take(writing).text(printable(text), margin, pen.y, { width, lineGap: 1.5 }); },
    moveTo: (y) => { pen.y = y; },
    needs(height) {
      if (pen.y + height <= bottom) return false;
      pen.addPage();
      return true;
    },
    finish() {
      const { start, count } = pen.bufferedPageRange();
      for (let index = start; index < start + count; index += 1) furnish(pen, take, { index, count, width, foot: printable(options.foot), watermark: options.watermark, lacksCharacters });
      pen.end();
      return ended;
    },
  };
}

interface Furniture { readonly index: number; readonly count: number; readonly width: number; readonly foot: string; readonly watermark: string | undefined; readonly lacksCharacters: boolean }

function furnish(pen: Pen, take: (writing: Writing) => Pen, { index, count, width, foot, watermark, lacksCharacters }: Furniture): void {
  pen.switchToPage(index);
  // Below the bottom margin: without this pdfkit would begin a page for it.
  pen.page.margins.bottom = 0;
  const top = pen.page.height - margin - footHeight + 12;
  pen.moveTo(margin, top).lineTo(margin + width, top).lineWidth(0.5).strokeColor(rule).stroke();
  take({ size: 7.5, colour: quiet }).text(foot, margin, top + 6, { width: width - 70, height: 20, ellipsis: true });
  take({ size: 7.5, colour: quiet }).text(`Page ${index + 1} of ${count}`, margin + width - 68, top + 6, { width: 68, align: 'right', lineBreak: false });
  if (lacksCharacters) take({ size: 6.5, colour: quiet }).text(`${substitute} stands for a character that this document's font does not have.`, margin, top + 27, { width, lineBreak: false });
  if (watermark === undefined) return;
  pen.save().fillOpacity(0.16).rotate(-52, { origin: [pen.page.width / 2, pen.page.height / 2] });
  take({ weight: 'bold', size: 84, colour: '#b00020' }).text(watermark, 0, pen.page.height / 2 - 50, { width: pen.page.width, align: 'center', lineBreak: false });
  pen.restore();
}

/** A word that no line can hold is broken by pdfkit letter by letter, each time measuring all of it: here it may be broken before that. */
function divisible(text: string): string {
  return text.replaceAll(/\S{40}(?=\S)/gu, '$&\u200b');
}

/** The letters of a Hebrew or Arabic word are turned by the font's layout; the words of a run are not. */
function inReadingOrder(text: string): string {
  return text.replaceAll(/[\p{Script=Hebrew}\p{Script=Arabic}]\S*(?:[ ]+[\p{Script=Hebrew}\p{Script=Arabic}]\S*)+/gu, (run) => run.split(/ +/).toReversed().join(' '));
}
