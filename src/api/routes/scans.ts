import { z } from '@hono/zod-openapi';
import { auditEvents } from '../../audit/event.ts';
import type { Transaction } from '../../db/transaction.ts';
import type { ApiDependencies } from '../context.ts';
import { pathId } from '../fields.ts';
import { listOf, pageQuery, toPage } from '../pagination.ts';
import { notFound, Problem } from '../problem.ts';
import { listScanFiles, locateScanFile, readScanFile, ScanFile } from '../queries/scan-files.ts';
import { readScanSources, ScanSources } from '../queries/scan-sources.ts';
import { listScans, readScan, Scan, scanQuery } from '../queries/scans.ts';
import type { ApiRouter, RequestAudit } from '../router.ts';

const Completion = z.object({ scan_id: z.uuid(), completion_run: z.int() }).openapi('Completion');

const PriorsRequested = z.object({ scan_id: z.uuid(), asked: z.array(z.string()).describe('names of the integrations; empty: a search waits already') }).openapi('PriorsRequested');

export function scanRoutes(router: ApiRouter, { commands }: ApiDependencies): void {
  router.route('GET /scans', { summary: 'Scans, newest first', tag: 'scans', query: scanQuery, returns: listOf(Scan) }, ({ transact, query }) => transact(async (tx, audit) => {
    const page = toPage(await listScans(tx, query), query, (scan) => scan.scan_id);
    await audit({ ...auditEvents.query, action: 'R', object: { type: 'scan', id: '*' }, patientId: query.patient_id, detail: { scan_ids: page.items.map((scan) => scan.scan_id) } });
    return page;
  }));

  router.route('GET /scans/{scan_id}', { summary: 'One scan', tag: 'scans', params: pathId('scan_id'), returns: Scan }, ({ transact, params }) =>
    transact((tx, audit) => openScan(tx, audit, params.scan_id, 'scan')));

  router.route('GET /scans/{scan_id}/files', {
    summary: 'The scan\'s files', tag: 'scans', params: pathId('scan_id'), query: pageQuery, returns: listOf(ScanFile),
  }, ({ transact, params, query }) => transact(async (tx, audit) => {
    await openScan(tx, audit, params.scan_id, 'files');
    return toPage(await listScanFiles(tx, params.scan_id, query), query, (file) => file.scan_file_id);
  }));

  router.route('GET /scans/{scan_id}/sources', {
    summary: 'What other systems were asked about the scan', tag: 'scans', params: pathId('scan_id'), returns: ScanSources,
    description: 'How many images the source says the study has, searches for earlier studies, and what is fetched for it.',
  }, ({ transact, params }) => transact(async (tx, audit) => {
    await openScan(tx, audit, params.scan_id, 'sources');
    return readScanSources(tx, params.scan_id);
  }));

  router.route('POST /scans/{scan_id}/force-complete', {
    summary: 'Declare the images complete', tag: 'scans', params: pathId('scan_id'), returns: Completion, status: 202,
    description: 'Analysis starts with what has arrived. Images that come later start one further run.',
  }, async ({ params, caller, actor, auditedElsewhere }) => {
    const done = await commands.forceComplete(caller.organizationId, params.scan_id, actor);
    if (done.kind === 'not-found') throw notFound('scan');
    if (done.kind === 'refused') throw new Problem(409, done.reason);
    auditedElsewhere();
    return { scan_id: params.scan_id, completion_run: done.completionRun };
  });

  router.route('POST /scans/{scan_id}/fetch-priors', {
    summary: 'Search for earlier studies of the patient and fetch them', tag: 'scans', params: pathId('scan_id'), returns: PriorsRequested, status: 202,
    description: 'At every system that has a rule for it (setting priors). What came of it is at GET /scans/{scan_id}/sources.',
  }, async ({ params, caller, actor, auditedElsewhere }) => {
    const done = await commands.fetchPriors(caller.organizationId, params.scan_id, actor);
    if (done.kind === 'not-found') throw notFound('scan');
    if (done.kind === 'refused') throw new Problem(409, done.reason);
    auditedElsewhere();
    return { scan_id: params.scan_id, asked: [...done.sources] };
  });
}

