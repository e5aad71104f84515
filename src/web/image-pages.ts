/**
 * The pages about images of a scan: those of a series, and one that is kept out of use beside what it stands against, with the decision about it. In and out as in console.ts;
 * a decision goes to the same command as that of the API.
 */
import type { Hono } from 'hono';
import { auditEvents } from '../audit/event.ts';
import { actorOf, type ApiDependencies, type ApiEnv } from '../api/context.ts';
import { seesPatients } from '../api/permissions.ts';
import { notFound } from '../api/problem.ts';
import { readScan } from '../api/queries/scans.ts';
import { ImageError } from '../gateway/images.ts';
import { readableMessage } from '../gateway/message-tree.ts';
import type { Transaction } from '../db/transaction.ts';
import { openScan } from './scan-pages.ts';
import { readScanPatient, readWhereabouts, type ScanRow } from './scan-rows.ts';
import { whereItIs } from './scans.ts';
import { listDecisions, listImages, neighbourOf, otherVersions, readVersion, type VersionRow } from './version-rows.ts';
import { comparePage, confirmPage, imagesPage, standing, type Side, type VersionChoice } from './versions.ts';
import { form, uuid, visitor, type Visit } from './visit.ts';

export function imagePages(app: Hono<ApiEnv>, dependencies: ApiDependencies): void {
  const { commands } = dependencies;
  const visit = visitor(dependencies);

  app.get(`/scans/:id{${uuid}}/images`, visit('scans:read', async (v) => {
    const seriesInstanceUid = v.c.req.query('series') ?? '', from = Math.min(100_000, Math.max(0, Number.parseInt(v.c.req.query('from') ?? '0', 10) || 0));
    const { scan, images } = await v.read(async (tx, audit) => {
      const found = await openScan(tx, audit, v.c.req.param('id')!, 'files');
      return { scan: found, images: await listImages(tx, found.scan_id, seriesInstanceUid, from) };
    });
    return v.page('/scans', `Images of ${scan.scan_number}`, imagesPage({ scanId: scan.scan_id, scanNumber: scan.scan_number, seriesInstanceUid, images, from, seesImages: v.may('images:read'), now: v.now }));
  }));

  const headerOf = async (version: VersionRow): Promise<Pick<Side, 'lines' | 'isCut'>> => {
    try {
      const { head } = await commands.storedHead(version.storage_location);
      const { lines, isCut } = readableMessage(head, 'application/dicom', { transferSyntaxUid: version.transfer_syntax_uid });
      // The first is always there: the transfer syntax that it was stored with.
      return { lines: lines.length <= 1 ? undefined : lines, isCut };
    } catch {
      return { lines: undefined, isCut: false };
    }
  };

  const versionOf = async (tx: Transaction, v: Visit): Promise<{ scan: ScanRow; version: VersionRow; others: readonly VersionRow[] }> => {
    const { id, file } = v.c.req.param() as { id: string; file: string };
    const version = await readVersion(tx, file), scan = version?.scan_id === id ? await readScan(tx, id) : undefined;
    if (!version || !scan) throw notFound('image');
    return { scan, version, others: await otherVersions(tx, version) };
  };

  app.get(`/scans/:id{${uuid}}/images/:file{${uuid}}`, visit('scans:read', async (v) => {
    // What a header says of its patient is for who may see patients and images, or whole messages.
    const seesHeader = (v.may('images:read') && seesPatients(v.caller)) || v.may('exchanges:payload');
    const { scan, version, others, ...rows } = await v.read(async (tx, audit) => {
      const found = await versionOf(tx, v), { scan_id: scanId, patient_id: patientId } = found.scan;
      await audit({ ...auditEvents.instancesAccessed, action: 'R', object: { type: 'scan_file', id: found.version.scan_file_id }, patientId, detail: { part: seesHeader ? 'header' : 'facts', compared_with: found.others.map((other) => other.scan_file_id) } });
      // What is shown beside it may be of another patient, on whose record the look belongs as well.
      for (const other of found.others.filter((one) => one.patient_id !== patientId)) await audit({ ...auditEvents.instancesAccessed, action: 'R', object: { type: 'scan_file', id: other.scan_file_id }, patientId: other.patient_id, detail: { part: seesHeader ? 'header' : 'facts', compared_with: [found.version.scan_file_id] } });
      const decisions = await listDecisions(tx, found.scan, 200), first = decisions.findLast((decision) => decision.scan_file_id === found.version.scan_file_id);
      const isForeign = found.others.length === 0 && (found.version.status === 'quarantined' || first?.was === 'quarantined');
      return {
        ...found, isForeign, decisions, neighbour: isForeign ? await neighbourOf(tx, found.version) : null, patient: seesPatients(v.caller) ? await readScanPatient(tx, patientId) ?? undefined : undefined,
        at: (await readWhereabouts(tx, [scanId])).get(scanId),
      };
    });
    const sides = await Promise.all([version, ...others, ...(rows.neighbour ? [rows.neighbour] : [])].map(async (side, index): Promise<Side> => ({
      version: side, ...(seesHeader ? await headerOf(side) : { lines: undefined, isCut: false }),
      title: index === 0 ? `This image, ${standing(side)}` : rows.neighbour ? 'An image of the study, in use' : standing(side) === 'in use' ? 'The version in use' : `Another version, ${standing(side)}`,
    })));
    const about = new Set([version, ...others].map((side) => side.scan_file_id));
    return v.page('/scans', `Image of ${scan.scan_number}`, comparePage({
      scanId: scan.scan_id, scanNumber: scan.scan_number, sides, hasOthers: others.length > 0, isForeign: rows.isForeign, patient: rows.patient, decisions: rows.decisions.filter((decision) => about.has(decision.scan_file_id)), where: whereItIs(scan, rows.at),
      mayDecide: v.may('scans:complete'), seesImages: v.may('images:read'), seesHeader, done: v.done, problem: v.problem, now: v.now,
    }));
  }));

  app.post(`/scans/:id{${uuid}}/images/:file{${uuid}}/decide`, form, visit('scans:complete', async (v) => {
    const { decision: wanted, reason = '', confirmed } = await v.fields();
    const { scan, version, inUse, reported } = await v.read(async (tx) => {
      const { others, ...found } = await versionOf(tx, v);
      return { ...found, inUse: others.find((other) => standing(other) === 'in use'), reported: (await readWhereabouts(tx, [found.scan.scan_id])).get(found.scan.scan_id)?.report_version ?? null };
    });
    const here = `/scans/${scan.scan_id}/images/${version.scan_file_id}`;
    const decision = (['use', 'set aside'] as const).find((choice): choice is VersionChoice => choice === wanted);
    if (decision === undefined) return v.back(here, { problem: 'Choose one: use the image, or set it aside.' });
    if (reason.length < 3 || reason.length > 500) return v.back(here, { problem: 'A decision needs a reason of 3 to 500 characters.' });
    if (confirmed === undefined) return v.page('/scans', `Decide about an image of ${scan.scan_number}`, confirmPage({ scanId: scan.scan_id, scanNumber: scan.scan_number, version, inUse, decision, reason, reported }));
    if (confirmed !== version.status) return v.back(here, { problem: 'Somebody decided about it meanwhile; nothing was changed now. Look again.' });
    const done = await commands.decideVersion(v.caller.organizationId, version.scan_file_id, decision, reason, actorOf(v.c, v.caller));
    if (done.kind === 'not-found') throw notFound('image');
    return v.back(here, done.kind === 'refused' ? { problem: done.reason } : { done: decision === 'use' ? 'It is in use now; the scan is completed and analysed again with it.' : version.status === 'stored' ? 'It is set aside; the scan is completed and analysed again without it.' : 'It is set aside.' });
  }));

  app.get(`/scans/:id{${uuid}}/images/:file{${uuid}}/picture`, visit('images:read', async (v) => {
    const isSmall = v.c.req.query('size') === 'small';
    const version = await v.read(async (tx, audit) => {
      const found = await versionOf(tx, v);
      await audit({ ...auditEvents.instancesAccessed, action: 'R', object: { type: 'scan_file', id: found.version.scan_file_id }, patientId: found.scan.patient_id, detail: { part: 'picture' } });
      return found.version;
    });
    try {
      const middle = Math.max(1, Math.ceil((version.number_of_frames ?? 1) / 2));
      const drawn = await commands.picture({ location: version.storage_location, datasetOffset: version.dataset_offset, transferSyntaxUid: version.transfer_syntax_uid }, { frame: middle, longestEdge: { least: 1, most: isSmall ? 192 : 640 }, encoding: { type: 'image/jpeg', quality: isSmall ? 75 : 85 } }, v.c.req.raw.signal);
      return v.c.body(new Uint8Array(drawn.bytes), 200, { 'content-type': 'image/jpeg', 'cache-control': 'private, no-store' });
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      return v.c.body(noPicture, 200, { 'content-type': 'image/svg+xml' });
    }
  }));
}

const noPicture = '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="320" viewBox="0 0 320 320"><rect width="320" height="320" fill="#888" fill-opacity=".15"/><text x="160" y="164" font-family="sans-serif" font-size="18" fill="#808890" text-anchor="middle">cannot be shown</text></svg>';
