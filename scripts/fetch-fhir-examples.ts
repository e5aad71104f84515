/**
 * Fetches the published examples of FHIR R4 (npm package hl7.fhir.r4.examples, CC0) and keeps the resource types that the gateway takes or sends, and the
 * definitions of these types, for test/fhir-examples.test.ts and test/fhir-structure.test.ts: npm run fetch:fhir-examples. Done before, it does nothing.
 * `npm pack` is the only thing that touches the network.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { dataTypes } from '../src/standards/fhir/structure-datatypes.ts';
import { resources } from '../src/standards/fhir/structure-resources.ts';
import { filesOfTarball } from '../test/support/tarball.ts';

export const EXAMPLES_PACKAGE = 'hl7.fhir.r4.examples@4.0.1';
export const examplesFolder = path.join(import.meta.dirname, '..', 'node_modules', '.cache', 'medscan', EXAMPLES_PACKAGE);
const wanted = /^package\/((?:Patient|ServiceRequest|ImagingStudy|Task|Condition|AllergyIntolerance|Observation|DiagnosticReport|Device|Provenance|AuditEvent|OperationOutcome|CapabilityStatement|Encounter|Medication|Organization|Practitioner)-[^/]+\.json)$/;
const definition = new RegExp(String.raw`^package/(StructureDefinition-(?:${[...Object.keys(dataTypes), ...Object.keys(resources)].filter((name) => !name.includes('.')).join('|')})\.json)$`);
const terminology = /^package\/((?:ValueSet|CodeSystem)-[^/]+\.json)$/;

if (import.meta.main) {
  if (existsSync(examplesFolder)) process.stdout.write(`${EXAMPLES_PACKAGE} is here already: ${examplesFolder}\n`);
  else fetchExamples(process.argv[2]);
}

/** `tarball` is a copy that is here already. */
function fetchExamples(tarball: string | undefined): void {
  const directory = mkdtempSync(path.join(tmpdir(), 'medscan-examples-'));
  try {
    const file = tarball ?? path.join(directory, execFileSync('npm', ['pack', EXAMPLES_PACKAGE, '--silent', '--pack-destination', directory], { encoding: 'utf8' }).trim().split('\n').at(-1) ?? '');
    const unfinished = `${examplesFolder}.unfinished`;
    rmSync(unfinished, { recursive: true, force: true });
    mkdirSync(unfinished, { recursive: true });
    let count = 0;
    const sets = new Map<string, Buffer>(), bound = new Set<string>();
    for (const { name, content } of filesOfTarball(readFileSync(file))) {
      const [, bare] = wanted.exec(name) ?? definition.exec(name) ?? [];
      const [, codes] = terminology.exec(name) ?? [];
      if (codes !== undefined) sets.set(codes, content);
      if (bare === undefined) continue;
      if (bare.startsWith('StructureDefinition-')) for (const [, id] of content.toString().matchAll(/"valueSet"\s*:\s*"http:\/\/hl7\.org\/fhir\/ValueSet\/([\w-]+)/g)) bound.add(id ?? '');
      writeFileSync(path.join(unfinished, bare), content);
      count += 1;
    }
    for (const id of bound) for (const file of [`ValueSet-${id}.json`, `CodeSystem-${id}.json`]) {
      const content = sets.get(file);
      if (content !== undefined && content.byteLength < 500_000) writeFileSync(path.join(unfinished, file), content);
    }
    renameSync(unfinished, examplesFolder);
    process.stdout.write(`${count} examples and definitions of ${EXAMPLES_PACKAGE} are in ${examplesFolder}\n`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
