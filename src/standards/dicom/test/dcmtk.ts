/** DCMTK's tools as the other opinion. Tests that need them skip, and say so, where they are not installed. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

export interface ToolRun { readonly status: number | null; readonly output: string; readonly errors: string }
export function runTool(tool: 'dcmdump' | 'dsrdump', ...options: readonly string[]): ToolRun {
  const { status, stdout, stderr } = spawnSync(tool, options, { timeout: 20_000, maxBuffer: 64 * 1024 * 1024 });
  return { status, output: stdout?.toString('utf8') ?? '', errors: stderr?.toString('utf8') ?? '' };
}
export function hasTool(tool: 'dcmdump' | 'dsrdump'): boolean {
  return spawnSync(tool, ['--version'], { timeout: 20_000 }).status === 0;
}

const corpus = resolve(import.meta.dirname, '../../../..', process.env['MEDSCAN_CORPUS'] ?? '../shared/corpus', 'dicom');

/** Paths of all corpus objects; [] where the corpus is absent. */
export function corpusFiles(): readonly string[] {
  try {
    return ['charset_files', 'studies', 'test_files'].flatMap((folder) => readdirSync(join(corpus, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))).toSorted();
  } catch {
    return [];
  }
}

/** Top-level text elements of a dcmdump listing, value padding removed: '(0010,0010)' -> value. Values over several lines are left out. */
export function listedTexts(listing: string): ReadonlyMap<string, string> {
  return new Map([...listing.matchAll(/^\(([0-9a-f]{4},[0-9a-f]{4})\) (AE|AS|CS|DA|DS|DT|IS|LO|LT|PN|SH|ST|TM|UC|UI|UR|UT) \[(.*)\] +# +\d+, *\d+ \w+$/gm)]
    .filter(([, tag = '']) => !tag.startsWith('0002')).map(([, tag = '', , value = '']) => [`(${tag})`, value]));
}
