import { loadConfig } from '../config.ts';
import { someoneCanSignIn } from '../db/operator-reads.ts';

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
  if (gateway.ports.http !== undefined && !await someoneCanSignIn(gateway.installation.database)) {
    console.error('\nNobody can sign in yet. Create the first administrator, in another terminal:\n'
      + '  npx medscan user create --email you@hospital.example --organization "Your hospital"\n');
  }
  await stopped;
}
