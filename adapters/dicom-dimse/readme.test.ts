import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { configSchema } from './config.ts';

interface Property { readonly description?: string; readonly default?: unknown; readonly properties?: Readonly<Record<string, Property>>; readonly secret?: boolean }

function rowsOf(properties: Readonly<Record<string, Property>>, prefix = ''): string[] {
  return Object.entries(properties).flatMap(([name, property]) => [
    `| \`${prefix}${name}\` | ${property.default === undefined ? '' : `\`${JSON.stringify(property.default)}\``} | ${property.description}${property.secret ? ' Secret.' : ''} |`,
    ...(property.properties ? rowsOf(property.properties, `${prefix}${name}.`) : []),
  ]);
}

test('the README names every setting as the schema has it', () => {
  const { properties } = z.toJSONSchema(configSchema, { io: 'input' }) as { properties: Record<string, Property> };
  const table = /<!-- settings -->\n\|[^\n]*\n\|[^\n]*\n([\s\S]*?)<!-- \/settings -->/.exec(readFileSync(join(import.meta.dirname, 'README.md'), 'utf8'))?.[1] ?? '';
  expect(table.trimEnd().split('\n')).toEqual(rowsOf(properties));
});
