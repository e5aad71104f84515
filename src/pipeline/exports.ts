/**
 * Whole sets of records in files: the implementation of src/gateway/exports.ts.
 *
 *   start      T: row, audit, job
 *   job        type by type, page by page: records (audited, under row level security) -> adapter.exports.line() -> <home>/exports/<export>/<type>.<attempt>.ndjson
 *   until it expires the files are given to the system that asked, and to no other
 *
 * One page is in memory at a time. Each page is noted when it is written: a job that is tried again goes on there, in a file of its own. So a worker that
 * stalled, was taken for dead and wakes beside its successor writes into no file of it, and its notes are refused. Files count only when the row says completed.
 */
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import type { PgBoss } from 'pg-boss';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { beginExport, countRunningExports, deleteExpiredExports, deleteExport, findExport, insertExport, moveExport, type ExportOutputRow, type ExportPart, type ExportProgress, type ExportRow } from '../db/exports.ts';
import { organizationIds } from '../db/maintenance.ts';
import { bossDb, type Database } from '../db/pool.ts';
import type { Keys } from '../db/secrets.ts';
import { asSystem, inOrganization, type Transaction } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import { QUEUES, type ExportRecordsJob } from '../queue/queues.ts';
import type { Adapter, Integration } from '#gateway/adapter.ts';
import type { Exports, RecordExport, RecordExporter } from '#gateway/exports.ts';
import type { Reader, RecordKind, Records } from '#gateway/records.ts';
import { createRecords } from './records.ts';

export interface ExportDependencies { readonly database: Database; readonly boss: PgBoss; readonly keys: Keys; /** Of all exports; shared by the nodes as the object store is. */ readonly exportDirectory: string }
export interface ExportJobDependencies extends ExportDependencies { integration(organizationId: string, integrationId: string): { readonly adapter: Adapter; readonly integration: Integration } | undefined }

const KEEP_HOURS = 24;
const MOST_RUNNING = 3;
const PAGE = 200;

export function createExports(dependencies: ExportDependencies): Exports {
  const { database, boss } = dependencies;
  const own = async (tx: Transaction, integrationId: string, exportId: string): Promise<ExportRow | undefined> => {
    const row = await findExport(tx, exportId);
    return row?.integration_id === integrationId ? row : undefined;
  };
  return {
    start: (reader, request) => inOrganization(database, reader.organizationId, async (tx) => {
      if (await countRunningExports(tx, request.integrationId) >= MOST_RUNNING) return undefined;
      const row = await insertExport(tx, { integrationId: request.integrationId, userId: reader.userId, url: request.url, types: request.types, since: request.since, keepHours: KEEP_HOURS });
      await audited(tx, reader, 'E', row.export_id, { types: request.types, ...(request.since === undefined ? {} : { since: request.since }) });
      await boss.send(QUEUES.exportRecords.name, { organizationId: reader.organizationId, exportId: row.export_id, role: reader.role, address: reader.address } satisfies ExportRecordsJob, { singletonKey: row.export_id, db: bossDb(tx) as never });
      return exportOf(row);
    }),
    read: (reader, integrationId, exportId) => inOrganization(database, reader.organizationId, async (tx) => {
      const row = await own(tx, integrationId, exportId);
      return row && exportOf(row);
    }),
    async end(reader, integrationId, exportId) {
      const ended = await inOrganization(database, reader.organizationId, async (tx) => {
        if (!await own(tx, integrationId, exportId) || !await deleteExport(tx, integrationId, exportId)) return false;
        await audited(tx, reader, 'D', exportId, {});
        return true;
      });
      if (ended) await removeFiles(dependencies.exportDirectory, exportId);
      return ended;
    },
    async open(reader, made, type) {
      const output = (await inOrganization(database, reader.organizationId, (tx) => findExport(tx, made.exportId)))?.outputs.find((each) => each.type === type);
      if (made.status !== 'completed' || output === undefined) return undefined;
      const files = await filesOf(dependencies.exportDirectory, made.exportId, output);
      await inOrganization(database, reader.organizationId, (tx) => audited(tx, reader, 'R', made.exportId, { type, count: output.count }));
      return { byteLength: output.byte_length, stream: Readable.toWeb(Readable.from(bytesOf(files), { objectMode: false })) as ReadableStream<Uint8Array> };
    },
  };
}

function audited(tx: Transaction, reader: Reader, action: 'E' | 'R' | 'D', exportId: string, detail: object): Promise<unknown> {
  return recordAudit(tx, { ...auditEvents.dataExport, action, outcome: 'success', actor: { kind: 'application', id: reader.userId, role: reader.role, address: reader.address }, object: { type: 'record_export', id: exportId }, detail: { ...detail } });
}

