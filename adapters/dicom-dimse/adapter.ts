import type { Adapter } from '#gateway/adapter.ts';
import type { Config } from './config.ts';
import { configSchema } from './config.ts';
import { deliver } from './deliver-c-store.ts';
import { listen } from './listen.ts';
import { normalize } from './normalize.ts';
import { testConnection } from './test-connection.ts';

const adapter: Adapter<Config> = {
  name: 'dicom-dimse',
  title: 'DICOM DIMSE',
  summary: 'Receives images from PACS and modalities by C-STORE and sends structured reports to them by C-STORE (DICOM PS3.4 annex B, PS3.7, PS3.8).',
  configSchema,
  inbound: { transport: 'socket', interactions: ['C-STORE', 'A-ASSOCIATE'], listen: (endpoint, integrations, receive, context) => listen(endpoint, integrations, receive, context), normalize },
  outbound: { interactions: ['C-STORE'], deliver },
  testConnection,
};
export default adapter;
