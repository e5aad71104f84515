import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** Writes the files whose content is another than before and says which. */
export async function writeChanged(documents: ReadonlyMap<string, string>): Promise<void> {
  for (const [file, content] of documents) {
    const isChanged = await readFile(file, 'utf8').catch(() => undefined) !== content;
    if (isChanged) await writeFile(file, content);
    process.stdout.write(`${isChanged ? 'written  ' : 'unchanged'} ${path.relative(process.cwd(), file)}\n`);
  }
}
