import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { dataTypes } from './structure-datatypes.ts';
import { resources } from './structure-resources.ts';
import { typeNamed } from './structure.ts';

/** The tables are kept by hand; the declarations of @medplum/fhirtypes, made from the published definitions, are the second opinion. */
const declarations = join(dirname(createRequire(import.meta.url).resolve('@medplum/fhirtypes/package.json')), 'dist');
interface Declared { readonly isRequired: boolean; readonly isList: boolean; readonly codes: readonly string[] }

function declared(type: string): Map<string, Declared> | undefined {
  const [root = ''] = type.split('.');
  const text = readFileSync(join(declarations, `${root}.d.ts`), 'utf8').replaceAll(/\/\*[\s\S]*?\*\//g, '');
  const name = type.split('.').map((part) => part.charAt(0).toUpperCase() + part.slice(1)).join('');
  const body = new RegExp(`export interface ${name}(?:<[^>]*>)?(?: extends [^{]+)? \\{([\\s\\S]*?)\\n\\}`).exec(text)?.[1];
  if (body === undefined) return undefined;
  const lines = [...body.matchAll(/^\s*(?:readonly )?'?([\w]+)'?(\??): ([^;]+);/gm)];
  return new Map(lines.map(([, property = '', optional, typing = '']) => [property,
    { isRequired: optional === '', isList: typing.endsWith('[]'), codes: [...typing.matchAll(/'([^']+)'/g)].map(([, code = '']) => code) }]));
}

/** The package's own server adds these to the standard's. */
const additions = new Set(['Binary.url', 'Meta.account', 'Meta.accounts', 'Meta.author', 'Meta.compartment', 'Meta.deleted', 'Meta.onBehalfOf', 'Meta.project']);
/** Long code lists that the tables leave open: ISO 4217, resource types, versions of FHIR. */
const isOpenEnded = new Set(['Money.currency', 'CapabilityStatement.rest.resource.type', 'CapabilityStatement.fhirVersion']);
const common = new Set(['resourceType', 'id', 'meta', 'implicitRules', 'language', 'text', 'contained', 'extension', 'modifierExtension']);
const names = [...Object.keys(resources), ...Object.keys(dataTypes)].filter((name) => name !== 'Extension' && name !== 'Reference' && !/^Task\.(input|output)$/.test(name));

test.each(names)('%s has the elements, cardinality and codes of the published definitions', (name) => {
  const rule = typeNamed(name), other = declared(name);
  expect(rule).toBeDefined();
  expect(other, `${name} is not declared`).toBeDefined();
  const ours = [...rule?.properties ?? []].filter(([property]) => !common.has(property) || name.includes('.') && ['language', 'text'].includes(property));
  const theirs = [...other ?? []].filter(([property]) => !property.startsWith('_') && !additions.has(`${name}.${property}`) && (!common.has(property) || name.includes('.') && ['language', 'text'].includes(property)));
  expect(ours.map(([property]) => property).toSorted()).toEqual(theirs.map(([property]) => property).toSorted());
  for (const [property, { element }] of ours) {
    const declaration = other?.get(property);
    const isChoice = element.name.endsWith('[x]');
    expect({ property, isList: element.isList, isRequired: !isChoice && element.isRequired }).toEqual({ property, isList: declaration?.isList, isRequired: !isChoice && declaration?.isRequired });
    if (!isOpenEnded.has(`${name}.${property}`)) expect({ property, codes: [...element.codes].toSorted() }).toEqual({ property, codes: declaration?.codes.toSorted() });
  }
});
