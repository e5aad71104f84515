/**
 * Bytes that cannot be taken as a message: a frame over the size limit, a message without a frame. The first of them are recorded as the refusal's
 * message, and the sender hears why before the connection ends.
 */
import { createHash } from 'node:crypto';
import type { Peer } from '#gateway/adapter.ts';
import { buildAcknowledgment } from '#standards/hl7v2/acknowledgment.ts';
import { parseMessage } from '#standards/hl7v2/parse.ts';
import type { Hl7Message } from '#standards/hl7v2/parse.ts';
import { claimingIntegration } from './claim.ts';
import { nextControlId } from './control-id.ts';
import type { FrameTooLargeError } from './mllp.ts';
import { senderName } from './receive-frame.ts';
import type { Answer, FrameReceiver } from './receive-frame.ts';

export function answerToOversize(error: FrameTooLargeError, peer: Peer, to: FrameReceiver): Promise<readonly Answer[]> {
  return refuseBytes({ head: error.head, byteSize: error.byteSize, text: error.message, condition: '102' }, peer, to);
}

/** The commonest fault of a first evening: a message by a tool that knows nothing of MLLP. */
export function answerToUnframed(head: Buffer, peer: Peer, to: FrameReceiver): Promise<readonly Answer[]> {
  return refuseBytes({ head: head.subarray(0, 4096), byteSize: head.length, condition: '100', text: 'The message has no MLLP frame: send <VT> (0x0B) before it, <FS><CR> (0x1C 0x0D) behind it' }, peer, to);
}

interface Misfit { readonly head: Buffer; readonly byteSize: number; readonly text: string; readonly condition: '100' | '102' }

async function refuseBytes({ head, byteSize, text, condition }: Misfit, peer: Peer, to: FrameReceiver): Promise<readonly Answer[]> {
  const message = readableStart(head);
  const [application, facility] = [message?.header(3) ?? '', message?.header(4) ?? ''];
  const sha256 = createHash('sha256').update(head).digest('hex');
  try {
    const receipt = await to.receive({
      integration: claimingIntegration(to.integrations(), { application, facility, address: peer.address, tlsSubject: peer.tlsSubject }), interaction: 'unreadable',
      controlId: `sha256:${sha256.slice(0, 16)}`, peer: { ...peer, application: senderName(application, facility) }, receivedAt: to.now(),
      facts: { cutAfterBytes: head.length }, head, sha256, byteSize,
    }, { reason: 'malformed', text });
    const bytes = buildAcknowledgment(message, { code: 'AR', controlId: nextControlId(to.now()), sentAt: to.now(), error: { condition, text } });
    return [{ bytes, heard: (wasHeard) => receipt.answered('AR', wasHeard) }];
  } catch (failure) {
    to.onError(failure);
    return [];
  }
}

function readableStart(head: Buffer): Hl7Message | undefined {
  try { return parseMessage(head); } catch { return undefined; }
}
