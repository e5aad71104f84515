/**
 * What this server does, as it is (R4 capabilitystatement.html); answered to GET metadata without login. Made from the table of served types. R4 has no
 * element for modifiers, prefixes and what _sort takes: they stand in the documentation, in words that a test reads and tries.
 */
import type { CapabilityStatement } from '#standards/fhir/types.ts';
import { writtenTypes } from './interaction.ts';
import { includesOf, resultParameters, revincludesOf } from './search-parameters.ts';
import { datePrefixes } from './search-values.ts';
import { servedTypes } from './served-types.ts';
import { profiles, topic } from './subscription-resource.ts';
import { tokenPath } from './token-endpoint.ts';
import type { SearchParameter, Served, ServedType } from './served-types.ts';

const validate = { name: 'validate', definition: 'http://hl7.org/fhir/OperationDefinition/Resource-validate' };
const bulkData = 'http://hl7.org/fhir/uv/bulkdata/OperationDefinition';

type StatedResource = NonNullable<NonNullable<CapabilityStatement['rest']>[0]['resource']>[0];

export function gatewayCapabilities(serviceBase: string, now: Date): CapabilityStatement {
  return {
    resourceType: 'CapabilityStatement', status: 'active', date: now.toISOString(), kind: 'instance', fhirVersion: '4.0.1', format: ['application/fhir+json', 'application/fhir+xml', 'json', 'xml'],
    software: { name: 'MedScan Gateway' }, implementation: { description: 'Takes patients and imaging orders for AI reading, and lets orders, studies and results be read.', url: serviceBase },
    rest: [{
      mode: 'server',
      security: {
        cors: false, service: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code: 'SMART-on-FHIR', display: 'SMART-on-FHIR' }], text: 'SMART Backend Services, or an access token of the gateway' }],
        extension: [{ url: 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris', extension: [{ url: 'token', valueUri: `${serviceBase}${tokenPath}` }] }],
        description: 'Authorization: Bearer <token>, from the token endpoint or made in the gateway. The token decides whose records are read.',
      },
      resource: [...(Object.entries(servedTypes) as [ServedType, Served][]).map(([type, served]) => statedResource(type, served)), statedSubscription],
      documentation: `Every search takes ${resultParameters.join(', ')}. A patient's identifier is the only chain; there is no _has. Nothing is deleted or patched: PUT what changes.`,
      interaction: [{ code: 'batch' }, { code: 'transaction' }],
      operation: [validate, { name: 'export', definition: `${bulkData}/export`, documentation: 'Bulk Data 2.0: Prefer: respond-async; _type, _since, _outputFormat=application/fhir+ndjson.' }],
    }],
  };
}

/** By the Subscriptions R5 Backport guide; not searched, and changed only by making a new one. */
const statedSubscription: StatedResource = {
  type: 'Subscription', extension: [{ url: profiles.topics, valueCanonical: topic }], supportedProfile: [profiles.subscription], documentation: 'Each system sees its own. GET [type] lists them all.', versioning: 'no-version',
  interaction: [{ code: 'create' }, { code: 'read' }, { code: 'delete' }, { code: 'search-type' }],
  operation: ['status', 'events', 'get-ws-binding-token'].map((name) => ({ name, definition: `http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-${name}` })),
};

function statedResource(type: ServedType, { documentation, parameters, includes, sorts }: Served): StatedResource {
  const isWritten = Object.hasOwn(writtenTypes, type), revincludes = revincludesOf(type);
  return {
    type, documentation: `${documentation} Sorted by ${['_lastUpdated', ...Object.keys(sorts)].join(', ')}.`, versioning: isWritten ? 'versioned-update' : 'versioned', readHistory: true, referencePolicy: isWritten ? ['literal', 'logical', 'local'] : ['literal', 'logical'],
    interaction: [{ code: 'read' }, { code: 'vread' }, { code: 'history-instance' }, { code: 'history-type' }, { code: 'search-type' }, ...(isWritten ? [{ code: 'create' as const }, { code: 'update' as const }] : [])],
    ...(isWritten ? { updateCreate: true, conditionalCreate: true, conditionalUpdate: true } : {}), conditionalRead: 'full-support',
    ...(Object.keys(includes).length === 0 ? {} : { searchInclude: includesOf(type) }), ...(revincludes.length === 0 ? {} : { searchRevInclude: revincludes }),
    searchParam: Object.entries(parameters).map(([name, parameter]) => ({ name, type: parameter.type, ...wordsOf(parameter) })),
    operation: [validate, ...(type === 'Patient' ? [{ name: 'export', definition: `${bulkData}/patient-export` }] : [])],
  };
}

function wordsOf({ documentation, modifiers, type }: SearchParameter): { documentation?: string } {
  const words = [
    ...(documentation === undefined ? [] : [documentation]), ...(modifiers === undefined ? [] : [`Modifiers: ${modifiers.map((each) => `:${each}`).join(', ')}.`]),
    ...(type === 'date' ? [`Prefixes: ${datePrefixes.join(', ')}.`] : []),
  ];
  return words.length === 0 ? {} : { documentation: words.join(' ') };
}
