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
const isUid = (value: unknown): boolean => typeof value !== 'string' || (value.length <= 64 && /^[0-2](\.(0|[1-9]\d*))+$/.test(value));
const uid: Invariant = { key: 'PS3.5-9.1', text: 'must be a DICOM UID: digits and dots, at most 64 characters, no leading zero', at: 'uid', holds: (element) => isUid(element['uid']) };

export const invariants: Readonly<Record<string, readonly Invariant[]>> = {
  Extension: [{ key: 'ext-1', text: 'must have either a value[x] or extensions, not both', holds: (extension) => (hasChoice(extension, 'value') || hasChoice(extension, '_value')) !== has(extension['extension']) }],
  Period: [{ key: 'per-1', text: 'start must not be later than end', holds: isOrdered }],
  Quantity: [qty3], Age: [qty3], Count: [qty3], Distance: [qty3], Duration: [qty3],
  Range: [{ key: 'rng-2', text: 'low must not be greater than high', holds: (range) => !isGreater(range['low'], range['high']) }],
  Ratio: [{ key: 'rat-1', text: 'numerator and denominator must both be present or both absent', holds: (ratio) => has(ratio['numerator']) === has(ratio['denominator']) && (has(ratio['numerator']) || has(ratio['extension'])) }],
  Attachment: [{ key: 'att-1', text: 'data needs a contentType', at: 'data', holds: (attachment) => !has(attachment['data']) || has(attachment['contentType']) }],
  ContactPoint: [{ key: 'cpt-2', text: 'a value needs a system (phone, email ...)', at: 'value', holds: (contact) => !has(contact['value']) || has(contact['system']) }],
  'Timing.repeat': [
    { key: 'tim-1', text: 'a duration needs a durationUnit', holds: (repeat) => !has(repeat['duration']) || has(repeat['durationUnit']) },
    { key: 'tim-2', text: 'a period needs a periodUnit', holds: (repeat) => !has(repeat['period']) || has(repeat['periodUnit']) },
    { key: 'tim-10', text: 'timeOfDay and when exclude each other', holds: (repeat) => !has(repeat['timeOfDay']) || !has(repeat['when']) },
  ],
  'Patient.contact': [{ key: 'pat-1', text: "must hold at least a contact's details or a reference to an organization", holds: (contact) => ['name', 'telecom', 'address', 'organization'].some((name) => has(contact[name])) }],
  ServiceRequest: [{ key: 'prr-1', text: 'orderDetail needs a code', at: 'orderDetail', holds: (request) => !has(request['orderDetail']) || has(request['code']) }],
  Observation: [
    { key: 'obs-6', text: 'dataAbsentReason excludes value[x]', at: 'dataAbsentReason', holds: (observation) => !has(observation['dataAbsentReason']) || !hasChoice(observation, 'value') },
    { key: 'obs-7', text: 'a component with the code of the Observation excludes value[x] of the Observation', at: 'component', holds: (observation) => !hasChoice(observation, 'value') || !sharesCode(observation) },
  ],
  'Observation.referenceRange': [{ key: 'obs-3', text: 'needs low, high or text', holds: (range) => ['low', 'high', 'text'].some((name) => has(range[name])) }],
  'ImagingStudy.series': [uid], 'ImagingStudy.series.instance': [uid],
  Organization: [{ key: 'org-1', text: 'needs a name or an identifier', holds: (organization) => has(organization['name']) || has(organization['identifier']) }],
  CapabilityStatement: [
    { key: 'cpb-1', text: 'needs rest, messaging or document', holds: (statement) => ['rest', 'messaging', 'document'].some((name) => has(statement[name])) },
    { key: 'cpb-2', text: 'needs description, software or implementation', holds: (statement) => ['description', 'software', 'implementation'].some((name) => has(statement[name])) },
    { key: 'cpb-14', text: 'an instance needs an implementation', holds: (statement) => statement['kind'] !== 'instance' || has(statement['implementation']) },
  ],
  Bundle: [
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
