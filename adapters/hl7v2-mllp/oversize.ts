/** A frame over the size limit: its first bytes are recorded as the refusal's message, and the sender hears why before the connection ends. */
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

export async function answerToOversize(error: FrameTooLargeError, peer: Peer, to: FrameReceiver): Promise<readonly Answer[]> {
  const message = readableStart(error.head);
  const [application, facility] = [message?.header(3) ?? '', message?.header(4) ?? ''];
  const sha256 = createHash('sha256').update(error.head).digest('hex');
  try {
    const receipt = await to.receive({
      integration: claimingIntegration(to.integrations(), { application, facility, address: peer.address, tlsSubject: peer.tlsSubject }), interaction: 'unreadable',
      controlId: `sha256:${sha256.slice(0, 16)}`, peer: { ...peer, application: senderName(application, facility) }, receivedAt: to.now(),
      facts: { cutAfterBytes: error.head.length }, head: error.head, sha256, byteSize: error.byteSize,
    }, { reason: 'malformed', text: error.message });
    const bytes = buildAcknowledgment(message, { code: 'AR', controlId: nextControlId(to.now()), sentAt: to.now(), error: { condition: '102', text: error.message } });
    return [{ bytes, heard: (wasHeard) => receipt.answered('AR', wasHeard) }];
  } catch (failure) {
    to.onError(failure);
    return [];
  }
}

function readableStart(head: Buffer): Hl7Message | undefined {
  try { return parseMessage(head); } catch { return undefined; }
}
