/** The floor: our own listener and object store without a database. What is lost between this and the gateway is rows, audit and job. */
import { listen } from '../../adapters/dicom-dimse/listen.ts';
import { configSchema } from '../../adapters/dicom-dimse/config.ts';
import { openObjectStore } from '../../src/storage/object-store.ts';
import type { AdapterContext, Integration, Receipt } from '#gateway/adapter.ts';

const options = new Map(process.argv.slice(2).map((argument) => argument.split('=') as [string, string]));
const store = await openObjectStore(options.get('dir') ?? './data/bench-floor');
const quiet = (): void => undefined;
const context = { log: { debug: quiet, info: quiet, warn: quiet, error: quiet }, signal: new AbortController().signal, now: () => new Date(), store: () => store.begin('.dcm'), authenticate: () => Promise.resolve(undefined) } as unknown as AdapterContext;
const integration: Integration<never> = { integrationId: '', organizationId: '', name: 'floor', config: configSchema.parse({ called_ae_title: 'ANY-SCP' }) as never };
const accepted: Receipt = { kind: 'accepted', links: {}, exchangeId: '', answered: quiet };
const listener = await listen({ host: '127.0.0.1', port: Number(options.get('port') ?? 0) }, { all: () => [integration] }, () => Promise.resolve(accepted), context);
process.once('SIGTERM', () => { void listener.close(0).then(() => process.exit(0)); });