function exportOf(row: ExportRow): RecordExport {
  return {
    exportId: row.export_id, organizationId: row.organization_id, integrationId: row.integration_id, userId: row.user_id, url: row.request_url, types: row.types, since: row.since?.toISOString(), status: row.status,
    transactionAt: row.transaction_at.toISOString(), recordCount: row.record_count, outputs: row.outputs.map(({ type, count, byte_length }) => ({ type, count, byteLength: byte_length })), errorText: row.error_text ?? undefined, expiresAt: row.expires_at.toISOString(),
  };
}

/** Ids are UUIDs and types come from the adapter's table: neither is text of a request. */
const fileOf = (directory: string, exportId: string, type: string, attempt: number): string => path.join(directory, exportId, attempt === 0 ? `${type}.ndjson` : `${type}.${attempt}.ndjson`);
const partsOf = ({ parts, byte_length }: Pick<ExportOutputRow, 'parts' | 'byte_length'>): readonly ExportPart[] => parts ?? [{ attempt: 0, byte_length }];
const sizeOf = async (file: string): Promise<number> => (await stat(file).catch(() => ({ size: -1 }))).size;

interface FilePart { readonly file: string; readonly byteLength: number }
/** Throws when one is gone or short: what was promised cannot be given. */
async function filesOf(directory: string, exportId: string, output: ExportOutputRow): Promise<readonly FilePart[]> {
  const files = partsOf(output).map(({ attempt, byte_length }) => ({ file: fileOf(directory, exportId, output.type, attempt), byteLength: byte_length }));
  for (const { file, byteLength } of files) if (await sizeOf(file) < byteLength) throw new Error('a file of the export is gone or short');
  return files;
}

/** What a worker wrote past the place that it noted is left out. */
async function* bytesOf(files: readonly FilePart[]): AsyncGenerator<Buffer> {
  for (const { file, byteLength } of files) if (byteLength > 0) yield* createReadStream(file, { end: byteLength - 1 }) as AsyncIterable<Buffer>;
}

const removeFiles = (directory: string, exportId: string): Promise<void> => rm(path.join(directory, exportId), { recursive: true, force: true });

/** Handles one export-records job; `isLastTry` tells the asker that it failed. */
export async function exportRecords(dependencies: ExportJobDependencies, job: ExportRecordsJob, run: { readonly signal: AbortSignal; readonly isLastTry: boolean }): Promise<void> {
  const { database, keys, exportDirectory } = dependencies;
  const row = await inOrganization(database, job.organizationId, (tx) => beginExport(tx, job.exportId));
  if (!row) return;
  const found = dependencies.integration(job.organizationId, row.integration_id), exporter = found?.adapter.exports;
  const move = (change: Parameters<typeof moveExport>[2]): Promise<boolean> => inOrganization(database, job.organizationId, (tx) => moveExport(tx, row, change));
  if (!found || !exporter) {
    await move({ status: 'failed', recordCount: 0, errorText: 'the integration is switched off' });
    return;
  }
  try {
    const reader: Reader = { organizationId: job.organizationId, userId: row.user_id, role: job.role, address: job.address };
    const outputs = await writeFiles({ exporter, config: found.integration.config, records: createRecords({ database, keys }), reader, row, directory: exportDirectory, move, signal: run.signal });
    if (outputs !== undefined && await move({ status: 'completed', recordCount: sumOf(outputs), outputs })) return await removeOthers(exportDirectory, job.exportId, outputs);
    const now = await inOrganization(database, job.organizationId, (tx) => findExport(tx, job.exportId));
    if (!now || now.attempt === row.attempt) await removeFiles(exportDirectory, job.exportId); // ended; else another attempt goes on with what is noted
  } catch (error) {
    if (run.isLastTry) await move({ status: 'failed', recordCount: 0, errorText: 'the export failed here several times; an operator finds the fault in the log' });
    throw error;
  }
}

/** What attempts wrote that came to nothing. */
async function removeOthers(directory: string, exportId: string, outputs: readonly ExportOutputRow[]): Promise<void> {
  const named = new Set(outputs.flatMap((output) => partsOf(output).map(({ attempt }) => fileOf(directory, exportId, output.type, attempt))));
  const files = (await readdir(path.join(directory, exportId))).map((name) => path.join(directory, exportId, name));
  for (const file of files) if (!named.has(file)) await rm(file, { force: true });
}

interface Writing {
  readonly exporter: RecordExporter<unknown>; readonly config: unknown; readonly records: Records; readonly reader: Reader; readonly row: ExportRow; readonly directory: string; readonly signal: AbortSignal;
  move(change: Parameters<typeof moveExport>[2]): Promise<boolean>;
}

const sumOf = (outputs: readonly ExportOutputRow[]): number => outputs.reduce((sum, { count }) => sum + count, 0);

