/**
 * The log: one JSON object per line on standard output. Log lines carry ids, codes, counts and durations, never a patient: errors of the
 * database and of validation quote the values they dislike, so an error is written by its kind, code and place, and by its message only
 * when the message is our own.
 */
import { pino, type Logger } from 'pino';

export type Log = Logger;
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export function createLog(settings: { readonly logLevel: LogLevel }, destination?: { write(line: string): void }): Log {
  const options = {
    level: settings.logLevel,
    base: {},
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    serializers: { err: describeError, error: describeError },
  };
  return destination ? pino(options, destination) : pino(options);
}

/** What may be said about an error where logs are read. */
export function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error };
  const { code, cause } = error as Error & { code?: unknown };
  return {
    type: kindOf(error),
    ...(quotesValues(error) ? {} : { message: error.message }),
    ...(typeof code === 'string' && { code }),
    ...pick(error, ['constraint', 'table', 'column', 'severity', 'routine', 'syscall', 'address', 'port']),
    stack: error.stack?.split('\n').filter((line) => /^\s+at /.test(line)).slice(0, 12).map((line) => line.trim()),
    ...(cause instanceof Error && { cause: describeError(cause) }),
  };
}

/** PostgreSQL (SQLSTATE class 22, 23 and the like), slonik and zod put the offending value or statement into the message. */
function quotesValues(error: Error): boolean {
  const { code, severity, sql, issues, cause } = error as Error & { code?: unknown; severity?: unknown; sql?: unknown; issues?: unknown };
  if (typeof sql === 'string' || Array.isArray(issues) || error instanceof SyntaxError || kindOf(error) === 'InvalidInputError') return true;
  if (typeof severity === 'string' && typeof code === 'string') return !/^(08|57|53|58|28|3D)/.test(code);
  return cause instanceof Error && quotesValues(cause) && error.message.includes(cause.message);
}

/** slonik's errors are all named 'Error'. */
function kindOf(error: Error): string {
  return error.name === 'Error' ? error.constructor.name : error.name;
}

function pick(from: object, names: readonly string[]): Record<string, unknown> {
  const found = from as Record<string, unknown>;
  return Object.fromEntries(names.filter((name) => ['string', 'number'].includes(typeof found[name])).map((name) => [name, found[name]]));
}
