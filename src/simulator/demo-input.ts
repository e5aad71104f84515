/** What the demo sends: the synthetic study with its order, or the DICOM files of a directory. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readHeader } from '#standards/dicom/header.ts';
import { trimUid } from '#standards/dicom/uids.ts';
import { readPart10File } from './part10-file.ts';
import type { SendableObject } from './part10-file.ts';

export interface InputStudy { readonly studyInstanceUid: string; readonly objects: readonly SendableObject[] }
export interface InputFiles { readonly studies: readonly InputStudy[]; readonly skipped: number }

/** All DICOM files below the directory, by study; other files are counted. Throws when there are none. */
export async function readInput(directory: string): Promise<InputFiles> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).toSorted();
  const studies = new Map<string, SendableObject[]>();
  let skipped = 0;
  for (const path of paths) {
    const object = await readPart10File(path);
    const uid = object && studyUidOf(object);
    if (object === undefined || uid === undefined) { skipped += 1; continue; }
    const objects = studies.get(uid) ?? [];
    studies.set(uid, objects);
    objects.push(object);
  }
  if (studies.size === 0) throw new Error(`There is no DICOM file (PS3.10, with a Study Instance UID) in ${directory}: ${paths.length} files looked at.`);
  return { studies: [...studies].map(([studyInstanceUid, objects]) => ({ studyInstanceUid, objects })), skipped };
}

function studyUidOf({ dataset, transferSyntaxUid }: SendableObject): string | undefined {
  const uid = trimUid(readHeader(dataset, transferSyntaxUid).dataset.get(0x0020000d)?.bytes.toString('latin1') ?? '');
  return uid === '' ? undefined : uid;
}
