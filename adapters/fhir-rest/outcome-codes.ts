/**
 * What another server's OperationOutcome says in codes and places. Outcomes are read by people who may not see patients, and a server quotes
 * the patient in diagnostics and details: those stay in the answer, which is kept with the exchange.
 */
const mostIssues = 3;
const severities = new Set(['fatal', 'error', 'warning', 'information']);
/** R4 value set issue-type: any other text in `code` is words. */
const issueTypes = new Set([
  'invalid', 'structure', 'required', 'value', 'invariant', 'security', 'login', 'unknown', 'expired', 'forbidden', 'suppressed', 'processing', 'not-supported', 'duplicate',
  'multiple-matches', 'not-found', 'deleted', 'too-long', 'code-invalid', 'extension', 'too-costly', 'business-rule', 'conflict', 'transient', 'lock-error', 'no-store',
  'exception', 'timeout', 'incomplete', 'throttled', 'informational',
]);
/** FHIRPath or XPath of element names and indexes alone: 'Patient.name[0].family', '/f:Patient/f:name[1]'. */
const place = /^(?:[A-Z][A-Za-z]{1,60}(?:\[\d{1,4}\])?(?:\.[a-z][A-Za-z]{0,60}(?:\[\d{1,4}\])?){1,20}|(?:\/f:[A-Za-z]{1,60}(?:\[\d{1,4}\])?){1,20})$/;

/** 'error invalid at Patient.birthDate; warning value'; undefined when the value is no OperationOutcome or has no code. */
export function codesOf(value: unknown): string | undefined {
  const { resourceType, issue } = (typeof value === 'object' && value !== null ? value : {}) as { resourceType?: unknown; issue?: unknown };
  if (resourceType !== 'OperationOutcome' || !Array.isArray(issue)) return undefined;
  const issues = issue.filter((item): item is Record<string, unknown> => typeof item === 'object' && item !== null).slice(0, mostIssues);
  return issues.map(issueCodes).filter(Boolean).join('; ') || undefined;
}

function issueCodes({ severity, code, expression, location }: Record<string, unknown>): string {
  const where = [expression, location].flatMap((list): unknown[] => (Array.isArray(list) ? list.slice(0, 1) : [])).find((text) => typeof text === 'string' && place.test(text));
  return [severities.has(severity as string) ? severity : '', issueTypes.has(code as string) ? code : '', where === undefined ? '' : `at ${String(where)}`].filter(Boolean).join(' ');
}

/** The body of an answer as it is kept; undefined when there was none. */
export function answerBytes(body: unknown): Buffer | undefined {
  if (body === undefined || body === null || body === '') return undefined;
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}
