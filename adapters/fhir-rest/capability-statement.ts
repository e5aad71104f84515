/** What this server does, as it is (R4 capabilitystatement.html); answered to GET metadata without login. */
import type { CapabilityStatement } from '#standards/fhir/types.ts';

export function gatewayCapabilities(serviceBase: string, now: Date): CapabilityStatement {
  const received = (type: 'Patient' | 'ServiceRequest', documentation: string): NonNullable<NonNullable<CapabilityStatement['rest']>[0]['resource']>[0] => ({
    type, documentation, interaction: [{ code: 'create' }, { code: 'update' }], versioning: 'no-version', updateCreate: true, conditionalCreate: true, conditionalUpdate: true,
    referencePolicy: ['logical', 'local'], searchParam: [{ name: 'identifier', type: 'token', documentation: 'In conditional create and update only: identifier=system|value.' }],
  });
  return {
    resourceType: 'CapabilityStatement', status: 'active', date: now.toISOString(), kind: 'instance', fhirVersion: '4.0.1', format: ['application/fhir+json'],
    software: { name: 'MedScan Gateway' }, implementation: { description: 'Takes patients and imaging orders for AI reading.', url: serviceBase },
    rest: [{
      mode: 'server',
      security: { cors: false, service: [{ text: 'Bearer token' }], description: 'Authorization: Bearer <access token of the gateway>.' },
      resource: [
        received('Patient', 'An update replaces what it names and leaves what it omits.'),
        received('ServiceRequest', 'Imaging orders: accession number as identifier of type ACSN, the patient by subject.identifier, contained, or by an id that was PUT here.'),
      ],
    }],
  };
}
