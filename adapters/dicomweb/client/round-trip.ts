/** For the connection test that stores: a synthetic object of nobody by STOW-RS, and back by WADO-RS, to see in which media type and whether as it was sent. */
import type { AdapterContext } from '#gateway/adapter.ts';
import { readHeader } from '#standards/dicom/header.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { testObject } from '#standards/dicom/test-object.ts';
import { explicitVrLittleEndian, transferSyntaxOf } from '#standards/dicom/transfer-syntaxes.ts';
import type { Config } from '../config.ts';
import { judge } from '../deliver-stow.ts';
import { failureByError, failureByStatus } from '../failure.ts';
import { parseMediaType } from '../media-type.ts';
import { MultipartReader, isBoundary, type PartHeaders } from '../multipart.ts';
import { multipartWriter } from '../multipart-writer.ts';
import type { Finding } from '../test-connection.ts';
import type { DicomwebClient, OpenAnswer } from '../web-client.ts';
import { asItLikes, asStored } from './retrieve.ts';

export async function roundTrip(client: DicomwebClient, config: Config, context: AdapterContext): Promise<readonly Finding[]> {
  const stored = await store(client, context);
  return stored.ok ? [stored, await fetchBack(client, config, context)] : [stored];
}

async function store(client: DicomwebClient, context: AdapterContext): Promise<Finding> {
  const object = testObject(), step = 'STOW-RS', writer = multipartWriter('application/dicom');
  const body = Buffer.concat([writer.head({ 'Content-Type': 'application/dicom' }), buildPart10Header({ ...object, transferSyntaxUid: explicitVrLittleEndian }), object.dataset, writer.end()]);
  const exchanged = await client.send({ method: 'POST', path: '/studies', headers: { 'content-type': writer.contentType, accept: 'application/dicom+json' }, body }, context.signal);
  const judged = 'failure' in exchanged ? exchanged.failure : judge(exchanged.answer, object.sopInstanceUid, context.now());
  if (judged.kind === 'unsaid') {
    return { step, ok: true, detail: `HTTP ${judged.answerCode} without saying what was stored: a synthetic image of patient MEDSCAN-TEST, if anything; delete it there`, advice: 'Each report will be looked for there after it is sent: let the login search (QIDO-RS). Where the status alone is to count, set trust_store_status.' };
  }
  if (judged.kind !== 'delivered') return { step, ok: false, detail: judged.text, advice: 'Reports go the same way: allow the login to store, and Secondary Capture and Comprehensive 3D SR, at the server.' };
  return { step, ok: true, detail: `HTTP ${judged.answerCode}: stored a synthetic image of patient MEDSCAN-TEST; delete it there` };
}

async function fetchBack(client: DicomwebClient, { retrieve_timeout_seconds: seconds }: Config, context: AdapterContext): Promise<Finding> {
  const { studyInstanceUid, seriesInstanceUid, sopInstanceUid } = testObject(), step = 'WADO-RS';
  const path = `/studies/${studyInstanceUid}/series/${seriesInstanceUid}/instances/${sopInstanceUid}`;
  const told: string[] = [];
  for (const accept of [asStored, asItLikes]) {
    const opened = await client.open({ method: 'GET', path, headers: { accept } }, context.signal, seconds * 1000);
    if ('failure' in opened) return { step, ok: false, detail: opened.failure.text, advice: 'Look into the server\'s log: it breaks off what it is asked.' };
    const { answer } = opened;
    if (answer.status === 200) return describe(answer);
    answer.end();
    told.push(failureByStatus(answer.status, answer.retryAfter, context.now(), 'retrieve').text);
  }
  return { step, ok: false, detail: `the synthetic image cannot be fetched back: ${told[0]}`, advice: 'Some servers hand out a moment later what they took: try again. Else the login may store but not retrieve. For reports alone that is not needed.' };
}

async function describe(answer: OpenAnswer): Promise<Finding> {
  const step = 'WADO-RS', type = parseMediaType(answer.contentType), { boundary } = type?.parameters ?? {};
  try {
    if (type?.type === 'application/dicom') return { step, ok: true, detail: 'offered as application/dicom, without parts' };
    if (type?.type !== 'multipart/related' || !isBoundary(boundary)) return { step, ok: false, detail: `offered as ${type?.type ?? 'no content type'}`, advice: 'The server must offer multipart/related; type="application/dicom" (PS3.18 10.4).' };
    const reader = new MultipartReader(answer.bytes, boundary);
    const headers: PartHeaders = await reader.next() ?? {}, file = await firstBytes(reader.bytes()), { part10 } = readHeader(file);
    const isSame = file.subarray(part10.datasetOffset).equals(testObject().dataset);
    const offered = `offered as ${type.type}; type="${type.parameters['type'] ?? ''}", its part as ${headers['content-type'] ?? 'no content type'}`;
    return { step, ok: true, detail: `${offered}, in ${transferSyntaxOf(part10.transferSyntaxUid).name}; ${isSame ? 'it came back as it was sent' : 'the server changed the data set'}` };
  } catch (error) {
    return { step, ok: false, detail: failureByError(error, 'retrieve').text, advice: 'The answer does not come to its end, or its parts are not put together as multipart/related.' };
  } finally {
    answer.end();
  }
}

/** The object is small: of one that is larger than this no more is read. */
const mostBytes = 1024 * 1024;

async function firstBytes(bytes: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let byteLength = 0;
  for await (const chunk of bytes) {
    chunks.push(chunk);
    byteLength += chunk.length;
    if (byteLength > mostBytes) break;
  }
  return Buffer.concat(chunks);
}