const Reasoned = z.strictObject({ reason: z.string().trim().min(1).max(500) }).openapi('VersionDecision');
const decisions = [
  ['POST /scan-files/{scan_file_id}/use', 'use', 'Put an image in use that was kept out of it', 'A version under a UID that was stored already takes the place of the one in use, which is set aside; an image that names another patient than its study becomes part of it. The scan is completed again and analysed with it.'],
  ['POST /scan-files/{scan_file_id}/set-aside', 'set aside', 'Keep an image out of use for good', 'It stays stored, and nothing is made of it. The alert about it ends when no other waits. One that is in use is taken out of the study, which is completed again and analysed without it; where another version of the same image is kept, that one is put in use instead.'],
] as const;

export function scanFileRoutes(router: ApiRouter, { commands }: ApiDependencies): void {
  router.route('GET /scan-files/{scan_file_id}', { summary: 'One file\'s facts', tag: 'scans', params: pathId('scan_file_id'), returns: ScanFile }, ({ transact, params }) =>
    transact(async (tx, audit) => {
      const file = await readScanFile(tx, params.scan_file_id);
      if (!file) throw notFound('file');
      await audit({ ...auditEvents.instancesAccessed, action: 'R', object: { type: 'scan_file', id: file.scan_file_id }, patientId: file.patient_id, detail: { part: 'facts' } });
      return file;
    }));

  for (const [route, decision, summary, description] of decisions) {
    router.route(route, { summary, tag: 'scans', params: pathId('scan_file_id'), body: Reasoned, returns: ScanFile, description }, async ({ params, body, caller, actor, transact, auditedElsewhere }) => {
      const done = await commands.decideVersion(caller.organizationId, params.scan_file_id, decision, body.reason, actor);
      if (done.kind === 'not-found') throw notFound('file');
      if (done.kind === 'refused') throw new Problem(409, done.reason);
      auditedElsewhere();
      return (await transact((tx) => readScanFile(tx, params.scan_file_id)))!;
    });
  }

  router.route('GET /scan-files/{scan_file_id}/content', {
    summary: 'The DICOM file as it was received', tag: 'scans', params: pathId('scan_file_id'), produces: 'application/dicom',
  }, async ({ transact, params, c }) => {
    const file = await transact((tx) => locateScanFile(tx, params.scan_file_id));
    if (!file) throw notFound('file');
    if (file.status === 'deleted') throw new Problem(409, 'The file was deleted; its facts are kept.');
    const content = await commands.openStoredObject(file.storage_location);
    try {
      // Committed before the first byte leaves.
      await transact((_tx, audit) => audit({
        ...auditEvents.dataExport, action: 'R', object: { type: 'scan_file', id: file.scan_file_id }, patientId: file.patient_id, detail: { scan_id: file.scan_id, sop_instance_uid: file.sop_instance_uid },
      }));
    } catch (error) {
      await content.stream.cancel();
      throw error;
    }
    return c.body(content.stream, 200, attachment('application/dicom', `${file.sop_instance_uid}.dcm`, content.byteSize));
  });
}

/** Headers of a download: saved, never shown by the browser (nosniff and the policy that allows nothing are on every answer). */
export function attachment(mediaType: string, fileName: string, byteSize: number): Record<string, string> {
  return {
    'content-type': mediaType, 'content-length': String(byteSize), 'content-disposition': `attachment; filename="${fileName.replaceAll(/[^\w.-]/g, '_')}"`,
  };
}

async function openScan(tx: Transaction, audit: RequestAudit, scanId: string, part: string) {
  const scan = await readScan(tx, scanId);
  if (!scan) throw notFound('scan');
  await audit({ ...auditEvents.orderRecord, action: 'R', object: { type: 'scan', id: scanId }, patientId: scan.patient_id, detail: { part } });
  return scan;
}
