import { asOperator, decidedOrThrow, integrationNamed } from './operator.ts';

export interface PauseOptions { readonly organization?: string; readonly receive?: true; readonly deliver?: true }

/** Neither named: both. A running gateway sees it within three seconds. */
export async function pauseIntegrationCommand(name: string, isPaused: boolean, options: PauseOptions): Promise<void> {
  const both = options.receive === undefined && options.deliver === undefined;
  const parts = { ...(both || options.receive ? { receive: isPaused } : {}), ...(both || options.deliver ? { deliver: isPaused } : {}) };
  await asOperator(options.organization, async (operator) => {
    decidedOrThrow(await operator.commands.pauseIntegration(operator.organizationId, await integrationNamed(operator, name), parts, operator.actor), `integration "${name}"`);
  });
  console.log(`${name}: ${Object.keys(parts).map((part) => (part === 'receive' ? 'receiving' : 'delivering')).join(' and ')} ${isPaused ? 'paused' : 'resumed'}. A running gateway sees it within three seconds.`);
}
