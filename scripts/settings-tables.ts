/** Tables of the documents: settings from the schemas that check them, metrics from their registry. */
import { describeSettings } from '../src/config.ts';
import { settingsSchema } from '../src/gateway/settings-form.ts';
import type { Adapter } from '../src/gateway/adapter.ts';
import { metrics } from '../src/metrics.ts';

export interface Property { readonly description?: string; readonly default?: unknown; readonly properties?: Readonly<Record<string, Property>>; readonly secret?: boolean; readonly [key: string]: unknown }

export function propertiesOf(schema: Adapter['configSchema']): Readonly<Record<string, Property>> {
  return (settingsSchema(schema) as { properties?: Record<string, Property> }).properties ?? {};
}

export function adapterSettingsTable(schema: Adapter['configSchema']): string {
  return ['| setting | default | what it does |', '|---|---|---|', ...rowsOf(propertiesOf(schema), '')].join('\n');
}

function rowsOf(properties: Readonly<Record<string, Property>>, prefix: string): string[] {
  return Object.entries(properties).flatMap(([name, property]) => [
    `| \`${prefix}${name}\` | ${property.default === undefined ? '' : `\`${JSON.stringify(property.default)}\``} | ${property.description ?? ''}${property.secret ? ' Secret.' : ''} |`,
    ...(property.properties ? rowsOf(property.properties, `${prefix}${name}.`) : []),
  ]);
}

/** The environment variables of the gateway. MEDSCAN_ENCRYPTION_KEY_FILE is another way to give one of them. */
export function environmentTable(): string {
  return ['| variable | default | wanted |', '|---|---|---|', ...describeSettings().flatMap(({ variable, wanted, fallback }) => [
    `| \`${variable}\` | ${fallback === undefined ? whenAbsent[variable] ?? '' : `\`${fallback}\``} | ${wanted} |`,
    ...(variable === 'MEDSCAN_ENCRYPTION_KEY' ? ['| `MEDSCAN_ENCRYPTION_KEY_FILE` |  | a file with that key, instead of the key itself |'] : []),
  ])].join('\n');
}

const whenAbsent: Readonly<Record<string, string>> = {
  DATABASE_URL: 'the embedded PostgreSQL', MEDSCAN_ENCRYPTION_KEY: 'generated in `MEDSCAN_HOME/secrets`',
};

/** What the gateway counts itself, from the registry behind /metrics; the runtime's own metrics are left out. */
export function metricsTable(): string {
  const own = metrics.getMetricsAsArray().filter(({ name }) => !/^medscan_(process|nodejs)_/.test(name)).toSorted((a, b) => a.name.localeCompare(b.name));
  return ['| metric | labels | tells |', '|---|---|---|', ...own.map(({ name, help, ...rest }) =>
    `| \`${name}\` | ${((rest as { labelNames?: readonly string[] }).labelNames ?? []).map((label) => `\`${label}\``).join(', ')} | ${help} |`)].join('\n');
}

/** Replaces what stands between `<!-- marker -->` and `<!-- /marker -->`. */
export function inject(text: string, marker: string, body: string): string {
  const begin = `<!-- ${marker} -->`, end = `<!-- /${marker} -->`;
  const from = text.indexOf(begin), to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`There are no lines "${begin}" and "${end}".`);
  return `${text.slice(0, from)}${begin}\n${body}\n${text.slice(to)}`;
}
