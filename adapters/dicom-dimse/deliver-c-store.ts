/**
 * A report leaves here by C-STORE: as a structured report (TID 1500) and, where the integration wants them, as PDF and as pictures of the findings. SOP
 * Instance UIDs come from the delivery's control id, so every attempt sends the same objects: a receiver that has one already keeps one. Each is offered in
 * Explicit VR and, for receivers that know nothing else, in the default transfer syntax (PS3.5 10.1); which one was taken is on record.
 *
 *     objects one by one -> [unreachable, unconfirmed: stop, all of them again] [refused: the others still go] -> the worst of the outcomes
 */
import type { AdapterContext, Delivery, DeliveryOutcome } from '#gateway/adapter.ts';
import { buildPart10Header } from '#standards/dicom/part10.ts';
import { resultObjects, type MadeResult } from '#standards/dicom/result-objects.ts';
import { implicitVrLittleEndian } from '#standards/dicom/transfer-syntaxes.ts';
import { explain } from './advice.ts';
import type { Config, Receiver } from './config.ts';
import { receiverOf } from './config.ts';
import { toImplicitVr } from './implicit-vr.ts';
import { statusCode, storeOutcome } from './status.ts';
import type { ScuOutcome } from './upper-layer/dimse-scu.ts';
import { ask } from './upper-layer/dimse-scu.ts';

const interaction = 'C-STORE';
/** The first object is kept with the exchange, unless it is that large: it can be made again from the report. */
const mostBytesKept = 4 * 1024 * 1024;

export async function deliver(delivery: Delivery, config: Config, context: AdapterContext): Promise<DeliveryOutcome> {
  const receiver = receiverOf(config);
  if (!receiver) return { kind: 'refused', interaction, peer: '', answerCode: '', text: 'the integration has no destination; add one or stop sending reports to it' };
  const peer = `${receiver.called_ae_title}@${receiver.host}:${receiver.port}`;
  const options = { controlId: delivery.controlId, now: context.now(), ...(config.time_zone ? { timeZone: config.time_zone } : {}), characterSet: config.character_set };
  const steps: Step[] = [];
  let kept: Pick<DeliveryOutcome, 'sent' | 'sentType'> = {};
  try {
    for await (const made of resultObjects(delivery.document, config.results, options, { image: delivery.image?.bind(delivery), images: context.images, signal: context.signal })) {
      if (steps.length === 0 && made.dataset.length <= mostBytesKept) kept = { sent: Buffer.concat([buildPart10Header(made), made.dataset]), sentType: 'application/dicom' };
      const outcome = await store(made, receiver, context);
      steps.push({ made: { kind: made.kind, sopClassUid: made.sopClassUid, sopInstanceUid: made.sopInstanceUid }, outcome, judged: judge(outcome) });
      if (!isSettled(steps.at(-1)!)) break;
    }
  } catch (error) {
    if ((error as { kind?: unknown }).kind !== 'unavailable') throw error;
    return { kind: 'unreachable', text: 'a picture of the findings could not be made now', interaction, peer, ...kept };
  }
  return { ...outcomeOf(steps), interaction, peer, ...kept, facts: { objects: steps.map(factsOf) }, ...(config.storage_commitment ? { uncommitted: storedBy(steps) } : {}) };
}

interface Step { readonly made: Pick<MadeResult, 'kind' | 'sopClassUid' | 'sopInstanceUid'>; readonly outcome: ScuOutcome; readonly judged: Judgement }

async function store(made: MadeResult, receiver: Receiver, context: AdapterContext): Promise<ScuOutcome> {
  const encodings = new Map([[made.transferSyntaxUid, made.dataset], [implicitVrLittleEndian, toImplicitVr(made.dataset)]]);
  return (await ask(receiver, { ...made, encodings }, context.signal)).outcome;
}

const isSettled = ({ judged }: Step): boolean => judged.kind === 'delivered' || judged.kind === 'refused';

/** Of several objects the worst counts: one that may still arrive before one that never will. */
function outcomeOf(steps: readonly Step[]): Judgement & Pick<DeliveryOutcome, 'answer' | 'answerType'> {
  const worst = steps.find((step) => !isSettled(step)) ?? steps.find(({ judged }) => judged.kind === 'refused') ?? steps[0];
  if (worst === undefined) return { kind: 'refused', answerCode: '', text: 'the report has nothing to show in the forms that the integration wants (results)' };
  const { judged, made, outcome } = worst;
  const named = steps.length > 1 && 'text' in judged ? { ...judged, text: `${made.kind}: ${judged.text}` } : judged;
  return { ...named, ...commentOf(outcome) };
}

/** What the receiver is to be asked to commit to. */
function storedBy(steps: readonly Step[]): Pick<MadeResult, 'sopClassUid' | 'sopInstanceUid'>[] {
  return steps.filter(({ judged }) => judged.kind === 'delivered').map(({ made: { sopClassUid, sopInstanceUid } }) => ({ sopClassUid, sopInstanceUid }));
}

function factsOf({ made, outcome, judged }: Step): Readonly<Record<string, unknown>> {
  return { kind: made.kind, sop_instance_uid: made.sopInstanceUid, outcome: judged.kind, ...(outcome.kind === 'answered' ? { status: statusCode(outcome.status), transfer_syntax_uid: outcome.transferSyntaxUid } : {}) };
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
