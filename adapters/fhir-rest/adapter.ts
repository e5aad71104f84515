/** FHIR R4 over REST, both ways: patients and orders in, DiagnosticReports out, and all of it to be read. */
import type { Adapter } from '#gateway/adapter.ts';
import { configSchema } from './config.ts';
import type { Config } from './config.ts';
import { deliver, interactions } from './deliver-diagnostic-report.ts';
import { normalize } from './normalize.ts';
import { jwksPath } from './published-keys.ts';
import { handle, mount } from './route.ts';
import { testConnection } from './test-connection.ts';

const adapter: Adapter<Config> = {
  name: 'fhir-rest',
  title: 'FHIR R4',
  summary: 'Takes Patient and ServiceRequest from an EMR, lets it read and search results, and sends them to it as DiagnosticReport with Observations (FHIR R4 REST).',
  configSchema,
  inbound: {
    transport: 'http', mount, alsoAt: [jwksPath], handle, normalize,
    interactions: ['create Patient', 'update Patient', 'create ServiceRequest', 'update ServiceRequest'],
  },
  outbound: { interactions, deliver },
  testConnection,
};
export default adapter;
