/** schemas/schema_diagram.md: mermaid ER diagrams, one per category, read from the catalog of a migrated database. */
import type pg from 'pg';
import { allTables, categories, type Category } from './table-categories.ts';

export interface Column { readonly name: string; readonly type: string; readonly isNullable: boolean; readonly isPrimary: boolean }
export interface ForeignKey { readonly from: string; readonly to: string; readonly columns: readonly string[] }
export interface Catalog { readonly columns: ReadonlyMap<string, readonly Column[]>; readonly foreignKeys: readonly ForeignKey[] }

export async function readCatalog(client: Pick<pg.ClientBase, 'query'>): Promise<Catalog> {
  const { rows: columns } = await client.query<{ table: string } & Column>(`
    SELECT c.relname AS "table", a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS "isNullable",
      EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p' AND a.attnum = ANY (k.conkey)) AS "isPrimary"
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'schema_migration' ORDER BY c.relname, a.attnum`);
  const { rows: foreignKeys } = await client.query<ForeignKey>(`
    SELECT c.relname AS "from", t.relname AS "to",
      (SELECT array_agg(a.attname::text ORDER BY o) FROM unnest(k.conkey) WITH ORDINALITY u(n, o) JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n) AS columns
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class t ON t.oid = k.confrelid
    WHERE k.contype = 'f' AND k.conparentid = 0 AND c.relnamespace = 'public'::regnamespace AND NOT c.relispartition ORDER BY 1, 2, 3`);
  return { columns: Map.groupBy(columns, (column) => column.table), foreignKeys };
}

export function schemaDiagram(catalog: Catalog): string {
  const missing = [...catalog.columns.keys()].filter((table) => !allTables.has(table));
  if (missing.length > 0) throw new Error(`Name the category of ${missing.join(', ')} in scripts/table-categories.ts.`);
  return `# Schema diagram

Generated from a migrated database by \`npm run schemas\`; do not edit. The 21 tables of the documentation, and what the product adds, by category.

Every table of a tenant has \`organization_id\`, which leads its primary key and every foreign key between such tables (composite keys): a row cannot
refer to another organization's row. The lines name the column beside it. A table of another category is drawn without columns.

${categories.map((category) => section(category, catalog)).join('\n')}`;
}

function section({ title, tables, additions }: Category, catalog: Catalog): string {
  const own = [...Object.keys(tables), ...Object.keys(additions)];
  const absent = own.find((table) => !catalog.columns.has(table));
  if (absent) throw new Error(`scripts/table-categories.ts names ${absent}, which the database does not have.`);
  const lines = catalog.foreignKeys.filter(({ from }) => own.includes(from)).map((key) => relation(key, catalog));
  return `## ${title}

| table | holds |
|---|---|
${Object.entries(tables).map(([name, holds]) => `| \`${name}\` | ${holds} |`).join('\n')}
${Object.entries(additions).map(([name, holds]) => `| \`${name}\` (addition) | ${holds} |\n`).join('')}
\`\`\`mermaid
erDiagram
${own.map((table) => entity(table, catalog)).join('\n')}
${lines.join('\n')}
\`\`\`
`;
}

function entity(table: string, { columns, foreignKeys }: Catalog): string {
  const referring = new Set(foreignKeys.filter(({ from }) => from === table).flatMap((key) => key.columns));
  const rows = (columns.get(table) ?? []).map(({ name, type, isPrimary }) => {
    const keys = [isPrimary ? 'PK' : '', referring.has(name) ? 'FK' : ''].filter(Boolean).join(', ');
    return `    ${shortType(type)} ${name}${keys ? ` ${keys}` : ''}`;
  });
  return `  ${table} {\n${rows.join('\n')}\n  }`;
}

function relation({ from, to, columns }: ForeignKey, catalog: Catalog): string {
  const label = columns.filter((column) => column !== 'organization_id').join(', ') || 'organization_id';
  const isOptional = (catalog.columns.get(from) ?? []).some(({ name, isNullable }) => isNullable && columns.includes(name));
  return `  ${to} ${isOptional ? '|o' : '||'}--o{ ${from} : "${label}"`;
}

const shortType = (type: string): string => type.replace('timestamp with time zone', 'timestamptz').replaceAll(' ', '_');
