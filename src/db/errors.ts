/** What PostgreSQL's errors mean to us: weather (try again) or a value that can never be stored. */

import { InvalidInputError, StatementCancelledError, StatementTimeoutError } from 'slonik';

/** The message holds something no column takes (a NUL byte, an impossible date): trying again cannot help. */
export class DataIntegrityError extends Error {
  constructor(text: string, options?: ErrorOptions) {
    super(text, options);
    this.name = 'DataIntegrityError';
  }
}

export function sqlState(error: unknown): string | undefined {
  for (let current = error as { code?: unknown; cause?: unknown } | undefined; current; current = current.cause as typeof current) {
    if (typeof current.code === 'string' && /^[0-9A-Z]{5}$/.test(current.code)) return current.code;
  }
  return undefined;
}

/** Connection trouble, shutdown, resources, deadlock, serialization. Everything without an SQLSTATE is taken as weather too. */
export function isTransientError(error: unknown): boolean {
  const state = sqlState(error);
  return state === undefined || ['08', '40', '53', '55', '57', '58', 'XX'].includes(state.slice(0, 2));
}

/** The statement was stopped because it took longer than it may. */
export function isStopped(error: unknown): boolean {
  return error instanceof StatementTimeoutError || error instanceof StatementCancelledError || sqlState(error) === '57014';
}

/** Class 22 (data exception), 23514 (check) and 54000 (too long for an index): the value itself is refused. */
export function isRefusedValue(error: unknown): boolean {
  // slonik keeps no SQLSTATE with 22P02 (invalid text representation).
  if (error instanceof InvalidInputError) return true;
  const state = sqlState(error);
  return state !== undefined && (state.startsWith('22') || state === '23514' || state === '23502' || state === '54000');
}
