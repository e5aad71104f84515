/** Scopes of SMART App Launch 2 for systems: `system/<type or *>.<cruds>`, and version 1's read, write and *. */

const allLetters = ['c', 'r', 'u', 'd', 's'];
const versionOne: Readonly<Record<string, string>> = { read: 'rs', write: 'cud', '*': 'cruds' };

export interface SystemScope { readonly type: string; readonly letters: string }

/** Undefined for every other scope, and for one with a query part: granting more than was asked for is worse than granting nothing. */
export function systemScope(scope: string): SystemScope | undefined {
  const [, type, access = ''] = /^system\/([A-Z][A-Za-z]*|\*)\.(c?r?u?d?s?|read|write|\*)$/.exec(scope) ?? [];
  const letters = versionOne[access] ?? access;
  return type === undefined || letters === '' ? undefined : { type, letters };
}

/** What was both asked for and registered, one scope per type. */
export function grantedScopes(asked: string, registered: string): string[] {
  const known = scopesIn(registered), granted = new Map<string, Set<string>>();
  for (const ask of scopesIn(asked)) {
    for (const allow of known) {
      const type = ask.type === '*' ? allow.type : allow.type === '*' || allow.type === ask.type ? ask.type : undefined;
      // '*' is every clinical type; the audit log must be named.
      if (type === undefined || (type === 'AuditEvent' && (ask.type === '*' || allow.type === '*'))) continue;
      for (const letter of ask.letters) if (allow.letters.includes(letter)) granted.set(type, (granted.get(type) ?? new Set()).add(letter));
    }
  }
  return [...granted].map(([type, letters]) => `system/${type}.${allLetters.filter((letter) => letters.has(letter)).join('')}`);
}

/** What is not in `granted`, as scopes to ask for: 'system/Observation.cu'. Empty where the server speaks of no system scopes: then nothing is known. */
export function missingScopes(needed: ReadonlyMap<string, string>, granted: string): string[] {
  const known = scopesIn(granted);
  if (known.length === 0) return [];
  return [...needed].flatMap(([type, letters]) => {
    const missing = letters.split('').filter((letter) => !known.some((scope) => (scope.type === '*' || scope.type === type) && scope.letters.includes(letter)));
    return missing.length === 0 ? [] : [`system/${type}.${allLetters.filter((letter) => missing.includes(letter)).join('')}`];
  });
}

function scopesIn(text: string): SystemScope[] {
  return text.split(/\s+/).slice(0, 200).map(systemScope).filter((scope) => scope !== undefined);
}
