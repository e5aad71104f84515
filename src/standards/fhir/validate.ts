/**
 * Is this JSON value a FHIR R4 resource? Checked against the structure tables: unknown and missing elements, JSON and FHIR types, cardinality,
 * forms of primitives, codes of required bindings, choices, empties, extensions beside primitives, contained resources, references, narrative,
 * invariants. Not checked: profiles, terminology beyond required bindings.
 *
 * Issues say where (FHIRPath and JSON Pointer) and what is wrong in words, never with the value: a value may be about a patient.
 */
import { expressionOf, pointerOf } from './location.ts';
import type { Step } from './location.ts';
import { invariants } from './invariants.ts';
import type { Fields } from './invariants.ts';
import { narrativeProblem } from './narrative.ts';
import { jsonName, primitiveProblem } from './primitives.ts';
import { fullUrlsOf, idsReferenced, referenceProblem } from './references.ts';
import { resourceTypes } from './resource-types.ts';
import { isKnownResource, primitiveTypes, typeNamed } from './structure.ts';
import type { ElementRule, TypeRule } from './structure.ts';

/** http://hl7.org/fhir/issue-type */
export type IssueCode = 'structure' | 'required' | 'value' | 'code-invalid' | 'invariant' | 'not-supported' | 'security';
export interface ValidationIssue {
  readonly code: IssueCode;
  /** `Patient.name[0].family` */
  readonly expression: string;
  /** `/name/0/family` */
  readonly pointer: string;
  /** Follows the location in a sentence: 'is an empty array: leave the element out'. */
  readonly text: string;
  /** Key of the invariant in the standard: per-1, dom-3 ... */
  readonly rule?: string;
}

const issueLimit = 100;

/** What of the surroundings an element's checks need. */
interface Scope {
  readonly issues: ValidationIssue[];
  readonly topType: string;
  /** The resource an element belongs to, and the one whose `contained` its #references name. */
  readonly resource: Fields;
  readonly container: Fields;
  readonly fullUrls: ReadonlyMap<string, string> | undefined;
}

/** All that is wrong, at most 100 issues; empty for a valid resource. Never throws. The value must come from JSON (no cycles). */
export function validateResource(value: unknown): readonly ValidationIssue[] {
  const issues: ValidationIssue[] = [];
  const fields = isFields(value) ? value : {};
  const resourceType = typeof fields['resourceType'] === 'string' && resourceTypes.has(fields['resourceType']) ? fields['resourceType'] : 'Resource';
  checkResource(value, [], { issues, topType: resourceType, resource: fields, container: fields, fullUrls: resourceType === 'Bundle' ? fullUrlsOf(fields) : undefined });
  return issues;
}

function report(scope: Scope, steps: readonly Step[], code: IssueCode, text: string, rule?: string): void {
  if (scope.issues.length >= issueLimit) return;
  scope.issues.push({ code, expression: expressionOf(scope.topType, steps), pointer: pointerOf(steps), text, ...(rule === undefined ? {} : { rule }) });
}

function checkResource(value: unknown, steps: readonly Step[], scope: Scope): void {
  if (!isFields(value)) return report(scope, steps, 'structure', `must be a resource, and is ${jsonName(value)}`);
  const { resourceType } = value;
  if (typeof resourceType !== 'string') return report(scope, [...steps, 'resourceType'], 'required', 'is missing: every resource names its type');
  if (!resourceTypes.has(resourceType)) return report(scope, [...steps, 'resourceType'], 'structure', 'names no resource type of FHIR R4');
  const isContained = steps.at(-2) === 'contained';
  const inner = { ...scope, resource: value, container: isContained ? scope.container : value };
  const rule = isKnownResource(resourceType) ? typeNamed(resourceType) : undefined;
  if (rule === undefined) {
    if (steps.length === 0) report(scope, [], 'not-supported', `${resourceType} is not among the resources that are checked here`);
    return checkAnything(value, steps, inner);
  }
  checkElement(value, rule, steps, inner);
  if (isContained) checkContainedRules(value, steps, inner);
  else checkAllContainedAreUsed(value, steps, inner);
}

