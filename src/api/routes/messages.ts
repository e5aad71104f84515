/** Messages tried and sent again: a dry run writes nothing, a replay makes new exchanges. */
import { z } from '@hono/zod-openapi';
import { auditEvents } from '../../audit/event.ts';
import type { DryRunMessage as DryRunResult } from '../../gateway/message-commands.ts';
import type { ApiDependencies } from '../context.ts';
import { id, json, pathId, text } from '../fields.ts';
import { notFound, Problem } from '../problem.ts';
import type { ApiRouter } from '../router.ts';

const DryRunInput = z.strictObject({
  message: z.string().min(1).describe('The message as the sender would send it, a line or CR per segment.'),
  encoding: z.enum(['utf-8', 'base64']).default('utf-8').describe('base64: the exact bytes, for other character sets.'),
}).openapi('DryRunInput');
export const DryRunMessage = z.object({
  interaction: z.string(), control_id: z.string(), refusal: z.object({ reason: z.string(), text: z.string(), location: text }).nullable(),
  rows: json, mapping: text, warnings: z.array(z.object({ location: z.string(), text: z.string() })), trace: z.array(json),
}).openapi('DryRunMessage');
const DryRun = z.object({ messages: z.array(DryRunMessage) }).openapi('DryRun');
const Replay = z.object({
  replays: z.array(z.object({ sync_id: id.nullable(), outcome: z.enum(['accepted', 'duplicate', 'rejected', 'failed']), text, location: text })),
}).openapi('Replay');

export function dryRunMessage({ controlId, refusal, rows, warnings, trace, ...message }: DryRunResult): z.output<typeof DryRunMessage> {
  return { ...message, control_id: controlId, refusal: refusal && { ...refusal }, rows: { ...rows }, warnings: warnings.map((warning) => ({ ...warning })), trace: trace.map((entry) => ({ ...entry })) };
}

export function messageRoutes(router: ApiRouter, { commands }: ApiDependencies): void {
  router.route('POST /integrations/{integration_id}/dry-run', {
    tag: 'integrations', params: pathId('integration_id'), summary: 'Try a message', body: DryRunInput, returns: DryRun,
    description: 'Reads and maps the message as this integration would, and names each rule\'s work. Nothing is received or written; what the database would say to it is not asked.',
  }, async ({ transact, params, body, caller }) => {
    const dryRun = await commands.dryRun(caller.organizationId, params.integration_id, Buffer.from(body.message, body.encoding === 'base64' ? 'base64' : 'utf8'));
    if (dryRun.kind === 'not-found') throw notFound('integration');
    if (dryRun.kind === 'refused') throw new Problem(409, dryRun.reason);
    await transact((_tx, audit) => audit({ ...auditEvents.applicationActivity, action: 'E', object: { type: 'integration', id: params.integration_id }, detail: { dry_run: dryRun.messages.length } }));
    return { messages: dryRun.messages.map(dryRunMessage) };
  });

  router.route('POST /sync-logs/{sync_id}/replay', {
    tag: 'exchanges', params: pathId('sync_id'), summary: 'Receive a rejected message again', returns: Replay,
    description: 'For a message that was refused because a mapping or setting was wrong. Each message in it becomes a new exchange whose correlation_id is this one; the sender hears nothing.',
  }, async ({ params, caller, actor, auditedElsewhere }) => {
    const replay = await commands.replay(caller.organizationId, params.sync_id, actor);
    if (replay.kind === 'not-found') throw notFound('exchange');
    if (replay.kind === 'refused') throw new Problem(409, replay.reason);
    auditedElsewhere();
    return { replays: replay.messages.map(({ syncId, ...message }) => ({ sync_id: syncId, ...message })) };
  });
}
