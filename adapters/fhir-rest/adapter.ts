/** FHIR R4 over REST, both ways: patients, orders and what is known of them in, DiagnosticReports out, and all of it to be read. */
import type { Adapter } from '#gateway/adapter.ts';
import { configSchema } from './config.ts';
import type { Config } from './config.ts';
import { deliver, interactions } from './deliver-diagnostic-report.ts';
import { writtenTypes } from './interaction.ts';
import { mount } from './mount.ts';
import { normalize } from './normalize.ts';
import { subscriptions } from './notify-subscriber.ts';
import { exports } from './export-route.ts';
import { jwksPath } from './published-keys.ts';
import { pulls } from './pull.ts';
import { again } from './receive-again.ts';
import { handle } from './route.ts';
import { socketPath } from './subscription-route.ts';
import { acceptSocket } from './subscription-socket.ts';
import { testConnection } from './test-connection.ts';

const adapter: Adapter<Config> = {
  name: 'fhir-rest',
  title: 'FHIR R4',
  summary: 'Takes patients, orders, conditions and allergies from an EMR, lets it read and search results, and sends them to it as DiagnosticReport with Observations (FHIR R4 REST).',
  configSchema,
  inbound: {
    transport: 'http', mount, alsoAt: [jwksPath], handle, normalize, again,
    upgrade: (request, socket, head, integrations, context) => acceptSocket(request, socket, head, `${mount}/${socketPath}`, integrations, context),
    interactions: [...Object.keys(writtenTypes).flatMap((type) => [`create ${type}`, `update ${type}`]), 'transaction'],
  },
  outbound: { interactions, deliver },
  subscriptions,
  exports,
  pulls,
  testConnection,
};
export default adapter;
