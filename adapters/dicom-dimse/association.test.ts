import { expect, test } from 'vitest';
import { decideAssociation, isStorage, resolveIntegration } from './association.ts';
import type { Config } from './config.ts';
import { integration } from './testing/gateway.ts';
import { associateRequest } from './testing/peer.ts';
import { decodeAssociateRequest } from './upper-layer/pdu.ts';

const caller = { calledAeTitle: 'MEDSCAN', callingAeTitle: 'CT1' };
const resolved = (address: string, ...integrations: ReturnType<typeof integration>[]): string => {
  const found = resolveIntegration(caller, address, integrations);
  return found.kind === 'found' ? found.integration.integrationId : `${found.rejection.result}/${found.rejection.source}/${found.rejection.reason}`;
};

test('takes the most specific integration, whatever their order', () => {
  const any = integration({}, 'any'), byAddress = integration({ addresses: ['10.0.0.0/8'] }, 'address'), byTitle = integration({ calling_ae_titles: ['CT1'] }, 'title'), both = integration({ calling_ae_titles: ['CT1'], addresses: ['10.1.2.3'] }, 'both');
  expect(resolved('10.1.2.3', any, byAddress, byTitle, both)).toBe('both');
  expect(resolved('10.1.2.3', both, byTitle, byAddress, any)).toBe('both');
  expect(resolved('10.9.9.9', any, byAddress, byTitle, both)).toBe('title');
  expect(resolved('10.9.9.9', any, byAddress)).toBe('address');
  expect(resolved('192.168.0.1', any, byAddress)).toBe('any');
});

test('rejects with the reason of PS3.8 table 9-21', () => {
  expect(resolved('10.0.0.1', integration({ called_ae_title: 'OTHER' }))).toBe('1/1/7');
  expect(resolved('10.0.0.1', integration({ calling_ae_titles: ['MR1'] }))).toBe('1/1/3');
  expect(resolved('10.0.0.1', integration({ addresses: ['10.0.0.2', '192.168.0.0/16', '::1'] }))).toBe('1/1/3');
});

test('puts a refused caller to the account of the integration that it called, when there is one only', () => {
  const only = integration({ calling_ae_titles: ['MR1'] }, 'only');
  expect(resolveIntegration(caller, '10.0.0.1', [only])).toMatchObject({ kind: 'reject', integration: { integrationId: 'only' } });
  expect(resolveIntegration(caller, '10.0.0.1', [only, integration({ calling_ae_titles: ['MR2'] }, 'second')])).toMatchObject({ kind: 'reject', integration: undefined });
});

test('lets no order of a list decide between two organizations', () => {
  const one = integration({}, 'one', 'organization-1'), other = integration({}, 'other', 'organization-2');
  expect(resolved('10.0.0.1', one, other)).toBe('1/1/3');
  expect(resolved('10.0.0.1', integration({}, 'b'), integration({}, 'a'))).toBe('a');
});

test('knows IPv6 addresses and networks', () => {
  expect(resolved('fd00::5', integration({ addresses: ['fd00::/8'] }, 'v6'))).toBe('v6');
  expect(resolved('fe80::5', integration({ addresses: ['fd00::/8', '10.0.0.1'] }, 'v6'))).toBe('1/1/3');
});

