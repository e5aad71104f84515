/** A small hospital on loopback: a PACS that pushes studies, a RIS that registers and orders, an EMR that keeps reports. */
import { Emr } from './emr.ts';
import type { Ledger } from './ledger.ts';
import { Pacs } from './pacs.ts';
import { Ris } from './ris.ts';

export interface HospitalOptions {
  /** The gateway's listeners. */
  readonly gateway: { readonly host: string; readonly dicomPort: number; readonly hl7Port: number; readonly aeTitle?: string };
  /** Where the hospital listens; 0 or absent takes any port. */
  readonly ports?: { readonly dicom?: number; readonly hl7?: number; readonly fhir?: number };
  readonly pacsAeTitle?: string;
  readonly sendingApplication?: string; readonly sendingFacility?: string;
  readonly emrBearerToken?: string;
  /** What PACS and RIS were told goes here, one line per message. */
  readonly ledger?: Ledger;
}
export interface Hospital {
  readonly pacs: Pacs; readonly ris: Ris; readonly emr: Emr;
  stop(): Promise<void>;
}

export async function startHospital(options: HospitalOptions): Promise<Hospital> {
  const { gateway, ports = {}, ledger } = options;
  const recorded = ledger === undefined ? {} : { ledger };
  const pacs = await Pacs.start({ gateway: { host: gateway.host, port: gateway.dicomPort, aeTitle: gateway.aeTitle ?? 'MEDSCAN' }, port: ports.dicom ?? 0, aeTitle: options.pacsAeTitle ?? 'NORTHPACS', ...recorded });
  const ris = await Ris.start({
    gateway: { host: gateway.host, port: gateway.hl7Port }, port: ports.hl7 ?? 0,
    sendingApplication: options.sendingApplication ?? 'RIS', sendingFacility: options.sendingFacility ?? 'NORTH', ...recorded,
  });
  const emr = await Emr.start({ port: ports.fhir ?? 0, ...(options.emrBearerToken === undefined ? {} : { bearerToken: options.emrBearerToken }) });
  return { pacs, ris, emr, stop: async () => { await Promise.all([pacs.stop(), ris.stop(), emr.stop()]); } };
}

/** One integration of the gateway, in the words of external_integrations. */
export interface HospitalIntegration {
  readonly name: string; readonly kind: 'pacs' | 'ris' | 'emr'; readonly adapter: string; readonly direction: 'both' | 'outbound';
  readonly settings: Readonly<Record<string, unknown>>; readonly purpose: string;
}

/** How the gateway is to be configured to speak with this hospital. */
export function integrationsOf(hospital: Hospital, options: { readonly timeZone?: string; readonly emrBearerToken?: string } = {}): readonly HospitalIntegration[] {
  const reading = { assigning_authority: 'NORTH', time_zone: options.timeZone ?? 'UTC' };
  return [
    {
      name: 'North PACS', kind: 'pacs', adapter: 'dicom-dimse', direction: 'both', purpose: 'Studies in, reports as DICOM SR back',
      settings: { ...reading, calling_ae_titles: [hospital.pacs.aeTitle], destination: { host: '127.0.0.1', port: hospital.pacs.port, called_ae_title: hospital.pacs.aeTitle } },
    },
    {
      name: 'North RIS', kind: 'ris', adapter: 'hl7v2-mllp', direction: 'both', purpose: 'Registrations and orders in, reports as ORU^R01 back',
      settings: { ...reading, sending_application: ['RIS'], sending_facility: ['NORTH'], host: '127.0.0.1', port: hospital.ris.port, receiving_application: 'RIS', receiving_facility: 'NORTH' },
    },
    {
      name: 'North EMR', kind: 'emr', adapter: 'fhir-rest', direction: 'outbound', purpose: 'Reports as DiagnosticReport',
      settings: { receives: false, base_url: hospital.emr.baseUrl, ...(options.emrBearerToken === undefined ? {} : { authentication: 'bearer', bearer_token: options.emrBearerToken }) },
    },
  ];
}
