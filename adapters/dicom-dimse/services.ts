/** The services beside storage: SOP class -> what it is, and which setting of an integration allows it. */
import type { Config } from './config.ts';

const root = '1.2.840.10008.';
export const storageCommitmentPush = `${root}1.20.1`;
/** Well-known SOP Instance of Storage Commitment Push (PS3.4 J.3.5). */
export const storageCommitmentInstance = `${root}1.20.1.1`;
export const modalityPerformedProcedureStep = `${root}3.1.2.3.3`;
export const modalityWorklist = `${root}5.1.4.31`;

export type Root = 'patient' | 'study';
export type Service =
  | { readonly kind: 'find' | 'move' | 'get'; readonly root: Root; readonly setting: Setting }
  | { readonly kind: 'worklist' | 'performed procedure'; readonly setting: Setting }
  | { readonly kind: 'storage commitment'; readonly setting?: undefined };
type Setting = 'allow_query' | 'allow_retrieve' | 'allow_worklist';

export const serviceSopClasses: ReadonlyMap<string, Service> = new Map<string, Service>([
  ...(['patient', 'study'] as const).flatMap((of, index): [string, Service][] => [
    [`${root}5.1.4.1.2.${index + 1}.1`, { kind: 'find', root: of, setting: 'allow_query' }],
    [`${root}5.1.4.1.2.${index + 1}.2`, { kind: 'move', root: of, setting: 'allow_retrieve' }],
    [`${root}5.1.4.1.2.${index + 1}.3`, { kind: 'get', root: of, setting: 'allow_retrieve' }],
  ]),
  [modalityWorklist, { kind: 'worklist', setting: 'allow_worklist' }],
  [modalityPerformedProcedureStep, { kind: 'performed procedure', setting: 'allow_worklist' }],
  [storageCommitmentPush, { kind: 'storage commitment' }],
]);

export const serviceOf = (sopClassUid: string): Service | undefined => serviceSopClasses.get(sopClassUid);
export const isAllowed = ({ setting }: Service, config: Config): boolean => setting === undefined || config[setting];
