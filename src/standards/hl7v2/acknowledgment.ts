/**
 * Builds and reads acknowledgments (HL7 v2.5.1 ch. 2.9.2, 2.14.1, 2.15.5 to 2.15.8). In: what is readable of the message and what became of it.
 * Out: MSH with sender and receiver exchanged, MSA, and ERR when refused. Every echoed value is decoded, stripped of control characters
 * and escaped again: '\X0D\' in MSH-10 cannot start a segment in the answer.
 */
import { standardDelimiters } from './delimiters.ts';
import type { Delimiters } from './delimiters.ts';
import { errorConditions } from './error-conditions.ts';
import type { ErrorConditionCode } from './error-conditions.ts';
import { escapeText } from './escape.ts';
import { formatDtm } from './date-time.ts';
import { parseMessage } from './parse.ts';
import type { Hl7Message } from './parse.ts';

export type AcknowledgmentCode = 'AA' | 'AE' | 'AR' | 'CA' | 'CE' | 'CR';

export interface AcknowledgmentError {
  readonly condition: ErrorConditionCode;
  /** For the person at the sender; no patient data. */
  readonly text: string;
  /** In the sender's words: 'PID-3', 'PID[2]-5.1', 'MSH-10'. */
  readonly location?: string | undefined;
}

export interface Acknowledgment {
  readonly code: AcknowledgmentCode;
  /** MSH-10 of the answer itself. */
  readonly controlId: string;
  readonly sentAt: Date;
  readonly error?: AcknowledgmentError | undefined;
}

/** `message` is undefined when nothing of it could be read: then MSH-3 to MSH-6 and MSA-2 stay empty. */
export function buildAcknowledgment(message: Hl7Message | undefined, acknowledgment: Acknowledgment): Buffer {
  const delimiters = message && isFullSet(message.delimiters) ? message.delimiters : standardDelimiters;
  const echo = (field: number): string => (message ? echoField(message, field, delimiters) : '');
  const version = message && /^2\.\d(\.\d){0,2}$/.test(message.header(12)) ? message.header(12) : '2.5.1';
  const processing = message && /^[PDT]$/.test(message.header(11)) ? message.header(11) : 'P';
  const header = ['MSH', delimiters.encodingCharacters, echo(5), echo(6), echo(3), echo(4), formatDtm(acknowledgment.sentAt), '',
    messageType(message, version, delimiters), acknowledgment.controlId, processing, version];
  const acknowledged = escapeText(message ? validControlId(message.header(10)) ?? '' : '', delimiters);
  const text = acknowledgment.error ? escapeText(acknowledgment.error.text.slice(0, 250), delimiters) : '';
  const segments = [['MSA', acknowledgment.code, acknowledged, text]];
  if (acknowledgment.error) segments.push(errorSegment(acknowledgment.error, version, delimiters));
  return encode(header, segments, delimiters);
}

/** MSH-10 as it may be kept and echoed: 1 to 199 characters (the limit of v2.7), none of them a control character or what stands for one. */
export function validControlId(text: string): string | undefined {
  return text.length > 0 && text.length <= 199 && !hasControlCharacter(text) && !text.includes('\uFFFD') ? text : undefined;
}

function encode(header: readonly string[], segments: readonly (readonly string[])[], delimiters: Delimiters): Buffer {
  const ends = (fields: readonly string[]): string => fields.join(delimiters.field).replace(/\r$/, '');
  const body = segments.map((fields) => trimEnd(fields)).map(ends);
  const isPlain = ![...header, ...body].some((text) => /[^\0-\x7f]/.test(text));
  const msh = isPlain ? header : [...header, '', '', '', '', '', 'UNICODE UTF-8'];
  return Buffer.from([ends(msh), ...body, ''].join('\r'), 'utf8');
}

function trimEnd(fields: readonly string[]): readonly string[] {
  return fields.slice(0, fields.findLastIndex((field) => field !== '') + 1);
}

/** HD as the sender wrote it, each component decoded, cleaned and escaped again. */
function echoField(message: Hl7Message, field: number, delimiters: Delimiters): string {
  const raw = (message.segments[0]?.fields[field] ?? '').slice(0, 227);
  const components = message.delimiters.component === undefined ? [raw] : raw.split(message.delimiters.component, 3);
  return components.map((component) => escapeText(withoutControls(message.decode(component)), delimiters)).join(delimiters.component ?? '^');
}

