/** DICOMweb, both ways: images in, searches and images out, reports out, and what other systems are asked. */
import type { Adapter } from '#gateway/adapter.ts';
import { queries } from './client/queries.ts';
import { configSchema, type Config } from './config.ts';
import { deliver, interaction } from './deliver-stow.ts';
import { handle } from './handle.ts';
import { normalize } from './normalize.ts';
import { services } from './record-refusal.ts';
import { mount } from './resource.ts';
import { testConnection } from './test-connection.ts';

const adapter: Adapter<Config> = {
  name: 'dicomweb',
  title: 'DICOMweb',
  summary: 'Receives images by STOW-RS, answers QIDO-RS and WADO-RS, sends structured reports by STOW-RS, and asks archives by QIDO-RS and WADO-RS (DICOM PS3.18).',
  configSchema,
  inbound: { transport: 'http', mount, handle, normalize, interactions: [...Object.values(services), 'WADO-RS instance'] },
  queries,
  outbound: { interactions: [interaction], deliver },
  testConnection,
};
export default adapter;
