/** Which version of the product ran here from when on: a setting of the installation, with its history. */
import type { CommonQueryMethods } from 'slonik';
import { z } from 'zod';
import { ORGANIZATION } from './current-organization.ts';
import { sql } from './pool.ts';

/** Adds a version of the setting 'gateway.version' when it differs from the last; for the organization 'Unassigned'. */
export async function recordProductVersion(tx: CommonQueryMethods, version: string): Promise<void> {
  await tx.query(sql.type(z.object({}))`
    INSERT INTO system_settings (organization_id, setting_key, version, value, changed_by)
    SELECT ${ORGANIZATION}, 'gateway.version', coalesce(max(version), 0) + 1, to_jsonb(${version}::text), 'gateway' FROM system_settings WHERE organization_id = ${ORGANIZATION} AND setting_key = 'gateway.version'
    HAVING (SELECT value FROM system_settings WHERE organization_id = ${ORGANIZATION} AND setting_key = 'gateway.version' ORDER BY version DESC LIMIT 1) IS DISTINCT FROM to_jsonb(${version}::text)
    ON CONFLICT DO NOTHING`);
}
