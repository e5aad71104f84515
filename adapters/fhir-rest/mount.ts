/** Where the FHIR service is on the gateway's HTTP port. */
export const mount = '/fhir/r4';
