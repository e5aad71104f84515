/**
 * The invariants of FHIR R4 on the types we hold, by their keys in the standard, as functions. Each is told the element and the resource it
 * is in, and says where below the element it is broken: '' for the element itself. Left out: what needs a terminology server.
 */
import { earliest, isFhirDateTime, latest } from './dates.ts';

export type Fields = Readonly<Record<string, unknown>>;
export interface Invariant {
  readonly key: string;
  /** The standard's own sentence, or ours where it names none. */
  readonly text: string;
  /** The property to point at when the invariant is broken. */
  readonly at?: string;
  readonly holds: (element: Fields, resource: Fields) => boolean;
}

const has = (value: unknown): boolean => value !== undefined && value !== null;
const list = (value: unknown): readonly Fields[] => Array.isArray(value) ? value.filter(isFields) : [];
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const hasChoice = (element: Fields, name: string): boolean => Object.keys(element).some((key) => key.startsWith(name) && /^[A-Z]/.test(key.slice(name.length)));
const only = (values: readonly unknown[], types: readonly string[]): boolean => values.every((value) => types.includes(String(value)));

const qty3: Invariant = { key: 'qty-3', text: 'if a code for the unit is present, the system must be present too', at: 'code', holds: (quantity) => !has(quantity['code']) || has(quantity['system']) };
const ucum = 'http://unitsofmeasure.org';
const ofUcum = (key: string, what: string): Invariant => ({
  key, text: `a value needs a code of ${what}, and the system can only be ${ucum}`, holds: (quantity) => (has(quantity['code']) || !has(quantity['value'])) && (!has(quantity['system']) || quantity['system'] === ucum),
});
/** A SimpleQuantity is a Quantity without comparator. */
const simple = (name: string): Invariant => ({ key: 'sqty-1', text: 'a comparator is not allowed here', at: name, holds: (element) => !isFields(element[name]) || !has(element[name]['comparator']) });
const isUid = (value: unknown): boolean => typeof value !== 'string' || (value.length <= 64 && /^[0-2](\.(0|[1-9]\d*))+$/.test(value));
const uid: Invariant = { key: 'PS3.5-9.1', text: 'must be a DICOM UID: digits and dots, at most 64 characters, no leading zero', at: 'uid', holds: (element) => isUid(element['uid']) };

