/** Status codes of C-FIND, C-MOVE and C-GET (PS3.4 tables C.4-1 to C.4-3, K.4-1), as a client reads them. */
import { statusPhrase } from '../status.ts';

const phrases: Readonly<Record<number, string>> = {
  0xa700: 'Refused: out of resources', 0xa701: 'Refused: out of resources, unable to calculate the number of matches', 0xa702: 'Refused: out of resources, unable to perform sub-operations',
  0xa801: 'Refused: move destination unknown. Add the gateway\'s AE title, address and port to the AE list of the source',
  0xa900: 'Error: the identifier does not match the SOP class', 0xaa00: 'Failed: none of the frames asked for were found', 0xaa01: 'Failed: unable to create a new object for this SOP class',
  0xb000: 'Warning: sub-operations complete, one or more failed or with warnings', 0xfe00: 'Cancelled',
};

export function retrievePhrase(status: number): string {
  return phrases[status] ?? ((status & 0xf000) === 0xc000 ? 'Error: unable to process' : statusPhrase(status));
}

export type Meaning = 'done' | 'partly' | 'cancelled' | 'later' | 'refused';

/** later: the source is short of something, and may be asked again. */
export function meaningOf(status: number): Meaning {
  if (status === 0) return 'done';
  if ((status & 0xf000) === 0xb000 || status === 0x0001 || status === 0x0107 || status === 0x0116) return 'partly';
  if (status === 0xfe00) return 'cancelled';
  return (status & 0xff00) === 0xa700 || status === 0x0213 ? 'later' : 'refused';
}
