import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, test } from 'vitest';
import { dicomReader } from './reader.ts';
import { corpusFiles, hasTool, listedTexts, runTool } from './test/dcmtk.ts';

const files = corpusFiles();
const canCompare = files.length > 0 && hasTool('dcmdump');
const unpadded = (value: string) => value.split('\\').map((one) => one.replace(/[\0 ]+$/, '').replace(/^ +/, '')).join('\\');
/** dcmdump converts to UTF-8 where its iconv knows the character set; elsewhere what is ASCII can still be compared. */
function opinionOf(file: string): ReadonlyMap<string, string> {
  const converted = runTool('dcmdump', '-q', '+L', '-Un', '+U8', '+Ep', file);
  if (converted.status === 0) return listedTexts(converted.output);
  const plain = listedTexts(runTool('dcmdump', '-q', '+L', '-Un', '+Ep', file).output);
  return new Map([...plain].filter(([, value]) => /^[\x20-\x7e]*$/.test(value)));
}

describe.skipIf(!canCompare)(`what dcmdump reads${canCompare ? '' : ' (skipped: no corpus or no dcmdump here)'}`, () => {
  test('every top-level text of every corpus object is read as DCMTK reads it', () => {
    let compared = 0;
    const withoutOpinion: string[] = [];
    for (const file of files) {
      const opinion = opinionOf(file), reader = dicomReader(readFileSync(file));
      if (opinion.size === 0) withoutOpinion.push(basename(file));
      for (const [tag, value] of opinion) {
        if (tag === '(0008,0005)') continue;
        expect(`${basename(file)} ${tag} ${reader.all(tag).join('\\')}`).toBe(`${basename(file)} ${tag} ${unpadded(value)}`);
        compared += 1;
      }
    }
    expect(compared).toBeGreaterThan(2000);
    // Without a text element at top level (two of them hold one private or odd sequence only), or not readable for DCMTK.
    expect(withoutOpinion.length).toBeLessThanOrEqual(4);
  });
});

describe.skipIf(files.length === 0)(`corpus objects${files.length === 0 ? ' (skipped: no corpus here)' : ''}`, () => {
  test('the header is complete in a prefix that ends anywhere in Pixel Data', () => {
    for (const file of files) {
      const bytes = readFileSync(file), whole = dicomReader(bytes).header;
      if (!whole.hasPixelData || whole.part10.transferSyntaxUid.endsWith('.99')) continue;
      const cut = dicomReader(bytes.subarray(0, bytes.length - 1)).header;
      expect([cut.complete, cut.dataset.size]).toEqual([true, whole.dataset.size]);
    }
  });

  test('a prefix that ends before Pixel Data gives the elements before the cut and says that it is incomplete', () => {
    for (const file of files) {
      const bytes = readFileSync(file), whole = dicomReader(bytes).header;
      const cut = dicomReader(bytes.subarray(0, whole.part10.datasetOffset + 101)).header;
      expect(cut.dataset.size).toBeLessThanOrEqual(whole.dataset.size);
      for (const [tag, element] of cut.dataset) if (element.items === undefined) expect(element.bytes.equals(whole.dataset.get(tag)?.bytes ?? Buffer.alloc(1))).toBe(true);
    }
  });
});
