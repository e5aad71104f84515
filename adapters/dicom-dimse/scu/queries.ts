/** The client's services of this adapter, as the pipeline asks for them. */
import type { CommitmentAsker, Queries } from '#gateway/queries.ts';
import type { Config } from '../config.ts';
import { askForCommitment } from './commitment-scu.ts';
import { countInstances, findStudies } from './find-scu.ts';
import { retrieve } from './retrieve-scu.ts';
import { wanted } from './settings.ts';
import { findScheduled } from './worklist-scu.ts';

const interactions = { findStudies: 'C-FIND STUDY', countInstances: 'C-FIND STUDY', listInstances: 'C-FIND IMAGE', retrieve: 'C-MOVE' };

export const queries = { interactions, wanted, findStudies, countInstances, retrieve, findScheduled } satisfies Queries<Config>;
export const commitmentAsker: CommitmentAsker<Config> = { ask: askForCommitment };