test('accepts each context in its first transfer syntax, and refuses what is not storage or verification', () => {
  const contexts = [
    { id: 1, abstractSyntax: '1.2.840.10008.1.1', transferSyntaxes: ['1.2.840.10008.1.2'] },
    { id: 3, abstractSyntax: '1.2.840.10008.5.1.4.1.1.2', transferSyntaxes: ['1.2.840.10008.1.2.4.90', '1.2.840.10008.1.2'] },
    { id: 5, abstractSyntax: '1.2.840.10008.5.1.4.1.2.2.1', transferSyntaxes: ['1.2.840.10008.1.2'] },
    { id: 7, abstractSyntax: '1.3.46.670589.5.0.1', transferSyntaxes: ['1.2.840.10008.1.2.1'] },
    { id: 9, abstractSyntax: '1.2.840.10008.5.1.4.1.1.2', transferSyntaxes: [] },
    { id: 11, abstractSyntax: '', transferSyntaxes: ['1.2.840.10008.1.2'] },
  ];
  const request = decodeAssociateRequest(associateRequest({ contexts }));
  const results = (accept: boolean): unknown => {
    const decision = decideAssociation(request, '10.0.0.1', { all: () => [integration({ accept_unknown_sop_classes: accept })] }, 4096);
    return decision.kind === 'accept' ? decision.contexts.map(({ id, result, transferSyntax }) => [id, result, transferSyntax]) : decision;
  };
  const expected = [[1, 0, '1.2.840.10008.1.2'], [3, 0, '1.2.840.10008.1.2.4.90'], [5, 1, '1.2.840.10008.1.2'], [7, 0, '1.2.840.10008.1.2.1'], [9, 4, '1.2.840.10008.1.2'], [11, 3, '1.2.840.10008.1.2']];
  expect(results(true)).toEqual(expected);
  expect(results(false)).toEqual(expected.map((row) => (row[0] === 7 ? [7, 3, '1.2.840.10008.1.2.1'] : row)));
});

test('accepts a service beside storage only where its setting allows it, in a transfer syntax that identifiers are read and written in', () => {
  const root = '1.2.840.10008.', implicit = '1.2.840.10008.1.2', explicit = '1.2.840.10008.1.2.1', jpeg = '1.2.840.10008.1.2.4.70';
  const services = ['5.1.4.1.2.1.1', '5.1.4.1.2.2.2', '5.1.4.1.2.2.3', '5.1.4.31', '3.1.2.3.3', '1.20.1'].map((end) => root + end);
  const contexts = [...services.map((abstractSyntax, index) => ({ id: 2 * index + 1, abstractSyntax, transferSyntaxes: [jpeg, implicit, explicit] })), { id: 21, abstractSyntax: services[5]!, transferSyntaxes: [jpeg] }];
  const request = decodeAssociateRequest(associateRequest({ contexts }));
  const results = (config: Partial<Config>): unknown => {
    const decision = decideAssociation(request, '10.0.0.1', { all: () => [integration(config)] }, 4096);
    return decision.kind === 'accept' ? decision.contexts.map(({ result, transferSyntax }) => (result === 0 ? transferSyntax : result)) : decision;
  };
  expect(results({})).toEqual([1, 1, 1, 1, 1, explicit, 4]);
  expect(results({ allow_query: true })).toEqual([explicit, 1, 1, 1, 1, explicit, 4]);
  expect(results({ allow_retrieve: true })).toEqual([1, explicit, explicit, 1, 1, explicit, 4]);
  expect(results({ allow_worklist: true })).toEqual([1, 1, 1, explicit, explicit, explicit, 4]);
});

test('tells storage from query, print and worklist', () => {
  const root = '1.2.840.10008.';
  expect(['5.1.4.1.1.1', '5.1.4.1.1.88.34', '5.1.4.34.7', '5.1.4.1.1.9999'].map((end) => isStorage(root + end, false))).toEqual([true, true, true, true]);
  expect(['5.1.4.1.2.1.1', '5.1.1.9', '5.1.4.31', '3.1.2.3.3', '1.20.1', '5.1.4.1.1.200.4'].map((end) => isStorage(root + end, true))).toEqual([false, false, false, false, false, false]);
});

test('takes no objects that belong to no patient: they could not be filed under a study', () => {
  const root = '1.2.840.10008.5.1.4.';
  expect(['38.1', '39.1', '43.1', '44.1', '45.1', '1.1.200.1', '1.1.200.3', '1.1.200.7', '1.1.201.1'].filter((end) => isStorage(root + end, true))).toEqual([]);
});
