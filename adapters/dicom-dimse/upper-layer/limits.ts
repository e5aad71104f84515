import type { ListenerLimits } from '#gateway/adapter.ts';

/** What one peer, or all together, may ask of the listener before it says no. None of them is reached by a working PACS. */
export interface UpperLayerLimits {
  /** Largest association PDU taken; 128 contexts with 38 transfer syntaxes each, as DCMTK can propose, need 127 KiB. */
  readonly associatePduByteLength: number;
  /** Largest P-DATA-TF we offer to take and do take (PS3.8 D.1). */
  readonly maximumLength: number;
  /** Smallest maximum length we let a requestor ask for; 0 (no limit) is fine. */
  readonly minimumPeerMaximumLength: number;
  readonly commandSetByteLength: number;
  /** ARTIM: from connect to a complete A-ASSOCIATE-RQ, and for our decision about it. */
  readonly artimMilliseconds: number;
  /** How long the peer has to close the connection once the association is over. */
  readonly closeMilliseconds: number;
  /** An association on which the peer moves less than `idleByteLength` bytes for so long is aborted; our own work does not count. */
  readonly idleMilliseconds: number;
  readonly idleByteLength: number;
  readonly associations: number;
  readonly associationsPerAddress: number;
  /** Open ones of one calling AE title, from wherever. */
  readonly associationsPerCallingAeTitle: number;
}

export const defaultLimits: UpperLayerLimits = {
  associatePduByteLength: 256 * 1024,
  maximumLength: 1024 * 1024,
  minimumPeerMaximumLength: 4096,
  commandSetByteLength: 64 * 1024,
  artimMilliseconds: 10_000,
  closeMilliseconds: 2_000,
  idleMilliseconds: 60_000,
  idleByteLength: 64,
  associations: 100,
  associationsPerAddress: 20,
  associationsPerCallingAeTitle: 20,
};

/** The defaults with what the operator set (MEDSCAN_DICOM_*). */
export function limitsOf(set: ListenerLimits | undefined): UpperLayerLimits {
  const { associations, associationsPerAddress, associationsPerCaller, messagePartByteLength, beginMilliseconds, idleMilliseconds } = set ?? {};
  return {
    ...defaultLimits,
    ...(associations === undefined ? {} : { associations }), ...(associationsPerAddress === undefined ? {} : { associationsPerAddress }),
    ...(associationsPerCaller === undefined ? {} : { associationsPerCallingAeTitle: associationsPerCaller }),
    ...(messagePartByteLength === undefined ? {} : { maximumLength: messagePartByteLength }),
    ...(beginMilliseconds === undefined ? {} : { artimMilliseconds: beginMilliseconds }), ...(idleMilliseconds === undefined ? {} : { idleMilliseconds }),
  };
}
