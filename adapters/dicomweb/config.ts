/** Settings of one DICOMweb system: what it may do here, how its images are read, where reports are sent, and what it is asked. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { resultKinds } from '#standards/dicom/result-modules.ts';
import { clientSettings } from './client/settings.ts';

const address = z.string().refine((text) => {
  const [ip = '', bits, rest] = text.split('/');
  return isIP(ip) > 0 && rest === undefined && (bits === undefined || (/^\d+$/.test(bits) && Number(bits) <= (isIP(ip) === 4 ? 32 : 128)));
}, 'must be an IP address or a network such as 10.20.0.0/16');
const timeZone = z.string().refine((name) => {
  try { return Boolean(new Intl.DateTimeFormat('en', { timeZone: name })); } catch { return false; }
}, 'must be an IANA time zone such as Europe/Berlin');
const webAddress = z.url({ protocol: /^https?$/, error: 'must be a URL that begins with https:// or http://' })
  .refine((text) => { const url = new URL(text); return url.username === '' && url.search === '' && url.hash === ''; }, 'must hold no user name, no ? and no #');
const roles = z.array(z.string().min(1)).min(1);

const fields = z.strictObject({
  allow_store: z.boolean().default(true).describe('Take images from this system (STOW-RS).'),
  allow_query: z.boolean().default(false).describe('Answer queries of this system (QIDO-RS).'),
  allow_retrieve: z.boolean().default(false).describe('Hand images out to this system (WADO-RS).'),
  callers: z.array(z.string().min(1).max(255)).default([]).describe('Names of the access tokens or users that are this system. Empty: any of the organization.'),
  addresses: z.array(address).default([]).describe('IP addresses or networks (10.20.0.0/16) it may call from. Empty: any.'),
  store_roles: roles.default(['service', 'integrator', 'administrator']).describe('Roles that may store.'),
  read_roles: roles.default(['service', 'integrator', 'administrator', 'radiologist']).describe('Roles that may query and retrieve.'),
  sop_classes: z.array(z.string().regex(/^[0-9.]{1,64}$/, 'must be the UID of a SOP class, such as 1.2.840.10008.5.1.4.1.1.2 (CT Image Storage)')).default([])
    .describe('UIDs of the storage SOP classes that are taken; objects of others are refused (0122). Empty: every storage class.'),
  modalities: z.array(z.string().regex(/^[A-Z0-9_ ]{1,16}$/, 'must be a modality such as CT (0008,0060)')).default([]).describe('Modalities (0008,0060) that are taken, such as CT and MR; an object of another one, or of none, is refused (0124). Empty: every modality.'),
  accept_unknown_sop_classes: z.boolean().default(true).describe('Store objects of private SOP classes too.'),
  maximum_object_megabytes: z.int().min(1).max(65_536).default(4096).describe('An object larger than this (MiB) is refused, and the request ends there.'),
  maximum_parts: z.int().min(1).max(100_000).default(10_000).describe('Objects that one STOW-RS request, or one answer to our WADO-RS request, may hold.'),
  maximum_results: z.int().min(1).max(5000).default(1000).describe('Most results of one QIDO-RS answer; a Warning header says that there are more.'),
  assigning_authority: z.string().max(227).default('').describe('Issuer of Patient ID when the image names none (0010,0021).'),
  time_zone: timeZone.optional().describe('IANA time zone of dates and times without Timezone Offset From UTC (0008,0201), and in which queries are matched and answered, e.g. Europe/Berlin.'),
  public_url: webAddress.optional().describe('Address of /dicom-web as clients reach it, e.g. https://gateway.example.org/dicom-web, for Retrieve URLs behind a proxy. Empty: as the request says.'),

  base_url: webAddress.optional().describe('DICOMweb service that reports are sent to and that is asked for studies and images, e.g. https://pacs.example.org/dicom-web: the address to which /studies is added. Empty: this system gets no reports and is asked nothing.'),
  results: z.array(z.enum(resultKinds)).min(1).default(['structured-report']).refine((kinds) => kinds.some((kind) => kind !== 'secondary-capture'), 'must hold structured-report or encapsulated-pdf: pictures alone do not say that nothing was found')
    .describe('As what a report is sent: structured-report (DICOM SR TID 1500), encapsulated-pdf (the report to read), secondary-capture (pictures with the findings drawn in).'),
  trust_store_status: z.boolean().default(false).describe('Count a report as stored by HTTP 2xx alone, from a server that neither says what it stored, as PS3.18 10.5.3 wants, nor can be asked by QIDO-RS or WADO-RS. Else such a report is parked.'),
  authentication: z.enum(['none', 'basic', 'bearer']).default('none').describe('How we log in there: none; basic; bearer (a fixed token).'),
  username: z.string().min(1).optional().describe('User name for basic.'),
  password: z.string().min(1).optional().meta({ secret: true }).describe('Password for basic.'),
  bearer_token: z.string().regex(/^[\x21-\x7e]+$/, 'must be visible ASCII characters').optional().meta({ secret: true }).describe('Token for bearer.'),
  tls_ca: z.string().min(1).optional().describe('CA certificates (PEM) that sign the server. Empty: the well-known ones.'),
  tls_certificate: z.string().min(1).optional().describe('Our client certificate (PEM), when the server asks for one.'),
  tls_key: z.string().min(1).optional().meta({ secret: true }).describe('Private key (PEM) of our client certificate.'),
  connect_timeout_milliseconds: z.int().min(100).max(120_000).default(10_000).describe('How long to wait for the connection, in milliseconds.'),
  request_timeout_milliseconds: z.int().min(100).max(600_000).default(60_000).describe('How long to wait for an answer, in milliseconds, the connection included. Afterwards the same object is sent again.'),
  maximum_answer_bytes: z.int().min(1024).max(64 * 1024 * 1024).default(1024 * 1024).describe('Answers with more bytes than this are cut off; searches (16 MiB a page) and retrieved objects have limits of their own.'),
  ...clientSettings,
});

const needs = { none: [], basic: ['username', 'password'], bearer: ['bearer_token'] } as const;

export const configSchema = fields.superRefine((config, context) => {
  for (const name of needs[config.authentication]) if (config[name] === undefined) context.addIssue({ code: 'custom', path: [name], message: `is needed for authentication ${config.authentication}` });
  for (const name of ['completeness', 'priors'] as const) if (config[name] !== undefined && config.base_url === undefined) context.addIssue({ code: 'custom', path: ['base_url'], message: `is needed for ${name}` });
  if ((config.tls_certificate === undefined) !== (config.tls_key === undefined)) context.addIssue({ code: 'custom', path: ['tls_key'], message: 'tls_certificate and tls_key go together' });
});
export type Config = z.output<typeof fields>;
