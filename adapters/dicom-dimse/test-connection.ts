/**
 * Tries what a delivery and the other services would do, one step after the other: TCP, TLS, A-ASSOCIATE with everything the settings need, C-ECHO, and
 * with `stores` a C-STORE of a synthetic object. Never throws; without `stores` it changes nothing at the receiver.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { AdapterContext, ConnectionStep, ConnectionTest, ConnectionTestOptions } from '#gateway/adapter.ts';
import { sopClassName } from '#standards/dicom/sop-classes.ts';
import { transferSyntaxOf } from '#standards/dicom/transfer-syntaxes.ts';
import { explain } from './advice.ts';
import { verification } from './association.ts';
import type { Config, Receiver } from './config.ts';
import { receiverOf } from './config.ts';
import { initiatedServices, serviceName } from './conformance-tables.ts';
import { tryServices } from './scu/try-services.ts';
import { Status, statusCode, storeOutcome } from './status.ts';
import { testObject } from './test-object.ts';
import { tlsOptions, tlsProblem } from './tls-options.ts';
import { encodeEchoRequest, encodeStoreRequest } from './upper-layer/command-set.ts';
import { ContextResult } from './upper-layer/pdu.ts';
import type { ProposedContext } from './upper-layer/pdu.ts';
import type { RequestedAssociation } from './upper-layer/requestor.ts';
import { associate } from './upper-layer/requestor.ts';
import { explicitVrLittleEndian, implicitVrLittleEndian } from '#standards/dicom/transfer-syntaxes.ts';

export async function testConnection(config: Config, context: AdapterContext, { stores = false }: ConnectionTestOptions = {}): Promise<ConnectionTest> {
  const receiver = receiverOf(config);
  if (!receiver) {
    return { ok: true, steps: [{ step: 'configuration', ok: true, milliseconds: 0, detail: 'this system only sends to the gateway; there is nothing to call', advice: 'Send a C-ECHO from it to the gateway instead.' }] };
  }
  const steps: ConnectionStep[] = await reach(receiver, context.signal);
  if (steps.every(({ ok }) => ok)) steps.push(...await speak(receiver, config, context.signal, stores));
  if (steps.every(({ ok }) => ok)) steps.push(...await tryServices(config, context));
  return { ok: steps.every(({ ok }) => ok), steps };
}

type Timed = (step: string, ok: boolean, detail: string, advice?: string) => ConnectionStep;
/** Each step's time is that since the step before. */
function stopwatch(): Timed {
  let since = performance.now();
  return (step, ok, detail, advice) => {
    const milliseconds = Math.round(performance.now() - since);
    since = performance.now();
    return { step, ok, milliseconds, detail, ...(advice === undefined ? {} : { advice }) };
  };
}

/** TCP and TLS on a connection of their own, that says nothing. */
async function reach(receiver: Receiver, signal: AbortSignal): Promise<ConnectionStep[]> {
  const { host, port, connect_timeout_milliseconds: milliseconds } = receiver;
  const timed = stopwatch(), steps: ConnectionStep[] = [], problem = tlsProblem(receiver);
  if (problem !== undefined) {
    const { text, advice } = explain({ kind: 'not connected', text: problem });
    return [timed('TLS', false, text, advice)];
  }
  const socket = receiver.tls ? connectTls({ host, port, ...tlsOptions(receiver) }) : connect({ host, port });
  const limit = AbortSignal.any([signal, AbortSignal.timeout(milliseconds)]);
  socket.on('error', () => { /* told by once() below, or not of interest any more */ });
  try {
    await once(socket, 'connect', { signal: limit });
    steps.push(timed('TCP', true, `connected to ${host}:${port}`));
    if (receiver.tls) {
      await once(socket, 'secureConnect', { signal: limit });
      steps.push(timed('TLS', true, describeTls(socket as TLSSocket)));
    }
  } catch (error) {
    const text = limit.aborted ? `no answer within ${milliseconds} ms (ETIMEDOUT)` : error instanceof Error ? error.message : String(error);
    const { text: detail, advice } = explain({ kind: 'not connected', text });
    steps.push(timed(steps.length === 0 ? 'TCP' : 'TLS', false, detail, advice));
  } finally {
    socket.destroy();
  }
  return steps;
}

function describeTls(socket: TLSSocket): string {
  const { subject, valid_to: end } = socket.getPeerCertificate(), name = subject?.CN;
  return `${socket.getProtocol()}, ${socket.getCipher().name}; certificate of ${Array.isArray(name) ? name.join(', ') : name ?? 'no name'}, valid to ${new Date(end).toISOString().slice(0, 10)}`;
}

