/**
 * What other systems may see of an organization's images and orders: the implementation of src/gateway/holdings.ts.
 *
 *   open      T: sync_logs row (accepted, not answered yet), its message, audit Query 110112 or Begin Transferring 110102
 *   find*     T per page, read only, with a time limit
 *   finish    T: answer leg; audit Instances Transferred 110104
 */
import { createReadStream } from 'node:fs';
import { PassThrough, type Readable } from 'node:stream';
import { auditEvents, type AuditActor } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { insertExchanges, insertPayloads } from '../db/exchanges.ts';
import * as rows from '../db/holdings.ts';
import type { Database } from '../db/pool.ts';
import { inOrganization, type Transaction } from '../db/transaction.ts';
import type { Log } from '../log.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { FileDataset } from '../storage/stored-dataset.ts';
import { uuidV7 } from '#domain/uuid.ts';
import { mostRows, type Holdings, type HoldingsOutcome, type HoldingsQuery, type HoldingsRequest, type InstanceSelection, type OpenHoldings, type StoredInstance } from '#gateway/holdings.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { instanceOf, modalityOfType, patientOf, scanIdsOf, scheduledOf, seriesOf, studyOf } from './holding-rows.ts';

export interface HoldingsDependencies { readonly database: Database; readonly store: ObjectStore; readonly log: Log; now(): Date }

const PAGE_ROWS = 500;
/** A query that takes longer than this per page is refused: other work shares the database. */
const STATEMENT_MILLISECONDS = 5_000;

/** @param adapter name of the adapter that asks, for the record */
export function createHoldings(dependencies: HoldingsDependencies, adapter: string): OpenHoldings {
  return async (request) => {
    const opened: Opened = { dependencies, request, exchangeId: uuidV7(), startedAt: dependencies.now(), zone: request.timeZone ?? 'UTC' };
    await inOrganization(dependencies.database, request.organizationId, (tx) => putOnRecord(tx, opened, adapter));
    return new OrganizationHoldings(opened);
  };
}

interface Opened { readonly dependencies: HoldingsDependencies; readonly request: HoldingsRequest; readonly exchangeId: string; readonly startedAt: Date; readonly zone: string }

const actorOf = ({ actor }: HoldingsRequest): AuditActor => actor;

async function putOnRecord(tx: Transaction, { request, exchangeId, startedAt }: Opened, adapter: string): Promise<void> {
  await insertExchanges(tx, [{
    sync_id: exchangeId, integration_id: request.integrationId, adapter, direction: 'inbound', interaction: request.interaction, control_id: request.controlId, message_status: 'accepted',
    started_at: startedAt.toISOString(), byte_size: request.message?.content.length, payload_location: request.message ? 'database' : undefined,
    peer_address: request.actor.address, peer_application: request.actor.id, facts: request.facts,
  }]);
  if (request.message) await insertPayloads(tx, [{ sync_id: exchangeId, part: 'message', media_type: request.message.type, content: request.message.content }]);
  await recordAudit(tx, {
    ...(request.purpose === 'query' ? auditEvents.query : auditEvents.beginTransferring), action: request.purpose === 'query' ? 'E' : 'R', outcome: 'success', actor: actorOf(request),
    object: { type: 'sync_log', id: exchangeId }, syncId: exchangeId, detail: { interaction: request.interaction, ...request.facts },
  });
}

type Query = HoldingsQuery<string>;

class OrganizationHoldings implements Holdings {
  readonly exchangeId: string;
  readonly #opened: Opened;
  #finished = false;

  constructor(opened: Opened) {
    this.#opened = opened;
    this.exchangeId = opened.exchangeId;
  }

