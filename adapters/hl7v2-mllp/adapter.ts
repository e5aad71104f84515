/** HL7 v2 over MLLP: ADT and orders in, results out. What a conformance reader wants to know stands in README.md. */
import type { Adapter } from '#gateway/adapter.ts';
import { hl7v2Config } from './config.ts';
import type { Hl7v2Config } from './config.ts';
import { conformance } from './conformance.ts';
import { testConnection } from './connection-test.ts';
import { deliverOrderStatus } from './deliver-order-status.ts';
import { deliverOru } from './deliver-oru.ts';
import { inboundInteractions } from './header-check.ts';
import { listen } from './listener.ts';
import { normalize } from './normalize.ts';
import { readMessages } from './read-messages.ts';
import { watch } from './folder/watch.ts';
import { handle, mount } from './receive-http.ts';

const adapter: Adapter<Hl7v2Config> = {
  name: 'hl7v2-mllp',
  title: 'HL7 v2 over MLLP',
  summary: 'Takes patients (ADT), imaging orders (ORM, OMG, OMI), appointments (SIU) and reports (ORU, MDM) from a RIS or EMR and sends it results (ORU^R01), HL7 v2.1 to 2.9 over MLLP.',
  configSchema: hl7v2Config,
  inbound: { transport: 'socket', interactions: inboundInteractions, listen, http: { mount, handle }, watch, read: readMessages, normalize },
  outbound: { interactions: ['ORU^R01', 'ORM^O01', 'OMG^O19'], deliver: deliverOru, notify: deliverOrderStatus },
  conformance,
  testConnection,
};

export default adapter;
