/** Settings of one remote HL7 v2 system: how its messages are recognised and read, and where results are sent. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { folderName } from './folder/places.ts';
import { characterSetNames } from '#standards/hl7v2/character-set.ts';
import { deliverableCharacterSets } from '#standards/hl7v2/encode.ts';

const pattern = z.array(z.string().min(1).max(227));
const address = z.string().refine((text) => {
  const [ip = '', bits, rest] = text.split('/');
  return isIP(ip) > 0 && rest === undefined && (bits === undefined || (/^\d+$/.test(bits) && Number(bits) <= (isIP(ip) === 4 ? 32 : 128)));
}, 'must be an IP address or a range such as 10.20.0.0/16');
const timeZone = z.string().refine((name) => {
  try { return Boolean(new Intl.DateTimeFormat('en', { timeZone: name })); } catch { return false; }
}, 'must be an IANA time zone such as Europe/Berlin');
const folder = z.string().regex(folderName, 'must be one name of letters, digits, - and _: a folder directly below MEDSCAN_FOLDERS').meta({ folder: true });
const characterSet = z.string().refine((name) => characterSetNames.includes(name.toUpperCase()), `must be one of ${characterSetNames.slice(0, 23).join(', ')}`);

export const hl7v2Config = z.strictObject({
  receives: z.boolean().default(true).describe('Take messages from this system. Off for a system that only gets results.'),
  sending_application: pattern.default([]).describe('MSH-3 values this system sends with; * stands for any characters. Empty: any.'),
  sending_facility: pattern.default([]).describe('MSH-4 values this system sends with; * stands for any characters. Empty: any.'),
  addresses: z.array(address).default([]).describe('IP addresses or ranges (10.20.0.0/16) this system sends from. Empty: any. MLLP has no login, so name them.'),
  tls_subjects: z.array(z.string().min(1).max(255)).default([]).describe('Common names (CN) of client certificates this system may come with, over TLS only. Empty: any, and also without TLS.'),
  processing_ids: z.array(z.enum(['P', 'D', 'T'])).min(1).default(['P', 'D', 'T']).describe('MSH-11 values taken: P production, D debugging, T training. Others are answered AR 202.'),
  unknown_events: z.enum(['reject', 'accept']).default('reject').describe('A well-formed message of a type we do not use: reject (AR 200/201) or accept (AA, kept, no effect).'),
  acknowledgment: z.enum(['one-answer', 'original', 'enhanced']).default('one-answer')
    .describe('one-answer: one answer to each message, CA/CE/CR if MSH-15 asks for it, else AA/AE/AR. original: always AA/AE/AR. enhanced: HL7 2.9.3 to the letter; NE gets no answer, AL in both MSH-15 and MSH-16 gets two.'),
  folder: folder.optional().describe('Folder below MEDSCAN_FOLDERS whose files are taken as messages or batches, answered beside as <name>.ack and moved to done or refused. Empty: none.'),
  character_set: characterSet.optional().describe('Character set of this sender (HL7 table 0211) when MSH-18 is wrong. Default: MSH-18, but valid UTF-8 is read as UTF-8.'),
  time_zone: timeZone.optional().describe('IANA time zone of times sent without an offset, e.g. Europe/Berlin.'),
  assigning_authority: z.string().max(227).optional().describe('Assigning authority of identifiers sent without one (PID-3.4).'),
  repeated_merge: z.enum(['accept', 'reject']).default('accept').describe('A merge that was said before: accept (AA, no second effect) or reject (AE 205).'),
  inverse_merge: z.enum(['accept', 'ignore', 'reject']).default('accept').describe('B into A after A into B: accept (A is the number in use again), ignore (AA, no effect) or reject (AE 205).'),
  circular_merge: z.enum(['accept', 'ignore', 'reject']).default('accept').describe('The same by way of others, such as C into A after A into B and B into C.'),
  missing_accession_number: z.enum(['accept', 'reject', 'from-filler-number', 'from-placer-number']).default('accept')
    .describe('An order without accession number: accept (linked by its other numbers), reject (AE 101), or take its filler or placer number as accession number.'),
  missing_study_instance_uid: z.enum(['accept', 'reject', 'generate']).default('accept')
    .describe('An order without Study Instance UID: accept (images are linked by accession number), reject (AE 101), or generate one that is the same whenever the order is sent, for the modality to take from the worklist.'),
  identifier_authorities: z.array(z.string().min(1).max(227)).max(50).default([]).describe('Assigning authorities, the preferred first: of the numbers in PID-3 the one of the first authority here is matched first and shown. Empty: the first repetition.'),
  ignored_identifier_types: z.array(z.string().min(1).max(20)).max(50).default([]).describe('Types of numbers in PID-3 that are left out (PID-3.5, table 0203), such as SS or DL.'),
  adt_mapping: z.string().default('hl7v2-adt-to-rows').describe('Mapping file for ADT messages.'),
  order_mapping: z.string().default('hl7v2-orm-to-rows').describe('Mapping file for ORM, OMG and OMI messages.'),
  report_mapping: z.string().default('hl7v2-report-to-rows').describe('Mapping file for reports that come back: ORU^R01 and MDM^T02.'),
  schedule_mapping: z.string().default('hl7v2-siu-to-rows').describe('Mapping file for SIU messages.'),

  host: z.string().min(1).max(253).optional().describe('Host results are sent to. Empty: this system gets no results.'),
  deliver_folder: folder.optional().describe('Folder below MEDSCAN_FOLDERS that results are written to as <MSH-10>.hl7, instead of host and port.'),
  port: z.int().min(1).max(65535).optional().describe('Port results are sent to.'),
  connection: z.enum(['kept', 'per-message']).default('kept').describe('kept: one connection for all messages; a receiver that closes it after its answer, twice in a row, gets one for each, and a kept one is tried again after 10 minutes, later less often. per-message: one for each, always.'),
  tls: z.boolean().default(false).describe('Send over TLS; the certificate of the receiver is checked.'),
  tls_ca: z.string().optional().describe('CA certificates (PEM) that sign the receiver. Empty: the well-known ones.'),
  tls_certificate: z.string().optional().describe('Our client certificate (PEM), when the receiver asks for one.'),
  tls_key: z.string().optional().meta({ secret: true }).describe('Private key (PEM) of our client certificate.'),
  own_application: z.string().min(1).max(180).default('MEDSCAN').describe('MSH-3 of what we send.'),
  own_facility: z.string().max(180).default('').describe('MSH-4 of what we send.'),
  receiving_application: z.string().max(180).default('').describe('MSH-5 of what we send.'),
  receiving_facility: z.string().max(180).default('').describe('MSH-6 of what we send.'),
  processing_id: z.enum(['P', 'D', 'T']).default('P').describe('MSH-11 of what we send.'),
  deliver_character_set: z.enum(deliverableCharacterSets).default('UNICODE UTF-8').describe('MSH-18 and bytes of what we send. A report with a character that the set has not is refused, not mutilated.'),
  order_status_messages: z.array(z.enum(['received', 'complete', 'analysed'])).default([])
    .describe('What of an order this system is told by a message with ORC-1 SC: received (first image), complete (all images), analysed (AI result). Empty: nothing.'),
  order_status_type: z.enum(['ORM^O01', 'OMG^O19']).default('ORM^O01').describe('Type of those messages.'),
  deliver_content: z.array(z.enum(['text', 'findings', 'measurements', 'pdf', 'link'])).min(1).default(['text', 'findings', 'measurements'])
    .describe('What a result carries: text (findings and impression, TX or FT), findings (coded, CWE), measurements (certainty and sizes, NM), pdf (the report as a document, ED in Base64), link (RP to link_address).'),
  link_address: z.string().regex(/^https?:\/\/[^\s]+$/, 'must be an http or https address').max(1000).optional()
    .describe('Address of the report in a viewer, for the content link; {report_id}, {study_instance_uid} and {accession_number} stand for the values of the report.'),
  request_acknowledgment: z.enum(['original', 'enhanced', 'both']).default('original')
    .describe('original: MSH-15/16 empty, the receiver answers AA. enhanced: MSH-15 AL, MSH-16 NE, it answers CA when the message is safe. both: AL and AL, it answers CA, and on the same connection AA when it has processed the message.'),
  resend_on: z.array(z.enum(['AE', 'AR', 'CE', 'CR'])).default([]).describe('Answers after which the same message is sent again later instead of being parked for a person. AE and CE with ERR 206 or 207 always are.'),
  resend_attempts: z.int().min(2).max(1000).default(10).describe('How often a message is sent in all because of resend_on; then it is parked.'),
  connect_timeout_milliseconds: z.int().min(100).max(120_000).default(10_000).describe('How long to wait for the connection, in milliseconds.'),
  acknowledgment_timeout_milliseconds: z.int().min(100).max(600_000).default(30_000).describe('How long to wait for the acknowledgment, in milliseconds. Afterwards the same message is sent again.'),
});

export type Hl7v2Config = z.output<typeof hl7v2Config>;
