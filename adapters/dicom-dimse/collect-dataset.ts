import type { MessageReceiver } from './upper-layer/message-assembler.ts';

/** Identifiers, action information, attribute lists: a storage commitment of 10,000 instances needs 2 MB. */
const mostBytes = 4 * 1024 * 1024;

/** Takes a message's data set into memory and hands it over whole. A longer one is an attack or a mistake: the association is aborted. */
export function collectDataset(handle: (dataset: Buffer) => Promise<void>, options: { readonly readsOn?: boolean } = {}): MessageReceiver {
  const fragments: Buffer[] = [];
  let byteLength = 0;
  return {
    ...options,
    write(bytes) {
      byteLength += bytes.length;
      if (byteLength > mostBytes) throw new Error(`the data set of the request is larger than ${mostBytes} bytes`);
      fragments.push(Buffer.from(bytes));
    },
    end: () => handle(Buffer.concat(fragments)),
    async abort() { /* nothing is open */ },
  };
}
