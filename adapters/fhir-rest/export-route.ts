/**
 * Bulk Data Access (HL7 Bulk Data 2.0): everything of an organization in files.
 *
 *   GET | POST $export, Patient/$export       Prefer: respond-async; _type, _since, _outputFormat -> 202, Content-Location
 *   GET $export-status/[id]                   202 with X-Progress, then 200 with the list of files; DELETE ends it
 *   GET $export-file/[id]/[type].ndjson       application/fhir+ndjson, one resource a line; a token is needed here too
 */
import type { AdapterContext, IntegrationDirectory, Peer } from '#gateway/adapter.ts';
import type { Exports, RecordExport, RecordExporter } from '#gateway/exports.ts';
import type { Reader, RecordKind, RecordRow } from '#gateway/records.ts';
import { FhirRefusal, answer } from './answer.ts';
import { readBody, resourceFrom } from './body.ts';
import type { Config } from './config.ts';
import { isLenient } from './negotiate.ts';
import { demand, mayDo, principalOf, readingIntegration } from './read-access.ts';
import type { Access } from './read-access.ts';
import { resourceOf } from './record-resources.ts';
import { servedTypes } from './served-types.ts';
import type { ServedType } from './served-types.ts';

/** Every type that is read here but the audit log; what others refer to comes first. */
const exportedTypes: readonly ServedType[] = (Object.keys(servedTypes) as ServedType[]).filter((type) => type !== 'AuditEvent');

export const exports: RecordExporter<Config> = {
  types: Object.fromEntries(exportedTypes.map((type): [string, RecordKind] => [type, servedTypes[type].kind])),
  line: (record: RecordRow, config: Config) => JSON.stringify(resourceOf(record, config)),
};

interface Asking extends Access { readonly reader: Reader; readonly exports: Exports; readonly base: string }

export const isExport = (steps: readonly string[]): boolean => ['$export', '$export-status', '$export-file'].includes(steps[0] ?? '') || (steps[0] === 'Patient' && steps[1] === '$export');

export async function answerExport(request: Request, steps: readonly string[], base: string, peer: Peer, integrations: IntegrationDirectory<Config>, context: AdapterContext): Promise<Response> {
  const principal = await principalOf(request, context), integration = readingIntegration(principal, integrations);
  if (context.exports === undefined) throw new FhirRefusal(503, 'transient', 'Exports cannot be made now.');
  const asking: Asking = { principal, integration, base, exports: context.exports, reader: { organizationId: principal.organizationId, userId: principal.userId, role: principal.role, address: peer.address } };
  const { method } = request, [first = '', id = '', file = ''] = steps;
  if (steps.at(-1) === '$export' && steps.length <= 2) return method === 'GET' || method === 'POST' ? start(request, asking) : notAllowed(method, 'GET, POST');
  const made = await found(id, asking);
  if (first === '$export-status' && steps.length === 2) {
    if (method === 'GET') return status(made, base, context.now());
    if (method !== 'DELETE') return notAllowed(method, 'GET, DELETE');
    await asking.exports.end(asking.reader, integration.integrationId, id);
    return answer(202, undefined);
  }
  if (first === '$export-file' && steps.length === 3) return method === 'GET' ? download(made, file, asking) : notAllowed(method, 'GET');
  throw new FhirRefusal(404, 'not-found', 'There is nothing here.');
}

function notAllowed(method: string, allow: string): never {
  throw new FhirRefusal(405, 'not-supported', `${method} is not taken here, only ${allow}.`, { headers: { allow } });
}

async function found(id: string, { exports, reader, integration }: Asking): Promise<RecordExport> {
  const made = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id) ? await exports.read(reader, integration.integrationId, id) : undefined;
  if (made === undefined) throw new FhirRefusal(404, 'not-found', 'There is no such export, or it has expired.');
  return made;
}

