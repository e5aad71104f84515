import { loadConfig } from '../config.ts';

/** Runs until SIGINT or SIGTERM; a second signal does not wait for running exchanges. */
export async function start(): Promise<void> {
  const { startGateway } = await import('../main.ts');
  const gateway = await startGateway(loadConfig());
  const { promise: stopped, resolve } = Promise.withResolvers<void>();
  let stopping = false;
  const stop = (): void => {
    if (stopping) process.exit(1);
    stopping = true;
    resolve(gateway.stop());
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  await stopped;
}