export const invariants: Readonly<Record<string, readonly Invariant[]>> = {
  Extension: [{ key: 'ext-1', text: 'must have either a value[x] or extensions, not both', holds: (extension) => (hasChoice(extension, 'value') || hasChoice(extension, '_value')) !== has(extension['extension']) }],
  Period: [{ key: 'per-1', text: 'start must not be later than end', holds: isOrdered }],
  Quantity: [qty3], Distance: [qty3, ofUcum('dis-1', 'length')], Count: [qty3, ofUcum('cnt-3', 'a count, which is 1')],
  Age: [qty3, ofUcum('age-1', 'time'), { key: 'age-1', text: 'an age must be greater than 0', at: 'value', holds: (age) => typeof age['value'] !== 'number' || age['value'] > 0 }],
  Duration: [qty3, { key: 'drt-1', text: 'a code needs a value and the system http://unitsofmeasure.org', holds: (duration) => !has(duration['code']) || (duration['system'] === ucum && has(duration['value'])) }],
  SampledData: [simple('origin')],
  Range: [simple('low'), simple('high'), { key: 'rng-2', text: 'low must not be greater than high', holds: (range) => !isGreater(range['low'], range['high']) }],
  Ratio: [{ key: 'rat-1', text: 'numerator and denominator must both be present or both absent', holds: (ratio) => has(ratio['numerator']) === has(ratio['denominator']) && (has(ratio['numerator']) || has(ratio['extension'])) }],
  Attachment: [{ key: 'att-1', text: 'data needs a contentType', at: 'data', holds: (attachment) => !has(attachment['data']) || has(attachment['contentType']) }],
  ContactPoint: [{ key: 'cpt-2', text: 'a value needs a system (phone, email ...)', at: 'value', holds: (contact) => !has(contact['value']) || has(contact['system']) }],
  'Timing.repeat': [
    { key: 'tim-1', text: 'a duration needs a durationUnit', holds: (repeat) => !has(repeat['duration']) || has(repeat['durationUnit']) },
    { key: 'tim-2', text: 'a period needs a periodUnit', holds: (repeat) => !has(repeat['period']) || has(repeat['periodUnit']) },
    ...['duration', 'period'].map((name, index): Invariant => ({ key: `tim-${4 + index}`, text: `${name} must not be negative`, at: name, holds: (repeat) => typeof repeat[name] !== 'number' || repeat[name] >= 0 })),
    ...['period', 'duration', 'count'].map((name, index): Invariant => ({ key: `tim-${6 + index}`, text: `${name}Max needs a ${name}`, at: `${name}Max`, holds: (repeat) => !has(repeat[`${name}Max`]) || has(repeat[name]) })),
    { key: 'tim-9', text: 'an offset needs a when that is not C, CM, CD or CV', at: 'offset', holds: (repeat) => !has(repeat['offset']) || (Array.isArray(repeat['when']) && !repeat['when'].some((when) => ['C', 'CM', 'CD', 'CV'].includes(String(when)))) },
    { key: 'tim-10', text: 'timeOfDay and when exclude each other', holds: (repeat) => !has(repeat['timeOfDay']) || !has(repeat['when']) },
  ],
  'Patient.contact': [{ key: 'pat-1', text: "must hold at least a contact's details or a reference to an organization", holds: (contact) => ['name', 'telecom', 'address', 'organization'].some((name) => has(contact[name])) }],
  ServiceRequest: [{ key: 'prr-1', text: 'orderDetail needs a code', at: 'orderDetail', holds: (request) => !has(request['orderDetail']) || has(request['code']) }],
  Observation: [
    { key: 'obs-6', text: 'dataAbsentReason excludes value[x]', at: 'dataAbsentReason', holds: (observation) => !has(observation['dataAbsentReason']) || !hasChoice(observation, 'value') },
    { key: 'obs-7', text: 'a component with the code of the Observation excludes value[x] of the Observation', at: 'component', holds: (observation) => !hasChoice(observation, 'value') || !sharesCode(observation) },
  ],
  'Observation.referenceRange': [simple('low'), simple('high'), { key: 'obs-3', text: 'needs low, high or text', holds: (range) => ['low', 'high', 'text'].some((name) => has(range[name])) }],
  'ImagingStudy.series': [uid], 'ImagingStudy.series.instance': [uid],
  Condition: [
    ...required('clinicalStatus', 'condition-clinical', 'active|recurrence|relapse|inactive|remission|resolved'),
    ...required('verificationStatus', 'condition-ver-status', 'unconfirmed|provisional|differential|confirmed|refuted|entered-in-error'),
    { key: 'con-4', text: 'a condition that has abated is inactive, resolved or in remission', at: 'clinicalStatus', holds: (condition) => !hasChoice(condition, 'abatement') || codesOf(condition['clinicalStatus']).some((code) => ['resolved', 'remission', 'inactive'].includes(code)) },
    { key: 'con-5', text: 'what was entered in error has no clinicalStatus', at: 'clinicalStatus', holds: (condition) => !has(condition['clinicalStatus']) || !isInError(condition) },
  ],
  'Condition.stage': [{ key: 'con-1', text: 'needs a summary or an assessment', holds: (stage) => has(stage['summary']) || has(stage['assessment']) }],
  'Condition.evidence': [{ key: 'con-2', text: 'needs a code or a detail', holds: (evidence) => has(evidence['code']) || has(evidence['detail']) }],
  AllergyIntolerance: [
    ...required('clinicalStatus', 'allergyintolerance-clinical', 'active|inactive|resolved'), ...required('verificationStatus', 'allergyintolerance-verification', 'unconfirmed|confirmed|refuted|entered-in-error'),
    { key: 'ait-1', text: 'needs a clinicalStatus, unless it was entered in error', at: 'clinicalStatus', holds: (allergy) => has(allergy['clinicalStatus']) || isInError(allergy) },
    { key: 'ait-2', text: 'what was entered in error has no clinicalStatus', at: 'clinicalStatus', holds: (allergy) => !has(allergy['clinicalStatus']) || !isInError(allergy) },
  ],
  Organization: [
    { key: 'org-1', text: 'needs a name or an identifier', holds: (organization) => has(organization['name']) || has(organization['identifier']) },
    { key: 'org-2', text: "an address of an organization is never of use 'home'", at: 'address', holds: (organization) => list(organization['address']).every((address) => address['use'] !== 'home') },
    { key: 'org-3', text: "a telecom of an organization is never of use 'home'", at: 'telecom', holds: (organization) => list(organization['telecom']).every((telecom) => telecom['use'] !== 'home') },
  ],
  Task: [{ key: 'inv-1', text: 'lastModified must not be before authoredOn', at: 'lastModified', holds: (task) => isOrdered({ start: task['authoredOn'], end: task['lastModified'] }) }],
  CapabilityStatement: [
    { key: 'cpb-1', text: 'needs rest, messaging or document', holds: (statement) => ['rest', 'messaging', 'document'].some((name) => has(statement[name])) },
    { key: 'cpb-2', text: 'needs description, software or implementation', holds: (statement) => ['description', 'software', 'implementation'].some((name) => has(statement[name])) },
    { key: 'cpb-3', text: 'a messaging endpoint belongs to an instance', at: 'messaging', holds: (statement) => statement['kind'] === 'instance' || !list(statement['messaging']).some((messaging) => has(messaging['endpoint'])) },
    { key: 'cpb-15', text: 'a capability needs software and has no implementation', holds: (statement) => statement['kind'] !== 'capability' || (has(statement['software']) && !has(statement['implementation'])) },
    { key: 'cpb-16', text: 'requirements have no implementation and no software', holds: (statement) => statement['kind'] !== 'requirements' || (!has(statement['software']) && !has(statement['implementation'])) },
    { key: 'cpb-14', text: 'an instance needs an implementation', holds: (statement) => statement['kind'] !== 'instance' || has(statement['implementation']) },
  ],
  'CapabilityStatement.rest': [{ key: 'cpb-9', text: 'a resource type must not come twice', at: 'resource', holds: (rest) => isDistinct(list(rest['resource']).map((resource) => resource['type'])) }],
  'CapabilityStatement.rest.resource': [{ key: 'cpb-12', text: 'a search parameter must not come twice', at: 'searchParam', holds: (resource) => isDistinct(list(resource['searchParam']).map((parameter) => parameter['name'])) }],
  'AuditEvent.entity': [{ key: 'sev-1', text: 'has a name or a query, not both', holds: (entity) => !has(entity['name']) || !has(entity['query']) }],
  Bundle: [
    { key: 'bdl-9', text: 'a document needs an identifier with system and value', at: 'identifier', holds: (bundle) => bundle['type'] !== 'document' || (isFields(bundle['identifier']) && has(bundle['identifier']['system']) && has(bundle['identifier']['value'])) },
    { key: 'bdl-10', text: 'a document needs a timestamp', at: 'timestamp', holds: (bundle) => bundle['type'] !== 'document' || has(bundle['timestamp']) },
    { key: 'bdl-11', text: 'a document begins with a Composition', at: 'entry', holds: (bundle) => bundle['type'] !== 'document' || firstType(bundle) === 'Composition' },
    { key: 'bdl-12', text: 'a message begins with a MessageHeader', at: 'entry', holds: (bundle) => bundle['type'] !== 'message' || firstType(bundle) === 'MessageHeader' },
    { key: 'bdl-1', text: 'total goes with searchset and history only', at: 'total', holds: (bundle) => !has(bundle['total']) || only([bundle['type']], ['searchset', 'history']) },
    { key: 'bdl-7', text: 'a fullUrl must not come twice', at: 'entry', holds: hasDistinctUrls },
  ],
  'Bundle.entry': [
    { key: 'bdl-2', text: 'search goes with searchset only', at: 'search', holds: (entry, bundle) => !has(entry['search']) || bundle['type'] === 'searchset' },
    { key: 'bdl-3', text: 'request is needed in batch, transaction and history, and allowed nowhere else', at: 'request', holds: (entry, bundle) => has(entry['request']) === only([bundle['type']], ['batch', 'transaction', 'history']) },
    { key: 'bdl-4', text: 'response is needed in batch-response, transaction-response and history, and allowed nowhere else', at: 'response', holds: (entry, bundle) => has(entry['response']) === only([bundle['type']], ['batch-response', 'transaction-response', 'history']) },
    { key: 'bdl-5', text: 'needs a resource, a request or a response', holds: (entry) => ['resource', 'request', 'response'].some((name) => has(entry[name])) },
    { key: 'bdl-8', text: 'fullUrl must not name a version', at: 'fullUrl', holds: (entry) => !String(entry['fullUrl'] ?? '').includes('/_history/') },
  ],
};

