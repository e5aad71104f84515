/** A gateway reduced to its lease on the embedded PostgreSQL: prints the owner URL, stops on SIGTERM. Started as a process by tests. */
import { startEmbeddedPostgres } from '../../src/db/embedded-postgres.ts';
import { createLog } from '../../src/log.ts';

const server = await startEmbeddedPostgres({ home: process.argv[2]!, log: createLog({ logLevel: 'silent' }), durable: process.argv[3] !== 'throw-away' });
process.once('SIGTERM', () => { void server.stop().then(() => process.exit(0)); });
console.log(server.ownerUrl);
