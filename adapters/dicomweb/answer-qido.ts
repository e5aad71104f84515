/**
 * QIDO-RS (PS3.18 10.6): a search for studies, series or instances, answered from rows. The exchange and its audit are on record before
 * the first row is read; the values that were asked for are in the exchange's message only, for they may name a patient.
 */
import { InvalidMatchError, type Holdings } from '#gateway/holdings.ts';
import { commonHeaders, dicomJsonAnswer, Refusal, warning } from './answer.ts';
import { nativeDicomModel, xmlMediaType } from './dicom-xml.ts';
import { multipartWriter } from './multipart-writer.ts';
import { parseQuery, type SearchQuery } from './qido-query.ts';
import { resultOf } from './qido-results.ts';
import type { JsonDataset } from './dicom-json.ts';
import type { Resource } from './resource.ts';
import { openHoldings, type ReadRequest } from './read-request.ts';
import { textFormOf, type TextForm } from './wado-metadata.ts';

type Search = Extract<Resource, { kind: 'search' }>;

/** Throws Refusal: 400, 406, 503. */
export async function answerQido(search: Search, read: ReadRequest): Promise<Response> {
  const form = formOf(read.request);
  const query = parse(search, read);
  const holdings = await openHoldings(read, 'query', `QIDO-RS ${search.level}`, { level: search.level, keys: query.keys, limit: query.limit, offset: query.offset });
  try {
    const rows = await rowsOf(holdings, search, query, read.base);
    const isMore = rows.length > query.limit;
    if (isMore) rows.pop();
    const status = rows.length === 0 ? 204 : 200;
    await holdings.finish({ answerCode: String(status), heard: !read.request.signal.aborted, count: rows.length });
    const warnings = [...query.warnings, ...(isMore ? ['There are additional results that can be requested.'] : [])];
    const headers = warnings.length === 0 ? {} : warning(warnings.join(' '));
    return status === 204 ? new Response(null, { status, headers: { ...commonHeaders, ...headers } }) : form === 'xml' ? xmlAnswer(rows, headers) : dicomJsonAnswer(200, rows, headers);
  } catch (error) {
    const isAsked = error instanceof InvalidMatchError;
    await holdings.finish({ answerCode: isAsked ? '400' : '503', heard: true, count: 0, text: isAsked ? error.message : 'the search failed' });
    throw isAsked ? new Refusal(400, `${error.message}.`) : error;
  }
}

function parse(search: Search, { url, caller }: ReadRequest): SearchQuery {
  try {
    return parseQuery(url.searchParams, search, caller.integration.config.maximum_results);
  } catch (error) {
    throw error instanceof InvalidMatchError ? new Refusal(400, `${error.message}.`) : error;
  }
}

/** One more than asked for, where there is one. */
async function rowsOf(holdings: Holdings, { level }: Search, { match, limit, offset, fields }: SearchQuery, base: string): Promise<JsonDataset[]> {
  const page = { match, limit: limit + 1, offset };
  const found = level === 'study' ? holdings.findStudies(page) : level === 'series' ? holdings.findSeries(page) : holdings.findInstances(page);
  const rows: JsonDataset[] = [];
  for await (const row of found) rows.push(resultOf(row, fields, base));
  return rows;
}

function formOf(request: Request): TextForm {
  const form = textFormOf(request);
  if (form === undefined) throw new Refusal(406, 'Search results are application/dicom+json or multipart/related; type="application/dicom+xml"; Accept excludes both.');
  return form;
}

/** One part for each result (PS3.18 10.6.3.3). */
function xmlAnswer(rows: readonly JsonDataset[], headers: Readonly<Record<string, string>>): Response {
  const writer = multipartWriter(xmlMediaType);
  const body = Buffer.concat([...rows.flatMap((row) => [writer.head({ 'Content-Type': xmlMediaType }), Buffer.from(nativeDicomModel(row))]), writer.end()]);
  return new Response(new Uint8Array(body), { status: 200, headers: { ...commonHeaders, 'content-type': writer.contentType, ...headers } });
}
