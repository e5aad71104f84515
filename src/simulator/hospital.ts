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
