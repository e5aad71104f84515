/** Which of the studies that a source names are fetched as priors: the rule, and what keeps another patient's study out. */
import { expect, test } from 'vitest';
import type { FoundStudy, PriorsRule } from '#gateway/queries.ts';
import { choose, isAbout } from './priors.ts';

const rule: PriorsRule = { when: 'complete', mostStudies: 2, withinDays: 1825, mostInstances: 1000, modality: 'same', bodyPart: 'same_or_unknown', forScanTypes: [], analyze: false };
const scan = { study_instance_uid: '1.1', study_at: new Date('2026-06-01T10:00:00Z'), modalities: ['CT'], body_part: 'CHEST', birth_date: '1980-05-17' };
const study = (studyInstanceUid: string, more: Partial<FoundStudy> = {}): FoundStudy => ({
  studyInstanceUid, patientId: 'P1', issuerOfPatientId: '', patientBirthDate: '19800517', studyDate: '20250101', studyTime: '', modalities: ['CT'], bodyParts: ['CHEST'], numberOfInstances: 100, ...more,
});
const chosen = (found: readonly FoundStudy[], more: Partial<PriorsRule> = {}, of: Partial<typeof scan> = {}) => choose(found, { ...scan, ...of }, { wanted: { assigningAuthority: 'NORTH' } }, { ...rule, ...more });
const uids = (...parameters: Parameters<typeof chosen>): string[] => chosen(...parameters).chosen.map(({ studyInstanceUid }) => studyInstanceUid);

test('the newest come first, and no more than wanted', () => {
  const found = [study('1.2', { studyDate: '20230101' }), study('1.3', { studyDate: '20250101', studyTime: '080000' }), study('1.4', { studyDate: '20250101', studyTime: '090000' })];
  expect(chosen(found)).toEqual({ chosen: [found[2], found[1]], left: ['1 older than those wanted'] });
});

test('the scan itself is no prior of its own', () => {
  expect(chosen([study('1.1'), study('1.2')])).toEqual({ chosen: [study('1.2')], left: [] });
});

test.each([
  ['another birth date', { patientBirthDate: '19800518' }, '1 with another birth date'],
  ['another issuer of the patient ID', { issuerOfPatientId: 'SOUTH' }, '1 of another issuer of patient IDs'],
  ['another modality', { modalities: ['MR'] }, '1 of other modalities'],
  ['another body part', { bodyParts: ['HEAD'] }, '1 of other body parts'],
  ['too many images', { numberOfInstances: 1001 }, '1 with too many images'],
])('a study with %s is left out, and it is said why', (_, more, why) => {
  expect(chosen([study('1.2', more)])).toEqual({ chosen: [], left: [why] });
});

test.each([
  ['the birth date is not told', { patientBirthDate: '' }], ['the issuer is ours', { issuerOfPatientId: 'NORTH' }], ['one of several modalities is the scan\'s', { modalities: ['SR', 'CT'] }],
  ['the modality is not told', { modalities: [] }], ['the body part is not told', { bodyParts: [] }], ['one of several body parts is the scan\'s', { bodyParts: ['ABDOMEN', 'Chest'] }], ['the number of images is not told', { numberOfInstances: undefined }],
])('a study of which %s is taken', (_, more) => {
  expect(uids([study('1.2', more)])).toEqual(['1.2']);
});

test('a dose report or a presentation state makes no MR an earlier study of a CT', () => {
  expect(uids([study('1.2', { modalities: ['MR', 'SR', 'PR'] }), study('1.3', { modalities: ['CT', 'SR'] })], {}, { modalities: ['CT', 'PR', 'SR'] })).toEqual(['1.3']);
  expect(uids([study('1.2', { modalities: ['OT'] }), study('1.3')], {}, { modalities: ['OT'] }), 'where there is nothing else').toEqual(['1.2']);
});

test('"same" body part wants to be told of both; "any" asks for neither', () => {
  expect(uids([study('1.2', { bodyParts: [] })], { bodyPart: 'same' })).toEqual([]);
  expect(uids([study('1.2')], { bodyPart: 'same' }, { body_part: null as never })).toEqual([]);
  expect(uids([study('1.2', { bodyParts: ['FOOT'], modalities: ['MR'] })], { bodyPart: 'any', modality: 'any' })).toEqual(['1.2']);
});

test('a rule may be about some kinds of scan only', () => {
  expect([isAbout(rule, 'ct'), isAbout({ ...rule, forScanTypes: ['mri'] }, 'ct'), isAbout({ ...rule, forScanTypes: ['mri', 'ct'] }, 'ct')]).toEqual([true, false, true]);
});
