/**
 * A result as a file, for systems that read a folder: <MSH-10>.hl7 below MEDSCAN_FOLDERS. Written beside and renamed, so that nobody reads half of
 * it; sent again under the same name, so that a repeat replaces what it repeats. There is no acknowledgment: delivered means that the file is durable.
 */
import type { AdapterContext } from '#gateway/adapter.ts';
import { FolderError, codeOf, ownDirectory, refuseShared, writeWhole } from './places.ts';

export type FileOutcome = { readonly kind: 'delivered'; readonly answerCode: string } | { readonly kind: 'unreachable'; readonly text: string };

export async function deliverToFolder(folder: string, controlId: string, message: Buffer, context: Pick<AdapterContext, 'folders' | 'foldersOfOthers'>): Promise<FileOutcome> {
  if (context.folders === undefined) return { kind: 'unreachable', text: 'The integration names a folder to deliver to, but MEDSCAN_FOLDERS is not set' };
  try {
    const directory = await ownDirectory(context.folders, folder);
    await refuseShared(context.folders, folder, context.foldersOfOthers?.() ?? []);
    await writeWhole(directory, `${controlId.replaceAll(/[^A-Za-z0-9_-]/g, '_')}.hl7`, message);
    return { kind: 'delivered', answerCode: 'written' };
  } catch (error) {
    return { kind: 'unreachable', text: error instanceof FolderError ? error.message : `The file could not be written (${codeOf(error)})` };
  }
}
