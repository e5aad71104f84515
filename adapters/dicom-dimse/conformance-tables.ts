/** The tables of the conformance statement. What it says of presentation contexts is asked of the function that negotiates them. */
import { resultSopClasses } from '#standards/dicom/result-modules.ts';
import { storageSopClasses } from '#standards/dicom/sop-classes.ts';
import { explicitVrLittleEndian, implicitVrLittleEndian, transferSyntaxes } from '#standards/dicom/transfer-syntaxes.ts';
import { negotiate, otherStorageClasses, verification } from './association.ts';
import type { Config } from './config.ts';
import { serviceSopClasses } from './services.ts';
import { ContextResult } from './upper-layer/pdu.ts';

export type Row = readonly (string | number)[];
export const table = (head: Row, rows: readonly Row[]): string => [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

const serviceNames: ReadonlyMap<string, string> = new Map([
  [verification, 'Verification'], ['1.2.840.10008.1.20.1', 'Storage Commitment Push Model'], ['1.2.840.10008.3.1.2.3.3', 'Modality Performed Procedure Step'], ['1.2.840.10008.5.1.4.31', 'Modality Worklist Information Model - FIND'],
  ...(['Patient', 'Study'] as const).flatMap((root, index) => (['FIND', 'MOVE', 'GET'] as const).map((verb, at): [string, string] => [`1.2.840.10008.5.1.4.1.2.${index + 1}.${at + 1}`, `${root} Root Query/Retrieve Information Model - ${verb}`])),
]);
export const serviceName = (uid: string): string => serviceNames.get(uid) ?? uid;

/** What a context of this SOP class gets that proposes every transfer syntax: the accepted ones, or the result that refuses it. */
export function answerTo(abstractSyntax: string, config: Config): { readonly result: number; readonly transferSyntaxes: readonly string[] } {
  const taken = [...transferSyntaxes.keys()].filter((uid) => negotiate({ id: 1, abstractSyntax, transferSyntaxes: [uid] }, config).result === ContextResult.acceptance);
  return { result: negotiate({ id: 1, abstractSyntax, transferSyntaxes: [...transferSyntaxes.keys()] }, config).result, transferSyntaxes: taken };
}

const isUncompressed = (list: readonly string[]): boolean => list.length === 2 && list.includes(implicitVrLittleEndian) && list.includes(explicitVrLittleEndian);
const asWords = (list: readonly string[]): string => (list.length === transferSyntaxes.size ? 'all of section 4.2.1.1' : isUncompressed(list) ? 'Explicit and Implicit VR Little Endian' : list.join(', '));
const results = ['accepted', 'refused (1, user rejection)', 'refused (2)', 'refused (3, abstract syntax not supported)', 'refused (4, transfer syntaxes not supported)'];

export interface AcceptedContexts { readonly accepted: readonly Row[]; readonly refused: readonly Row[] }

/** Rows of SOP class name, UID, role, transfer syntaxes; and of those that are refused, with the reason. */
export function presentationContexts(config: Config): AcceptedContexts {
  const known = [
    ...[verification, ...serviceSopClasses.keys()].map((uid): [string, string] => [serviceName(uid), uid]),
    ...[...storageSopClasses.values()].map(({ name, uid }): [string, string] => [name, uid]),
    ...[...otherStorageClasses].map(([uid, name]): [string, string] => [name, uid]),
    ...config.sop_classes.filter((uid) => !storageSopClasses.has(uid) && !otherStorageClasses.has(uid)).map((uid): [string, string] => ['(listed in sop_classes)', uid]),
  ];
  const answers = known.map(([name, uid]) => ({ name, uid, ...answerTo(uid, config) }));
  return {
    accepted: answers.filter(({ result }) => result === ContextResult.acceptance).map(({ name, uid, transferSyntaxes: taken }) => [name, uid, 'SCP', asWords(taken)]),
    refused: answers.filter(({ result }) => result !== ContextResult.acceptance).map(({ name, uid, result }) => [name, uid, results[result] ?? result]),
  };
}

/** What we ask of this system as SCU, by its settings. */
export function initiatedServices(config: Config): readonly Row[] {
  const { destination, completeness, priors, worklist, storage_commitment: commitment, query_root: root, retrieve_by: by } = config;
  if (!destination) return [];
  const end = root === 'patient' ? 1 : 2, queries = completeness !== undefined || priors !== undefined, fetches = priors !== undefined || completeness?.when_missing === 'fetch';
  const uid = (last: number): string => `1.2.840.10008.5.1.4.1.2.${end}.${last}`;
  const row = (of: string, when: string): Row => [serviceName(of), of, 'SCU', when];
  return [
    row(verification, 'connection test'),
    ...config.results.map((kind): Row => [storageSopClasses.get(resultSopClasses[kind])!.name, resultSopClasses[kind], 'SCU', 'a report is delivered']),
    ...(queries ? [row(uid(1), 'completeness, priors')] : []),
    ...(fetches ? [row(uid(by === 'C-GET' ? 3 : 2), 'missing images, priors')] : []),
    ...(fetches && by === 'C-GET' ? [['storage classes, by role selection', '1.2.840.10008.5.1.4.1.1...', 'SCP', 'sub-operations of our C-GET'] satisfies Row] : []),
    ...(worklist ? [row('1.2.840.10008.5.1.4.31', `every ${worklist.every_seconds} s`)] : []),
    ...(commitment ? [row('1.2.840.10008.1.20.1', 'after a delivery')] : []),
  ];
}
