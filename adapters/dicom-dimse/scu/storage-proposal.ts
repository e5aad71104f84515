/**
 * What a C-GET offers to take (PS3.4 C.5.3): one context for each storage SOP class and transfer syntax, so that an object comes as it is stored; with
 * role selection, for we are the SCP of these. An association holds 128 contexts: with many classes, fewer transfer syntaxes are offered.
 */
import { explicitVrLittleEndian, implicitVrLittleEndian } from '#standards/dicom/transfer-syntaxes.ts';
import { isStorage } from '../association.ts';
import type { Config } from '../config.ts';
import type { ProposedContext, Role } from '../upper-layer/pdu.ts';

const below = (...ends: string[]): string[] => ends.map((end) => `1.2.840.10008.5.1.4.1.1.${end}`);
/** Of a source that does not tell what it holds: CR, DX, MG, DBT, CT, MR, US, XA, RF, NM, PET, SC, and what goes with them. */
const usual = below('1', '1.1', '1.2', '13.1.3', '2', '2.1', '4', '4.1', '6.1', '3.1', '12.1', '12.2', '20', '128', '7', '7.2', '7.4', '77.1.4', '77.1.5.1', '104.1', '11.1', '88.11', '88.22', '88.33', '88.34', '88.50', '88.59', '88.65', '88.67', '66.4');

/** RLE; JPEG baseline, extended, lossless; JPEG-LS; JPEG 2000. The uncompressed ones share a context. */
const compressed = ['4.70', '4.90', '4.80', '4.50', '5', '4.91', '4.51', '4.57', '4.81', '4.201'].map((end) => `1.2.840.10008.1.2.${end}`);
const mostContexts = 127;

export function storageProposal(sopClassUids: readonly string[] | undefined, config: Pick<Config, 'sop_classes' | 'accept_unknown_sop_classes'>, firstId: number): { readonly contexts: readonly ProposedContext[]; readonly roles: ReadonlyMap<string, Role> } {
  // What this system may not send, it is not asked for either.
  const isTaken = (uid: string): boolean => isStorage(uid, config.accept_unknown_sop_classes) && (config.sop_classes.length === 0 || config.sop_classes.includes(uid));
  // SOP Class UID is an optional key: where it is not told of every image, the usual ones are offered too.
  const told = new Set(sopClassUids?.filter((uid) => uid !== '')), isTold = sopClassUids?.every((uid) => uid !== '') && told.size > 0;
  const classes = [...new Set([...told, ...(isTold ? [] : usual)])].filter(isTaken).slice(0, mostContexts);
  if (classes.length === 0) return { contexts: [], roles: new Map() };
  const perClass = Math.min(compressed.length, Math.floor(mostContexts / classes.length) - 1);
  const offers = classes.flatMap((abstractSyntax) => [[explicitVrLittleEndian, implicitVrLittleEndian], ...compressed.slice(0, Math.max(0, perClass)).map((uid) => [uid])].map((transferSyntaxes) => ({ abstractSyntax, transferSyntaxes })));
  return {
    contexts: offers.map((offer, index) => ({ id: firstId + 2 * index, ...offer })),
    roles: new Map(classes.map((uid) => [uid, { scu: false, scp: true }])),
  };
}
