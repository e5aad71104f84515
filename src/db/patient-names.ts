/**
 * Where a part of a name is looked for: in the index of names alone, from A on, one by one until enough are found. The order and the fence keep the
 * planner from walking another index, which is smaller, and fetching each patient. For conditions that no index serves (LIKE, under row level security).
 */
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

/** As `p`: organization_id, patient_id, name_key, birth_date. */
export const patientsByName = sql.fragment`(SELECT x.organization_id, x.patient_id, x.name_key, x.birth_date FROM patients x WHERE x.organization_id = ${ORGANIZATION} ORDER BY x.name_key OFFSET 0) p`;
