import { z } from 'zod';

const aeTitle = z.string().trim().min(1).max(16).regex(/^[\x20-\x5b\x5d-\x7e]+$/, 'an AE title has 1 to 16 characters of the default repertoire, without backslash (PS3.5 6.2, AE)');
const optional = <T extends z.ZodType>(schema: T) => schema.optional();

/** Where reports are sent; absent for a system that only sends to us. */
const destination = z.object({
  host: z.string().min(1).describe('Host name or address of the receiving AE'),
  port: z.number().int().min(1).max(65535).default(104).describe('TCP port of the receiving AE'),
  called_ae_title: aeTitle.describe('AE title of the receiver: what the gateway calls'),
  calling_ae_title: aeTitle.default('MEDSCAN').describe('AE title that the gateway gives as its own; the receiver must know it'),
  connect_timeout_seconds: z.number().positive().max(300).default(10).describe('How long to wait for the TCP connection and the answer to A-ASSOCIATE-RQ'),
  response_timeout_seconds: z.number().positive().max(3600).default(60).describe('How long to wait for the answer to a C-STORE or C-ECHO'),
  tls: optional(z.object({
    ca: optional(z.string()).describe('PEM of the authority that signed the receiver\'s certificate; the system\'s authorities when absent'),
    certificate: optional(z.string()).describe('PEM of the gateway\'s own certificate, for receivers that ask for one'),
    private_key: optional(z.string()).meta({ secret: true }).describe('PEM of the private key of that certificate'),
  })).describe('Send over TLS (PS3.15 B.12)'),
});

export const configSchema = z.object({
  called_ae_title: aeTitle.default('MEDSCAN').describe('AE title under which this sender calls the gateway'),
  calling_ae_titles: z.array(aeTitle).default([]).describe('AE titles of the sender that may associate; empty allows every one'),
  addresses: z.array(z.string().min(1)).default([]).describe('IP addresses or networks (10.1.2.0/24) of the sender that may associate; empty allows every one'),
  accept_unknown_sop_classes: z.boolean().default(true).describe('Store objects of private SOP classes too'),
  maximum_object_megabytes: z.number().int().min(1).max(65_536).default(4096).describe('Objects larger than this (MiB) are refused and the association is aborted'),
  assigning_authority: z.string().default('').describe('Issuer of Patient ID when the image names none (0010,0021)'),
  time_zone: z.string().default('').describe('IANA time zone of dates and times without Timezone Offset From UTC (0008,0201), e.g. Europe/Berlin'),
  destination: optional(destination).describe('Where to send reports; leave out for a system that only sends'),
});

export type Config = z.infer<typeof configSchema>;
export type Destination = z.infer<typeof destination>;