async function start(request: Request, { principal, integration, exports, reader, base }: Asking): Promise<Response> {
  if (!/(?:^|[,;\s])respond-async(?:$|[,;\s])/.test(request.headers.get('prefer') ?? '')) throw new FhirRefusal(400, 'invalid', 'An export is made in the background: send Prefer: respond-async.');
  const parameters = await parametersOf(request), types = typesFrom(parameters.get('_type'), isLenient(request));
  const format = parameters.get('_outputFormat')?.replaceAll(' ', '+');
  if (format !== undefined && !['application/fhir+ndjson', 'application/ndjson', 'ndjson'].includes(format)) throw new FhirRefusal(400, 'not-supported', '_outputFormat is application/fhir+ndjson here.');
  const other = [...parameters.keys()].find((name) => !['_type', '_since', '_outputFormat', '_format'].includes(name));
  if (other !== undefined && !isLenient(request)) throw new FhirRefusal(400, 'not-supported', 'An export takes _type, _since and _outputFormat; with Prefer: handling=lenient others are ignored.');
  const since = parameters.get('_since');
  if (since !== undefined && (!/^\d{4}-\d{2}-\d{2}T.*(Z|[+-]\d{2}:\d{2})$/.test(since.replace(' ', '+')) || Number.isNaN(Date.parse(since.replace(' ', '+'))))) throw new FhirRefusal(400, 'value', '_since must be an instant such as 2026-01-05T10:00:00Z.');
  for (const type of types ?? []) demand(principal, type, 'r');
  const wanted = types ?? exportedTypes.filter((type) => mayDo(principal, type, 'r'));
  if (wanted.length === 0) demand(principal, 'DiagnosticReport', 'r');
  const url = new URL(request.url), made = await exports.start(reader, { integrationId: integration.integrationId, types: wanted, since: since === undefined ? undefined : new Date(since.replace(' ', '+')).toISOString(), url: `${base}${url.pathname.slice(new URL(base).pathname.length)}${url.search}` });
  if (made === undefined) throw new FhirRefusal(429, 'throttled', 'Several exports of this system are running; wait for one to end, or end it.', { headers: { 'retry-after': '60' } });
  return answer(202, undefined, { 'content-location': `${base}/$export-status/${made.exportId}` });
}

function typesFrom(text: string | undefined, lenient: boolean): ServedType[] | undefined {
  if (text === undefined) return undefined;
  const asked = text.split(',').map((type) => type.trim()).filter(Boolean), known = asked.filter((type): type is ServedType => exportedTypes.includes(type as ServedType));
  if ((known.length < asked.length && !lenient) || known.length === 0) throw new FhirRefusal(400, 'not-supported', `_type takes ${exportedTypes.join(', ')}.`);
  return exportedTypes.filter((type) => known.includes(type));
}

function status(made: RecordExport, base: string, now: Date): Response {
  if (made.status === 'failed') throw new FhirRefusal(500, 'exception', `The export failed: ${made.errorText ?? 'a fault of the gateway'}.`);
  if (made.status !== 'completed') return answer(202, undefined, { 'x-progress': made.status === 'queued' ? 'waiting' : `${made.recordCount} resources written`, 'retry-after': '2' });
  const output = made.outputs.map(({ type, count }) => ({ type, url: `${base}/$export-file/${made.exportId}/${type}.ndjson`, count }));
  const manifest = { transactionTime: made.transactionAt, request: made.url, requiresAccessToken: true, output, deleted: [], error: [] };
  const expires = new Date(made.expiresAt);
  return answer(200, manifest, { 'content-type': 'application/json', expires: expires.toUTCString(), age: '0', 'x-expires-in': String(Math.max(0, Math.round((expires.getTime() - now.getTime()) / 1000))) });
}

async function download(made: RecordExport, file: string, { principal, exports, reader }: Asking): Promise<Response> {
  const type = /^([A-Z][A-Za-z]{1,60})\.ndjson$/.exec(file)?.[1] ?? '';
  if (type !== '') demand(principal, type, 'r');
  const opened = type === '' ? undefined : await exports.open(reader, made, type);
  if (opened === undefined) throw new FhirRefusal(404, 'not-found', 'This export has no such file.');
  return new Response(opened.stream, { headers: { 'content-type': 'application/fhir+ndjson', 'content-length': String(opened.byteLength), 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } });
}

/** Of the URL, and of a Parameters resource in the body of a POST. */
async function parametersOf(request: Request): Promise<ReadonlyMap<string, string>> {
  const values = new Map<string, string>(), add = (name: string, value: string): unknown => values.set(name, values.has(name) ? `${values.get(name)},${value}` : value);
  for (const [name, value] of new URL(request.url).searchParams) add(name, value);
  if (request.method !== 'POST' || request.body === null || request.headers.get('content-length') === '0') return values;
  const resource = await resourceFrom(await readBody(request, 65_536));
  if (resource['resourceType'] !== 'Parameters' || !Array.isArray(resource['parameter'])) throw new FhirRefusal(400, 'invalid', 'The body must be Parameters.', { expression: 'resourceType' });
  for (const { name, ...value } of resource['parameter'] as { name?: unknown; [value: string]: unknown }[]) for (const each of Object.values(value)) if (typeof each === 'string') add(String(name), each);
  return values;
}
