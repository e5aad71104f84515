/**
 * The structure tables (src/standards/fhir/structure-*.ts) are written by hand: here they are compared with the StructureDefinitions, value sets and code
 * systems that HL7 publishes, element by element. `npm run fetch:fhir-examples` brings them.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { summaryElements } from '../adapters/fhir-rest/subset.ts';
import { examplesFolder } from '../scripts/fetch-fhir-examples.ts';
import { dataTypes } from '../src/standards/fhir/structure-datatypes.ts';
import { resources } from '../src/standards/fhir/structure-resources.ts';
import { typeNamed } from '../src/standards/fhir/structure.ts';

const folder = process.env['MEDSCAN_FHIR_EXAMPLES'] ?? examplesFolder;
const read = (name: string): any => (existsSync(path.join(folder, name)) ? JSON.parse(readFileSync(path.join(folder, name), 'utf8')) : undefined);
const names = [...Object.keys(dataTypes), ...Object.keys(resources)].filter((name) => !name.includes('.'));
const isHere = existsSync(path.join(folder, 'StructureDefinition-Patient.json'));
const byName = (a: string, b: string): number => a.localeCompare(b);

/** Codes without an end: checked by form, not by list. */
const openEnded = /ValueSet\/(currencies|mimetypes|languages|all-types|FHIR-version|resource-types)\b/;

interface Published { readonly owner: string; readonly name: string; readonly min: number; readonly max: string; readonly isSummary: boolean; readonly types: readonly string[]; readonly targets: readonly string[]; readonly valueSet: string | undefined; readonly isBackbone: boolean }
function published(name: string): Published[] {
  return read(`StructureDefinition-${name}.json`).snapshot.element.filter(({ path: at }: any) => at.includes('.')).map((element: any) => {
    const steps: string[] = element.path.split('.'), types: any[] = element.type ?? [];
    return {
      owner: steps.slice(0, -1).join('.'), name: steps.at(-1), min: element.min, max: element.max, isSummary: element.isSummary === true, types: types.map(({ code }) => (code.startsWith('http:') ? 'string' : code)).toSorted(byName),
      targets: [...new Set<string>(types.flatMap(({ code, targetProfile }) => (code === 'Reference' ? targetProfile ?? [] : [])).map((url: string) => url.split('/').at(-1)!))].filter((target) => target !== 'Resource').toSorted(byName),
      valueSet: element.binding?.strength === 'required' && types.length === 1 && types[0].code === 'code' ? element.binding.valueSet : undefined,
      isBackbone: element.contentReference !== undefined || types.some(({ code }) => code === 'BackboneElement' || code === 'Element'),
    };
  });
}

/** Undefined where the package does not hold what the value set includes. */
function codesOf(valueSet: string): string[] | undefined {
  const { compose } = read(`ValueSet-${/ValueSet\/([\w-]+)/.exec(valueSet)?.[1]}.json`) ?? {};
  if (compose === undefined || compose.exclude !== undefined) return undefined;
  const codes = compose.include.map(({ concept, filter, system }: any) => (filter ? undefined : concept ?? read(`CodeSystem-${system?.split('/').at(-1)}.json`)?.concept)?.flatMap(flat));
  return codes.includes(undefined) ? undefined : [...new Set<string>(codes.flat())].toSorted(byName);
}
const flat = ({ code, concept = [] }: any): string[] => [code, ...concept.flatMap(flat)];

describe.skipIf(!isHere)(`structure tables (${isHere ? folder : 'definitions absent: npm run fetch:fhir-examples, or set MEDSCAN_FHIR_EXAMPLES'})`, () => {
  test.each(names)('%s has the elements, cardinalities, types, reference targets and required codes of R4', (name) => {
    const elements = published(name);
    for (const owner of new Set(elements.map((element) => element.owner))) {
      const own = typeNamed(owner)?.elements ?? [], theirs = elements.filter((element) => element.owner === owner);
      expect([owner, own.map((element) => element.name).toSorted(byName)]).toEqual([owner, theirs.map((element) => element.name).toSorted(byName)]);
      for (const element of theirs) {
        const rule = own.find((each) => each.name === element.name)!, at = `${owner}.${element.name}`;
        expect([at, rule.isRequired, rule.isList]).toEqual([at, element.min > 0, element.max !== '1']);
        // An open choice lists the types that the tables hold; Extension.url is a string of FHIRPath and a uri to everybody.
        if (!element.isBackbone && element.types.length < 40 && at !== 'Extension.url' && element.name !== 'id') expect([at, rule.types.toSorted(byName)]).toEqual([at, element.types]);
        expect([at, [...rule.targets].toSorted(byName)]).toEqual([at, element.targets]);
        const codes = element.valueSet === undefined || openEnded.test(element.valueSet) ? undefined : codesOf(element.valueSet);
        if (codes !== undefined) expect([at, [...rule.codes].toSorted(byName)]).toEqual([at, codes]);
      }
    }
  });

  test.each(Object.keys(summaryElements))('the summary of %s has the elements that R4 marks', (name) => {
    const own = published(name).filter(({ owner }) => owner === name), always = new Set(['id', 'meta', 'implicitRules', 'language']);
    const marked = own.filter((element) => element.isSummary && element.min === 0 && !always.has(element.name)).map((element) => element.name).toSorted(byName);
    const required = new Set(own.filter(({ min }) => min > 0).map((element) => element.name));
    expect(summaryElements[name as keyof typeof summaryElements].filter((element) => !required.has(element)).toSorted(byName)).toEqual(marked);
  });
});