interface Need { readonly uid: string; readonly name: string }
function needs(config: Config, stores: boolean): readonly Need[] {
  const uids = initiatedServices(config).map(([, uid]) => String(uid));
  return [...new Set([...uids, ...(stores ? [testObject().sopClassUid] : [])])].map((uid) => ({ uid, name: serviceName(uid) === uid ? sopClassName(uid) : serviceName(uid) }));
}

async function speak(receiver: Receiver, config: Config, signal: AbortSignal, stores: boolean): Promise<ConnectionStep[]> {
  const needed = needs(config, stores), timed = stopwatch();
  const contexts: ProposedContext[] = needed.flatMap(({ uid }) => [explicitVrLittleEndian, implicitVrLittleEndian].map((syntax) => ({ abstractSyntax: uid, transferSyntaxes: [syntax] }))).map((offer, index) => ({ id: 2 * index + 1, ...offer }));
  const associated = await associate(receiver, { contexts }, signal);
  if (associated.kind !== 'associated') {
    const { text, advice } = explain(associated);
    return [timed('A-ASSOCIATE', false, text, advice)];
  }
  const { association } = associated;
  try {
    const steps = [timed('A-ASSOCIATE', ...describeAnswer(association, needed, receiver.called_ae_title))];
    if (association.context(verification)) steps.push(timed('C-ECHO', ...await echo(association, receiver)));
    if (stores && association.context(testObject().sopClassUid)) steps.push(timed('C-STORE', ...await store(association, receiver)));
    return steps;
  } finally {
    await association.release();
  }
}

type Told = [ok: boolean, detail: string, advice?: string];

/** What was offered, and what of it is accepted in which transfer syntaxes. */
function describeAnswer(association: RequestedAssociation, needed: readonly Need[], called: string): Told {
  const answers = needed.map(({ uid, name }) => {
    const own = association.contexts.filter(({ abstractSyntax }) => abstractSyntax === uid), accepted = own.filter(({ result }) => result === ContextResult.acceptance);
    return { name, taken: accepted.map(({ transferSyntax }) => transferSyntaxOf(transferSyntax).name), result: own[0]?.result };
  });
  const refused = answers.filter(({ taken }) => taken.length === 0);
  const accepted = answers.filter(({ taken }) => taken.length > 0).map(({ name, taken }) => `${name} [${taken.join(', ')}]`);
  const detail = [
    `${called} answers; offered ${needed.length} services in Explicit and Implicit VR Little Endian`, `accepted: ${accepted.join('; ') || 'none'}`,
    ...(refused.length > 0 ? [`refused: ${refused.map(({ name, result }) => `${name} (presentation context result ${result})`).join('; ')}`] : []),
  ].join('. ');
  return refused.length === 0 ? [true, detail] : [false, detail, 'Enable each refused SOP class for the gateway\'s AE title at the receiver, or take the setting out that needs it.'];
}

async function echo(association: RequestedAssociation, { response_timeout_milliseconds: milliseconds }: Receiver): Promise<Told> {
  const response = await association.invoker.ask(association.context(verification)!.id, encodeEchoRequest, undefined, milliseconds);
  return told(response?.status, milliseconds, (status) => status === Status.success);
}

async function store(association: RequestedAssociation, { response_timeout_milliseconds: milliseconds }: Receiver): Promise<Told> {
  const { sopClassUid, sopInstanceUid, encodings } = testObject(), context = association.context(sopClassUid)!;
  const response = await association.invoker.ask(context.id, (messageId) => encodeStoreRequest({ sopClassUid, sopInstanceUid, messageId }), encodings.get(context.transferSyntax), milliseconds);
  const [ok, detail, advice] = told(response?.status, milliseconds, (status) => storeOutcome(status) === 'stored');
  return ok ? [true, `${detail}: stored a synthetic image of patient MEDSCAN-TEST; delete it there`] : [false, detail, advice ?? ''];
}

function told(status: number | undefined, milliseconds: number, isGood: (status: number) => boolean): Told {
  const { text, advice } = explain(status === undefined ? { kind: 'no answer', wasSent: true, text: `no response within ${milliseconds} ms` } : { kind: 'answered', status, errorComment: '', transferSyntaxUid: '' });
  return status !== undefined && isGood(status) ? [true, text || statusCode(status)] : [false, text, advice];
}
