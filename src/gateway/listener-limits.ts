import type { Config } from '../config.ts';
import type { ListenerLimits } from './adapter.ts';

/** What the operator set for the listener of an adapter (MEDSCAN_DICOM_*). Only DICOM has such settings. */
export function listenerLimits(adapter: string, config: Config): { readonly limits?: ListenerLimits } {
  return adapter !== 'dicom-dimse' ? {} : {
    limits: {
      associations: config.dicomAssociations, associationsPerAddress: config.dicomAssociationsPerAddress, associationsPerCaller: config.dicomAssociationsPerAe,
      messagePartByteLength: config.dicomPduBytes, beginMilliseconds: config.dicomArtimSeconds * 1000, idleMilliseconds: config.dicomIdleSeconds * 1000,
    },
  };
}
