/** Opens the connection a delivery would use and closes it. No message is sent: HL7 v2 has none without effect at the receiver. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type { AdapterContext, ConnectionStep, ConnectionTest } from '#gateway/adapter.ts';
import type { ConnectionUse } from './closing-receiver.ts';
import type { Hl7v2Config } from './config.ts';
import { connectionUse, endpointOf } from './deliver-oru.ts';
import { FolderError, codeOf, isShared, ownDirectory } from './folder/places.ts';
import { connect } from './mllp-client.ts';

export async function testConnection(config: Hl7v2Config, context: AdapterContext): Promise<ConnectionTest> {
  const folders = [...(config.folder === undefined ? [] : [config.folder]), ...(config.deliver_folder === undefined ? [] : [config.deliver_folder])];
  const steps = await Promise.all([...new Set(folders)].map((folder) => testFolder(folder, context)));
  const rest = steps.length > 0 && !endpointOf(config) ? [] : (await testPeer(config, context)).steps;
  return { ok: [...steps, ...rest].every(({ ok }) => ok), steps: [...steps, ...rest] };
}

/** Makes the folder when it is not there, and leaves nothing in it. */
async function testFolder(folder: string, { folders, foldersOfOthers }: AdapterContext): Promise<ConnectionStep> {
  const started = performance.now();
  const result = (ok: boolean, detail: string, advice?: string): ConnectionStep => ({ step: 'folder', ok, milliseconds: since(started), detail, ...(advice === undefined ? {} : { advice }) });
  if (folders === undefined) return result(false, `The integration names the folder ${folder}, but there is no directory for folders`, 'Set MEDSCAN_FOLDERS to a directory that exists');
  try {
    await access(await ownDirectory(folders, folder), constants.R_OK | constants.W_OK);
    if (await isShared(folders, folder, foldersOfOthers?.() ?? [])) return result(false, `An integration of another organization names the folder ${folder} too: nothing is read from it or written to it`, 'Name another folder here; it need not exist');
    return result(true, `The folder ${folder} can be read and written`);
  } catch (error) {
    return result(false, error instanceof FolderError ? error.message : `The folder ${folder} cannot be used (${codeOf(error)})`, 'Check that MEDSCAN_FOLDERS exists, is no link, and belongs to the user of the gateway');
  }
}

async function testPeer(config: Hl7v2Config, { signal }: AdapterContext): Promise<ConnectionTest> {
  const endpoint = endpointOf(config);
  if (!endpoint) return inboundOnly(config);
  const started = performance.now();
  const step = endpoint.tls ? 'TLS connection' : 'TCP connection';
  const peer = `${endpoint.host}:${endpoint.port}`;
  try {
    (await connect(endpoint)).destroy();
    return { ok: true, steps: [{ step, ok: true, milliseconds: since(started), detail: `Connected to ${peer}; no message was sent`, ...adviceOn(connectionUse(endpoint, signal)) }] };
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    return { ok: false, steps: [{ step, ok: false, milliseconds: since(started), detail: `No connection to ${peer}: ${code || message}`, advice: adviceFor(code, message) }] };
  }
}

/** Seen when results were sent by this process; another one may have seen nothing yet. */
function adviceOn(use: ConnectionUse | undefined): { advice?: string } {
  if (use?.kind !== 'per-message' || use.until === undefined) return {};
  return { advice: `The receiver closed connections after its answers, so each message gets one of its own; from ${use.until.toISOString()} a kept one is tried again. If it always does so, set connection: per-message` };
}

function inboundOnly(config: Hl7v2Config): ConnectionTest {
  const named = config.sending_application.length + config.sending_facility.length + config.addresses.length > 0;
  const step: ConnectionStep = {
    step: 'settings', ok: config.receives, milliseconds: 0,
    detail: config.receives ? 'This system sends to us; there is no host and port to connect to' : 'The integration neither receives nor has a host to send to',
    ...(config.receives && named ? {} : { advice: config.receives ? 'Name sending_application, sending_facility or addresses: now every sender is taken for this system' : 'Set host and port, or turn receives on' }),
  };
  return { ok: step.ok, steps: [step] };
}

function adviceFor(code: string, message: string): string {
  if (code === 'ECONNREFUSED') return 'Nothing listens there: check the port, and that the interface of the receiver is started';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'The host name is not known: check its spelling and the name server';
  if (code.startsWith('ERR_TLS') || code.includes('CERT') || code.includes('SIGNATURE') || code.startsWith('ERR_SSL') || code === 'EPROTO') return 'The TLS handshake failed: check tls, tls_ca and the host name in the certificate of the receiver';
  if (/within|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH/.test(`${code} ${message}`)) return 'No answer: check the address, the route and the firewall between the gateway and the receiver';
  return 'Check host, port and network between the gateway and the receiver';
}

const since = (started: number): number => Math.round(performance.now() - started);