  findPatients(query: Query) { return this.#pages(query, rows.findPatients, patientOf); }
  findStudies(query: Query) { return this.#pages(query, rows.findStudies, studyOf); }
  findSeries(query: Query) { return this.#pages(query, rows.findSeries, seriesOf); }
  findInstances(query: Query) { return this.#pages(query, rows.findInstances, instanceOf); }
  findScheduled(query: Query) {
    return this.#pages(query, (tx, page) => rows.findScheduled(tx, page, modalityOfType, scanIdsOf(query.match['studyInstanceUid'])), scheduledOf);
  }

  async *#pages<Row, Holding>(query: Query, read: (tx: Transaction, page: rows.Page) => Promise<readonly Row[]>, holdingOf: (row: Row) => Holding): AsyncGenerator<Holding> {
    const most = Math.min(query.limit ?? mostRows, mostRows);
    for (let told = 0; told < most;) {
      const limit = Math.min(PAGE_ROWS, most - told);
      const page = await this.#read((tx) => read(tx, { matches: query.match, zone: this.#opened.zone, limit, offset: (query.offset ?? 0) + told }));
      for (const row of page) yield holdingOf(row);
      if (page.length < limit) return;
      told += page.length;
    }
  }

  async *instancesOf(selection: InstanceSelection): AsyncGenerator<StoredInstance> {
    const matches = { ...selection };
    for (let before: string | undefined, more = true; more;) {
      const scans = await this.#read((tx) => rows.scansHolding(tx, { matches, zone: this.#opened.zone, limit: PAGE_ROWS, offset: 0, before }));
      for (const scanId of scans) yield* await this.#read((tx) => rows.filesOfScan(tx, scanId, matches));
      before = scans.at(-1);
      more = scans.length === PAGE_ROWS;
    }
  }

  #read<Row>(work: (tx: Transaction) => Promise<readonly Row[]>): Promise<readonly Row[]> {
    const { dependencies, request } = this.#opened;
    return inOrganization(dependencies.database, request.organizationId, async (tx) => {
      await rows.limitStatements(tx, STATEMENT_MILLISECONDS);
      return work(tx);
    });
  }

  openStored({ location, datasetOffset }: StoredInstance): Promise<FileDataset> { return FileDataset.open(this.#opened.dependencies.store.resolve(location), datasetOffset); }

  openDataset({ location, datasetOffset }: StoredInstance): Readable { return createReadStream(this.#opened.dependencies.store.resolve(location), { start: datasetOffset, highWaterMark: 256 << 10 }); }

  openFile(instance: StoredInstance): Readable {
    const file = new PassThrough();
    file.write(buildPart10Header(instance));
    const dataset = this.openDataset(instance);
    dataset.on('error', (error) => { file.destroy(error); });
    file.on('close', () => { dataset.destroy(); });
    return dataset.pipe(file);
  }

  async finish(outcome: HoldingsOutcome): Promise<void> {
    if (this.#finished) return;
    this.#finished = true;
    const { dependencies, request } = this.#opened;
    await inOrganization(dependencies.database, request.organizationId, (tx) => this.#writeOutcome(tx, outcome))
      .catch((error: unknown) => dependencies.log.error({ err: error, exchangeId: this.exchangeId }, 'the end of a query or retrieve could not be recorded; its beginning is'));
  }

  async #writeOutcome(tx: Transaction, outcome: HoldingsOutcome): Promise<void> {
    const { dependencies, request, startedAt } = this.#opened;
    const now = dependencies.now();
    const { count, failed = 0, byteSize } = outcome;
    await rows.finishQuery(tx, this.exchangeId, startedAt, {
      answer_status: outcome.heard ? 'answered' : 'unanswered', answer_code: outcome.answerCode, answer_text: outcome.text, finished_at: now, duration_ms: now.getTime() - startedAt.getTime(),
      facts: { ...request.facts, count, ...(failed > 0 ? { failed } : {}), ...(byteSize === undefined ? {} : { byteSize }) },
    });
    if (request.purpose === 'query') return;
    await recordAudit(tx, {
      ...auditEvents.instancesTransferred, action: 'R', outcome: failed > 0 || !outcome.heard ? 'minor_failure' : 'success', actor: actorOf(request), object: { type: 'sync_log', id: this.exchangeId }, syncId: this.exchangeId,
      detail: { interaction: request.interaction, ...request.facts, count, failed, status: outcome.answerCode },
    });
  }
}
