/**
 * Which answers a message gets (HL7 v2.5.1 ch. 2.9.2 original, 2.9.3 enhanced mode, tables 0008 and 0155), and what an answer says:
 *
 *   accepted, duplicate   AA | CA              header wrong, not ours, not allowed   AR | CR
 *   content wrong         AE | CE              our trouble, nothing kept             AE | CE with 207: send it again
 */
import type { Receipt, RejectReason } from '#gateway/adapter.ts';
import type { AcknowledgmentCode, AcknowledgmentError } from '#standards/hl7v2/acknowledgment.ts';
import type { ErrorConditionCode } from '#standards/hl7v2/error-conditions.ts';
import type { Hl7Message } from '#standards/hl7v2/parse.ts';
import type { Hl7v2Config } from './config.ts';
import { acknowledgesDelivery } from './control-id.ts';

export interface Verdict { readonly code: 'AA' | 'AE' | 'AR'; readonly error?: AcknowledgmentError }

/** The answer codes due, in order; none when the sender asked for none and the integration takes it at its word. */
export function codesDue(message: Hl7Message | undefined, mode: Hl7v2Config['acknowledgment'], { code }: Verdict): readonly AcknowledgmentCode[] {
  const [accept, application] = [message?.header(15) ?? '', message?.header(16) ?? ''];
  const acceptCode = `C${code[1]}` as AcknowledgmentCode;
  const succeeded = code === 'AA';
  if (message && acknowledgesDelivery(message)) return isDue(accept, true) ? ['CA'] : []; // an acknowledgment is not acknowledged, but it may ask to be heard
  if (mode === 'original' || (accept === '' && application === '')) return [code];
  if (mode === 'one-answer') return [isDue(accept, succeeded) ? acceptCode : code];
  return [...(isDue(accept, succeeded) ? [acceptCode] : []), ...(isDue(application, succeeded) ? [code] : [])];
}

/** Table 0155: AL always, ER on error or reject only, SU on success only, NE never. */
function isDue(condition: string, succeeded: boolean): boolean {
  return condition === 'AL' || (condition === 'ER' && !succeeded) || (condition === 'SU' && succeeded);
}

export function verdictOf(receipt: Receipt, condition?: ErrorConditionCode): Verdict {
  switch (receipt.kind) {
    case 'accepted': return { code: 'AA' };
    case 'duplicate': return duplicateVerdict(receipt.answerCode);
    case 'rejected': return { code: rejectCodes[receipt.reason], error: { condition: condition ?? conditionOf(receipt.reason, receipt.text), text: receipt.text, location: receipt.location } };
    case 'failed': return failedVerdict;
  }
}

/** Nothing was kept as accepted: the sender must send the message again. */
export const failedVerdict: Verdict = { code: 'AE', error: { condition: '207', text: 'The gateway could not store the message; try again' } };

/** As before. The code on record is of either mode; only its second letter says what became of the message. */
function duplicateVerdict(answerCode: string | undefined): Verdict {
  const code = answerCode?.slice(-2) ?? 'AA';
  if (code.endsWith('E')) return { code: 'AE', error: { condition: '205', text: 'The same message was answered with an error before' } };
  if (code.endsWith('R')) return { code: 'AR', error: { condition: '205', text: 'The same message was rejected before' } };
  return { code: 'AA' };
}

/** AR is for what the header decides, AE for content (ch. 2.9.2.2). */
const rejectCodes: Readonly<Record<RejectReason, 'AE' | 'AR'>> = { 'malformed': 'AR', 'unsupported': 'AR', 'not-allowed': 'AR', 'invalid': 'AE', 'conflict': 'AE' };

function conditionOf(reason: RejectReason, text: string): ErrorConditionCode {
  if (reason === 'conflict') return '205';
  if (reason === 'unsupported') return '200';
  if (/\brequired\b/.test(text)) return '101';
  if (/\bcode\b.*\bnot in\b/.test(text)) return '103';
  return reason === 'malformed' ? '100' : '102';
}

/** Of several receipts for one message (its order groups) the worst one counts: the sender must not hear yes while a part is missing. */
export function worst(verdicts: readonly Verdict[]): Verdict {
  return verdicts.find(({ error }) => error?.condition === '207') ?? verdicts.find(({ code }) => code !== 'AA') ?? verdicts[0] ?? failedVerdict;
}
