import type { ConditionSpec } from './format.ts';
import type { Run } from './field.ts';
import { compilePath } from './source.ts';
import type { Place } from './source.ts';

/** All conditions must hold; none means always. */
export function compileConditions(specs: readonly ConditionSpec[] | undefined): (place: Place, run: Run) => boolean {
  const tests = (specs ?? []).map(compileCondition);
  if (tests.length === 0) return () => true;
  return (place, run) => tests.every((test) => test(place, run));
}

function compileCondition(spec: ConditionSpec): (place: Place, run: Run) => boolean {
  const read = compilePath(spec.from);
  if (spec.exists !== undefined) {
    const wanted = spec.exists;
    return (place, run) => { const value = read(place, run); return (value !== undefined && value !== null && value !== '') === wanted; };
  }
  const accepted = new Set(spec.in ?? [spec.equals ?? '']);
  return (place, run) => accepted.has(read(place, run)?.trim() ?? '');
}
