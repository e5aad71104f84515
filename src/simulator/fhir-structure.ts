/**
 * What an EMR refuses: a table of FHIR R4 elements for the resources that imaging results are made of, and the checks on it. Written
 * from the specification for the simulator alone, so that it judges the gateway by other eyes than the gateway's own validator.
 *
 * An entry is 'name', with '!' when required (min 1), '*' when an array, '=a|b|c' when the code is bound, '>Type|Type' for a reference.
 */
export interface FhirResource { readonly resourceType: string; readonly id?: string; readonly [element: string]: unknown }
/** `expression` is the FHIRPath of the element, as OperationOutcome.issue.expression wants it. */
export interface FhirProblem { readonly code: 'structure' | 'required' | 'value' | 'code-invalid' | 'not-found' | 'invariant' | 'not-supported'; readonly expression: string; readonly text: string }

const common = 'resourceType! id meta implicitRules language text contained* extension* modifierExtension*';
const resources: Readonly<Record<string, string>> = {
  Patient: 'identifier* active name* telecom* gender=male|female|other|unknown birthDate deceasedBoolean deceasedDateTime address* maritalStatus multipleBirthBoolean multipleBirthInteger photo* contact* communication* generalPractitioner* managingOrganization>Organization link*',
  Organization: 'identifier* active type* name alias* telecom* address* partOf>Organization contact* endpoint*',
  Practitioner: 'identifier* active name* telecom* address* gender birthDate photo* qualification* communication*',
  Device: 'identifier* definition udiCarrier* status=active|inactive|entered-in-error|unknown statusReason* distinctIdentifier manufacturer manufactureDate expirationDate lotNumber serialNumber deviceName* modelNumber partNumber type specialization* version* property* patient>Patient owner>Organization contact* location url note* safety* parent>Device',
  ServiceRequest: 'identifier* instantiatesCanonical* instantiatesUri* basedOn* replaces* requisition status!=draft|active|on-hold|revoked|completed|entered-in-error|unknown intent!=proposal|plan|directive|order|original-order|reflex-order|filler-order|instance-order|option category* priority=routine|urgent|asap|stat doNotPerform code orderDetail* quantityQuantity subject!>Patient|Group|Location|Device encounter occurrenceDateTime occurrencePeriod occurrenceTiming asNeededBoolean asNeededCodeableConcept authoredOn requester performerType performer* locationCode* locationReference* reasonCode* reasonReference* insurance* supportingInfo* specimen* bodySite* note* patientInstruction relevantHistory*',
  ImagingStudy: 'identifier* status!=registered|available|cancelled|entered-in-error|unknown modality* subject!>Patient|Device|Group encounter started basedOn* referrer interpreter* endpoint* numberOfSeries numberOfInstances procedureReference procedureCode* location reasonCode* reasonReference* note* description series*',
  Observation: 'identifier* basedOn* partOf* status!=registered|preliminary|final|amended|corrected|cancelled|entered-in-error|unknown category* code! subject>Patient|Group|Device|Location focus* encounter effectiveDateTime effectivePeriod effectiveTiming effectiveInstant issued performer* valueQuantity valueCodeableConcept valueString valueBoolean valueInteger valueRange valueRatio valueSampledData valueTime valueDateTime valuePeriod dataAbsentReason interpretation* note* bodySite method specimen device>Device|DeviceMetric referenceRange* hasMember* derivedFrom* component*',
  DiagnosticReport: 'identifier* basedOn* status!=registered|partial|preliminary|final|amended|corrected|appended|cancelled|entered-in-error|unknown category* code! subject>Patient|Group|Device|Location encounter effectiveDateTime effectivePeriod issued performer* resultsInterpreter* specimen* result*>Observation imagingStudy*>ImagingStudy media* conclusion conclusionCode* presentedForm*',
  DocumentReference: 'masterIdentifier identifier* status!=current|superseded|entered-in-error docStatus=preliminary|final|amended|entered-in-error type category* subject>Patient|Practitioner|Group|Device date author* authenticator custodian>Organization relatesTo* description securityLabel* content!* context',
  Provenance: 'target!* occurredPeriod occurredDateTime recorded! policy* location reason* activity agent!* entity* signature*',
  Task: 'identifier* instantiatesCanonical instantiatesUri basedOn* groupIdentifier partOf* status! statusReason businessStatus intent! priority code description focus for encounter executionPeriod authoredOn lastModified requester performerType* owner location reasonCode reasonReference insurance* note* relevantHistory* restriction input* output*',
  Encounter: 'identifier* status! statusHistory* class! classHistory* type* serviceType priority subject>Patient|Group episodeOfCare* basedOn* participant* appointment* period length reasonCode* reasonReference* diagnosis* account* hospitalization location* serviceProvider partOf',
  Endpoint: 'identifier* status! connectionType! name managingOrganization contact* period payloadType!* payloadMimeType* address! header*',
};

interface ElementRule { readonly required: boolean; readonly array: boolean; readonly codes: ReadonlySet<string> | undefined; readonly targets: readonly string[] }
const rules: ReadonlyMap<string, ReadonlyMap<string, ElementRule>> = new Map(Object.entries(resources).map(([type, text]) =>
  [type, new Map(`${common} ${text}`.split(' ').map(readRule))]));

function readRule(entry: string): readonly [string, ElementRule] {
  const [, name = '', flags = '', codes, targets] = /^(\w+)([!*]*)(?:=([^>]+))?(?:>(.+))?$/.exec(entry) ?? [];
  return [name, { required: flags.includes('!'), array: flags.includes('*'), codes: codes === undefined ? undefined : new Set(codes.split('|')), targets: targets?.split('|') ?? [] }];
}

