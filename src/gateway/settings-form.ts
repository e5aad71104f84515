/**
 * What an adapter's configSchema says to a form: its JSON Schema, and which settings are secrets (`.meta({ secret: true })`, top level).
 * Settings and credentials are stored apart: settings as they are, credentials as one sealed object.
 */
import { z } from 'zod';

export function settingsSchema(schema: z.ZodType): Record<string, unknown> {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Record<string, unknown>;
}

/** Names of the top-level settings that are, or hold, a secret. */
export const secretFields = (schema: z.ZodType): string[] => settingsMarked(schema, 'secret');

/** Names of the top-level settings that carry this mark (`.meta({ secret: true })`), or hold something that does. */
export function settingsMarked(schema: z.ZodType, mark: 'secret' | 'folder'): string[] {
  const { properties = {} } = settingsSchema(schema) as { properties?: Record<string, unknown> };
  return Object.entries(properties).filter(([, property]) => holdsMark(property, mark)).map(([name]) => name);
}

function holdsMark(node: unknown, mark: string): boolean {
  if (typeof node !== 'object' || node === null) return false;
  if ((node as Record<string, unknown>)[mark] === true) return true;
  return Object.values(node).some((inner) => holdsMark(inner, mark));
}

/** Takes a complete configuration apart; `credentials` is empty when it holds no secret. */
export function splitSecrets(schema: z.ZodType, config: Readonly<Record<string, unknown>>): { settings: Record<string, unknown>; credentials: Record<string, unknown> } {
  const secrets = new Set(secretFields(schema));
  const settings: Record<string, unknown> = {};
  const credentials: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(config)) (secrets.has(name) ? credentials : settings)[name] = value;
  return { settings, credentials };
}