/** dom-2, dom-4, dom-5 */
function checkContainedRules(resource: Fields, steps: readonly Step[], scope: Scope): void {
  if (typeof resource['id'] !== 'string') report(scope, [...steps, 'id'], 'required', 'is missing: nothing can refer to a contained resource without it', 'dom-3');
  if (resource['contained'] !== undefined) report(scope, [...steps, 'contained'], 'invariant', 'must not be in a contained resource', 'dom-2');
  const meta = isFields(resource['meta']) ? resource['meta'] : {};
  for (const name of ['versionId', 'lastUpdated']) if (meta[name] !== undefined) report(scope, [...steps, 'meta', name], 'invariant', 'must not be in a contained resource', 'dom-4');
  if (meta['security'] !== undefined) report(scope, [...steps, 'meta', 'security'], 'invariant', 'must not be in a contained resource', 'dom-5');
}

/** dom-3: a contained resource is referred to from the resource around it, or refers to it by '#'. */
function checkAllContainedAreUsed(resource: Fields, steps: readonly Step[], scope: Scope): void {
  if (!Array.isArray(resource['contained'])) return;
  const used = idsReferenced(resource);
  for (const [index, contained] of resource['contained'].entries()) {
    if (!isFields(contained) || typeof contained['id'] !== 'string') continue;
    if (!used.has(contained['id']) && !idsReferenced(contained).has('')) report(scope, [...steps, 'contained', index], 'invariant', 'is not referred to from anywhere in the resource', 'dom-3');
  }
}

function checkElement(value: Fields, rule: TypeRule, steps: readonly Step[], scope: Scope): void {
  const isResource = isKnownResource(rule.name);
  const keys = Object.keys(value).filter((key) => !(isResource && key === 'resourceType'));
  if (keys.length === 0 && !isResource) return report(scope, steps, 'structure', 'is an empty object: leave the element out', 'ele-1');
  const present = new Map<ElementRule, Set<string>>();
  for (const key of keys) {
    const name = key.startsWith('_') ? key.slice(1) : key;
    const property = rule.properties.get(name);
    if (property === undefined || (key.startsWith('_') && !primitiveTypes.has(property.type))) {
      report(scope, [...steps, safeName(key)], 'structure', unknownText(name, rule));
      continue;
    }
    present.set(property.element, (present.get(property.element) ?? new Set()).add(name));
    if (key.startsWith('_')) checkBeside(value, name, property.element, steps, scope);
    else checkProperty(value[key], value[`_${key}`], property.element, property.type, [...steps, key], scope);
  }
  checkPresence(rule, present, steps, scope);
  for (const invariant of invariants[rule.name] ?? []) {
    if (!invariant.holds(value, scope.resource)) report(scope, invariant.at === undefined ? steps : [...steps, invariant.at], 'invariant', invariant.text, invariant.key);
  }
  if (rule.name === 'Reference') checkReference(value, steps, scope);
}

function unknownText(name: string, rule: TypeRule): string {
  const choice = rule.elements.find((element) => element.name.endsWith('[x]') && name.startsWith(element.name.slice(0, -3)) && /^[A-Z]/.test(name.slice(element.name.length - 3)));
  return choice === undefined ? `is not an element of ${rule.name} in FHIR R4` : `is not a type of ${choice.name} in ${rule.name}: allowed are ${choice.types.join(', ')}`;
}

/** Property names go into answers and logs, so only those that look like names. */
function safeName(key: string): string {
  return /^[A-Za-z_][\w-]{0,63}$/.test(key) ? key : '?';
}

function checkPresence(rule: TypeRule, present: ReadonlyMap<ElementRule, ReadonlySet<string>>, steps: readonly Step[], scope: Scope): void {
  for (const element of rule.elements) {
    const names = present.get(element);
    if (names === undefined && element.isRequired) report(scope, [...steps, element.name], 'required', `is missing: ${rule.name} requires it`);
    if (names !== undefined && names.size > 1) report(scope, [...steps, element.name], 'structure', `is there ${names.size} times, as ${[...names].join(' and ')}: only one is allowed`);
  }
}

