/** Modality (0008,0060), PS3.3 C.7.3.1.1.1, to the platform's kind of scan. mappings/codes/dicom-modality-to-scan-type.yaml says the same to the mapping engine. */
import type { ScanType } from '#gateway/normalized.ts';

export const scanTypeByModality: Readonly<Record<string, ScanType>> = {
  CT: 'ct', MR: 'mri',
  CR: 'xray', DX: 'xray', XR: 'xray', RG: 'xray', XA: 'xray', RF: 'xray', PX: 'xray', IO: 'xray',
  MG: 'mammogram', US: 'ultrasound', IVUS: 'ultrasound', PT: 'pet', NM: 'nuclear',
};

/** 'other' for every modality that is none of ours (SR, SEG, OT ...) and for none. */
export function scanTypeOfModality(modality: string | undefined): ScanType {
  const term = modality?.trim().toUpperCase() ?? '';
  return Object.hasOwn(scanTypeByModality, term) ? scanTypeByModality[term] ?? 'other' : 'other';
}
