/** Settings of one remote DICOM system: how its associations are recognised, how its images are read, and where reports are sent. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { writableCharacterSets } from '#standards/dicom/encode-text.ts';
import { resultKinds } from '#standards/dicom/result-modules.ts';
import { scuSettings } from './scu/settings.ts';

const aeTitle = z.string().trim().min(1).max(16).regex(/^[\x20-\x5b\x5d-\x7e]+$/, 'an AE title has 1 to 16 characters of the default repertoire, without backslash (PS3.5 6.2, AE)');
const address = z.string().refine((text) => {
  const [ip = '', bits, rest] = text.split('/');
  return isIP(ip) > 0 && rest === undefined && (bits === undefined || (/^\d+$/.test(bits) && Number(bits) <= (isIP(ip) === 4 ? 32 : 128)));
}, 'must be an IP address or a network such as 10.20.0.0/16');
const timeZone = z.string().refine((name) => {
  try { return Boolean(new Intl.DateTimeFormat('en', { timeZone: name })); } catch { return false; }
}, 'must be an IANA time zone such as Europe/Berlin');

const destination = z.strictObject({
  host: z.string().min(1).max(253).describe('Host name or address of the receiver.'),
  port: z.int().min(1).max(65535).default(104).describe('TCP port of the receiver.'),
  called_ae_title: aeTitle.describe('AE title of the receiver: what the gateway calls.'),
  calling_ae_title: aeTitle.default('MEDSCAN').describe('AE title that the gateway gives as its own; the receiver must know it.'),
  connect_timeout_milliseconds: z.int().min(100).max(300_000).default(10_000).describe('How long to wait for the connection and for the answer to the association request.'),
  response_timeout_milliseconds: z.int().min(100).max(3_600_000).default(60_000).describe('How long to wait for the answer to a C-STORE or C-ECHO. Afterwards the same object is sent again.'),
  tls: z.boolean().default(false).describe('Send over TLS 1.2 or later (PS3.15 B.12); the certificate of the receiver is checked.'),
  tls_ca: z.string().optional().describe('CA certificates (PEM) that sign the receiver. Empty: the well-known ones.'),
  tls_certificate: z.string().optional().describe('Our client certificate (PEM), when the receiver asks for one.'),
});

export const configSchema = z.strictObject({
  called_ae_title: aeTitle.default('MEDSCAN').describe('AE title under which this sender calls the gateway.'),
  calling_ae_titles: z.array(aeTitle).default([]).describe('AE titles of the sender that may associate. Empty: any.'),
  addresses: z.array(address).default([]).describe('IP addresses or networks (10.20.0.0/16) of the sender that may associate. Empty: any. DIMSE has no login, so name them.'),
  tls_subjects: z.array(z.string().min(1).max(255)).default([]).describe('Common names (CN) of client certificates the sender may come with, over TLS only. Empty: any, and also without TLS.'),
  sop_classes: z.array(z.string().regex(/^[0-9.]{1,64}$/, 'must be the UID of a SOP class, such as 1.2.840.10008.5.1.4.1.1.2 (CT Image Storage)')).default([])
    .describe('UIDs of the storage SOP classes that are taken; others are refused when the association is made. Empty: every storage class.'),
  modalities: z.array(z.string().regex(/^[A-Z0-9_ ]{1,16}$/, 'must be a modality such as CT (0008,0060)')).default([]).describe('Modalities (0008,0060) that are taken, such as CT and MR; an object of another one, or of none, is answered 0124. Empty: every modality.'),
  accept_unknown_sop_classes: z.boolean().default(true).describe('Store objects of private SOP classes too.'),
  maximum_object_megabytes: z.int().min(1).max(65_536).default(4096).describe('An object larger than this (MiB) is refused: the association is aborted.'),
  maximum_objects_per_association: z.int().min(0).max(1_000_000).default(0).describe('After so many C-STOREs on one association further ones are answered A700, to be sent on a new one. 0: no limit.'),
  allow_query: z.boolean().default(false).describe('The system may ask by C-FIND what the gateway holds of this organization.'),
  allow_retrieve: z.boolean().default(false).describe('The system may have images sent by C-MOVE, to the AE titles of this organization\'s integrations, and fetch them by C-GET.'),
  allow_worklist: z.boolean().default(false).describe('The system is a modality: it may ask for the worklist and report performed procedure steps (MPPS).'),
  most_matches: z.int().min(1).max(9_999).default(2000).describe('A C-FIND with more matches than this ends with A700 after so many.'),
  character_set: z.enum(writableCharacterSets).optional()
    .describe('Specific Character Set that text for this system is written in: worklist, other answers to C-FIND, results. Empty: UTF-8 (ISO_IR 192), and answers in the one that the question names. What has a character that the set has not is in UTF-8.'),
  assigning_authority: z.string().max(227).default('').describe('Issuer of Patient ID when the image names none (0010,0021).'),
  time_zone: timeZone.optional().describe('IANA time zone of dates and times without Timezone Offset From UTC (0008,0201), e.g. Europe/Berlin.'),
  destination: destination.optional().describe('Where reports are sent. Empty: this system gets no reports.'),
  results: z.array(z.enum(resultKinds)).min(1).default(['structured-report']).refine((kinds) => kinds.some((kind) => kind !== 'secondary-capture'), 'must hold structured-report or encapsulated-pdf: pictures alone do not say that nothing was found')
    .describe('As what a report is sent: structured-report (DICOM SR TID 1500), encapsulated-pdf (the report to read), secondary-capture (pictures with the findings drawn in).'),
  ...scuSettings,
  tls_private_key: z.string().optional().meta({ secret: true }).describe('Private key (PEM) of our client certificate.'),
});

export type Config = z.infer<typeof configSchema>;
export type Destination = z.infer<typeof destination>;
/** The destination with what is kept apart from it because it is secret. */
export type Receiver = Destination & { readonly tls_private_key?: string };

export const receiverOf = ({ destination: receiver, tls_private_key: key }: Config): Receiver | undefined =>
  receiver && { ...receiver, ...(key === undefined ? {} : { tls_private_key: key }) };
