/**
 * A report leaves here as a DICOM Structured Report (TID 1500) by C-STORE. Its SOP Instance UID comes from the delivery's control
 * id, so every attempt sends the same object: a receiver that has it already keeps one. It is offered in Explicit VR and, for
 * receivers that know nothing else, in the default transfer syntax (PS3.5 10.1).
 */
import type { AdapterContext, Delivery, DeliveryOutcome } from '#gateway/adapter.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { buildMeasurementReport } from '#standards/dicom/sr-tid1500.ts';
import { implicitVrLittleEndian } from '#standards/dicom/transfer-syntaxes.ts';
import { explain } from './advice.ts';
import type { Config } from './config.ts';
import { receiverOf } from './config.ts';
import { toImplicitVr } from './implicit-vr.ts';
import { statusCode, storeOutcome } from './status.ts';
import type { ScuOutcome } from './upper-layer/dimse-scu.ts';
import { ask } from './upper-layer/dimse-scu.ts';

export async function deliver(delivery: Delivery, config: Config, context: AdapterContext): Promise<DeliveryOutcome> {
  const receiver = receiverOf(config);
  const interaction = 'C-STORE';
  if (!receiver) return { kind: 'refused', interaction, peer: '', answerCode: '', text: 'the integration has no destination; add one or stop sending reports to it' };
  const peer = `${receiver.called_ae_title}@${receiver.host}:${receiver.port}`;
  const report = buildMeasurementReport(delivery.document, { controlId: delivery.controlId, now: context.now(), ...(config.time_zone ? { timeZone: config.time_zone } : {}) });
  const sent = Buffer.concat([buildPart10Header(report), report.dataset]);
  const encodings = new Map([[report.transferSyntaxUid, report.dataset], [implicitVrLittleEndian, toImplicitVr(report.dataset)]]);
  const { outcome } = await ask(receiver, { ...report, encodings }, context.signal);
  return { ...judge(outcome), ...commentOf(outcome), interaction, peer, sent, sentType: 'application/dicom' };
}

/** Error Comment (0000,0902): a receiver may name the patient in it, so it is kept with the exchange and shown nowhere else. */
function commentOf(outcome: ScuOutcome): Pick<DeliveryOutcome, 'answer' | 'answerType'> {
  return outcome.kind === 'answered' && outcome.errorComment !== '' ? { answer: Buffer.from(outcome.errorComment), answerType: 'text/plain' } : {};
}

type Judgement =
  | { readonly kind: 'delivered'; readonly answerCode: string }
  | { readonly kind: 'refused'; readonly answerCode: string; readonly text: string }
  | { readonly kind: 'unreachable' | 'unconfirmed'; readonly text: string };

export function judge(outcome: ScuOutcome): Judgement {
  const { text, advice } = explain(outcome.kind === 'answered' ? { ...outcome, errorComment: '' } : outcome);
  const full = `${text}. ${advice}`;
  switch (outcome.kind) {
    case 'answered': {
      const meaning = storeOutcome(outcome.status), answerCode = statusCode(outcome.status);
      if (meaning === 'stored') return { kind: 'delivered', answerCode };
      return meaning === 'later' ? { kind: 'unreachable', text: full } : { kind: 'refused', answerCode, text: full };
    }
    case 'rejected': {
      const answerCode = `A-ASSOCIATE-RJ ${outcome.result}/${outcome.source}/${outcome.reason}`;
      return outcome.result === 2 ? { kind: 'unreachable', text: full } : { kind: 'refused', answerCode, text: full };
    }
    case 'context refused': return { kind: 'refused', answerCode: `A-ASSOCIATE-AC result ${outcome.result}`, text: full };
    case 'not connected': return { kind: 'unreachable', text: full };
    case 'no answer': return { kind: outcome.wasSent ? 'unconfirmed' : 'unreachable', text: full };
  }
}
