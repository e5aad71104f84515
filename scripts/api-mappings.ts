/** schemas/api_mappings.md: table <-> endpoint, from the API's route table and scripts/api-tables.ts. */
import { buildApi } from '../src/api/app.ts';
import type { ApiDependencies } from '../src/api/context.ts';
import type { RegisteredRoute } from '../src/api/router.ts';
import { routeTables, withoutRoute, type RouteTables } from './api-tables.ts';
import { categories } from './table-categories.ts';

/** The routes without a gateway behind them: registering needs no dependency, only calling does. */
export function registeredRoutes(): readonly RegisteredRoute[] {
  return buildApi({ config: { roles: ['api'] } } as unknown as ApiDependencies).routes;
}

export function apiMappings(routes: readonly RegisteredRoute[]): string {
  return `# API mappings

Generated from the API's route table by \`npm run schemas\`; do not edit. Paths are below \`/api/v1\`. Row level security limits every statement to the caller's
organization. Every route also looks up its caller (\`user_sessions\`, \`users\`, \`organizations\`) and, unless marked, writes \`audit_logs\` in its own transaction.

## By endpoint

| endpoint | reads | writes | permission | audit |
|---|---|---|---|---|
${routes.map(endpointRow).join('\n')}

## By table

${categories.map(({ title, tables, additions }) => `### ${title}

| table | read by | written by |
|---|---|---|
${[...Object.keys(tables), ...Object.keys(additions)].map((table) => tableRow(table, routes)).join('\n')}
`).join('\n')}
## Other ways to the tables

| way | writes |
|---|---|
| \`POST\`, \`PUT\` \`/fhir/r4/Patient\` | \`patients\`, \`patient_identifiers\`, \`patient_medical_history\`, \`patient_merges\`, \`sync_logs\`, \`exchange_payloads\`, \`message_identities\`, \`audit_logs\` |
| \`POST\`, \`PUT\` \`/fhir/r4/ServiceRequest\`; HL7 v2 ORM, OMG, OMI | the same, and \`scans\`, \`scan_queue\` |
| HL7 v2 ADT | as FHIR Patient |
| DICOM C-STORE | \`patients\`, \`patient_identifiers\`, \`scans\`, \`scan_files\`, \`scan_queue\`, \`sync_logs\`, \`message_identities\`, \`audit_logs\` |
| workers | \`scans\`, \`scan_queue\`, \`ai_analyses\`, \`findings\`, \`reports\`, \`deliveries\`, \`sync_logs\`, \`exchange_payloads\`, \`external_integrations\` (health), \`system_alerts\`, \`system_metrics\`, \`audit_logs\`, \`audit_seals\`, \`audit_checkpoints\` |
| \`medscan\` command | \`organizations\`, \`users\`, \`user_sessions\`, \`external_integrations\`, \`configuration_versions\`, \`audit_logs\` |
`;
}

function endpointRow({ name, permission, unaudited }: RegisteredRoute): string {
  const { reads, writes } = tablesOf(name);
  return `| \`${name}\` | ${list(reads)} | ${list(writes)} | \`${permission}\` | ${unaudited === undefined ? 'yes' : `no: ${unaudited}`} |`;
}

function tableRow(table: string, routes: readonly RegisteredRoute[]): string {
  const of = (kind: 'reads' | 'writes'): string => routes.filter(({ name }) => tablesOf(name)[kind].includes(table)).map(({ name }) => `\`${name}\``).join('<br>');
  const read = of('reads'), written = of('writes');
  return `| \`${table}\` | ${read || withoutRoute[table] || '-'} | ${written || '-'} |`;
}

function tablesOf(name: string): RouteTables {
  const tables = routeTables[name];
  if (!tables) throw new Error(`Say in scripts/api-tables.ts which tables the route ${name} reads and writes.`);
  return tables;
}

const list = (tables: readonly string[]): string => tables.length === 0 ? '-' : tables.map((table) => `\`${table}\``).join(', ');
