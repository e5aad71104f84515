import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { hl7v2Config } from './config.ts';
import { inboundInteractions } from './header-check.ts';

const readme = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8');
interface Property { readonly description?: string; readonly default?: unknown; readonly secret?: boolean }

test('the README names every setting as the schema has it', () => {
  const { properties } = z.toJSONSchema(hl7v2Config, { io: 'input' }) as { properties: Record<string, Property> };
  const rows = Object.entries(properties).map(([name, property]) =>
    `| \`${name}\` | ${property.default === undefined ? '' : `\`${JSON.stringify(property.default)}\``} | ${property.description}${property.secret ? ' Secret.' : ''} |`);
  const table = /<!-- settings -->\n\|[^\n]*\n\|[^\n]*\n([\s\S]*?)<!-- \/settings -->/.exec(readme)?.[1] ?? '';
  expect(table.trimEnd().split('\n')).toEqual(rows);
});

test('the README names every message that is taken', () => {
  for (const interaction of inboundInteractions) expect(readme).toContain(interaction.split('^')[1]);
});
