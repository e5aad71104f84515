import { sql } from './pool.ts';

/** The organization of the running transaction, as SQL: the same expression that the row level security policies use. */
export const ORGANIZATION = sql.fragment`nullif(current_setting('app.organization_id', true), '')::uuid`;