function checkProperty(value: unknown, beside: unknown, element: ElementRule, type: string, steps: readonly Step[], scope: Scope): void {
  if (!element.isList) {
    if (Array.isArray(value)) return report(scope, steps, 'structure', 'must be one value, and is an array');
    return checkValue(value, element, type, steps, scope);
  }
  if (!Array.isArray(value)) return report(scope, steps, 'structure', `must be an array, and is ${jsonName(value)}`);
  if (value.length === 0) return report(scope, steps, 'structure', 'is an empty array: leave the element out', 'ele-1');
  for (const [index, item] of value.entries()) {
    const isPlaceholder = item === null && Array.isArray(beside) && isFields(beside[index]);
    if (!isPlaceholder) checkValue(item, element, type, [...steps, index], scope);
  }
}

function checkValue(value: unknown, element: ElementRule, type: string, steps: readonly Step[], scope: Scope): void {
  if (value === null) return report(scope, steps, 'structure', 'is null: leave the element out');
  if (type === 'Resource') return checkResource(value, steps, scope);
  if (!primitiveTypes.has(type)) return checkComplex(value, element, type, steps, scope);
  const problem = primitiveProblem(type, value);
  if (problem !== undefined) return report(scope, steps, problem.code, problem.text);
  if (element.codes.size > 0 && !element.codes.has(value as string)) report(scope, steps, 'code-invalid', `must be one of ${[...element.codes].join(', ')}`);
  if (type === 'xhtml') {
    const fault = narrativeProblem(value as string);
    if (fault !== undefined) report(scope, steps, 'invariant', fault, 'txt-1');
  }
}

function checkComplex(value: unknown, element: ElementRule, type: string, steps: readonly Step[], scope: Scope): void {
  if (!isFields(value)) return report(scope, steps, 'structure', `must be a ${type}, and is ${jsonName(value)}`);
  const rule = typeNamed(type);
  if (rule === undefined) return checkAnything(value, steps, scope);
  checkElement(value, rule, steps, scope);
  if (type === 'Reference' && element.targets.size > 0) checkTarget(value, element, steps, scope);
}

function checkReference(reference: Fields, steps: readonly Step[], scope: Scope): void {
  const problem = referenceProblem(reference, scope.container, scope.fullUrls);
  if (problem.text !== undefined) report(scope, [...steps, 'reference'], 'invariant', problem.text, 'ref-1');
}

function checkTarget(reference: Fields, element: ElementRule, steps: readonly Step[], scope: Scope): void {
  const { target } = referenceProblem(reference, scope.container, scope.fullUrls);
  if (target !== undefined && !element.targets.has(target)) report(scope, steps, 'structure', `refers to a ${target}: allowed are ${[...element.targets].join(', ')}`);
}

/** `_name` beside a primitive (json.html#primitive): id and extensions, and in step with the array of values. */
function checkBeside(parent: Fields, name: string, element: ElementRule, steps: readonly Step[], scope: Scope): void {
  const at = [...steps, `_${name}`], beside = parent[`_${name}`];
  if (Array.isArray(beside) !== element.isList) return report(scope, at, 'structure', element.isList ? 'must be an array' : 'must be one object');
  const values = parent[name];
  if (Array.isArray(beside) && Array.isArray(values) && beside.length !== values.length) report(scope, at, 'structure', `must have as many entries as ${name}`);
  if (Array.isArray(beside) && beside.length === 0) report(scope, at, 'structure', 'is an empty array: leave it out', 'ele-1');
  const rule = typeNamed('Element');
  for (const [index, item] of (Array.isArray(beside) ? beside : [beside]).entries()) {
    const place = element.isList ? [...at, index] : at;
    if (item === null && element.isList) continue;
    if (!isFields(item)) report(scope, place, 'structure', `must be an object, and is ${jsonName(item)}`);
    else if (rule !== undefined) checkElement(item, rule, place, scope);
  }
}

/** A resource or type that the tables do not hold: what JSON FHIR demands everywhere. */
function checkAnything(value: unknown, steps: readonly Step[], scope: Scope): void {
  if (value === null) return typeof steps.at(-1) === 'number' ? undefined : report(scope, steps, 'structure', 'is null: leave the element out');
  if (value === '') return report(scope, steps, 'value', 'is an empty string: leave the element out');
  if (typeof value !== 'object') return undefined;
  const entries = Object.entries(value);
  if (entries.length === 0) return report(scope, steps, 'structure', `is an empty ${Array.isArray(value) ? 'array' : 'object'}: leave the element out`, 'ele-1');
  for (const [key, item] of entries) checkAnything(item, [...steps, Array.isArray(value) ? Number(key) : safeName(key)], scope);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
