/** OperationOutcome (R4): how a FHIR server says what happened. Written here for our answers, read here from others' answers. */
import type { OperationOutcome, OperationOutcomeIssue } from './types.ts';
import type { ValidationIssue } from './validate.ts';

/** One issue. `expression` is FHIRPath: 'Patient.birthDate'. */
export function outcome(severity: OperationOutcomeIssue['severity'], code: OperationOutcomeIssue['code'], diagnostics: string, expression?: string): OperationOutcome {
  return { resourceType: 'OperationOutcome', issue: [{ severity, code, diagnostics, ...(expression === undefined || expression === '' ? {} : { expression: [expression] }) }] };
}

/** All validation issues as errors; the text repeats the location, because many clients show the text only. */
export function outcomeOf(issues: readonly ValidationIssue[]): OperationOutcome {
  return {
    resourceType: 'OperationOutcome',
    issue: issues.map((issue) => ({
      severity: 'error', code: issue.code, diagnostics: issueText(issue), expression: [issue.expression],
      ...(issue.rule === undefined ? {} : { details: { text: issue.rule } }),
    })),
  };
}

export function issueText(issue: ValidationIssue): string {
  return `${issue.expression}: ${issue.text}${issue.rule === undefined ? '' : ` (${issue.rule})`}`;
}

/**
 * What another server's OperationOutcome says, in its words, at most `length` characters; undefined when the value is none.
 * Such words may quote the resource: they belong to the exchange, not to the log.
 */
export function wordsOf(value: unknown, length = 1000): string | undefined {
  const { resourceType, issue } = (typeof value === 'object' && value !== null ? value : {}) as { resourceType?: unknown; issue?: unknown };
  if (resourceType !== 'OperationOutcome' || !Array.isArray(issue)) return undefined;
  const words = issue.filter((item): item is Record<string, unknown> => typeof item === 'object' && item !== null).map(issueWords).filter(Boolean).join('; ');
  return (words || 'an OperationOutcome without words').slice(0, length);
}

function issueWords(issue: Record<string, unknown>): string {
  const details = issue['details'] as { text?: unknown; coding?: readonly { display?: unknown; code?: unknown }[] } | undefined;
  const said = [details?.text, details?.coding?.[0]?.display, issue['diagnostics']].filter((text): text is string => typeof text === 'string' && text !== '');
  const where = [issue['expression'], issue['location']].find(Array.isArray) as readonly unknown[] | undefined;
  const place = typeof where?.[0] === 'string' ? ` at ${where[0]}` : '';
  return `${String(issue['severity'] ?? '')} ${String(issue['code'] ?? '')}${place}${said.length > 0 ? `: ${[...new Set(said)].join(' - ')}` : ''}`.trim();
}

/** Whether an OperationOutcome says that something failed. */
export function isFailure(value: unknown): boolean {
  const { resourceType, issue } = (typeof value === 'object' && value !== null ? value : {}) as { resourceType?: unknown; issue?: readonly { severity?: unknown }[] };
  return resourceType === 'OperationOutcome' && Array.isArray(issue) && issue.some((item) => item?.severity === 'error' || item?.severity === 'fatal');
}
