/** Settings of one FHIR R4 system: what is taken from it, where results go, and how we log in there. */
import { z } from 'zod';

const timeZone = z.string().refine((name) => {
  try { return Boolean(new Intl.DateTimeFormat('en', { timeZone: name })); } catch { return false; }
}, 'must be an IANA time zone such as Europe/Berlin');
const webAddress = z.url({ protocol: /^https?$/, error: 'must be a URL that begins with https:// or http://' })
  .refine((text) => { const url = new URL(text); return url.username === '' && url.search === '' && url.hash === ''; }, 'must hold no user name, no ? and no #');
const systemUri = z.string().min(1).max(255).regex(/^[^\s|,$\\]+$/, 'must be a URI without spaces and without | , $ \\');

const publicKey = z.record(z.string(), z.unknown()).refine((key) => !['d', 'p', 'q', 'k'].some((name) => name in key), 'must be public keys: this one holds a private or secret part')
  .refine((key) => typeof key['kty'] === 'string' && typeof key['kid'] === 'string', 'each key must have kty and kid');

const fields = z.strictObject({
  receives: z.boolean().default(true).describe('Take patients, orders, conditions and allergies from this system. Off for a system that only gets results.'),
  receive_roles: z.array(z.string().min(1)).min(1).default(['service', 'integrator', 'administrator']).describe('Roles whose access tokens may send.'),
  maximum_body_bytes: z.int().min(1024).max(64 * 1024 * 1024).default(1024 * 1024).describe('Requests with more bytes than this are answered 413.'),
  assigning_authority: z.string().max(255).optional().describe('Assigning authority of identifiers that come without a system.'),
  time_zone: timeZone.optional().describe('IANA time zone of dates that come without a time, e.g. Europe/Berlin.'),
  accession_system: systemUri.optional().describe('Identifier.system of accession numbers, for orders whose identifiers carry no type ACSN and for what we send.'),
  identifier_systems: z.record(z.string().min(1), systemUri).default({})
    .describe('Assigning authority as other systems here call it (HL7 PID-3.4, DICOM Issuer of Patient ID) -> Identifier.system of this one. Used both ways.'),

  serves: z.boolean().default(true).describe('Let resources of the organization be read and searched in the terms of this system (identifier_systems, accession_system).'),
  read_roles: z.array(z.string().min(1)).min(1).default(['service', 'physician', 'radiologist', 'administrator']).describe('Roles whose access tokens may read.'),

  tls_subjects: z.array(z.string().min(1).max(255)).default([]).describe('Common names (CN) of client certificates this system may come with, over HTTPS only, besides its token. Empty: any, and also without one.'),
  service_url: webAddress.optional().describe('URL under which this system reaches our FHIR service, e.g. https://gateway.example.org/fhir/r4. Its assertions must be made for this address with /auth/token added.'),
  subscription_origins: z.array(z.url({ protocol: /^https?$/ }).refine((text) => new URL(text).origin === text.replace(/\/$/, ''), 'must be scheme, host and port alone, e.g. https://emr.example.org')).max(20).default([])
    .describe('Where this system may be called when a result is ready (Subscription, rest-hook): scheme, host and port. Empty: nowhere; websockets work all the same.'),
  subscription_signing_key: z.string().min(16).optional().meta({ secret: true }).describe('Signs each notification: header X-Medscan-Signature holds t=<seconds since 1970>,v1=<HMAC-SHA-256 of "t.body" in hex>.'),
  registered_client_id: z.string().min(1).max(255).optional().describe('Client id under which this system asks us for tokens (SMART Backend Services).'),
  registered_jwks: z.object({ keys: z.array(publicKey).min(1).max(20).describe('Its public keys as JSON Web Keys (RFC 7517), each with kty and kid.') }).optional()
    .describe('Public keys by which we know this system: a JSON Web Key Set. Never a private key.'),
  registered_jwks_url: webAddress.optional().describe('Address of its JSON Web Key Set, instead of the keys themselves; read again when a key is new.'),
  registered_scopes: z.string().min(1).default('system/*.rs').describe('The most that this system gets: system/<type or *>.<cruds>, separated by blanks. AuditEvent must be named.'),

  base_url: webAddress.optional().describe('Service base URL results are sent to, e.g. https://emr.example.org/fhir/r4. Empty: this system gets no results.'),
  authentication: z.enum(['none', 'basic', 'bearer', 'client-secret', 'private-key-jwt']).default('none')
    .describe('How we log in: none; basic; bearer (a fixed token); client-secret (OAuth 2.0 client credentials); private-key-jwt (SMART Backend Services).'),
  username: z.string().min(1).optional().describe('User name for basic.'),
  password: z.string().min(1).optional().meta({ secret: true }).describe('Password for basic.'),
  bearer_token: z.string().min(1).optional().meta({ secret: true }).describe('Token for bearer.'),
  token_url: webAddress.optional().describe('OAuth 2.0 token endpoint, for client-secret and private-key-jwt.'),
  client_id: z.string().min(1).optional().describe('Client id, for client-secret and private-key-jwt.'),
  client_secret: z.string().min(1).optional().meta({ secret: true }).describe('Client secret, sent as HTTP Basic to the token endpoint.'),
  private_key: z.string().min(1).optional().meta({ secret: true }).describe('Private key for private-key-jwt, PKCS #8 PEM.'),
  key_id: z.string().min(1).optional().describe('kid under which the system knows our public key.'),
  next_private_key: z.string().min(1).optional().meta({ secret: true }).describe('Key that is to follow private_key, PKCS #8 PEM: published already, not used yet. To rotate, set it, wait until the system has read it, then make it private_key.'),
  next_key_id: z.string().min(1).optional().describe('kid of next_private_key.'),
  signing_algorithm: z.enum(['RS384', 'ES384']).default('RS384').describe('Signature of private-key-jwt; SMART requires RS384 or ES384.'),
  scope: z.string().min(1).default('system/*.cruds').describe('Scopes to ask for, separated by blanks.'),
  tls_ca: z.string().min(1).optional().describe('CA certificates (PEM) that sign the server. Empty: the well-known ones.'),
  tls_certificate: z.string().min(1).optional().describe('Our client certificate (PEM), when the server asks for one.'),
  tls_key: z.string().min(1).optional().meta({ secret: true }).describe('Private key (PEM) of our client certificate.'),
  connect_timeout_milliseconds: z.int().min(100).max(120_000).default(10_000).describe('How long to wait for the connection, in milliseconds.'),
  request_timeout_milliseconds: z.int().min(100).max(600_000).default(60_000).describe('How long to wait for an answer, in milliseconds, the connection included. Afterwards the same Bundle is sent again.'),
  maximum_answer_bytes: z.int().min(1024).max(256 * 1024 * 1024).default(8 * 1024 * 1024).describe('Answers with more bytes than this are cut off.'),

  patient: z.enum(['conditional-create', 'conditional-update', 'reference', 'match']).default('conditional-create')
    .describe('The Patient in the Bundle: conditional-create makes one only where the identifier is unknown; conditional-update also corrects it; reference sends none and names it by identifier; match makes none: it is found by identifier, else by $match as the one certain match, else the report waits for a person.'),
  presented_form: z.array(z.enum(['html', 'pdf'])).min(1).max(2).default(['html', 'pdf']).describe('The whole report as a page, in DiagnosticReport.presentedForm or as attachments of the DocumentReference.'),
  page_content: z.enum(['inline', 'binary']).default('inline').describe('Where the pages are: inline in the attachment, or each as a Binary that the attachment names; for servers that store documents apart. Binary needs a server that takes an id of ours (updateCreate).'),
  wado_rs_url: webAddress.optional().describe('DICOMweb base where this system can get the images (WADO-RS). The ImagingStudy then names it as its Endpoint.'),
  organization_reference: z.string().regex(/^Organization\/[A-Za-z0-9.-]{1,64}$/, 'must be Organization/<id>').optional().describe('The reporting organization as this system knows it, e.g. Organization/123. Empty: it is named by identifier.'),
  organization_identifier: z.string().regex(/^[^\s|]*\|[^\s|]+$/, 'must be system|value').optional().describe('Identifier by which this system knows the reporting organization, system|value: its Organization is looked for, and referred to by id where there is one.'),
  find_order: z.boolean().default(false).describe('Look for the ServiceRequest by its number first: report and Observations then refer to it and to its Encounter by id, and Task and Communication to who asked for it. Left out where there is none or more than one.'),
  order_update: z.enum(['none', 'task', 'service-request']).default('none')
    .describe('What says that the order is done: task makes a Task with the report as output; service-request sets the ServiceRequest that was found to completed once a person signed the report.'),
  critical_findings: z.enum(['none', 'flag', 'communication']).default('none').describe('What draws attention to critical findings: a Flag on the patient, or a Communication of category alert. Both are withdrawn with the findings.'),
  deliver_by: z.enum(['auto', 'transaction', 'batch', 'single']).default('auto')
    .describe('How a report is sent: auto follows the CapabilityStatement (transaction, else batch, else single requests).'),
  report_as: z.enum(['auto', 'diagnostic-report', 'document-reference']).default('auto')
    .describe('What carries the report: auto sends a DiagnosticReport where the server takes and corrects it, else a DocumentReference.'),
  profiles: z.array(z.enum(['us-core'])).max(1).default([]).describe('Profiles that the DiagnosticReport names in meta.profile, where it meets them: us-core is the US Core DiagnosticReport Profile for Report and Note Exchange. For servers that want to be told.'),
  pull_types: z.array(z.enum(['Patient', 'ServiceRequest'])).max(2).refine((types) => new Set(types).size === types.length, 'must name each type once').default([])
    .describe('What is fetched from this system because it does not send: each type is searched by _lastUpdated. In the order of the list: Patient before ServiceRequest.'),
  pull_seconds: z.int().min(5).max(86_400).default(60).describe('How often it is asked, in seconds.'),
  pull_days: z.int().min(0).max(3660).default(1).describe('How far back the first time goes, in days; 0: only what changes from now on.'),
  statement_minutes: z.int().min(0).max(1440).default(60).describe('How long the CapabilityStatement of the server is used before it is read again, in minutes.'),
  resource_system: systemUri.default('urn:medscan:gateway').describe('Namespace of the identifiers of what we send (reports, findings, models): a URN or URL of yours. Never change it in production: resends would no longer find what is there.'),
});