/** A required binding of a CodeableConcept: one of its codings is of the value set, and none is another code of its system. */
function required(name: string, codeSystem: string, codes: string): Invariant[] {
  const known = codes.split('|'), system = `http://terminology.hl7.org/CodeSystem/${codeSystem}`;
  return [{
    key: `binding-${name}`, text: `needs a coding of ${system}: ${known.join(', ')}`, at: name,
    holds(element) {
      if (!isFields(element[name])) return true;
      const own = list(element[name]['coding']).filter((coding) => coding['system'] === system);
      return own.length > 0 && own.every((coding) => known.includes(String(coding['code'])));
    },
  }];
}

function codesOf(concept: unknown): string[] {
  return isFields(concept) ? list(concept['coding']).map((coding) => String(coding['code'])) : [];
}
function isInError(statement: Fields): boolean {
  return codesOf(statement['verificationStatus']).includes('entered-in-error');
}

/** '2012' and '2012-05' overlap, so nothing is wrong with them in either order. */
function isOrdered(period: Fields): boolean {
  const { start, end } = period;
  if (typeof start !== 'string' || typeof end !== 'string' || !isFhirDateTime(start) || !isFhirDateTime(end)) return true;
  if ((start.length > 10) !== (end.length > 10)) return start.slice(0, 10) <= end.slice(0, 10) || earliest(start.slice(0, 10)) <= latest(end.slice(0, 10));
  return earliest(start) <= latest(end);
}

