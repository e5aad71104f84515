/**
 * What a sender was told, for crash tests: one line per answered message, on disk before the next message goes out. After the receiver
 * was killed, every line that says 'accepted' must be found there, once.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { createHash } from 'node:crypto';

export interface LedgerEntry { readonly id: string; readonly sha256: string; readonly told: 'accepted' | 'refused' | 'nothing'; readonly code: string; readonly at: string }

export class Ledger {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  /** Durable when it returns. */
  append(entry: LedgerEntry): void {
    writeSync(this.#file, `${JSON.stringify(entry)}\n`);
    fsyncSync(this.#file);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Empty when there is no such file. A last line that was cut by a crash of the sender itself is left out: nobody was told it is complete. */
export function readLedger(path: string): readonly LedgerEntry[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as LedgerEntry);
}

export function sha256Of(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
