import type { AdapterContext, ConnectionStep, ConnectionTest } from '#gateway/adapter.ts';
import { explain } from './advice.ts';
import type { Config } from './config.ts';
import { receiverOf } from './config.ts';
import { Status } from './status.ts';
import type { ScuExchange } from './upper-layer/dimse-scu.ts';
import { ask } from './upper-layer/dimse-scu.ts';

/** TCP, A-ASSOCIATE, C-ECHO: what a delivery does before it stores. Never throws; changes nothing at the receiver. */
export async function testConnection(config: Config, context: AdapterContext): Promise<ConnectionTest> {
  const receiver = receiverOf(config);
  if (!receiver) {
    return { ok: true, steps: [{ step: 'configuration', ok: true, milliseconds: 0, detail: 'this system only sends to the gateway; there is nothing to call', advice: 'Send a C-ECHO from it to the gateway instead.' }] };
  }
  const exchange = await ask(receiver, 'C-ECHO', context.signal);
  const steps = stepsOf(exchange, `${receiver.host}:${receiver.port}`, receiver.called_ae_title);
  return { ok: steps.every(({ ok }) => ok), steps };
}

function stepsOf(exchange: ScuExchange, where: string, called: string): ConnectionStep[] {
  const { outcome, connectedAfter, associatedAfter, answeredAfter } = exchange;
  const { text, advice } = explain(outcome);
  const failed = (step: string, milliseconds: number): ConnectionStep => ({ step, ok: false, milliseconds, detail: text, advice });
  if (connectedAfter === undefined) return [failed('TCP', 0)];
  const tcp: ConnectionStep = { step: 'TCP', ok: true, milliseconds: connectedAfter, detail: `connected to ${where}` };
  if (associatedAfter === undefined || outcome.kind === 'rejected') return [tcp, failed('A-ASSOCIATE', (associatedAfter ?? connectedAfter) - connectedAfter)];
  const offered = 'offered Verification in Explicit and Implicit VR Little Endian';
  if (outcome.kind === 'context refused') return [tcp, { ...failed('A-ASSOCIATE', associatedAfter - connectedAfter), detail: `${offered}; ${text}` }];
  const accepted = outcome.kind === 'answered' ? `, accepted in ${outcome.transferSyntaxUid}` : '';
  const associate: ConnectionStep = { step: 'A-ASSOCIATE', ok: true, milliseconds: associatedAfter - connectedAfter, detail: `${called} accepts: ${offered}${accepted}` };
  const milliseconds = (answeredAfter ?? associatedAfter) - associatedAfter;
  if (outcome.kind === 'answered' && outcome.status === Status.success) return [tcp, associate, { step: 'C-ECHO', ok: true, milliseconds, detail: text }];
  return [tcp, associate, failed('C-ECHO', milliseconds)];
}
