/**
 * Images that leave to models of others, and what comes back from there.
 *
 *   out   file -> standards/dicom/de-identify -> [T: vault rows, sealed; audit Export 110106] -> only then may it be sent
 *   back  object -> its UIDs looked up in the vault -> [T: audit Import 110107] -> the object with its own identity
 *
 * UIDs and pseudonyms are made by a function that only this installation knows, one for each organization: they agree over images, models and time, and say
 * nothing to anybody else.
 */
import { createHmac } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { auditEvents } from '../audit/event.ts';
import { recordAudit } from '../audit/record.ts';
import { AiError } from '../ai/ai-error.ts';
import type { OutboundImages } from '../ai/analysis.ts';
import type { Database } from '../db/pool.ts';
import { findInVault, patientOfScan, putIntoVault, type VaultRow } from '../db/reidentification-vault.ts';
import type { Keys } from '../db/secrets.ts';
import { inOrganization } from '../db/transaction.ts';
import { checkPixels, deIdentify, DeIdentifyError, type DeIdentified, type Pseudonyms, type RemovedElement } from '#standards/dicom/de-identify/de-identify.ts';
import { reIdentify, uidsIn, type ReIdentified } from '#standards/dicom/de-identify/re-identify.ts';
import { readHeader } from '#standards/dicom/header.ts';

export interface OutboundDependencies { readonly database: Database; readonly keys: Keys }
/** On whose behalf: one analysis. */
export interface OutboundRun { readonly organizationId: string; readonly analysisId: string; readonly scanId: string; readonly model: string; readonly destination: string }

/** The vault takes so many rows in one statement. */
const rowsAtATime = 500;
/** Dates move back by 1 to 3650 days: never into the future, and no one knows by how many. */
const mostShiftDays = 3650;

export function outboundImages(dependencies: OutboundDependencies, run: OutboundRun): OutboundImages {
  const { database, keys } = dependencies;
  const pseudonyms = pseudonymsOf(keys, run.organizationId);
  const originals = new Map<string, string>();
  const waiting = new Map<string, VaultRow>();
  return {
    async deIdentified(instance, options) {
      const result = await refusalsAsInput(async () => deIdentify(await readFile(instance.path), options, pseudonyms));
      for (const [replacement, original] of result.uids) originals.set(replacement, original);
      for (const row of vaultRows(result, keys, run.organizationId)) if (row.kind !== 'uid' || !waiting.has(row.replacement)) waiting.set(row.replacement, row);
      return { file: result.file, sopInstanceUid: result.sopInstanceUid, warnings: result.warnings };
    },
    checkPixels: (instance, options) => refusalsAsInput(async () => checkPixels(readHeader(await readHead(instance.path)).dataset, options)),
    async commit({ options, sent, refused }) {
      const rows = [...waiting.values()].toSorted((one, other) => (one.replacement < other.replacement ? -1 : 1));
      await inOrganization(database, run.organizationId, async (tx) => {
        for (let at = 0; at < rows.length; at += rowsAtATime) await putIntoVault(tx, run.scanId, rows.slice(at, at + rowsAtATime));
        await recordAudit(tx, {
          ...auditEvents.dataExport, action: 'R', outcome: 'success', actor: { kind: 'system', id: run.model, address: run.destination }, object: { type: 'ai_analysis', id: run.analysisId },
          patientId: await patientOfScan(tx, run.scanId), detail: { scan_id: run.scanId, sent, refused, de_identification: options === false ? 'none' : options },
        });
      });
      waiting.clear();
    },
    originalUid: (uid) => originals.get(uid),
  };
}

/** Restores one object that came back. Undefined: none of its UIDs was ever sent. Throws DeIdentifyError for what cannot be read. */
export async function restoreIdentity({ database, keys }: OutboundDependencies, organizationId: string, file: Buffer, actor: string): Promise<ReIdentified | undefined> {
  const uids = uidsIn(file);
  return inOrganization(database, organizationId, async (tx) => {
    const found = await findInVault(tx, uids.all);
    if (found.length === 0) return undefined;
    // A bare UID may be that of a device, which has many patients; images and studies have one.
    const owners = found.filter(({ kind }) => kind !== 'uid');
    if (new Set(owners.map(({ patient_id: patientId }) => patientId)).size > 1) throw new DeIdentifyError('The object that came back names images of several patients: a person decides whose it is.');
    const owner = owners[0] ?? found[0]!;
    const opened = new Map(found.map((entry) => [entry.replacement, contentOf(keys.open(placeOf(organizationId, entry.replacement), entry.sealed))]));
    const removed = opened.get(uids.sopInstanceUid)?.removed ?? opened.get(uids.studyInstanceUid)?.removed ?? found.map(({ replacement }) => opened.get(replacement)?.removed).find((one) => one !== undefined) ?? [];
    const restored = reIdentify(file, { originalUid: (uid) => opened.get(uid)?.uid, removed });
    await recordAudit(tx, {
      ...auditEvents.dataImport, action: 'C', outcome: 'success', actor: { kind: 'system', id: actor }, object: { type: 'scan', id: owner.scan_id }, patientId: owner.patient_id,
      detail: { restored_uids: restored.restoredUids, restored_elements: restored.restoredElements },
    });
    return restored;
  });
}

export function pseudonymsOf(keys: Keys, organizationId: string): Pseudonyms {
  const key = keys.derive(`de-identification/${organizationId}`);
  const digest = (purpose: string, text: string): Buffer => createHmac('sha256', key).update(`${purpose}\0${text}`).digest();
  return {
    uid(original) {
      const bytes = digest('uid', original).subarray(0, 16);
      bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
      bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
      return `2.25.${BigInt(`0x${bytes.toString('hex')}`)}`;
    },
    patient(patientId) {
      const bytes = digest('patient', patientId);
      return { name: `P-${bytes.toString('hex', 0, 8).toUpperCase()}`, shiftDays: -(1 + (bytes.readUInt32BE(8) % mostShiftDays)) };
    },
  };
}

interface VaultContent { readonly uid: string; readonly removed?: readonly RemovedElement[] }

function vaultRows(result: DeIdentified, keys: Keys, organizationId: string): VaultRow[] {
  const row = (replacement: string, kind: VaultRow['kind'], content: VaultContent): VaultRow => ({ replacement, kind, sealed: keys.seal(placeOf(organizationId, replacement), textOf(content)) });
  return [...result.uids].map(([replacement, uid]) => {
    if (replacement === result.sopInstanceUid) return row(replacement, 'instance', { uid, removed: result.removed });
    return replacement === result.studyInstanceUid ? row(replacement, 'study', { uid, removed: result.removed.filter(({ path }) => !path.includes('/')) }) : row(replacement, 'uid', { uid });
  });
}

const placeOf = (organizationId: string, replacement: string): string => `reidentification_vault/${organizationId}/${replacement}`;
const textOf = (content: VaultContent): string => deflateRawSync(JSON.stringify(content)).toString('base64');
const contentOf = (text: string): VaultContent => JSON.parse(inflateRawSync(Buffer.from(text, 'base64')).toString('utf8')) as VaultContent;

/** The header of an image, functional groups of large enhanced objects included, ends before this. */
const mostHeaderBytes = 32 * 1024 * 1024;
async function readHead(path: string): Promise<Buffer> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(size, mostHeaderBytes)), 0, null, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

async function refusalsAsInput<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DeIdentifyError) throw new AiError('input', error.message);
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new AiError('unavailable', 'A stored file cannot be read (ENOENT).');
    throw error;
  }
}
