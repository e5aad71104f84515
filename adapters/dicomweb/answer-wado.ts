/**
 * WADO-RS (PS3.18 10.4): what the gateway holds, handed out as it was received, or as pictures. Nothing is transcoded.
 *
 *   media type -> integration -> holdings opened (on record) -> first instance, else 404 -> bytes, streamed -> finish(): what was transferred
 *
 * An object of another organization is not there (404), because the holdings are those of one organization.
 */
import type { Holdings, InstanceSelection, StoredInstance } from '#gateway/holdings.ts';
import { Refusal } from './answer.ts';
import { answerBulkData } from './wado-bulkdata.ts';
import { answerFrames } from './wado-frames.ts';
import { answerMetadata, metadataForm } from './wado-metadata.ts';
import { answerObjects, objectFormats } from './wado-objects.ts';
import { answerRendered, renderedFormat } from './wado-rendered.ts';
import { openHoldings, type ReadRequest } from './read-request.ts';
import type { InstancePath, Resource } from './resource.ts';

export type Retrieve = Exclude<Resource, { kind: 'store' | 'search' }>;

/** Throws Refusal: 400, 404, 406, 503. */
export async function answerWado(retrieve: Retrieve, read: ReadRequest): Promise<Response> {
  const { kind } = retrieve;
  const rendered = kind === 'rendered' || kind === 'thumbnail' || (kind === 'frames' && retrieve.rendered) ? renderedFormat(retrieve, read) : undefined;
  const form = kind === 'metadata' ? metadataForm(read.request) : 'json';
  const formats = retrieve.kind === 'objects' ? objectFormats(read.request, retrieve.level) : [];
  const level = 'level' in retrieve ? retrieve.level : 'instance';
  const interaction = `WADO-RS ${retrieve.kind === 'objects' ? level : rendered === undefined ? kind : kind === 'frames' ? 'rendered frames' : `${kind} ${level}`}`;
  const holdings = await openHoldings(read, 'retrieve', interaction, { resource: retrieve.kind, level });
  try {
    const selection = selectionOf(retrieve.path);
    const first = await firstOf(holdings, selection);
    if (first === undefined) throw new Refusal(404, 'The gateway holds nothing under this address.');
    if (rendered !== undefined) return await answerRendered(holdings, selection, first, rendered, read);
    if (retrieve.kind === 'objects') return await answerObjects(holdings, selection, first, formats, read);
    if (retrieve.kind === 'metadata') return answerMetadata(holdings, selection, form, read);
    if (retrieve.kind === 'frames') return await answerFrames(holdings, first, retrieve.frames, read);
    return await answerBulkData(holdings, first, 'steps' in retrieve ? retrieve.steps : [], read);
  } catch (error) {
    await holdings.finish(error instanceof Refusal
      ? { answerCode: String(error.status), heard: true, count: 0, text: error.message }
      : { answerCode: '503', heard: true, count: 0, failed: 1, text: 'the retrieve failed before anything was sent' });
    throw error;
  }
}

function selectionOf({ study, series, instance }: InstancePath): InstanceSelection {
  const exact = (value: string) => ({ kind: 'exact', value } as const);
  return {
    ...(study === undefined ? {} : { studyInstanceUid: exact(study) }), ...(series === undefined ? {} : { seriesInstanceUid: exact(series) }),
    ...(instance === undefined ? {} : { sopInstanceUid: exact(instance) }),
  };
}

async function firstOf(holdings: Holdings, selection: InstanceSelection): Promise<StoredInstance | undefined> {
  for await (const instance of holdings.instancesOf(selection)) return instance;
  return undefined;
}
