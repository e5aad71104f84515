/**
 * What an adapter's configSchema says to a form: its JSON Schema, and which settings are secrets (`.meta({ secret: true })`, top level).
 * Settings and credentials are stored apart: settings as they are, credentials as one sealed object.
 */
import { z } from 'zod';

export function settingsSchema(schema: z.ZodType): Record<string, unknown> {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Record<string, unknown>;
}

/** Names of the top-level settings that are, or hold, a secret. */
export function secretFields(schema: z.ZodType): string[] {
  const { properties = {} } = settingsSchema(schema) as { properties?: Record<string, unknown> };
  return Object.entries(properties).filter(([, property]) => holdsSecret(property)).map(([name]) => name);
}

function holdsSecret(node: unknown): boolean {
  if (typeof node !== 'object' || node === null) return false;
  if ((node as { secret?: unknown }).secret === true) return true;
  return Object.values(node).some(holdsSecret);
}

/** Takes a complete configuration apart; `credentials` is empty when it holds no secret. */
export function splitSecrets(schema: z.ZodType, config: Readonly<Record<string, unknown>>): { settings: Record<string, unknown>; credentials: Record<string, unknown> } {
  const secrets = new Set(secretFields(schema));
  const settings: Record<string, unknown> = {};
  const credentials: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(config)) (secrets.has(name) ? credentials : settings)[name] = value;
  return { settings, credentials };
}
