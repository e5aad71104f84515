import { loadConfig } from '../config.ts';
import { someoneCanSignIn } from '../db/operator-reads.ts';

/** How long an orderly stop may take after an error that nothing handles. */
const LAST_RESORT_MILLISECONDS = 5_000;

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
  process.on('uncaughtException', (error) => {
    // Nobody knows what state this left behind: end, and let the supervisor start again. What was accepted is committed.
    gateway.installation.log.fatal({ err: error }, 'an error that nothing handles; the gateway stops');
    setTimeout(() => process.exit(1), LAST_RESORT_MILLISECONDS).unref();
    void gateway.stop().finally(() => process.exit(1));
  });
  if (gateway.ports.http !== undefined && !await someoneCanSignIn(gateway.installation.database)) {
    console.error('\nNobody can sign in yet. Create the first administrator, in another terminal:\n'
      + '  npx medscan user create --email you@hospital.example --organization "Your hospital"\n');
  }
  await stopped;
}