function messageType(message: Hl7Message | undefined, version: string, delimiters: Delimiters): string {
  const trigger = message?.header(9, 2) ?? '';
  const separator = delimiters.component ?? '^';
  if (!/^[A-Z][A-Z0-9]{2}$/.test(trigger)) return 'ACK';
  return version < '2.4' ? ['ACK', trigger].join(separator) : ['ACK', trigger, 'ACK'].join(separator);
}

/** ERR as of v2.5 (ERR-2 location, ERR-3 code, ERR-4 severity, ERR-8 text); before that ERR-1 alone, an ELD. */
function errorSegment(error: AcknowledgmentError, version: string, delimiters: Delimiters): string[] {
  const [component, subcomponent] = [delimiters.component ?? '^', delimiters.subcomponent ?? '&'];
  const location = errorLocation(error.location);
  const meaning = errorConditions[error.condition];
  if (version < '2.5') return ['ERR', [...padded(location.slice(0, 3), 3), [error.condition, meaning, 'HL70357'].join(subcomponent)].join(component)];
  return ['ERR', '', trimEnd(location).join(component), [error.condition, meaning, 'HL70357'].join(component), 'E', '', '', '', escapeText(error.text.slice(0, 250), delimiters)];
}

function padded(parts: readonly string[], length: number): string[] {
  return [...parts.slice(0, 1), parts[0] ? parts[1] ?? '1' : '', parts[2] ?? ''].slice(0, length);
}

/** 'PID[2]-5[1].3' -> PID, 2, 5, 1, 3: segment, sequence, field, repetition, component (ERL). */
function errorLocation(location: string | undefined): readonly string[] {
  const match = /^([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:-(\d+)(?:\[(\d+)\])?(?:\.(\d+))?)?/.exec(location ?? '');
  if (!match) return [];
  const [, segment = '', sequence = '1', field = '', repetition = '', component = ''] = match;
  return [segment, sequence, field, component === '' ? repetition : repetition || '1', component];
}

function isFullSet(delimiters: Delimiters): boolean {
  return delimiters.component !== undefined && delimiters.repetition !== undefined && delimiters.escape !== undefined && delimiters.subcomponent !== undefined;
}

function hasControlCharacter(text: string): boolean {
  for (let index = 0; index < text.length; index++) { const code = text.charCodeAt(index); if (code < 0x20 || code === 0x7f) return true; }
  return false;
}
function withoutControls(text: string): string {
  return hasControlCharacter(text) ? text.replaceAll(/\p{Cc}/gu, '') : text;
}

export interface ReadAcknowledgment {
  readonly code: AcknowledgmentCode; readonly controlId: string; readonly text: string;
  /** ERR-3.1 (v2.5) or ERR-1.4.1 (before): table 0357, when given. */
  readonly condition: string | undefined;
  readonly location: string | undefined;
}

/** Reads a peer's answer; undefined when it is no acknowledgment (no MSA-1 of table 0008). Throws Hl7ParseError when it is no HL7 at all. */
export function readAcknowledgment(bytes: Buffer): ReadAcknowledgment | undefined {
  const message = parseMessage(bytes);
  const msa = message.segment('MSA');
  const value = (name: string, field: number, component = 1, subcomponent = 1): string =>
    message.component(message.segment(name)?.fields[field] ?? '', component, subcomponent).trim();
  const code = value('MSA', 1).toUpperCase();
  if (!msa || !isAcknowledgmentCode(code)) return undefined;
  const location = [1, 2, 3, 4, 5].map((component) => value('ERR', 2, component)).filter(Boolean).join('^') || undefined;
  return {
    code, controlId: value('MSA', 2), location,
    text: value('MSA', 3) || value('ERR', 8) || value('ERR', 7) || value('ERR', 3, 2),
    condition: value('ERR', 3) || value('ERR', 1, 4) || undefined,
  };
}

function isAcknowledgmentCode(code: string): code is AcknowledgmentCode {
  return ['AA', 'AE', 'AR', 'CA', 'CE', 'CR'].includes(code);
}