/** What each way of logging in needs. */
const needs = {
  none: [], basic: ['username', 'password'], bearer: ['bearer_token'],
  'client-secret': ['token_url', 'client_id', 'client_secret'], 'private-key-jwt': ['token_url', 'client_id', 'private_key', 'key_id'],
} as const;

export const configSchema = fields.superRefine((config, context) => {
  if (!config.receives && config.base_url === undefined) context.addIssue({ code: 'custom', path: ['base_url'], message: 'is needed, because this system sends nothing either (receives is off)' });
  if (config.pull_types.length > 0 && config.base_url === undefined) context.addIssue({ code: 'custom', path: ['base_url'], message: 'is needed to fetch from this system (pull_types)' });
  for (const name of needs[config.authentication]) if (config[name] === undefined) context.addIssue({ code: 'custom', path: [name], message: `is needed for authentication ${config.authentication}` });
  if (config.registered_client_id !== undefined) {
    if (config.service_url === undefined) context.addIssue({ code: 'custom', path: ['service_url'], message: 'is needed with registered_client_id: it is the audience that assertions must name' });
    if ((config.registered_jwks === undefined) === (config.registered_jwks_url === undefined)) context.addIssue({ code: 'custom', path: ['registered_jwks'], message: 'with registered_client_id either registered_jwks or registered_jwks_url is needed, not both' });
  }
  if ((config.next_private_key === undefined) !== (config.next_key_id === undefined)) context.addIssue({ code: 'custom', path: ['next_key_id'], message: 'next_private_key and next_key_id go together' });
  if (config.next_key_id !== undefined && config.next_key_id === config.key_id) context.addIssue({ code: 'custom', path: ['next_key_id'], message: 'must differ from key_id: a system tells keys apart by it' });
  if ((config.tls_certificate === undefined) !== (config.tls_key === undefined)) context.addIssue({ code: 'custom', path: ['tls_key'], message: 'tls_certificate and tls_key go together' });
});
export type Config = z.output<typeof fields>;

/** Base URL without a trailing slash. Throws when the settings have none. */
export function baseUrl(config: Config): string {
  if (config.base_url === undefined) throw new Error('base_url is not set: this system gets no results');
  return config.base_url.replace(/\/+$/, '');
}
