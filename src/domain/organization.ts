/** Traffic that no organization claims is on record under this one; settings of the whole installation belong to it. */
export const UNASSIGNED_ORGANIZATION_ID = '00000000-0000-0000-0000-000000000000';