const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;
const dateTime = /^\d{4}(-\d\d(-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?)?)?$/;
const formats: Readonly<Record<string, RegExp>> = {
  issued: instant, recorded: instant, effectiveDateTime: dateTime, started: dateTime, authoredOn: dateTime, occurrenceDateTime: dateTime, birthDate: /^\d{4}(-\d\d(-\d\d)?)?$/,
};

export function supportedTypes(): readonly string[] { return [...rules.keys()]; }

/** Everything that is wrong with the resource by itself; references are checked by the store, which knows what there is. */
export function structuralProblems(resource: unknown): readonly FhirProblem[] {
  if (!isObject(resource) || typeof resource['resourceType'] !== 'string') return [{ code: 'structure', expression: 'Resource', text: 'is not a resource: it has no resourceType' }];
  const type = resource['resourceType'];
  const elements = rules.get(type);
  if (elements === undefined) return [{ code: 'not-supported', expression: type, text: `this server has no ${type}` }];
  return [...elementProblems(type, resource, elements), ...emptyProblems(type, resource), ...choiceProblems(type, resource), ...textProblems(type, resource)];
}

function* elementProblems(type: string, resource: Readonly<Record<string, unknown>>, elements: ReadonlyMap<string, ElementRule>): Generator<FhirProblem> {
  for (const [name, rule] of elements) {
    if (rule.required && resource[name] === undefined) yield { code: 'required', expression: `${type}.${name}`, text: 'is required' };
  }
  for (const [name, value] of Object.entries(resource)) {
    const expression = `${type}.${name}`;
    const rule = elements.get(name.startsWith('_') ? name.slice(1) : name);
    if (rule === undefined) { yield { code: 'structure', expression, text: 'is not an element of this resource' }; continue; }
    if (rule.array !== Array.isArray(value)) yield { code: 'structure', expression, text: rule.array ? 'must be an array' : 'must not be an array' };
    if (rule.codes !== undefined && !rule.codes.has(String(value))) yield { code: 'code-invalid', expression, text: `must be one of ${[...rule.codes].join(', ')}` };
    if (formats[name] !== undefined && (typeof value !== 'string' || !formats[name].test(value))) yield { code: 'value', expression, text: 'is not a date or time of the form that the element has' };
    if (name === 'code' && !isConcept(value)) yield { code: 'required', expression, text: 'needs a coding with system and code, or a text' };
    if (name === 'identifier') yield* identifierProblems(expression, value);
  }
}

function* identifierProblems(expression: string, value: unknown): Generator<FhirProblem> {
  for (const [index, identifier] of (Array.isArray(value) ? value : [value]).entries()) {
    if (!isObject(identifier) || typeof identifier['value'] !== 'string') yield { code: 'required', expression: `${expression}[${index}].value`, text: 'an identifier needs a value' };
  }
}

/** FHIR JSON has no null, no empty text, object or array (R4 json.html); null is allowed in arrays that are aligned with _ arrays. */
function* emptyProblems(expression: string, value: unknown): Generator<FhirProblem> {
  if (value === null || value === '') yield { code: 'structure', expression, text: 'must not be empty' };
  if (typeof value !== 'object' || value === null) return;
  const entries = Object.entries(value);
  if (entries.length === 0) yield { code: 'structure', expression, text: Array.isArray(value) ? 'must not be an empty array' : 'must not be an empty object' };
  for (const [name, child] of entries) yield* emptyProblems(Array.isArray(value) ? `${expression}[${name}]` : `${expression}.${name}`, child);
}

function* choiceProblems(type: string, resource: Readonly<Record<string, unknown>>): Generator<FhirProblem> {
  for (const choice of ['value', 'effective', 'deceased', 'occurrence', 'occurred']) {
    const given = Object.keys(resource).filter((name) => new RegExp(`^${choice}[A-Z]`).test(name));
    if (given.length > 1) yield { code: 'structure', expression: `${type}.${choice}[x]`, text: `is given ${given.length} times: ${given.join(', ')}` };
  }
  const hasValue = Object.keys(resource).some((name) => /^value[A-Z]/.test(name));
  if (type === 'Observation' && hasValue && resource['dataAbsentReason'] !== undefined) yield { code: 'invariant', expression: 'Observation', text: 'obs-6: dataAbsentReason is only for an observation without a value' };
}

function* textProblems(type: string, resource: Readonly<Record<string, unknown>>): Generator<FhirProblem> {
  const text = resource['text'];
  if (text === undefined) return;
  const div = isObject(text) ? text['div'] : undefined;
  if (typeof div !== 'string' || !/^<div [^>]*xmlns="http:\/\/www\.w3\.org\/1999\/xhtml"/.test(div) || !div.endsWith('</div>')) yield { code: 'value', expression: `${type}.text.div`, text: 'must be an XHTML div' };
  else if (/<\s*(script|iframe|object|form)\b|\son\w+\s*=/i.test(div)) yield { code: 'value', expression: `${type}.text.div`, text: 'txt-1: must not hold active content' };
}

function isConcept(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { coding, text } = value;
  return typeof text === 'string' || (Array.isArray(coding) && coding.some((each) => isObject(each) && typeof each['system'] === 'string' && typeof each['code'] === 'string'));
}

/** Types that the reference may point to; empty when the table does not restrict it. */
export function referenceTargets(type: string, element: string): readonly string[] {
  return rules.get(type)?.get(element)?.targets ?? [];
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
