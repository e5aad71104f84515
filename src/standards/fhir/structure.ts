/** The structure tables as lookups: `typeNamed('Patient.contact')`, its elements by name and by choice name (`deceasedBoolean`). */
import { dataTypes } from './structure-datatypes.ts';
import { resources } from './structure-resources.ts';

export interface ElementRule {
  /** As the standard writes it: `deceased[x]`. */
  readonly name: string;
  readonly types: readonly string[];
  readonly isRequired: boolean;
  readonly isList: boolean;
  /** Codes of a required binding; empty when any code will do. */
  readonly codes: ReadonlySet<string>;
  /** Resource types a Reference may point to; empty when any will do. */
  readonly targets: ReadonlySet<string>;
}
export interface TypeRule {
  readonly name: string;
  readonly elements: readonly ElementRule[];
  /** JSON property name -> its element and the one type that the property stands for. */
  readonly properties: ReadonlyMap<string, { readonly element: ElementRule; readonly type: string }>;
}

export const primitiveTypes: ReadonlySet<string> = new Set(('boolean integer string decimal uri url canonical base64Binary instant date dateTime time code oid id '
  + 'markdown unsignedInt positiveInt uuid xhtml').split(' '));
/** Extension.value[x] and Task.input.value[x]: the open type list of R4 (datatypes.html#open), as far as the tables hold them. */
const openTypes = [...primitiveTypes].filter((type) => type !== 'xhtml').concat(('Address Age Annotation Attachment CodeableConcept Coding ContactPoint Count Distance '
  + 'Duration HumanName Identifier Money Period Quantity Range Ratio Reference SampledData Signature Timing ContactDetail UsageContext Meta').split(' '));

const ofElement = 'extension Extension*';
const ofBackbone = `${ofElement}\nmodifierExtension Extension*`;
const ofResource = 'id id\nmeta Meta\nimplicitRules uri\nlanguage code';
const ofDomainResource = `${ofResource}\ntext Narrative\ncontained Resource*\n${ofBackbone}`;

const types = new Map<string, TypeRule>([['Element', typeRule('Element', `id string\n${ofElement}`)]]);
for (const [name, table] of Object.entries(dataTypes)) types.set(name, typeRule(name, `id string\n${name === 'Timing' ? ofBackbone : ofElement}\n${table}`));
for (const [name, table] of Object.entries(resources)) types.set(name, typeRule(name, `${inherited(name)}\n${table}`));

function inherited(name: string): string {
  if (name.includes('.')) return `id string\n${ofBackbone}`;
  return name === 'Bundle' || name === 'Binary' ? ofResource : ofDomainResource;
}

function typeRule(name: string, table: string): TypeRule {
  const elements = table.split('\n').map((line) => line.trim()).filter(Boolean).map(elementRule);
  const properties = elements.flatMap((element) => element.types.map((type) => [propertyName(element.name, type), { element, type }] as const));
  return { name, elements, properties: new Map(properties) };
}

function elementRule(line: string): ElementRule {
  const [name = '', typing = '', extra = ''] = line.split(/\s+/);
  const open = typing === '*' || typing === '*!';
  const cardinality = open ? typing.slice(1) : /[!*+]?$/.exec(typing)?.[0] ?? '';
  const named = open ? openTypes : typing.slice(0, typing.length - cardinality.length).split('|');
  const words = new Set(extra.split('|').filter(Boolean));
  const isCode = named.includes('code') && !open;
  return {
    name, types: named, isRequired: cardinality === '!' || cardinality === '+', isList: cardinality === '*' || cardinality === '+',
    codes: isCode ? words : new Set(), targets: isCode ? new Set() : words,
  };
}

/** `deceased[x]` of type boolean is the property `deceasedBoolean`. */
function propertyName(element: string, type: string): string {
  return element.endsWith('[x]') ? element.slice(0, -3) + type.charAt(0).toUpperCase() + type.slice(1) : element;
}

/** Undefined for a type that the tables do not hold. */
export function typeNamed(name: string): TypeRule | undefined {
  return types.get(name);
}

/** The resources whose content is checked element by element. */
export function isKnownResource(resourceType: string): boolean {
  return !resourceType.includes('.') && Object.hasOwn(resources, resourceType);
}
