/** One association for one question, and what became of it in the words of the contract. */
import type { QueryOutcome } from '#gateway/queries.ts';
import { explain } from '../advice.ts';
import type { Config, Receiver } from '../config.ts';
import { receiverOf } from '../config.ts';
import { statusCode } from '../status.ts';
import type { ScuOutcome } from '../upper-layer/dimse-scu.ts';
import { associate } from '../upper-layer/requestor.ts';
import type { Proposal, RequestedAssociation } from '../upper-layer/requestor.ts';
import { meaningOf, retrievePhrase } from './query-status.ts';

export type Failure = Extract<QueryOutcome<never>, { kind: 'refused' | 'unreachable' | 'unconfirmed' }>;
export type Result<T> = { readonly kind: 'answered'; readonly answerCode: string; readonly value: T; readonly text?: string } | WithoutPlace<Failure>;
type WithoutPlace<T> = T extends unknown ? Omit<T, 'interaction' | 'peer' | 'sent' | 'sentType' | 'count'> : never;

export interface Asked<T> { readonly result: Result<T>; readonly sent?: Buffer; readonly count?: number }

/** Opens, works, releases. `work` never throws for what the peer does. */
export async function withAssociation<T>(config: Config, interaction: string, proposal: Proposal, signal: AbortSignal, work: (association: RequestedAssociation, receiver: Receiver) => Promise<Asked<T>>): Promise<QueryOutcome<T>> {
  const receiver = receiverOf(config);
  if (!receiver) return { kind: 'refused', interaction, peer: '', answerCode: '', text: 'the integration has no destination to ask' };
  const peer = `${receiver.called_ae_title}@${receiver.host}:${receiver.port}`;
  const associated = await associate(receiver, proposal, signal);
  if (associated.kind !== 'associated') return { ...failureOf(associated), interaction, peer };
  const { association } = associated;
  try {
    const { result, sent, count } = await work(association, receiver);
    return { ...result, interaction, peer, ...(sent ? { sent, sentType: 'application/dicom' } : {}), ...(count === undefined ? {} : { count }) };
  } finally {
    await association.release();
  }
}

/** An association that was not made: nothing was asked. */
export function failureOf(outcome: Exclude<ScuOutcome, { kind: 'answered' }>): WithoutPlace<Failure> {
  const { text, advice } = explain(outcome);
  const full = `${text}. ${advice}`;
  if (outcome.kind === 'rejected' && outcome.result === 1) return { kind: 'refused', answerCode: `A-ASSOCIATE-RJ ${outcome.result}/${outcome.source}/${outcome.reason}`, text: full };
  if (outcome.kind === 'context refused') return { kind: 'refused', answerCode: `A-ASSOCIATE-AC result ${outcome.result}`, text: full };
  return { kind: 'unreachable', text: full };
}

/** The last response of a C-FIND, C-MOVE or C-GET. `undefined`: none came. */
export function resultOf<T>(status: number | undefined, value: T, { isCut = false, silence = 'no answer to the end' }: { readonly isCut?: boolean; readonly silence?: string } = {}): Result<T> {
  if (status === undefined) return { kind: 'unconfirmed', text: silence };
  const answerCode = statusCode(status), text = `${answerCode} ${retrievePhrase(status)}`;
  switch (meaningOf(status)) {
    case 'done': return { kind: 'answered', answerCode, value };
    case 'partly': return { kind: 'answered', answerCode, value, text };
    case 'cancelled': return isCut ? { kind: 'answered', answerCode, value, text: 'cancelled by the gateway: it had what it wanted, or as much as it takes' } : { kind: 'unconfirmed', text };
    case 'later': return { kind: 'unreachable', text };
    case 'refused': return { kind: 'refused', answerCode, text };
  }
}
