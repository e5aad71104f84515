/**
 * An instance for a peer that takes its SOP class and not the transfer syntax it is stored in (PS3.5 10.1: every application takes the default one):
 * compressed pixel data are decompressed, in a thread of their own; Explicit VR becomes Implicit VR. Never done where the stored form is taken.
 */
import type { AdapterContext } from '#gateway/adapter.ts';
import type { StoredInstance } from '#gateway/holdings.ts';
import { explicitVrLittleEndian, implicitVrLittleEndian, transferSyntaxOf } from '#standards/dicom/transfer-syntaxes.ts';
import { toImplicitVr } from './implicit-vr.ts';
import type { DatasetBytes } from './upper-layer/invoker.ts';

/** Offered beside the stored form, in this order. */
export const nativeSyntaxes: readonly string[] = [explicitVrLittleEndian, implicitVrLittleEndian];
/** A data set that is converted is in memory. */
const mostBytes = 512 * 1024 * 1024;

export interface NativeForm { readonly contextId: number; readonly dataset: Buffer; readonly note: string }

/** @param contextIn id of the accepted context for the instance's class in this transfer syntax. A text: why there is none to be had. */
export async function nativeForm(instance: StoredInstance, stored: DatasetBytes, contextIn: (transferSyntaxUid: string) => number | undefined, adapter: AdapterContext): Promise<NativeForm | string> {
  const { transferSyntaxUid, byteSize } = instance;
  const syntax = nativeSyntaxes.find((uid) => uid !== transferSyntaxUid && contextIn(uid) !== undefined);
  const contextId = syntax === undefined ? undefined : contextIn(syntax);
  if (contextId === undefined) return 'neither that transfer syntax nor an uncompressed one was accepted';
  if (byteSize > mostBytes) return `it is too large to be converted (more than ${mostBytes} bytes)`;
  try {
    const explicit = await explicitForm(instance, stored, adapter);
    return { contextId, dataset: syntax === implicitVrLittleEndian ? toImplicitVr(explicit) : explicit, note: `converted from transfer syntax ${transferSyntaxUid} to ${syntax}, which the receiver takes` };
  } catch (error) {
    return `it could not be converted: ${error instanceof Error ? error.message : 'unknown'}`;
  }
}

async function explicitForm(instance: StoredInstance, stored: DatasetBytes, { images, signal }: AdapterContext): Promise<Buffer> {
  const { encapsulated } = transferSyntaxOf(instance.transferSyntaxUid);
  if (encapsulated && images !== undefined) return (await images.decompress(instance, signal)).dataset;
  if (instance.transferSyntaxUid !== explicitVrLittleEndian) throw new Error(`nothing here converts transfer syntax ${instance.transferSyntaxUid}`);
  return Buffer.isBuffer(stored) ? stored : Buffer.concat(await Array.fromAsync(stored));
}
