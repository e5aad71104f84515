/** What a person at the command line is told about an error: our own words as they are, others with their place. */
import { describeError } from '../log.ts';

export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, address, port, errors } = error as Error & { code?: string; address?: string; port?: number; errors?: Error[] };
  const at = errors?.[0] ?? error;
  if (code === 'ECONNREFUSED') return `Nothing answers at ${address ?? (at as { address?: string }).address}:${port ?? (at as { port?: number }).port}. Is the database of DATABASE_URL running?`;
  if (code === '28P01' || code === '28000') return 'The database refuses the user or password of DATABASE_URL.';
  if (code === '3D000') return 'The database named in DATABASE_URL does not exist. Create it first: CREATE DATABASE name ENCODING \'UTF8\';';
  if (code === 'EACCES' || code === 'EROFS' || code === 'ENOSPC') return `${error.message}. MEDSCAN_HOME must be a directory that this account may write to, with free space.`;
  const own = /^(ConfigError|EmbeddedPostgresError|MigrationError|ProvisionError|SecretError|CommandError)$/.test(error.name);
  if (own || error.constructor === Error) return error.message;
  if (error instanceof SyntaxError) return `${error.message} (is this installation complete? Run npm ci.)`;
  const { message, stack, type } = describeError(error);
  return [`${String(type)}: ${String(message ?? `a value was refused${code ? ` (${code})` : ''}`)}`, ...(stack as string[] | undefined ?? []).slice(0, 4).map((line) => `  ${line}`)].join('\n');
}

/** The command cannot be done as asked; the message says what to change. */
export class CommandError extends Error {
  constructor(text: string) {
    super(text);
    this.name = 'CommandError';
  }
}
