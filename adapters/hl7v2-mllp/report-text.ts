/**
 * The text of a result or document: the OBX segments of one group, put together as findings and impression. Read from the segments as sent and not
 * by component, because senders leave & and ^ in running text unescaped: cut there, a report would lose its words silently.
 */
import type { Hl7Message, Segment } from '#standards/hl7v2/parse.ts';

export interface ReportText { readonly findings: string; readonly impression: string; readonly isCut: boolean }

const maximumCharacters = 200_000;
/** LOINC Radiology Imaging study [Impression]; suffix of HL7 v2.5.1 ch. 7.1.2. */
const impressionCode = '19005-8', impressionSuffix = 'IMP';

export function reportText(message: Hl7Message, segments: readonly Segment[]): ReportText {
  const lines: Record<'findings' | 'impression', string[]> = { findings: [], impression: [] };
  for (const segment of segments) {
    const line = segment.name === 'OBX' ? observationLine(message, segment) : undefined;
    if (line !== undefined) lines[isImpression(message, segment) ? 'impression' : 'findings'].push(line);
  }
  const [findings, impression] = [lines.findings.join('\n').trim(), lines.impression.join('\n').trim()];
  return { findings: findings.slice(0, maximumCharacters), impression: impression.slice(0, maximumCharacters), isCut: Math.max(findings.length, impression.length) > maximumCharacters };
}

function isImpression(message: Hl7Message, segment: Segment): boolean {
  const identifier = segment.fields[3] ?? '';
  return message.component(identifier, 1) === impressionCode || message.component(identifier, 1, 2).toUpperCase() === impressionSuffix || /^(impression|conclusion)\b/i.test(message.component(identifier, 2));
}

/** Undefined: nothing a reader of the report wants; deleted lines (OBX-11 D, W), UIDs. */
function observationLine(message: Hl7Message, segment: Segment): string | undefined {
  const [type = '', identifier = '', value = '', unit = '', status = ''] = [2, 3, 5, 6, 11].map((field) => segment.fields[field] ?? '');
  const label = message.component(identifier, 2) || message.component(identifier, 1);
  if (status === 'D' || status === 'W' || value === '""' || message.component(identifier, 1) === '113014' || /\buid$/i.test(label)) return undefined;
  if (['TX', 'FT', 'ST', ''].includes(type)) return wholeText(message, value);
  if (type === 'ED' || type === 'RP') return `[${label || 'Document'}: ${message.component(value, 3) || message.component(value, 2) || type}, kept with the message]`;
  const text = type === 'NM' ? [message.component(value, 1), message.component(unit, 1)].filter(Boolean).join(' ') : message.component(value, 2) || message.component(value, 1);
  return text === '' ? undefined : [label, text].filter(Boolean).join(': ');
}

/** Repetitions are lines; delimiters inside are part of the text. */
function wholeText(message: Hl7Message, value: string): string {
  const { repetition } = message.delimiters;
  return (repetition === undefined ? [value] : value.split(repetition)).map((piece) => message.decode(piece)).join('\n');
}
