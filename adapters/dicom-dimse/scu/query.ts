/**
 * C-FIND as SCU (PS3.4 C.4.1, K.4.1): one identifier out, its matches back.
 *
 *     C-FIND-RQ, keys -> C-FIND-RSP FF00 with each match ... 0000 | a failure; C-CANCEL-RQ once there are more than we take
 */
import { encodeDataset } from '#standards/dicom/dataset-writer.ts';
import type { DatasetElements } from '#standards/dicom/dataset-writer.ts';
import { explicitVrLittleEndian, implicitVrLittleEndian } from '#standards/dicom/transfer-syntaxes.ts';
import { readIdentifier } from '../identifier.ts';
import type { Identifier } from '../identifier.ts';
import type { Root } from '../services.ts';
import { encodeFindRequest } from '../upper-layer/command-set.ts';
import type { NegotiatedContext, ProposedContext } from '../upper-layer/pdu.ts';
import type { RequestedAssociation } from '../upper-layer/requestor.ts';

export interface FoundMatch { readonly identifier: Identifier; readonly bytes: Buffer }
export interface Found {
  readonly matches: readonly FoundMatch[];
  /** Undefined: no answer to the end. */
  readonly status: number | undefined;
  /** Ended by us because there were more. */
  readonly isCut: boolean;
  readonly sent: Buffer;
}
export interface FindOptions { readonly idleMilliseconds: number; readonly mostMatches: number; readonly signal: AbortSignal }

const model = '1.2.840.10008.5.1.4.1.2.';
/** Patient Root and Study Root, FIND, MOVE and GET (PS3.4 C.6.1.3, C.6.2.3). */
export const queryModel = (root: Root, service: 'find' | 'move' | 'get'): string => `${model}${root === 'patient' ? 1 : 2}.${{ find: 1, move: 2, get: 3 }[service]}`;

export const identifierContext = (id: number, abstractSyntax: string): ProposedContext => ({ id, abstractSyntax, transferSyntaxes: [explicitVrLittleEndian, implicitVrLittleEndian] });

/** The character set is named only where a value needs it: some sources refuse what they do not know. */
export function encodeKeys(keys: DatasetElements, { transferSyntax }: Pick<NegotiatedContext, 'transferSyntax'>): Buffer {
  const isAscii = Object.values(keys).every((value) => typeof value !== 'string' || /^[\x20-\x7e]*$/.test(value));
  return encodeDataset({ ...(isAscii ? {} : { '(0008,0005)': 'ISO_IR 192' }), ...keys }, { explicitVr: transferSyntax !== implicitVrLittleEndian });
}

/** Of all matches of one question: what any number of them may hold of memory. */
const mostBytes = 64 * 1024 * 1024;

export async function find(association: RequestedAssociation, context: NegotiatedContext, keys: DatasetElements, { idleMilliseconds, mostMatches, signal }: FindOptions): Promise<Found> {
  const sent = encodeKeys(keys, context);
  const enough = new AbortController();
  const matches: FoundMatch[] = [];
  let byteLength = 0;
  const last = await association.invoker.askRepeatedly(context.id, (messageId) => encodeFindRequest({ sopClassUid: context.abstractSyntax, messageId }), sent, {
    idleMilliseconds, cancelled: AbortSignal.any([enough.signal, signal]),
    pending(_, bytes) {
      const identifier = bytes && readIdentifier(bytes, context.transferSyntax);
      if (!identifier || !bytes) return;
      byteLength += bytes.length;
      if (matches.length < mostMatches && byteLength <= mostBytes) matches.push({ identifier, bytes });
      else enough.abort();
    },
  });
  if (last === undefined && !association.over.aborted) association.abort('no answer to a query');
  return { matches, status: last?.status, isCut: enough.signal.aborted, sent };
}
