/** The client's services of this adapter, as the pipeline asks for them. DICOMweb has no modality worklist. */
import type { Queries } from '#gateway/queries.ts';
import type { Config } from '../config.ts';
import { countInstances, findStudies, interactions } from './find.ts';
import { retrieve, retrieveInteractions } from './retrieve.ts';
import { wanted } from './settings.ts';

export const queries: Queries<Config> = { interactions: { ...interactions, retrieve: retrieveInteractions.study }, wanted, findStudies, countInstances, retrieve };