function isGreater(low: unknown, high: unknown): boolean {
  if (!isFields(low) || !isFields(high) || low['code'] !== high['code'] || low['unit'] !== high['unit']) return false;
  return typeof low['value'] === 'number' && typeof high['value'] === 'number' && low['value'] > high['value'];
}

function isDistinct(values: readonly unknown[]): boolean {
  return new Set(values).size === values.length;
}

function firstType(bundle: Fields): unknown {
  const resource = list(bundle['entry'])[0]?.['resource'];
  return isFields(resource) ? resource['resourceType'] : undefined;
}

function sharesCode(observation: Fields): boolean {
  const codings = (concept: unknown): string[] => isFields(concept) ? list(concept['coding']).map((coding) => `${coding['system']}|${coding['version']}|${coding['code']}`) : [];
  const own = new Set(codings(observation['code']));
  return list(observation['component']).some((component) => codings(component['code']).some((coding) => own.has(coding)));
}

function hasDistinctUrls(bundle: Fields): boolean {
  if (bundle['type'] === 'history') return true;
  const urls = list(bundle['entry']).filter((entry) => has(entry['fullUrl'])).map((entry) => {
    const meta = isFields(entry['resource']) ? entry['resource']['meta'] : undefined;
    return `${String(entry['fullUrl'])} ${isFields(meta) ? String(meta['versionId'] ?? '') : ''}`;
  });
  return new Set(urls).size === urls.length;
}