/** Undefined: it was ended meanwhile. */
async function writeFiles(writing: Writing): Promise<ExportOutputRow[] | undefined> {
  const { row } = writing, begun = await progressOf(writing), outputs = [...begun.outputs];
  for (const [index, type] of [...row.types.entries()].slice(Math.max(0, row.types.indexOf(begun.type)))) {
    const kind = writing.exporter.types[type];
    const output = kind && await writeType(writing, kind, { ...(type === begun.type ? begun : { count: 0, byte_length: 0, next: null }), type, outputs });
    if (output === undefined) return undefined;
    if (output.count > 0) outputs.push(output);
    const following = row.types[index + 1];
    if (following !== undefined && !await writing.move({ status: 'running', recordCount: sumOf(outputs), progress: { outputs: [...outputs], type: following, count: 0, byte_length: 0, next: null } })) return undefined;
  }
  return outputs;
}

/** Where the worker before stopped, when its files are as long as it noted; else the beginning. */
async function progressOf({ row, directory }: Writing): Promise<ExportProgress> {
  const { progress } = row;
  const isThere = async (output: Pick<ExportOutputRow, 'type' | 'byte_length' | 'parts'>): Promise<boolean> =>
    (await Promise.all(partsOf(output).map(async ({ attempt, byte_length }) => await sizeOf(fileOf(directory, row.export_id, output.type, attempt)) >= byte_length))).every(Boolean);
  if (progress !== null && (await Promise.all([...progress.outputs, ...(progress.next === null ? [] : [progress])].map(isThere))).every(Boolean)) return progress;
  // Nothing is removed: another attempt may be at work by now.
  await mkdir(path.join(directory, row.export_id), { recursive: true, mode: 0o700 });
  return { outputs: [], type: row.types[0] ?? '', count: 0, byte_length: 0, next: null };
}

async function writeType(writing: Writing, kind: RecordKind, begun: ExportProgress): Promise<ExportOutputRow | undefined> {
  const { exporter, config, records, reader, row, directory, signal } = writing, { type, outputs } = begun, before = sumOf(outputs);
  // What changed again since the export was asked for is in it as it is now: left out, it would be in no export until somebody asks once more.
  const criteria = row.since === null ? {} : { updated: [{ from: row.since.getTime() }] };
  const earlier = begun.next === null ? [] : partsOf(begun), from = begun.next === null ? 0 : begun.byte_length;
  let [count, byteLength, cursor] = [begun.count, from, begun.next];
  const written = (): Pick<ExportOutputRow, 'byte_length' | 'parts'> => ({ byte_length: byteLength, parts: [...earlier, { attempt: row.attempt, byte_length: byteLength - from }] });
  const file = await open(fileOf(directory, row.export_id, type, row.attempt), 'w', 0o600);
  try {
    do {
      const page = cursor === null ? await records.search(reader, { kind, criteria, count: PAGE, total: false, memo: {} }) : await records.next(reader, kind, cursor);
      if (page === undefined) throw new Error('the place where the export stopped cannot be read');
      const bytes = Buffer.from(page.records.map((record) => `${exporter.line(record, config)}\n`).join(''));
      await file.write(bytes, 0, bytes.byteLength, byteLength - from);
      [count, byteLength, cursor] = [count + page.records.length, byteLength + bytes.byteLength, page.next ?? null];
      signal.throwIfAborted();
      if (!await writing.move({ status: 'running', recordCount: before + count, ...(cursor === null ? {} : { progress: { outputs: [...outputs], type, count, next: cursor, ...written() } }) })) return undefined;
    } while (cursor !== null);
    await file.sync();
  } finally {
    await file.close();
  }
  return { type, count, ...written() };
}

const TIDY_MILLISECONDS = 600_000;

export function tidyExportsAtTimes(dependencies: Pick<ExportDependencies, 'database' | 'exportDirectory'>, log: Log): { stop(): void } {
  const timer = setInterval(() => { tidyExports(dependencies).catch((error: unknown) => log.warn({ err: error }, 'expired exports were not removed; the next round tries again')); }, TIDY_MILLISECONDS);
  return { stop: () => clearInterval(timer) };
}

/** Ends what has expired, and removes files of exports that are in no row any more. */
export async function tidyExports({ database, exportDirectory }: Pick<ExportDependencies, 'database' | 'exportDirectory'>): Promise<void> {
  const there = await readdir(exportDirectory).catch(() => []);
  for (const organizationId of await asSystem(database, 'tidy exports', organizationIds)) {
    for (const exportId of await inOrganization(database, organizationId, deleteExpiredExports)) await removeFiles(exportDirectory, exportId);
  }
  for (const exportId of there) {
    const { mtimeMs } = await stat(path.join(exportDirectory, exportId)).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > 2 * KEEP_HOURS * 3_600_000) await removeFiles(exportDirectory, exportId);
  }
}
