/** What this server does, as it is (R4 capabilitystatement.html); answered to GET metadata without login. Made from the table of served types. */
import type { CapabilityStatement } from '#standards/fhir/types.ts';
import { servedTypes } from './served-types.ts';
import { tokenPath } from './token-endpoint.ts';
import type { Served, ServedType } from './served-types.ts';

type StatedResource = NonNullable<NonNullable<CapabilityStatement['rest']>[0]['resource']>[0];

const written: readonly ServedType[] = ['Patient', 'ServiceRequest'];

export function gatewayCapabilities(serviceBase: string, now: Date): CapabilityStatement {
  return {
    resourceType: 'CapabilityStatement', status: 'active', date: now.toISOString(), kind: 'instance', fhirVersion: '4.0.1', format: ['application/fhir+json'],
    software: { name: 'MedScan Gateway' }, implementation: { description: 'Takes patients and imaging orders for AI reading, and lets orders, studies and results be read.', url: serviceBase },
    rest: [{
      mode: 'server',
      security: {
        cors: false, service: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code: 'SMART-on-FHIR', display: 'SMART-on-FHIR' }], text: 'SMART Backend Services, or an access token of the gateway' }],
        extension: [{ url: 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris', extension: [{ url: 'token', valueUri: `${serviceBase}${tokenPath}` }] }],
        description: 'Authorization: Bearer <token>, from the token endpoint or made in the gateway. The token decides whose records are read.',
      },
      resource: (Object.entries(servedTypes) as [ServedType, Served][]).map(([type, served]) => statedResource(type, served)),
      interaction: [{ code: 'batch' }],
      operation: [{ name: 'validate', definition: 'http://hl7.org/fhir/OperationDefinition/Resource-validate' }],
    }],
  };
}

function statedResource(type: ServedType, { documentation, parameters, includes }: Served): StatedResource {
  const isWritten = written.includes(type);
  return {
    type, documentation, versioning: 'no-version', referencePolicy: ['logical', 'local'],
    interaction: [{ code: 'read' }, { code: 'search-type' }, ...(isWritten ? [{ code: 'create' as const }, { code: 'update' as const }] : [])],
    ...(isWritten ? { updateCreate: true, conditionalCreate: true, conditionalUpdate: true } : {}), conditionalRead: 'not-match',
    ...(Object.keys(includes).length === 0 ? {} : { searchInclude: Object.keys(includes).map((name) => `${type}:${name}`) }),
    searchParam: Object.entries(parameters).map(([name, { type: kind, documentation: words }]) => ({ name, type: kind, ...(words === undefined ? {} : { documentation: words }) })),
  };
}
