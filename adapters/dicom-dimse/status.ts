/**
 * Status codes: PS3.4 tables B.2-1, C.4-1 to C.4-3 and PS3.7 annex C, with the phrase for a person and what it means to us as
 * a sender. A code that is not named is judged by its class (its leading digits).
 */
export const Status = {
  success: 0x0000,
  sopClassNotSupported: 0x0122, notAuthorized: 0x0124, unrecognizedOperation: 0x0211, processingFailure: 0x0110,
  noSuchInstance: 0x0112, duplicateInstance: 0x0111, invalidAttributeValue: 0x0106, invalidArgumentValue: 0x0115, noSuchAction: 0x0123,
  pending: 0xff00, pendingWithoutKeys: 0xff01, cancelled: 0xfe00, subOperationsFailed: 0xb000,
  noSubOperations: 0xa702, moveDestinationUnknown: 0xa801,
  outOfResources: 0xa700, dataSetDoesNotMatchSopClass: 0xa900, cannotUnderstand: 0xc000,
} as const;

const phrases: Readonly<Record<number, string>> = {
  0x0000: 'Success',
  0x0001: 'Warning: requested optional attributes are not supported',
  0x0105: 'No such attribute', 0x0106: 'Invalid attribute value', 0x0107: 'Warning: attribute list error',
  0x0110: 'Processing failure', 0x0111: 'Duplicate SOP instance', 0x0112: 'No such SOP instance', 0x0113: 'No such event type',
  0x0114: 'No such argument', 0x0115: 'Invalid argument value', 0x0116: 'Warning: attribute value out of range',
  0x0117: 'Invalid SOP instance', 0x0118: 'No such SOP class', 0x0119: 'Class-instance conflict',
  0x0120: 'Missing attribute', 0x0121: 'Missing attribute value', 0x0122: 'Refused: SOP class not supported', 0x0123: 'No such action type',
  0x0124: 'Refused: not authorized', 0x0210: 'Duplicate invocation', 0x0211: 'Unrecognized operation', 0x0212: 'Mistyped argument',
  0x0213: 'Resource limitation',
  0xa700: 'Refused: out of resources', 0xa900: 'Error: data set does not match SOP class', 0xc000: 'Error: cannot understand',
  0xb000: 'Warning: coercion of data elements', 0xb006: 'Warning: elements discarded', 0xb007: 'Warning: data set does not match SOP class',
  0xa702: 'Refused: unable to perform sub-operations', 0xa801: 'Refused: move destination unknown', 0xff00: 'Pending', 0xff01: 'Pending: optional keys were not matched',
  0xfe00: 'Cancelled',
};
const phrasesByClass: readonly (readonly [mask: number, value: number, phrase: string])[] = [
  [0xff00, 0xa700, 'Refused: out of resources'], [0xff00, 0xa900, 'Error: data set does not match SOP class'],
  [0xf000, 0xc000, 'Error: cannot understand'], [0xf000, 0xa000, 'Refused or failed'], [0xf000, 0xb000, 'Warning'], [0xff00, 0x0100, 'Failure'], [0xff00, 0x0200, 'Failure'],
];

/** 'A700', always four digits. */
export const statusCode = (status: number): string => status.toString(16).toUpperCase().padStart(4, '0');

export const statusPhrase = (status: number): string =>
  phrases[status] ?? phrasesByClass.find(([mask, value]) => (status & mask) === value)?.[2] ?? 'Unknown status';

/**
 * What an answer to our C-STORE means. `stored`: success or a warning, the receiver has the object (0001, 0107 and 0116 are warnings,
 * PS3.7 annex C). `later`: the receiver is short of something (A7xx, 0213) and the same object may be sent again. `refused`: sending it again changes nothing.
 */
export function storeOutcome(status: number): 'stored' | 'later' | 'refused' {
  if (status === 0 || (status & 0xf000) === 0xb000 || status === 0x0001 || status === 0x0107 || status === 0x0116) return 'stored';
  if ((status & 0xff00) === 0xa700 || status === 0x0213) return 'later';
  return 'refused';
}
