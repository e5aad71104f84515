import type { Adapter } from '#gateway/adapter.ts';
import type { Config } from './config.ts';
import { configSchema } from './config.ts';
import { conformanceStatement } from './conformance.ts';
import { deliver } from './deliver-c-store.ts';
import { listen } from './listen.ts';
import { normalize } from './normalize.ts';
import { commitmentAsker, queries } from './scu/queries.ts';
import { report } from './receive-storage-commitment.ts';
import { testConnection } from './test-connection.ts';

const adapter: Adapter<Config> = {
  name: 'dicom-dimse',
  title: 'DICOM DIMSE',
  summary: 'Receives images from PACS and modalities by C-STORE, commits to them, answers queries, retrieves and worklists, and sends structured reports by C-STORE (DICOM PS3.4 annexes B, C, F, J, K).',
  configSchema,
  inbound: { transport: 'socket', interactions: ['C-STORE', 'A-ASSOCIATE', 'C-FIND', 'C-MOVE', 'C-GET', 'N-ACTION Storage Commitment', 'N-CREATE MPPS', 'N-SET MPPS', 'C-FIND worklist item'], listen: (endpoint, integrations, receive, context) => listen(endpoint, integrations, receive, context), normalize },
  outbound: { interactions: ['C-STORE'], deliver },
  commitments: { report },
  queries,
  commitmentAsker,
  conformance: conformanceStatement,
  testConnection,
};
export default adapter;
